/**
 * Describes the callers that the tracepoint program or samples of the tracepoint reported. The kernel names the process exactly; what it is comes from
 * the table of processes, else from /proc while it lives. A fact that may be another program's is left out.
 */
import type { Counters } from '../../protocol/records.ts';
import { HeldProcess } from '../linux/proc_reader.ts';
import { KnownProcesses } from './known_processes.ts';
import type { SocketOwner } from './owner.ts';
import type { KnownProcess, ProcessReading } from './process_table.ts';
import { type ProcessWatch, readProcess } from './process_watch.ts';
import { executableOf, nameOf } from './program_path.ts';
import type { TracepointCaller } from './tracepoint_records.ts';

/** A process may have changed its working directory after this time. */
const DIRECTORY_TRUSTED_NS = 1_000_000_000n;

export class TracepointOwners {
  readonly #processes: ProcessWatch | null;
  readonly #procRoot: string;
  readonly #known: KnownProcesses;
  /** Our own pid, where the kernel's pids are those of our pid namespace. */
  readonly #ownPid: number | null;
  readonly #method: SocketOwner['method'];
  #readLate = 0;
  #unread = 0;
  #unknown = 0;
  #concluded = 0;

  constructor(
    processes: ProcessWatch | null,
    procRoot: string,
    ownPid: number | null,
    method: SocketOwner['method'],
  ) {
    this.#processes = processes;
    this.#procRoot = procRoot;
    this.#known = new KnownProcesses(processes?.table ?? null, procRoot);
    this.#ownPid = ownPid;
    this.#method = method;
  }

  /** Returns the owner of a socket that began to connect at a time; null if nothing is known of its process. */
  ownerOf(caller: TracepointCaller, timeNs: bigint): SocketOwner | null {
    const { pid } = caller;
    const table = this.#processes?.table ?? null;
    let known = table?.at(pid, timeNs) ?? null;
    let isConfirmed = true;
    if (known !== null && this.#mayMissEvents) {
      const found = this.#compare(known, timeNs);
      isConfirmed = found === 'same' || (found === null && isOwnProgram(known, caller));
      if (found === 'other') {
        table?.lostEvents();
        known = null;
      }
    }
    if (known?.reading == null) known = this.#readLateAs(caller, known, timeNs);
    const reading = known?.reading ?? null;
    const startTicks = known === null ? null : this.#known.startTicksOf(known);
    const user = known === null ? null : this.#userOf(caller, known, startTicks);
    const uid = user?.uid ?? caller.realUid;
    const threadName = caller.tid === pid ? caller.name : null;
    const name = threadName ?? reading?.name ?? caller.name ?? (known?.path && nameOf(known.path)) ?? null;
    if (known === null || startTicks === null || uid === null || name === null) {
      this.#unknown++;
      return null;
    }
    const executable = reading === null ? this.#programOf(known) : reading.executable;
    if (executable === null) this.#unread++;
    const isComplete = table === null || table.isCompleteSince(timeNs);
    // Which process it was is certain in any case; what it was may be a conclusion.
    const isExact =
      isComplete && isConfirmed && user?.isCertain !== false && (reading !== null || executable === null);
    const isFresh = known.sinceNs !== null && timeNs - known.sinceNs < DIRECTORY_TRUSTED_NS;
    return {
      pid,
      startTicks,
      name,
      executable,
      uid,
      args: reading?.args ?? null,
      argsTruncated: reading?.argsTruncated ?? true,
      ...(isFresh && reading !== null && { workingDirectory: reading.workingDirectory }),
      netns: reading?.netns ?? null,
      cgroupId: caller.cgroupId,
      cgroupPaths: reading?.cgroupPaths ?? null,
      ancestors: this.#known.ancestorsOf(known, startTicks, timeNs),
      method: this.#method,
      confidence: isExact ? 'exact' : 'probable',
      isSelf: pid === this.#ownPid,
    };
  }

