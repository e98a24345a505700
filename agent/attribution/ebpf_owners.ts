/**
 * Keeps and decodes each owner's record once. A long-lived process has the same record for each of its
 * connections, except for the socket's address.
 */

import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { deleteOldestEntries, Recent } from '../../common/bounded_map.ts';
import { parsePathLink, parseStat } from '../linux/proc_stat.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import {
  ancestorRecords,
  ancestorsBegin,
  OWNER_LAYOUT,
  ownerRecord,
  type RecordedProcess,
} from './ebpf_records.ts';
import type { SocketOwner } from './owner.ts';

const MAX_RECORDS = 64;
/**
 * The longest record that is kept as a key. Longer ones (long command lines, deep chains of parents) are
 * rare.
 */
const MAX_RECORD_BYTES = 4_096;

/** Lists of ancestors that are remembered. */
const MAX_PARENTS = 64;
/** Time that a path from /proc is used again: it may change. */
const READ_TTL_MS = 1_000;

export class LastingRecords {
  /** Least recently used first. */
  readonly #records = new Map<string, Buffer>();
  #last: Buffer | null = null;

  /**
   * Returns a copy of a record that lasts. Records that differ only in the socket's address share one copy.
   */
  internRecord(bytes: Buffer): Buffer {
    if (bytes.length > MAX_RECORD_BYTES) return copyOf(bytes);
    const { socket, start_boottime_ns: behindSocket } = OWNER_LAYOUT;
    const last = this.#last;
    if (
      last?.length === bytes.length &&
      bytes.compare(last, behindSocket, last.length, behindSocket) === 0 &&
      bytes.compare(last, 0, socket, 0, socket) === 0
    )
      return last;
    const key = bytes.toString('latin1', 0, socket) + bytes.toString('latin1', behindSocket);
    const known = this.#records.get(key);
    if (known !== undefined) {
      this.#records.delete(key);
      this.#records.set(key, known);
      this.#last = known;
      return known;
    }
    const record = copyOf(bytes);
    this.#records.set(key, record);
    this.#last = record;
    deleteOldestEntries(this.#records, MAX_RECORDS);
    return record;
  }
}

/** Copies bytes out of Node's pool: otherwise one kept record would keep 8 kB alive. */
function copyOf(bytes: Buffer): Buffer {
  const record = Buffer.allocUnsafeSlow(bytes.length);
  record.set(bytes);
  return record;
}

/** An owner with the further facts of its record. */
export interface EbpfSocketOwner extends SocketOwner {
  method: 'ebpf';
  /** Inode numbers of the process's mount namespace and of its innermost pid namespace. */
  mountNamespace: number;
  pidNamespace: number;
}

/** The counters that decoding changes; the attributor owns them. */
export interface OwnerCounters {
  malformed_records: number;
  executables_from_proc: number;
  ancestors_cut: number;
  cgroup_paths_cut: number;
}

/** Decodes owners' records, and reads from /proc the paths that did not fit into a record. */
export class OwnerReader {
  readonly #counts: OwnerCounters;
  readonly #now: () => number;
  readonly #known = new WeakMap<Buffer, EbpfSocketOwner>();
  /** Owners with paths that were read from /proc. */
  readonly #read = new WeakMap<Buffer, { owner: EbpfSocketOwner; atMs: number }>();
  /** Ancestors of records, by their bytes. */
  readonly #parents = new Recent<RecordedProcess[]>(MAX_PARENTS);
  readonly #parentSnapshots = new WeakMap<RecordedProcess[], ProcessSnapshot[]>();
  /** Our own pid namespace. With the pid inside it, it names exactly this process. */
  readonly #pidNamespace = statSync('/proc/self/ns/pid').ino;

  /** `now` returns the time of a monotonic clock, in milliseconds. */
  constructor(counts: OwnerCounters, now: () => number) {
    this.#counts = counts;
    this.#now = now;
  }

