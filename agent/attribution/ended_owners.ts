/**
 * Infers the owner of a socket that no process had any more when it was looked for: the one process that lived when the
 * SYN was sent, has ended since, and has the socket's user and network namespace as far as they are known. That is a
 * conclusion and no evidence: the confidence is `probable`, and with a second candidate there is no owner.
 *
 * A parent that ended after its child is no candidate beside that child: it has waited for it, as a shell waits for the
 * commands of a script.
 *
 * The question is asked some time after the SYN: a process that closes its socket before it ends has ended by then, and
 * is one of the candidates. A process that closes its socket at once and lives on is none. So the conclusion may be wrong
 * where such a process and a short-lived one of the same user and namespace were active at the same moment.
 */
import type { Counters } from '../../protocol/records.ts';
import { monotonicNs, realClockUs } from '../linux/libc.ts';
import { KnownProcesses } from './known_processes.ts';
import type { SocketOwner } from './owner.ts';
import type { KnownProcess } from './process_table.ts';
import type { ProcessWatch } from './process_watch.ts';
import { executableOf, nameOf } from './program_path.ts';

/** The clocks are read one after the other, and a packet's time is rounded. */
const CLOCK_ERROR_NS = 50_000n;

/** The part of the process watch that is needed. */
type Processes = Pick<ProcessWatch, 'table' | 'poll' | 'counters'>;

export class EndedOwners {
  readonly #watch: Processes;
  readonly #known: KnownProcesses;
  #inferred = 0;
  #several = 0;
  #candidates = 0;
  #none = 0;
  #incomplete = 0;

  constructor(watch: Processes, procRoot: string) {
    this.#watch = watch;
    this.#known = new KnownProcesses(watch.table, procRoot);
  }

  /**
   * Returns the owner; null without candidates or with more than one.
   * @param begunUs when the SYN was sent, in microseconds since the Unix epoch.
   * @param uid the socket's user; null if it is not known.
   * @param netns the socket's network namespace; null if it is not known.
   */
  ownerOf(begunUs: number, uid: number | null, netns: number | null): SocketOwner | null {
    this.#watch.poll();
    const timeNs = monotonicNs() - BigInt(Math.round((realClockUs() - begunUs) * 1_000));
    const [from, to] = [timeNs - CLOCK_ERROR_NS, timeNs + CLOCK_ERROR_NS];
    const candidates = this.#watch.table.candidates(from, to, { uid, netns });
    if (candidates === null) {
      this.#incomplete++;
      return null;
    }
    const [only, ...others] = candidates.filter(
      (process) => !candidates.some((other) => waitedFor(process, other)),
    );
    if (only === undefined) {
      this.#none++;
      return null;
    }
    if (others.length > 0) {
      this.#several++;
      this.#candidates += 1 + others.length;
      return null;
    }
    const startTicks = this.#known.startTicksOf(only);
    const { reading, path } = only;
    const user = uid ?? only.uid;
    const executable = reading === null && path !== null ? executableOf(path) : (reading?.executable ?? null);
    if (startTicks === null || executable === null || user === null) {
      this.#none++;
      return null;
    }
    this.#inferred++;
    return {
      pid: only.pid,
      startTicks,
      ...{ name: reading?.name ?? nameOf(path!), executable, uid: user },
      ...{ args: reading?.args ?? null, argsTruncated: reading?.argsTruncated ?? true },
      ...{ workingDirectory: reading?.workingDirectory ?? null, netns: reading?.netns ?? null },
      ...{ cgroupId: null, cgroupPaths: reading?.cgroupPaths ?? null },
      ancestors: this.#known.ancestorsOf(only, startTicks, timeNs),
      ...{ method: 'sock_diag', confidence: 'probable' },
    };
  }

  counters(): Counters {
    return {
      inferred: this.#inferred,
      /** Sockets for which several processes came into question, and the number of those processes. */
      inferred_several: this.#several,
      inferred_candidates: this.#candidates,
      inferred_none: this.#none,
      /** Sockets about which nothing was inferred, because process events were lost. */
      inferred_incomplete: this.#incomplete,
      ...this.#watch.counters(),
    };
  }
}

function waitedFor(parent: KnownProcess, child: KnownProcess): boolean {
  if (child.parentPid !== parent.pid || child.beganNs === null) return false;
  return (parent.beganNs ?? 0n) <= child.beganNs && child.endedNs! <= parent.endedNs!;
}
