/**
 * Routine calls of one caller over one interval, counted instead of sent one by one.
 *
 * A count is written to the journal before `addCall` returns, so the next start finds the counts of a killed
 * process again, under the same roll-up ids. Callers, distinct lines and journal bytes are bounded: at a
 * bound the interval ends early.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Call } from '../../protocol/call.ts';
import type { Counters, Rollup, RollupLine } from '../../protocol/records.ts';
import { countIn, type Journal, replay } from './roll_up_journal.ts';

export const MAX_LINES_IN_ROLLUP = 64;
const MAX_CALLERS = 512;

interface Pending {
  slot: number;
  rollup: Rollup;
  lineIndex: Map<string, number>;
}

export class RollUp {
  readonly #journal: Journal;
  readonly #intervalMs: number;
  readonly #emit: (rollup: Rollup) => void;
  readonly #pending = new Map<string, Pending>();
  #timer: NodeJS.Timeout | null = null;
  #received = 0;
  #emitted = 0;
  #recovered = 0;
  #endedEarly = 0;

  /** Emits at once the counts of a former process that the journal holds. */
  constructor(options: { journal: Journal; intervalMs: number; emit: (rollup: Rollup) => void }) {
    this.#journal = options.journal;
    this.#intervalMs = options.intervalMs;
    this.#emit = options.emit;
    for (const rollup of replay(this.#journal.entries())) {
      this.#recovered += rollup.count;
      this.#emit(rollup);
    }
    this.#journal.clear();
  }

  addCall(call: Call): void {
    this.#received += 1;
    const key = callerKey(call);
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      if (this.#pending.size >= MAX_CALLERS) this.#endEarly();
      pending = { slot: this.#pending.size, rollup: emptyRollup(call), lineIndex: new Map() };
      this.#pending.set(key, pending);
      this.#journal.open(pending.slot, pending.rollup);
    }
    const { rollup, lineIndex, slot } = pending;
    const { line, key: lineKey } = lineOf(call, lineIndex);
    const index = lineIndex.get(lineKey);
    if (index === undefined) {
      lineIndex.set(lineKey, rollup.lines.length);
      rollup.lines.push(line);
      this.#journal.line(slot, line, call.time);
    } else {
      rollup.lines[index]!.count += 1;
      this.#journal.count(slot, index, call.time);
    }
    countIn(rollup, call.time);
    if (this.#journal.full) this.#endEarly();
    else this.#timer ??= setTimeout(() => this.flush(), this.#intervalMs);
  }

  #endEarly(): void {
    this.#endedEarly += 1;
    this.flush();
  }

  /**
   * Ends the interval and emits every roll-up. The journal is cleared afterwards, so a crash in between
   * repeats ids and not counts.
   */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const { rollup } of this.#pending.values()) {
      this.#emitted += 1;
      this.#emit(rollup);
    }
    this.#pending.clear();
    this.#journal.clear();
  }

  close(): void {
    this.flush();
    this.#journal.close();
  }

  counters(): Counters {
    return {
      received: this.#received,
      emitted: this.#emitted,
      recovered: this.#recovered,
      ended_early: this.#endedEarly,
      journal_failures: this.#journal.failures,
    };
  }
}

function callerKey(call: Call): string {
  const { process } = call;
  // A process may become another program (execve) under the same pid and start time.
  const program =
    process === null
      ? null
      : [
          process.pid,
          process.start_time,
          process['executable.path'],
          process.name,
          process['owner.uid'],
        ].concat(process.command_args ?? []);
  return JSON.stringify([
    program,
    call.container?.id ?? null,
    call['source.address'],
    call['user_agent.original'],
    call['attribution.method'],
    call['attribution.confidence'],
  ]);
}

function emptyRollup(call: Call): Rollup {
  return {
    id: uuidv7(),
    first_time: call.time,
    last_time: call.time,
    count: 0,
    'user_agent.original': call['user_agent.original'],
    'source.address': call['source.address'],
    lines: [],
    process: call.process,
    container: call.container,
    k8s: call.k8s,
    systemd: call.systemd,
    'attribution.method': call['attribution.method'],
    'attribution.confidence': call['attribution.confidence'],
    host: call.host,
  };
}

/** Returns the line that counts this call. Beyond the bound on lines, method and path are left out. */
function lineOf(call: Call, known: ReadonlyMap<string, number>): { line: RollupLine; key: string } {
  const line: RollupLine = {
    'imds.kind': call['imds.kind'],
    'imds.category': call['imds.category'],
    'http.request.method': call['http.request.method'],
    'url.path': call['url.path'],
    'http.response.status_code': call['http.response.status_code'],
    outcome: call.outcome,
    count: 1,
  };
  const key = lineKey(line);
  if (known.has(key) || known.size < MAX_LINES_IN_ROLLUP) return { line, key };
  const rest: RollupLine = { ...line, 'http.request.method': null, 'url.path': null };
  return { line: rest, key: lineKey(rest) };
}

function lineKey(line: RollupLine): string {
  return JSON.stringify([
    line['imds.kind'],
    line['imds.category'],
    line['http.request.method'],
    line['url.path'],
    line['http.response.status_code'],
    line.outcome,
  ]);
}
