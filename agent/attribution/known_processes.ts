/** Describes processes of the table (process_table.ts): when one began, and its parents. */
import { suspendedNs } from '../linux/libc.ts';
import { HeldProcess, MAX_ANCESTORS, ProcReader } from '../linux/proc_reader.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import type { KnownProcess, ProcessTable } from './process_table.ts';

/** A clock tick of /proc is 1/100 s on every Linux (USER_HZ). */
const NANOSECONDS_PER_TICK = 10_000_000n;

export class KnownProcesses {
  readonly #table: ProcessTable | null;
  readonly #procRoot: string;
  readonly #reader: ProcReader;

  /** @param table null without process events: then only what lives can be described. */
  constructor(table: ProcessTable | null, procRoot: string) {
    this.#table = table;
    this.#procRoot = procRoot;
    this.#reader = new ProcReader({ procRoot });
  }

  /** Returns the start time in ticks, as /proc shows it; null if it is not known. */
  startTicksOf({ pid, startTicks, beganNs }: KnownProcess): number | null {
    if (startTicks !== null) return startTicks;
    if (beganNs === null) return null;
    const calculated = this.ticksAt(beganNs);
    const held = HeldProcess.hold(this.#procRoot, pid);
    const read = held?.stat()?.startTicks ?? null;
    held?.close();
    // The event follows the begin by microseconds: another tick at most.
    return read === calculated - 1 ? read : calculated;
  }

  /** Returns the parents of a process at a time, nearest first, as far as they are known. */
  ancestorsOf(process: KnownProcess, startTicks: number, timeNs: bigint): ProcessSnapshot[] {
    const chain: ProcessSnapshot[] = [];
    let pid = process.parentPid;
    let aliveNs = process.beganNs ?? timeNs;
    let notAfterTicks = startTicks;
    while (pid !== null && pid > 0 && chain.length < MAX_ANCESTORS) {
      const known = this.#table?.lastBefore(pid, aliveNs, timeNs) ?? null;
      const ticks = known === null ? null : this.startTicksOf(known);
      if (known?.reading != null && ticks !== null) {
        const { name, executable, args, argsTruncated } = known.reading;
        chain.push({ pid, startTicks: ticks, name, executable, ...(!argsTruncated && { args }) });
        notAfterTicks = ticks;
        pid = known.parentPid;
      } else {
        const record = this.#reader.read(pid, notAfterTicks);
        if (record === null) break;
        const { parentPid, ...snapshot } = record;
        chain.push(snapshot);
        notAfterTicks = record.startTicks;
        pid = known?.parentPid ?? parentPid;
      }
      aliveNs = known?.beganNs ?? aliveNs;
    }
    return chain;
  }

  /** Returns the time of /proc, in ticks since boot, at a time of the kernel's monotonic clock. */
  ticksAt(timeNs: bigint): number {
    return Number((timeNs + suspendedNs()) / NANOSECONDS_PER_TICK);
  }
}
