/** Reads processes in /proc: one at a time by an open descriptor, or long-lived ones through a cache. */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import {
  CURRENT_DIRECTORY,
  closeDescriptor,
  isGroupLeader,
  openAsBase,
  openForReading,
  ownerUidOf,
  readFileAt,
  readLinkAt,
  readLongFileAt,
} from './proc_libc.ts';
import { type ProcStat, parseCommandLine, parsePathLink, parseStat } from './proc_stat.ts';
import type { ProcessSnapshot } from './process_snapshot.ts';

/**
 * The most that exec() takes with the default stack limit of 8 MiB: a quarter of it (fs/exec.c,
 * bprm_stack_limits).
 */
const ARGUMENTS_MAX_BYTES = 2 * 1024 * 1024;
const SCRIPT_DESCRIPTORS = [255, 10, 11, 12];
/** Longest chain of parents that is followed. */
export const MAX_ANCESTORS = 64;
const CACHE_PROCESSES = 1024;
/**
 * Time that a process's executable and arguments are used again while its `image` is the same, in
 * milliseconds: a program may overwrite its own arguments in place (a process title).
 */
const SAME_IMAGE_TTL_MS = 30_000;
/** The same time where `image` is not readable, so that an exec() with the same name would go unnoticed. */
const UNSEEN_IMAGE_TTL_MS = 1000;

/**
 * One process, held by an open descriptor of its directory. A read through it is about this process or fails;
 * it is never about a later process with the same pid. Must be closed.
 */
export class HeldProcess {
  readonly pid: number;
  readonly #base: number;

  private constructor(pid: number, base: number) {
    this.pid = pid;
    this.#base = base;
  }

  /** Returns null when there is no such process. */
  static hold(procRoot: string, pid: number): HeldProcess | null {
    const base = openAsBase(`${procRoot}/${pid}`);
    return base < 0 ? null : new HeldProcess(pid, base);
  }

