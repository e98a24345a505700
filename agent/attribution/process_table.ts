/**
 * Remembers what processes were: the kernel's events say when each began, ran another program and ended, and /proc is
 * read at once when a program begins. So a process is known for some seconds after its end, too. The table is bounded in
 * processes and bytes. It reads no clock: every time is the kernel's monotonic one, in nanoseconds.
 */
import type { Counters } from '../../protocol/records.ts';
import type { ProcessEvent } from '../linux/process_event.ts';

/** The facts about one program in one process, as /proc showed them. */
export interface ProcessReading {
  startTicks: number;
  name: string;
  executable: string | null;
  args: string[] | null;
  argsTruncated: boolean;
  workingDirectory: string | null;
  cgroupPaths: string[] | null;
  parentPid: number;
  /** Effective user id. */
  uid: number | null;
  /** Inode number of the network namespace. */
  netns: number | null;
  /** See `ProcStat.image`; absent where it was not read. */
  image?: string | null;
}

/** A process as it was at one time. */
export interface KnownProcess {
  pid: number;
  /** Null if it was not read: then only the kernel's events are known. */
  reading: ProcessReading | null;
  /** The path that execve(2) got, perhaps a symbolic link or a script; null if it was not reported. */
  path: string | null;
  /** Null if it is not known: the process has only been forked. */
  startTicks: number | null;
  /** Effective user id at that time; null if it is unknown. */
  uid: number | null;
  /** Since when it was so; null if nothing is known of that. */
  sinceNs: bigint | null;
  /** The parent that started it; null if it is unknown. */
  parentPid: number | null;
  /** When it was forked; null if that was before the events. */
  beganNs: bigint | null;
  endedNs: bigint | null;
}

/** The facts that were read of one program. Forks share them with the process that was read. */
interface Source {
  pid: number;
  /** Null if the process was something else when it was read. */
  reading: ProcessReading | null;
  /** The moment before which /proc was read. A change before it may be in what was read. */
  readNs: bigint;
}

interface User {
  /** Effective user id; null if it is unknown. */
  uid: number | null;
}

/** One program in a process. A fork has its parent's until it runs another one. */
interface Image {
  sinceNs: bigint;
  source: Source;
  /** Forks share it with the image that they have of their parent. */
  user: User;
  /** Only the user has changed: it is the program of the image before it. */
  isUid: boolean;
  /** The path that execve(2) got; null if it was not reported. */
  path: string | null;
}

interface Entry {
  pid: number;
  parentPid: number | null;
  beganNs: bigint | null;
  endedNs: bigint | null;
  /** Oldest first. */
  images: Image[];
  /** The process that had this pid before, until it is forgotten. */
  before: Entry | null;
  bytes: number;
}

export interface ProcessTableLimits {
  maxProcesses: number;
  maxBytes: number;
  /** Time for which a process is remembered after its end. */
  keepEndedNs: bigint;
}

export interface ProcessTableOptions extends Partial<ProcessTableLimits> {
  /**
   * States whether the events report changes of a user; true if absent. Without them, the user of a process is the one
   * that its program began with.
   */
  reportsUsers?: boolean;
}

/** Programs that one process runs one after the other; older ones are forgotten. */
const MAX_IMAGES = 4;
const ENTRY_BYTES = 400;
/** The time between the report of a program and the kernel's event about it. The process may lose its processor then. */
export const EVENT_DELAY_NS = 1_000_000_000n;

