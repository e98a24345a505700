/**
 * Finds a process that holds a socket: it has the link `socket:[INODE]` in /proc/PID/fd.
 *
 * A one-shot caller lives for a few milliseconds after its SYN, so the order of the search decides. It first
 * looks into processes that called before, at the descriptors they used; then into the youngest processes;
 * then into all others, those of the socket's user first. Each process is searched from its newest descriptor
 * on. The time is bounded.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import {
  CURRENT_DIRECTORY,
  closeDescriptor,
  EACCES,
  EPERM,
  lastErrno,
  openForReading,
  ownerUidOf,
  readLinkAt,
  readNumbers,
  rereadFile,
} from '../linux/proc_libc.ts';
import { HeldProcess } from '../linux/proc_reader.ts';

/**
 * The newest pids are tried by number: that saves a listing of /proc, which costs 60 µs for new processes.
 */
const NEWEST_PIDS = 3;
/** The range of pids below the newest one that is searched before all of /proc is listed. */
const YOUNG_PIDS = 64;
const RECENT_HOLDERS = 16;
/** Sockets of other processes that were seen in passing. */
const MAX_SEEN = 1024;
/**
 * Offsets from the descriptor that was used last: the kernel gives the lowest free number, mostly the same
 * again.
 */
const NEAR_DESCRIPTORS = [0, 1, -1, 2] as const;
/** The number of links that are read between two looks at the clock. */
const LINKS_PER_CLOCK = 32;
/**
 * The position that pid 0 would have in the directory /proc (fs/proc/internal.h, FIRST_PROCESS_ENTRY 256; and
 * fs/proc/base.c, TGID_OFFSET, two further). An entry's position is this number plus its pid, and only
 * leaders of thread groups are listed. It serves as a short cut: its results are checked, and the full
 * listing follows.
 */
const TGID_OFFSET = 258;

export interface Holder {
  /** Still open: the receiver reads the facts that it needs, then closes it. */
  process: HeldProcess;
  /** Number of the descriptor by which the process holds the socket. */
  descriptor: number;
  /** The process was found among those that called before. */
  recent: boolean;
}

export interface HolderSearchOptions {
  procRoot: string;
  /** The most processor time that one search may use, in milliseconds. */
  boundMs: number;
  /** Returns the processor time that this thread has used, in milliseconds. */
  now?: () => number;
}

export class HolderSearch {
  readonly #root: string;
  readonly #boundMs: number;
  readonly #now: () => number;
  readonly #directory: number;
  /** Descriptor of /proc/loadavg; -1 if its last pid belongs to another pid namespace than this /proc. */
  readonly #loadavg: number;
  /** Holders that were found before, by pid, latest last. */
  readonly #recent = new Map<number, { uid: number; descriptor: number }>();
  /** The descriptor that was found last: another process of the same program mostly uses the same one. */
  #usual = 0;
  /** Processes by the inode number of a socket that they had as their usual descriptor. */
  readonly #seen = new Map<number, number>();
  #scanned = 0;
  #unreadable = 0;
  #boundHit = 0;
  #deadline = 0;
  #target: Buffer = Buffer.alloc(0);
  #tried = new Set<number>();

  constructor(options: HolderSearchOptions) {
    this.#root = options.procRoot;
    this.#boundMs = options.boundMs;
    this.#now = options.now ?? threadMs;
    this.#directory = openForReading(options.procRoot);
    const self = openForReading(`${options.procRoot}/self/stat`);
    const sameNamespace = self >= 0 && Number.parseInt(String(rereadFile(self) ?? ''), 10) === process.pid;
    if (self >= 0) closeDescriptor(self);
    this.#loadavg = sameNamespace ? openForReading(`${options.procRoot}/loadavg`) : -1;
  }