  /** Returns the owner in a lasting record; null if the record is malformed. */
  ownerIn(bytes: Buffer): EbpfSocketOwner | null {
    const known = this.#known.get(bytes);
    if (known !== undefined) return known;
    const read = this.#read.get(bytes);
    if (read !== undefined && this.#now() - read.atMs < READ_TTL_MS) return read.owner;
    const record = ownerRecord(bytes, this.#readAncestors);
    if (record === null) {
      this.#counts.malformed_records++;
      return null;
    }
    if (record.ancestorsCut) this.#counts.ancestors_cut++;
    if (record.cgroupsCut) this.#counts.cgroup_paths_cut++;
    const owner: EbpfSocketOwner = {
      ...this.#snapshot(record),
      uid: record.uid,
      args: record.args,
      argsTruncated: record.argsTruncated,
      argsAfterCut: record.argsAfterCut,
      netns: record.netns,
      cgroupId: record.cgroupId,
      cgroupPaths: record.cgroupPaths,
      ...(record.workingDirectory !== undefined && { workingDirectory: record.workingDirectory }),
      ancestors: this.#snapshots(record.ancestors),
      mountNamespace: record.mountNamespace,
      pidNamespace: record.pidNamespace,
      method: 'ebpf',
      confidence: 'exact',
      isSelf: record.pidNamespace === this.#pidNamespace && record.innerPid === process.pid,
    };
    // A path that is read from /proc may change, so such an owner is not remembered. The record itself never
    // changes.
    const readsProc = record.executableCut || record.ancestors.some(({ executableCut }) => executableCut);
    if (!readsProc && !record.ancestorsCut) this.#known.set(bytes, owner);
    if (!readsProc) return owner;
    // A process that has ended keeps the path that was read while it lived.
    const lasting = owner.executable === null && read !== undefined ? read.owner : owner;
    this.#read.set(bytes, { owner: lasting, atMs: this.#now() });
    return lasting;
  }

  /** The children of one process have the same parents, byte for byte. */
  readonly #readAncestors: typeof ancestorRecords = (bytes, from, end, count) => {
    const begin = ancestorsBegin(from);
    if (end - begin > MAX_RECORD_BYTES) return ancestorRecords(bytes, from, end, count);
    const key = `${count} ${bytes.toString('latin1', begin, end)}`;
    const known = this.#parents.get(key);
    if (known !== undefined) return known;
    const ancestors = ancestorRecords(bytes, from, end, count);
    if (ancestors !== null) this.#parents.set(key, ancestors);
    return ancestors;
  };

  /** Returns the same list for the same ancestors, so that what was made of it can be found again. */
  #snapshots(ancestors: RecordedProcess[]): ProcessSnapshot[] {
    const known = this.#parentSnapshots.get(ancestors);
    if (known !== undefined) return known;
    const snapshots = ancestors.map((ancestor) => this.#snapshot(ancestor));
    if (!ancestors.some(({ executableCut }) => executableCut))
      this.#parentSnapshots.set(ancestors, snapshots);
    return snapshots;
  }

  #snapshot(process: RecordedProcess): ProcessSnapshot {
    const { pid, startTicks, name } = process;
    const args = process.args ? { args: process.args } : {};
    if (!process.executableCut) return { pid, startTicks, name, executable: process.executable, ...args };
    const executable = executableFromProc(pid, startTicks);
    if (executable !== null) this.#counts.executables_from_proc++;
    return { pid, startTicks, name, executable, ...args };
  }
}

/** Returns the path of a process's executable from /proc; null if the process has ended. */
function executableFromProc(pid: number, startTicks: number): string | null {
  try {
    const path = parsePathLink(Buffer.from(readlinkSync(`/proc/${pid}/exe`)));
    return parseStat(readFileSync(`/proc/${pid}/stat`))?.startTicks === startTicks ? path : null;
  } catch {
    return null;
  }
}