export class ProcessTable {
  readonly reportsUsers: boolean;
  readonly #limits: ProcessTableLimits;
  readonly #read: (pid: number) => ProcessReading | null;
  readonly #now: () => bigint;
  /** By pid; those that changed last are at the end. */
  readonly #entries = new Map<number, Entry>();
  /** Ended processes, in the order of their end. */
  readonly #ended = new Set<Entry>();
  #bytes = 0;
  /** Events or ended processes were lost at this time: before it, a candidate may be missing. */
  #incompleteUntilNs = 0n;
  readonly #counts = {
    process_events: 0,
    process_overruns: 0,
    processes_read: 0,
    /** Programs that had ended, or were replaced, before /proc was read. */
    processes_unread: 0,
    processes_evicted: 0,
  };

  /** @param read reads a living process; null if it has ended. @param now the kernel's monotonic clock. */
  constructor(
    read: (pid: number) => ProcessReading | null,
    now: () => bigint,
    { reportsUsers = true, ...limits }: ProcessTableOptions = {},
  ) {
    this.reportsUsers = reportsUsers;
    this.#read = read;
    this.#now = now;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#incompleteUntilNs = now();
  }

  get size(): number {
    return this.#entries.size + this.#ended.size;
  }

  handle(event: ProcessEvent): void {
    if (event.kind === 'answer') return;
    this.#counts.process_events++;
    if (event.kind === 'fork') this.#fork(event.pid, event.parentPid, event.timeNs);
    else if (event.kind === 'exec') this.#exec(event.pid, event.timeNs, event.path ?? null);
    else if (event.kind === 'uid') this.#setUid(event.pid, event.uid, event.timeNs);
    else this.#exit(event.pid, event.timeNs);
  }

  /** The kernel has dropped events. What living processes are must be read again. */
  lostEvents(): void {
    this.#counts.process_overruns++;
    this.#incompleteUntilNs = this.#now();
    this.#entries.clear();
    this.#ended.clear();
    this.#bytes = 0;
  }

  /** Returns whether every change since a time is known. */
  isCompleteSince(timeNs: bigint): boolean {
    return timeNs > this.#incompleteUntilNs;
  }

  /** Adds what was read of a process that is older than the events. `sinceNs`: it was so at that time already. */
  addReading(pid: number, reading: ProcessReading, sinceNs: bigint): void {
    const source = { pid, reading, readNs: this.#now() };
    const entry = this.#living(pid, null);
    entry.parentPid ??= reading.parentPid;
    this.#addImage(entry, {
      sinceNs,
      source,
      user: { uid: reading.uid },
      isUid: false,
      path: null,
    });
  }

  /**
   * Adds the path of the program that began in a process at a time. The event about it follows within microseconds.
   * Returns false if it has not come yet.
   */
  addPath(pid: number, timeNs: bigint, path: string): boolean {
    for (let entry = this.#entries.get(pid) ?? null; entry !== null; entry = entry.before) {
      const begun = entry.images.find(({ sinceNs, isUid }) => sinceNs >= timeNs && !isUid);
      if (begun === undefined || begun.sinceNs - timeNs > EVENT_DELAY_NS) continue;
      // A change of the user copies the image.
      for (const image of entry.images) if (image.source === begun.source) image.path = path;
      return true;
    }
    return false;
  }

  /** Returns what a process was at a time; null if it is not known. */
  at(pid: number, timeNs: bigint): KnownProcess | null {
    const entry = this.#entryAt(pid, timeNs);
    return entry && known(entry, timeNs);
  }

  /**
   * Returns what a process was at a time, or last before it, if it lived at `aliveNs`: a parent at the time when it had
   * the child.
   */
  lastBefore(pid: number, aliveNs: bigint, timeNs: bigint): KnownProcess | null {
    const entry = this.#entryAt(pid, aliveNs);
    if (entry === null) return null;
    return known(entry, entry.endedNs !== null && entry.endedNs < timeNs ? entry.endedNs : timeNs);
  }

  /** Returns whether a process ran another program, ended or began after a time. */
  hasChangedSince(pid: number, timeNs: bigint): boolean {
    const entry = this.#entries.get(pid);
    if (entry === undefined) return false;
    if ((entry.beganNs ?? 0n) > timeNs || (entry.endedNs !== null && entry.endedNs > timeNs)) return true;
    return entry.images.some(({ sinceNs, isUid }) => sinceNs > timeNs && !isUid);
  }

  #entryAt(pid: number, timeNs: bigint): Entry | null {
    for (let entry = this.#entries.get(pid) ?? null; entry !== null; entry = entry.before) {
      if (isAliveAt(entry, timeNs)) return entry;
    }
    return null;
  }

  /** Returns the living processes that began or ran another program at most `withinNs` ago, oldest first. */
  youngPids(nowNs: bigint, withinNs: bigint): number[] {
    const pids: number[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.endedNs === null && nowNs - (entry.images.at(-1)?.sinceNs ?? 0n) <= withinNs)
        pids.push(entry.pid);
    }
    return pids;
  }

  /**
   * Returns the processes that may have had a socket that nobody has any more: those that lived at some time from
   * `fromNs` to `toNs` and have ended since. A process of which user or namespace is unknown is one of them. Null if some
   * are not known: events were lost.
   */
  candidates(
    fromNs: bigint,
    toNs: bigint,
    { uid, netns }: { uid: number | null; netns: number | null },
  ): KnownProcess[] | null {
    if (fromNs <= this.#incompleteUntilNs) return null;
    const found: KnownProcess[] = [];
    for (const entry of this.#ended) {
      if (entry.endedNs! < fromNs || (entry.beganNs !== null && entry.beganNs > toNs)) continue;
      const process = known(entry, toNs);
      if (uid !== null && process.uid !== null && process.uid !== uid && this.#keepsUser(process)) continue;
      if (netns !== null && process.reading?.netns != null && process.reading.netns !== netns) continue;
      found.push(process);
    }
    return found;
  }

  /** Returns whether the user of a process is known for certain. root can become another user. */
  #keepsUser({ uid }: KnownProcess): boolean {
    return this.reportsUsers || uid !== 0;
  }

  /** Forgets processes that ended long enough ago. */
  expire(nowNs: bigint): void {
    for (const entry of this.#ended) {
      if (nowNs - entry.endedNs! < this.#limits.keepEndedNs) return;
      this.#forgetEnded(entry);
    }
  }

  counters(): Counters {
    return { ...this.#counts, processes_known: this.size };
  }

  #fork(pid: number, parentPid: number, timeNs: bigint): void {
    const before = this.#entries.get(pid);
    if (before !== undefined) {
      // Its end was not reported (yet), so it ended before this moment.
      if (before.endedNs === null) this.#end(before, timeNs);
      distrust(before, timeNs);
    }
    const parent = this.#entryAt(parentPid, timeNs);
    const image = (parent && imageAt(parent, timeNs)) ?? this.#olderImage(parentPid, timeNs);
    const entry = this.#newEntry(pid, parentPid, timeNs);
    if (image !== null) this.#addImage(entry, { ...image, sinceNs: timeNs, isUid: false });
  }

  /** Reads a process that is older than the events when it has a child, which may end before it is read. */
  #olderImage(pid: number, timeNs: bigint): Image | null {
    const reading = this.#read(pid);
    if (reading === null) return null;
    this.#counts.processes_read++;
    this.addReading(pid, reading, timeNs);
    const entry = this.#entryAt(pid, timeNs);
    return entry && imageAt(entry, timeNs);
  }

  #exec(pid: number, timeNs: bigint, path: string | null): void {
    const reading = this.#read(pid);
    // Another process has the pid: its begin was not reported, and neither was the end of the one before it.
    if (reading !== null && isOtherProcess(this.#living(pid, timeNs), reading)) this.lostEvents();
    const entry = this.#living(pid, timeNs);
    distrust(entry, timeNs);
    if (reading === null) this.#counts.processes_unread++;
    else this.#counts.processes_read++;
    entry.parentPid ??= reading?.parentPid ?? null;
    // A program that changes its user leaves an event of its own.
    const before = entry.images.at(-1);
    const user = reading?.uid == null ? (before?.user ?? { uid: null }) : { uid: reading.uid };
    const source = { pid, reading, readNs: this.#now() };
    this.#addImage(entry, {
      sinceNs: timeNs,
      source,
      user,
      isUid: false,
      path,
    });
  }

  #setUid(pid: number, uid: number, timeNs: bigint): void {
    const entry = this.#entries.get(pid);
    const image = entry?.images.at(-1);
    if (entry === undefined || image === undefined || entry.endedNs !== null) return;
    for (const image of entry.images) {
      // It was read after this change, so the user before it is not known.
      if (isReadLate(image, pid, timeNs)) forgetUser(image);
    }
    this.#addImage(entry, { ...image, sinceNs: timeNs, user: { uid }, isUid: true });
  }

  #exit(pid: number, timeNs: bigint): void {
    this.#end(this.#living(pid, timeNs), timeNs);
  }

  #end(entry: Entry, timeNs: bigint): void {
    entry.endedNs = timeNs;
    this.#ended.add(entry);
    this.#makeRoom();
  }

  /** Returns the process that has this pid now. */
  #living(pid: number, timeNs: bigint | null): Entry {
    const entry = this.#entries.get(pid);
    if (entry === undefined) return this.#newEntry(pid, null, null);
    // Its begin was not reported: another process has the pid by now.
    if (entry.endedNs !== null && (timeNs === null || timeNs > entry.endedNs)) {
      return this.#newEntry(pid, null, entry.endedNs);
    }
    this.#entries.delete(pid);
    this.#entries.set(pid, entry);
    return entry;
  }

  #newEntry(pid: number, parentPid: number | null, beganNs: bigint | null): Entry {
    const before = this.#entries.get(pid) ?? null;
    const entry: Entry = { pid, parentPid, beganNs, endedNs: null, images: [], before, bytes: ENTRY_BYTES };
    this.#entries.delete(pid);
    this.#entries.set(pid, entry);
    this.#bytes += entry.bytes;
    this.#makeRoom();
    return entry;
  }

  #addImage(entry: Entry, image: Image): void {
    entry.images.push(image);
    if (entry.images.length > MAX_IMAGES) entry.images.shift();
    // Readings are shared by forks; each is counted in full, which is on the safe side.
    const bytes = ENTRY_BYTES + entry.images.reduce((sum, { source }) => sum + bytesOf(source.reading), 0);
    this.#bytes += bytes - entry.bytes;
    entry.bytes = bytes;
    this.#makeRoom();
  }

  #makeRoom(): void {
    while (this.size > this.#limits.maxProcesses || this.#bytes > this.#limits.maxBytes) {
      const [ended] = this.#ended;
      if (ended !== undefined) {
        // A process that ended shortly before may be asked for.
        this.#incompleteUntilNs = maxOf(this.#incompleteUntilNs, ended.endedNs!);
        this.#forgetEnded(ended);
      } else {
        const [oldest] = this.#entries.values();
        if (oldest === undefined || this.#entries.size === 1) return;
        this.#entries.delete(oldest.pid);
        this.#bytes -= oldest.bytes;
      }
      this.#counts.processes_evicted++;
    }
  }

  #forgetEnded(entry: Entry): void {
    this.#ended.delete(entry);
    this.#bytes -= entry.bytes;
    const latest = this.#entries.get(entry.pid);
    if (latest === entry) this.#entries.delete(entry.pid);
    // The processes before it ended earlier, so they are forgotten already.
    else
      for (let each = latest; each; each = each.before ?? undefined)
        if (each.before === entry) each.before = null;
  }
}