  /**
   * Returns the effective user of a caller. Where the events do not report changes of a user, it is certain only if the
   * kernel reported the same one, or if the process has it still.
   */
  #userOf(
    { pid, realUid }: TracepointCaller,
    known: KnownProcess,
    startTicks: number | null,
  ): { uid: number | null; isCertain: boolean } {
    const { uid } = known;
    if (this.#processes === null || this.#processes.table.reportsUsers || uid === null || uid === realUid) {
      return { uid, isCertain: true };
    }
    const held = HeldProcess.hold(this.#procRoot, pid);
    const now = held?.effectiveUid() ?? null;
    const isSame = startTicks !== null && held?.stat()?.startTicks === startTicks;
    held?.close();
    if (now !== null && isSame) return { uid: now, isCertain: now === uid };
    return { uid: realUid ?? uid, isCertain: false };
  }

  /**
   * States whether events of processes may be missing without a word. Another tool's eBPF program on the tracepoints takes
   * our samples away if it returns 0 (kernel/events/core.c, perf_trace_run_bpf_submit), and the kernel does not tell. The
   * process connector loses nothing unnoticed.
   */
  get #mayMissEvents(): boolean {
    return this.#processes !== null && !this.#processes.table.reportsUsers;
  }

  /**
   * Compares what the events say of a process with the living one: `other` if events are missing for certain. Null says
   * nothing: the process has ended, may not be read, or has changed since it connected.
   */
  #compare(known: KnownProcess, timeNs: bigint): 'same' | 'other' | null {
    const { pid, reading } = known;
    if (reading === null) return null;
    const held = HeldProcess.hold(this.#procRoot, pid);
    const stat = held?.stat() ?? null;
    const executable = held?.executable() ?? null;
    held?.close();
    if (stat === null || executable === null || stat.startTicks > this.#known.ticksAt(timeNs)) return null;
    const isSameProcess = stat.startTicks === this.#known.startTicksOf(known);
    // Each exec() changes the image, and a fork keeps it. It is null where it may not be read.
    const image = reading.image ?? null;
    const isSameImage = image === null || stat.image === null ? null : image === stat.image;
    if (isSameProcess && executable === reading.executable && isSameImage !== false) {
      return isSameImage === null ? null : 'same';
    }
    // A program or process that began since the connection has left its event by now.
    this.#processes?.poll();
    return this.#processes?.table.hasChangedSince(pid, timeNs) === false ? 'other' : null;
  }

  /** Returns the executable of a program that had ended before it was read, by the path that execve(2) got. */
  #programOf({ path }: KnownProcess): string | null {
    const executable = path === null ? null : executableOf(path);
    if (executable !== null) this.#concluded++;
    return executable;
  }

  /** Reads a process that is not in the table; without the facts if it is gone, or may be another program by now. */
  #readLateAs(caller: TracepointCaller, known: KnownProcess | null, timeNs: bigint): KnownProcess | null {
    const { pid } = caller;
    this.#readLate++;
    const reading = readProcess(this.#procRoot, pid);
    if (reading === null || reading.startTicks > this.#known.ticksAt(timeNs)) return known;
    const base: KnownProcess = known ?? {
      ...{ pid, startTicks: null, parentPid: reading.parentPid, beganNs: null, endedNs: null },
      ...{ reading: null, path: null, uid: null, sinceNs: null },
    };
    const same: KnownProcess = { ...base, startTicks: reading.startTicks };
    if (this.#isChanged(caller, reading, timeNs)) return same;
    this.#processes?.table.addReading(pid, reading, timeNs);
    return { ...same, reading, uid: reading.uid };
  }

  #isChanged(caller: TracepointCaller, reading: ProcessReading, timeNs: bigint): boolean {
    const isSureOfEvents = this.#processes !== null && !this.#mayMissEvents;
    const name = caller.tid === caller.pid ? caller.name : null;
    if (!isSureOfEvents && name !== null && reading.name !== name) return true;
    if (this.#processes === null) return false;
    // An exec() before the reading has left its event by now.
    this.#processes.poll();
    return this.#processes.table.hasChangedSince(caller.pid, timeNs);
  }

  counters(): Counters {
    return {
      /** Callers that were read from /proc after they had connected. */
      callers_read_late: this.#readLate,
      /** Callers of which pid, user and name are known, and not the program. */
      callers_unread: this.#unread,
      callers_unknown: this.#unknown,
      /** Callers whose executable is known by the path that execve(2) got only. */
      callers_concluded: this.#concluded,
    };
  }
}

/**
 * Returns whether the event of the program that a process runs was not missing: there is one, and the program had the
 * name that the kernel reported when it connected.
 */
function isOwnProgram({ startTicks, path, reading }: KnownProcess, { name }: TracepointCaller): boolean {
  // A fork has its parent's reading, and so no start time. A process that was read without an event has no path.
  return startTicks !== null && path !== null && reading !== null && reading.name === name;
}