  /**
   * Returns a process that holds the socket `inode` of user `uid`; null if none was found in time.
   * `stillOpen` is called before the long search through all processes: if the caller has ended, that search
   * would find nothing and delay the next one. `young`: processes that are known to have begun lately, oldest first.
   */
  find(inode: number, uid: number, stillOpen: () => boolean, young: readonly number[] = []): Holder | null {
    this.#deadline = this.#now() + this.#boundMs;
    this.#target = Buffer.from(`socket:[${inode}]`, 'latin1');
    this.#tried.clear();
    const found = this.#searchYoung(inode, young) ?? this.#search(uid, stillOpen);
    if (found) {
      this.#usual = found.descriptor;
      this.#recent.delete(found.process.pid);
      this.#recent.set(found.process.pid, { uid, descriptor: found.descriptor });
      deleteOldestEntries(this.#recent, RECENT_HOLDERS);
    }
    return found;
  }

  /** Returns whether the last `find` gave up because its time was over. */
  get isOutOfTime(): boolean {
    return this.#deadline === Number.NEGATIVE_INFINITY;
  }

  /** Returns whether a process has this socket at this descriptor. */
  hasSocket(process: HeldProcess, inode: number, descriptor: number): boolean {
    this.#target = Buffer.from(`socket:[${inode}]`, 'latin1');
    const descriptors = process.openDescriptors();
    if (descriptors < 0) return false;
    const same = this.#linksTo(descriptors, descriptor);
    closeDescriptor(descriptors);
    return same;
  }

  /**
   * Looks at one descriptor of each process that has begun lately: one link costs 4 µs. When many begin at once, the ones
   * that began first connect first, and the sockets of others are found in passing.
   */
  #searchYoung(inode: number, young: readonly number[]): Holder | null {
    const seen = this.#seen.get(inode);
    this.#seen.delete(inode);
    const again = seen === undefined ? null : this.#searchProcess(seen, this.#usual, false);
    if (again !== null) return again;
    for (const [at, pid] of young.entries()) {
      if (at % LINKS_PER_CLOCK === LINKS_PER_CLOCK - 1 && this.#isLate()) return null;
      const target = readLinkAt(CURRENT_DIRECTORY, `${this.#root}/${pid}/fd/${this.#usual}`);
      if (target === null || target[0] !== this.#target[0]) continue;
      if (target.equals(this.#target)) {
        const found = this.#searchProcess(pid, this.#usual, false);
        if (found !== null) return found;
      } else {
        const other = Number(/^socket:\[(\d+)\]$/.exec(target.toString('latin1'))?.[1]);
        if (Number.isInteger(other)) this.#seen.set(other, pid);
      }
    }
    deleteOldestEntries(this.#seen, MAX_SEEN);
    return null;
  }

  #search(uid: number, stillOpen: () => boolean): Holder | null {
    const recents = [...this.#recent].reverse();
    for (const [pid, { uid: itsUid, descriptor }] of recents) {
      if (itsUid !== uid) continue;
      const found = this.#searchProcess(pid, descriptor, false);
      if (found) return { ...found, recent: true };
    }
    const newest = this.#newestPid();
    if (newest !== null) {
      for (let pid = newest; pid > newest - NEWEST_PIDS && pid > 0; pid--) {
        const found = this.#searchProcess(pid, null, true);
        if (found) return this.#leaderOf(found);
      }
      for (const pid of this.#youngPids(newest)) {
        const found = this.#searchProcess(pid, null, true);
        if (found) return found;
      }
    }
    if (!stillOpen()) return null;
    for (const [pid, { uid: itsUid }] of recents) {
      const found = itsUid === uid ? this.#searchProcess(pid, null, true) : null;
      if (found) return { ...found, recent: true };
    }
    return this.#searchAll(uid, newest);
  }

  #searchAll(uid: number, newest: number | null): Holder | null {
    const pids: number[] = [];
    if (this.#directory < 0 || !readNumbers(this.#directory, pids, 0)) this.#unreadable++;
    // The kernel assigns pids upwards and wraps at the maximum: pids above the newest are older than all
    // below it.
    const newestPid = newest ?? Number.POSITIVE_INFINITY;
    pids.sort((a, b) => (a > newestPid === b > newestPid ? b - a : a > newestPid ? 1 : -1));
    const others: number[] = [];
    for (const pid of pids) {
      if (this.#tried.has(pid)) continue;
      if (this.#isLate()) return null;
      if (ownerUidOf(`${this.#root}/${pid}`) !== uid) {
        others.push(pid);
        continue;
      }
      const found = this.#searchProcess(pid, null, true);
      if (found) return found;
    }
    // A process may hold a socket that another user opened.
    for (const pid of others) {
      const found = this.#searchProcess(pid, null, true);
      if (found) return found;
    }
    return null;
  }

  /**
   * Returns the holder's thread-group leader: a thread has its own directory in /proc, which no listing
   * shows.
   */
  #leaderOf(found: Holder): Holder | null {
    const leader = found.process.leaderPid();
    if (leader === found.process.pid) return found;
    found.process.close();
    return leader === null ? null : this.#searchProcess(leader, found.descriptor, false);
  }

  /** Returns the thread-group leaders among the newest pids, youngest first. */
  #youngPids(newest: number): number[] {
    const pids: number[] = [];
    if (this.#directory < 0) return pids;
    const oldest = Math.max(1, newest - YOUNG_PIDS);
    // The full listing follows in any case, so a directory that cannot be seeked costs only time.
    readNumbers(this.#directory, pids, TGID_OFFSET + oldest, 1);
    return pids.filter((pid) => pid >= oldest && pid <= newest).sort((a, b) => b - a);
  }

  #newestPid(): number | null {
    const bytes = this.#loadavg < 0 ? null : rereadFile(this.#loadavg);
    if (!bytes) return null;
    const pid = Number(bytes.toString('latin1', bytes.lastIndexOf(0x20) + 1, bytes.length).trim());
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  }

  /** Searches one process: near one descriptor, or with `whole` all of them, newest first. */
  #searchProcess(pid: number, near: number | null, whole: boolean): Holder | null {
    if (this.#isLate()) return null;
    if (whole && this.#tried.has(pid)) return null;
    const held = HeldProcess.hold(this.#root, pid);
    const descriptors = held?.openDescriptors() ?? -1;
    if (!held || descriptors < 0) {
      if (held) this.#isRefused();
      held?.close();
      this.#recent.delete(pid);
      this.#tried.add(pid);
      return null;
    }
    this.#scanned++;
    const descriptor = whole ? this.#newestOf(descriptors) : this.#nearOf(descriptors, near ?? 0);
    if (whole) this.#tried.add(pid);
    closeDescriptor(descriptors);
    if (descriptor >= 0) return { process: held, descriptor, recent: false };
    held.close();
    return null;
  }

  #nearOf(descriptors: number, near: number): number {
    for (const step of NEAR_DESCRIPTORS) {
      const number = near + step;
      if (number >= 0 && this.#linksTo(descriptors, number)) return number;
    }
    return -1;
  }

  #newestOf(descriptors: number): number {
    // A listing makes the kernel build an entry for every descriptor. A correct guess saves that.
    if (this.#linksTo(descriptors, this.#usual)) return this.#usual;
    const numbers: number[] = [];
    // A listing that was cut short is used as far as it goes.
    readNumbers(descriptors, numbers);
    numbers.sort((a, b) => a - b);
    for (let i = numbers.length - 1, read = 1; i >= 0; i--, read++) {
      const target = readLinkAt(descriptors, String(numbers[i]));
      if (target?.equals(this.#target)) return numbers[i]!;
      if (target === null && this.#isRefused()) return -1;
      if (read % LINKS_PER_CLOCK === 0 && this.#isLate()) return -1;
    }
    return -1;
  }

  /** Returns whether the last failure was a missing permission: then no link of this process can be read. */
  #isRefused(): boolean {
    const failed = lastErrno();
    if (failed !== EACCES && failed !== EPERM) return false;
    this.#unreadable++;
    return true;
  }

  #linksTo(descriptors: number, number: number): boolean {
    const target = readLinkAt(descriptors, String(number));
    return target?.equals(this.#target) ?? false;
  }

  #isLate(): boolean {
    if (this.isOutOfTime) return true;
    if (this.#now() < this.#deadline) return false;
    this.#deadline = Number.NEGATIVE_INFINITY;
    this.#boundHit++;
    return true;
  }

  counters(): Counters {
    return {
      scanned_processes: this.#scanned,
      unreadable_processes: this.#unreadable,
      time_bound_hit: this.#boundHit,
    };
  }

  close(): void {
    if (this.#directory >= 0) closeDescriptor(this.#directory);
    if (this.#loadavg >= 0) closeDescriptor(this.#loadavg);
  }
}

/**
 * Returns the thread's processor time. On a busy machine the wall clock would pass the bound while we only
 * wait.
 */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