const DEFAULT_LIMITS: ProcessTableLimits = {
  maxProcesses: 8_192,
  maxBytes: 6 * 1024 * 1024,
  keepEndedNs: 10_000_000_000n,
};

/** Drops what was read of a process after it had become something else. */
function distrust(entry: Entry, changedNs: bigint): void {
  for (const image of entry.images) {
    if (!isReadLate(image, entry.pid, changedNs)) continue;
    forgetUser(image);
    image.source.reading = null;
  }
}

/** Returns whether a process that was read is not the one of an entry, of which the start time was read, too. */
function isOtherProcess({ pid, images }: Entry, { startTicks }: ProcessReading): boolean {
  return images.some(
    ({ source }) => source.pid === pid && source.reading !== null && source.reading.startTicks !== startTicks,
  );
}

/** Returns whether what was read of a process may be the state after a change. */
function isReadLate({ sinceNs, source }: Image, pid: number, changedNs: bigint): boolean {
  return source.pid === pid && sinceNs < changedNs && source.readNs > changedNs;
}

/** Forgets the user of an image if it was read. One that the kernel's event reported is right. */
function forgetUser({ source, user, isUid }: Image): void {
  if (source.reading !== null && !isUid) user.uid = null;
}

function isAliveAt(entry: Entry, timeNs: bigint): boolean {
  return (entry.beganNs ?? 0n) <= timeNs && (entry.endedNs === null || timeNs <= entry.endedNs);
}

function imageAt({ images }: Entry, timeNs: bigint): Image | null {
  return images.findLast(({ sinceNs }) => sinceNs <= timeNs) ?? null;
}

function known(entry: Entry, timeNs: bigint): KnownProcess {
  const image = imageAt(entry, timeNs);
  const { pid, parentPid, beganNs, endedNs } = entry;
  const reading = image?.source.reading ?? null;
  const startTicks = image?.source.pid === pid ? (reading?.startTicks ?? null) : null;
  const [uid, sinceNs] = [image?.user.uid ?? null, image?.sinceNs ?? null];
  const path = image?.path ?? null;
  return { pid, parentPid, beganNs, endedNs, reading, path, startTicks, uid, sinceNs };
}

/** Texts are kept in one or two bytes a character: two is on the safe side. */
function bytesOf(reading: ProcessReading | null): number {
  if (reading === null) return 0;
  const texts = [
    reading.executable,
    reading.workingDirectory,
    ...(reading.args ?? []),
    ...(reading.cgroupPaths ?? []),
  ];
  return texts.reduce((sum, text) => sum + 2 * (text?.length ?? 0) + 16, 100);
}

function maxOf(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