  stat(): ProcStat | null {
    const bytes = readFileAt(this.#base, 'stat');
    return bytes && parseStat(bytes);
  }

  executable(): string | null {
    return this.#link('exe');
  }

  workingDirectory(): string | null {
    return this.#link('cwd');
  }

  /**
   * Returns argv, at most 32 KiB of it; null for a kernel thread, an ended process, and without permission.
   */
  args(): string[] | null {
    const bytes = readFileAt(this.#base, 'cmdline');
    return bytes && parseCommandLine(bytes);
  }

  /** Returns argv however long it is; null as for `args`. Use it where arguments were cut: it may be 2 MiB. */
  wholeArgs(): string[] | null {
    const bytes = readLongFileAt(this.#base, 'cmdline', ARGUMENTS_MAX_BYTES);
    return bytes && parseCommandLine(bytes);
  }

  /** Returns the inode number of the network namespace of the process's first thread; null without permission. */
  networkNamespace(): number | null {
    const target = readLinkAt(this.#base, 'ns/net');
    const inode = Number(/^net:\[(\d+)\]$/.exec(target?.toString('latin1') ?? '')?.[1]);
    return Number.isInteger(inode) ? inode : null;
  }

  /** Returns the effective uid; null when the process has ended. */
  effectiveUid(): number | null {
    const uid = ownerUidOf('', this.#base);
    return uid < 0 ? null : uid;
  }

  /** Returns the text of /proc/PID/cgroup; null when the process has ended. */
  cgroups(): string | null {
    return readFileAt(this.#base, 'cgroup')?.toString('utf8') || null;
  }

  /**
   * Returns the pid of the thread group, which is not `pid` when that is a thread's. Returns null when it is
   * gone.
   */
  leaderPid(): number | null {
    if (isGroupLeader(this.pid)) return this.pid;
    const bytes = readFileAt(this.#base, 'status');
    const leader = Number(/^Tgid:\s*(\d+)$/m.exec(bytes?.toString('latin1') ?? '')?.[1]);
    return Number.isInteger(leader) ? leader : null;
  }

  /**
   * Returns the path of the script that a shell reads, as the kernel has it: an open file whose name is that of
   * `script`. Shells keep it open at one of a few numbers (bash 255; dash, BusyBox, zsh and ksh from 10 on).
   */
  openedScript(script: string): string | null {
    const name = script.slice(script.lastIndexOf('/') + 1);
    for (const descriptor of SCRIPT_DESCRIPTORS) {
      const path = this.#link(`fd/${descriptor}`);
      if (path?.startsWith('/') && path.slice(path.lastIndexOf('/') + 1) === name) return path;
    }
    return null;
  }

  /** Opens its `fd` directory. Returns the descriptor, which the caller closes, or -1. */
  openDescriptors(): number {
    return openForReading('fd', this.#base);
  }

  #link(name: string): string | null {
    const bytes = readLinkAt(this.#base, name);
    return bytes && parsePathLink(bytes);
  }

  close(): void {
    closeDescriptor(this.#base);
  }
}

export interface ProcessRecord extends ProcessSnapshot {
  args: string[] | null;
  parentPid: number;
}

interface Cached {
  record: ProcessRecord;
  image: string | null;
  readAtMs: number;
}

export interface ProcReaderOptions {
  procRoot: string;
  /** Milliseconds of a clock that only goes forward. */
  now?: () => number;
}

/** Reads long-lived processes, mostly ancestors, and caches the facts that are expensive to read. */
export class ProcReader {
  readonly #root: string;
  readonly #now: () => number;
  /** By pid; oldest use first. */
  readonly #cache = new Map<number, Cached>();
  #reads = 0;
  #cached = 0;
  #gone = 0;
  #replaced = 0;

  constructor(options: ProcReaderOptions) {
    this.#root = options.procRoot;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Returns the facts of a living process, or null. `notAfterTicks`: a later start time is that of another
   * process.
   */
  read(pid: number, notAfterTicks = Number.POSITIVE_INFINITY): ProcessRecord | null {
    this.#reads++;
    const bytes = readFileAt(CURRENT_DIRECTORY, `${this.#root}/${pid}/stat`);
    const stat = bytes && parseStat(bytes);
    if (!stat) {
      this.#cache.delete(pid);
      this.#gone++;
      return null;
    }
    if (stat.startTicks > notAfterTicks) {
      this.#replaced++;
      return null;
    }
    const known = this.#cache.get(pid);
    if (!known || !this.#isStillValid(known, stat)) return this.#readAnew(pid, stat.startTicks);
    this.#cached++;
    this.#cache.delete(pid);
    this.#cache.set(pid, known);
    if (known.record.parentPid !== stat.parentPid) {
      known.record = { ...known.record, parentPid: stat.parentPid };
    }
    return known.record;
  }

  #readAnew(pid: number, startTicks: number): ProcessRecord | null {
    this.#cache.delete(pid);
    const held = HeldProcess.hold(this.#root, pid);
    const stat = held?.stat() ?? null;
    if (!held || !stat || stat.startTicks !== startTicks) {
      held?.close();
      this.#gone++;
      return null;
    }
    const record: ProcessRecord = {
      pid,
      startTicks,
      name: stat.name,
      parentPid: stat.parentPid,
      executable: stat.kernelThread ? null : held.executable(),
      args: stat.kernelThread ? null : held.args(),
    };
    held.close();
    this.#cache.set(pid, { record, image: stat.image, readAtMs: this.#now() });
    deleteOldestEntries(this.#cache, CACHE_PROCESSES);
    return record;
  }

  /** Returns the facts of exactly this process (pid and start time), or null when it is gone. */
  readExactly(pid: number, startTicks: number): ProcessRecord | null {
    const record = this.read(pid, startTicks);
    if (record === null || record.startTicks === startTicks) return record;
    this.#replaced++;
    return null;
  }

  /**
   * Returns the chain of parents from `parentPid` on, nearest first, as far as it can be read. A parent is
   * never younger than its child: where one is, its pid was given to another process, and the chain ends.
   */
  ancestors(parentPid: number, childStartTicks: number): ProcessRecord[] {
    const chain: ProcessRecord[] = [];
    let pid = parentPid;
    let notAfter = childStartTicks;
    while (pid > 0 && chain.length < MAX_ANCESTORS) {
      const record = this.read(pid, notAfter);
      if (!record) break;
      chain.push(record);
      pid = record.parentPid;
      notAfter = record.startTicks;
    }
    return chain;
  }

  #isStillValid(known: Cached, stat: ProcStat): boolean {
    const sameProcess = known.record.startTicks === stat.startTicks;
    if (!sameProcess || known.record.name !== stat.name || known.image !== stat.image) return false;
    const ttl = stat.image === null ? UNSEEN_IMAGE_TTL_MS : SAME_IMAGE_TTL_MS;
    return this.#now() - known.readAtMs < ttl;
  }

  counters(): Counters {
    return {
      process_reads: this.#reads,
      process_cached: this.#cached,
      process_gone: this.#gone,
      process_replaced: this.#replaced,
    };
  }
}
