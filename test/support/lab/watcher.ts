/** `imdswatch watch --json`, or anything else that prints calls as JSON lines, run on the lab's host. */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabProcess } from '../../../lab/lab.ts';
import { type Call, call } from '../../../protocol/call.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';

const READY_TIMEOUT_MS = 60_000;
const PROBE_INTERVAL_MS = 50;
const SETTLE_STEP_MS = 20;
/** Time for an end in order. */
const STOP_MS = 30_000;
/** Longer than any call takes to be printed, also on a machine that is busy with other tests. */
const SETTLE_MS = 30_000;

export interface WatcherEnd {
  status: number | null;
  signal: NodeJS.Signals | null;
}

export class Watcher {
  readonly pid: number;
  /** Every call printed since `start` resolved, in the order of printing. */
  readonly calls: Call[] = [];
  /** Lines of stdout that are no call by the contract. */
  readonly invalid: string[] = [];
  /** Called for each of them when it is printed. */
  onCall: (call: Call) => void = () => {};
  /** Everything on stderr. */
  complaints = '';
  /** Requests up to this one are the watcher's own probes: compare with what came after. */
  readySeq = 0;
  readonly #process: LabProcess;
  #probePorts: ReadonlySet<number> = new Set();

  private constructor(running: LabProcess) {
    this.pid = running.pid;
    this.#process = running;
    running.child.stderr?.setEncoding('utf8').on('data', (chunk) => {
      this.complaints += chunk;
    });
    createInterface({ input: running.child.stdout! }).on('line', (line) => this.#read(line));
  }

  /**
   * Starts `argv` on the lab's host and resolves once it sees calls: it is asked by calls of our own, until it
   * prints one. Throws with its stderr when it ends, or sees nothing in a minute.
   */
  static async start(lab: Lab, argv: readonly string[], env: Record<string, string> = {}): Promise<Watcher> {
    const running = lab.spawn(argv, { env });
    const watcher = new Watcher(running);
    let ended: WatcherEnd | null = null;
    void running.exited.then((end) => {
      ended = end;
    });
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (watcher.calls.length === 0) {
      if (ended !== null || Date.now() > deadline) {
        await running.stop();
        const how = ended === null ? 'saw nothing in time' : `ended (${JSON.stringify(ended)})`;
        throw new Error(`${argv.join(' ')} ${how}: ${watcher.complaints}`);
      }
      await lab.run(['curl', '-s', '-o', '/dev/null', '-m', '5', `http://${IMDS_IPV4}/`]);
      await sleep(PROBE_INTERVAL_MS);
    }
    // Answers to earlier probes may still be on their way to us: from here on it is quiet, until no more come.
    const probes = await lab.metadata.log();
    watcher.readySeq = probes.at(-1)?.seq ?? 0;
    const last = probes.at(-1);
    await watcher.#until(
      () => watcher.calls.some((seen) => seen['source.port'] === last?.clientPort),
      SETTLE_MS,
    );
    watcher.calls.length = 0;
    watcher.#probePorts = new Set(probes.map(({ clientPort }) => clientPort));
    return watcher;
  }

  #read(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      this.invalid.push(line);
      return;
    }
    const parsed = call.safeParse(value);
    // A probe that was under way when the capture began is reported late, when the watch was taken for ready.
    if (parsed.success && this.#isProbe(parsed.data)) return;
    if (parsed.success) {
      this.calls.push(parsed.data);
      this.onCall(parsed.data);
    } else
      this.invalid.push(
        `${line} (${parsed.error.issues[0]?.path.join('.')}: ${parsed.error.issues[0]?.message})`,
      );
  }

  #isProbe(seen: Call): boolean {
    return this.#probePorts.has(seen['source.port']) && ['/', null].includes(seen['url.path']);
  }

  /** Waits until at least `count` calls were printed, or `timeoutMs` have gone by: fewer are for `compareCalls`. */
  async settle(count: number, timeoutMs = SETTLE_MS): Promise<Call[]> {
    await this.#until(() => this.calls.length >= count, timeoutMs);
    return this.calls;
  }

  /** Returns the calls that were printed, in the order in which they began: the one of a known caller is printed first. */
  inOrder(): Call[] {
    return this.calls.toSorted((one, other) => (one.time < other.time ? -1 : 1));
  }

  async #until(condition: () => boolean, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition() && Date.now() < deadline) await sleep(SETTLE_STEP_MS);
  }

  /** Ends it; `calls` is complete then. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<WatcherEnd> {
    await this.#process.stop(signal, STOP_MS);
    return this.#process.exited;
  }
}
