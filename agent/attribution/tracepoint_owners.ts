/**
 * Describes the callers that the tracepoint program reported. The kernel names the process exactly; what it is comes from
 * the table of processes, else from /proc while it lives. A fact that may be another program's is left out.
 */
import type { Counters } from '../../protocol/records.ts';
import { suspendedNs } from '../linux/libc.ts';
import { HeldProcess, MAX_ANCESTORS, ProcReader } from '../linux/proc_reader.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import type { SocketOwner } from './owner.ts';
import type { KnownProcess, ProcessReading } from './process_table.ts';
import { type ProcessWatch, readProcess } from './process_watch.ts';
import type { TracepointCaller } from './tracepoint_records.ts';

/** A clock tick of /proc is 1/100 s on every Linux (USER_HZ). */
const NANOSECONDS_PER_TICK = 10_000_000n;
/** A process may have changed its working directory after this time. */
const DIRECTORY_TRUSTED_NS = 1_000_000_000n;

export class TracepointOwners {
  readonly #processes: ProcessWatch | null;
  readonly #procRoot: string;
  readonly #reader: ProcReader;
  /** Our own pid, where the kernel's pids are those of our pid namespace. */
  readonly #ownPid: number | null;
  #readLate = 0;
  #unread = 0;
  #unknown = 0;

  constructor(processes: ProcessWatch | null, procRoot: string, ownPid: number | null) {
    this.#processes = processes;
    this.#procRoot = procRoot;
    this.#reader = new ProcReader({ procRoot });
    this.#ownPid = ownPid;
  }

  /** Returns the owner of a socket that began to connect at a time; null if nothing is known of its process. */
  ownerOf(caller: TracepointCaller, timeNs: bigint): SocketOwner | null {
    const { pid } = caller;
    const table = this.#processes?.table ?? null;
    let known = table?.at(pid, timeNs) ?? null;
    if (known?.reading == null) known = this.#readLateAs(caller, known, timeNs);
    const reading = known?.reading ?? null;
    const startTicks = known === null ? null : this.#startTicksOf(known);
    if (known === null || startTicks === null) {
      this.#unknown++;
      return null;
    }
    if (reading === null) this.#unread++;
    const isFresh = known.sinceNs !== null && timeNs - known.sinceNs < DIRECTORY_TRUSTED_NS;
    return {
      pid,
      startTicks,
      name: caller.tid === pid ? caller.name : (reading?.name ?? caller.name),
      executable: reading?.executable ?? null,
      uid: known.uid ?? caller.realUid,
      args: reading?.args ?? null,
      argsTruncated: reading?.argsTruncated ?? true,
      ...(isFresh && reading !== null && { workingDirectory: reading.workingDirectory }),
      netns: reading?.netns ?? null,
      cgroupId: caller.cgroupId,
      cgroupPaths: reading?.cgroupPaths ?? null,
      ancestors: this.#ancestorsOf(known, startTicks, timeNs),
      method: 'ebpf',
      confidence: table !== null && !table.isCompleteSince(timeNs) ? 'probable' : 'exact',
      isSelf: pid === this.#ownPid,
    };
  }

  /** Reads a process that is not in the table; without the facts if it is gone, or may be another program by now. */
  #readLateAs(caller: TracepointCaller, known: KnownProcess | null, timeNs: bigint): KnownProcess | null {
    const { pid } = caller;
    this.#readLate++;
    const reading = readProcess(this.#procRoot, pid);
    if (reading === null || BigInt(reading.startTicks) > this.#ticksAt(timeNs)) return known;
    const base: KnownProcess = known ?? {
      ...{ pid, startTicks: null, parentPid: reading.parentPid, beganNs: null, endedNs: null },
      ...{ reading: null, uid: null, sinceNs: null },
    };
    const same: KnownProcess = { ...base, startTicks: reading.startTicks };
    if (this.#isChanged(caller, reading, timeNs)) return same;
    this.#processes?.table.addReading(pid, reading, timeNs);
    return { ...same, reading, uid: reading.uid };
  }

  #isChanged(caller: TracepointCaller, reading: ProcessReading, timeNs: bigint): boolean {
    if (this.#processes === null) return caller.tid === caller.pid && reading.name !== caller.name;
    // An exec() before the reading has left its event by now.
    this.#processes.poll();
    return this.#processes.table.hasChangedSince(caller.pid, timeNs);
  }

  #startTicksOf({ pid, startTicks, beganNs }: KnownProcess): number | null {
    if (startTicks !== null) return startTicks;
    if (beganNs === null) return null;
    const calculated = this.#ticksAt(beganNs);
    const held = HeldProcess.hold(this.#procRoot, pid);
    const read = held?.stat()?.startTicks ?? null;
    held?.close();
    // The event follows the begin by microseconds: another tick at most.
    return read !== null && BigInt(read) >= calculated - 1n && BigInt(read) <= calculated
      ? read
      : Number(calculated);
  }

  #ancestorsOf(owner: KnownProcess, startTicks: number, timeNs: bigint): ProcessSnapshot[] {
    const chain: ProcessSnapshot[] = [];
    let pid = owner.parentPid;
    let aliveNs = owner.beganNs ?? timeNs;
    let notAfterTicks = startTicks;
    while (pid !== null && pid > 0 && chain.length < MAX_ANCESTORS) {
      const known = this.#processes?.table.lastBefore(pid, aliveNs, timeNs) ?? null;
      const ticks = known === null ? null : this.#startTicksOf(known);
      if (known?.reading != null && ticks !== null) {
        const { name, executable, args, argsTruncated } = known.reading;
        chain.push({ pid, startTicks: ticks, name, executable, ...(!argsTruncated && { args }) });
        pid = known.parentPid;
        aliveNs = known.beganNs ?? aliveNs;
        notAfterTicks = ticks;
        continue;
      }
      const record = this.#reader.read(pid, notAfterTicks);
      if (record === null) break;
      const { parentPid, ...snapshot } = record;
      chain.push(snapshot);
      pid = known?.parentPid ?? parentPid;
      aliveNs = known?.beganNs ?? aliveNs;
      notAfterTicks = record.startTicks;
    }
    return chain;
  }

  #ticksAt(timeNs: bigint): bigint {
    return (timeNs + suspendedNs()) / NANOSECONDS_PER_TICK;
  }

  counters(): Counters {
    return {
      /** Callers that were read from /proc after they had connected. */
      callers_read_late: this.#readLate,
      /** Callers of which pid, user and name are known, and not the program. */
      callers_unread: this.#unread,
      callers_unknown: this.#unknown,
      ...this.#processes?.counters(),
    };
  }
}
