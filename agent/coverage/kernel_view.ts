/**
 * Compares the connections that the kernel reported with those whose beginning the capture saw, per network
 * namespace. A connection that the capture missed is counted, and its namespace gets its own capture.
 *
 * Both sides are joined by the sequence number of the connection's SYN. Addresses and ports do not identify a
 * connection: another namespace may have the same ones, and a port is used again. The kernel chooses a new
 * sequence number for each connection, and address translation does not change it.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import type { KernelConnection } from '../attribution/attributor.ts';

/** The packets of a connection that the kernel reported may wait this long in the capture's queue. */
const QUEUE_DELAY_US = 1_000_000;
/** Linux gives up on a SYN after about 130 s. The SYN of a failed attempt is needed until then. */
const SEEN_KEPT_US = 150_000_000;
const MAX_SEEN = 32_768;
const MAX_NAMESPACES = 1_024;

export interface KernelViewHooks {
  /** Returns whether packets of this namespace are captured. */
  isWatched(netns: number): boolean;
  /**
   * Returns whether the kernel redirected a connection to a program on this host, so that none of its packets
   * carries the endpoint's address. Only asked for connections of which no packet was seen.
   */
  isRedirected?(connection: KernelConnection): boolean;
  /** Called for a connection of which no packet was seen so far: it may still be in the capture's queue. */
  onUndecided(connection: KernelConnection): void;
  /** Called when it is decided whether that connection was seen. */
  onDecided(connection: KernelConnection): void;
  /** Called for a connection of which no packet was seen. */
  onMissed(connection: KernelConnection): void;
  /** Called for an attempt whose SYN never left, in a namespace that is captured. */
  onBlocked(connection: KernelConnection, timeUs: number): void;
}

interface NamespaceCounts {
  kernel_connections: number;
  seen: number;
  missed: number;
  /** Connections that never were on their way to the endpoint. They count as seen, too. */
  redirected: number;
  blocked: number;
  /** Attempts whose SYN left and that failed: refused, or never answered. */
  failed: number;
}

interface SeenBeginning {
  timeUs: number;
  /** A report of the kernel was matched with it. Each beginning matches one connection. */
  isMatched: boolean;
}

interface Waiting {
  connection: KernelConnection;
  sinceUs: number;
}

export class KernelView {
  private readonly hooks: KernelViewHooks;
  /** Beginnings that the capture saw, by `beginningKey`, oldest first. */
  private readonly beginnings = new Map<string, SeenBeginning>();
  /** Connections of which no packet was seen so far, by `beginningKey`, oldest first. */
  private readonly waiting = new Map<string, Waiting[]>();
  private readonly namespaces = new Map<number, NamespaceCounts>();
  /** Namespaces of which at least one packet passed through a capture. */
  private readonly visible = new Set<number>();
  private forgotten = 0;
  /** The end of the time that is compared, by the monotonic clock; see `endAt`. */
  private endUs = Number.POSITIVE_INFINITY;
  private afterEnd = 0;

  constructor(hooks: KernelViewHooks) {
    this.hooks = hooks;
  }

  /**
   * Records that the capture saw a connection begin, by its SYN or the first byte after it; copies are
   * allowed.
   */
  recordBeginning(remoteAddress: string, initialSequence: number, timeUs: number): void {
    const key = beginningKey(remoteAddress, initialSequence);
    const isMatched = this.beginnings.get(key)?.isMatched === true;
    this.beginnings.delete(key);
    this.beginnings.set(key, { timeUs, isMatched });
    if (this.beginnings.size > MAX_SEEN) {
      this.forgotten++;
      deleteOldestEntries(this.beginnings, MAX_SEEN);
    }
    const first = this.waiting.get(key)?.[0];
    if (first !== undefined && this.claimBeginning(first.connection)) this.decide(key, first, true);
  }

  /** Records a connection that the kernel reported, or an attempt that failed. */
  recordKernelConnection(connection: KernelConnection, timeUs: number): void {
    if (this.isAfterEnd(connection)) {
      this.afterEnd++;
      return;
    }
    if (connection.kind === 'established') this.countsOf(connection.netns).kernel_connections++;
    if (this.claimBeginning(connection)) {
      this.settle(connection, true, timeUs);
      return;
    }
    const key = beginningKey(connection.tuple.remoteAddress, connection.initialSequence);
    const same = this.waiting.get(key);
    if (same === undefined) this.waiting.set(key, [{ connection, sinceUs: timeUs }]);
    else same.push({ connection, sinceUs: timeUs });
    this.hooks.onUndecided(connection);
  }

  /** Returns whether a packet of this namespace has passed through a capture. */
  isVisible(netns: number): boolean {
    return this.visible.has(netns);
  }

  /** Makes the decisions that are due at this time. Returns whether something still waits for one. */
  tick(nowUs: number): boolean {
    for (const [key, [oldest]] of this.waiting) {
      if (nowUs - oldest!.sinceUs < QUEUE_DELAY_US) break;
      for (const each of [...this.waiting.get(key)!]) this.decide(key, each, false);
    }
    for (const [key, { timeUs }] of this.beginnings) {
      if (nowUs - timeUs <= SEEN_KEPT_US) break;
      this.beginnings.delete(key);
    }
    return this.waiting.size > 0;
  }

  /**
   * Leaves out what the kernel reports of later times than this moment of the monotonic clock, in microseconds. The
   * capture is about to end: the packets of such a connection are not read any more.
   */
  endAt(monotonicUs: number): void {
    this.endUs = monotonicUs;
    for (const [key, same] of [...this.waiting]) {
      for (const each of same.filter(({ connection }) => this.isAfterEnd(connection))) {
        this.deleteWaiting(key, each);
        if (each.connection.kind === 'established') this.countsOf(each.connection.netns).kernel_connections--;
        this.afterEnd++;
        this.hooks.onDecided(each.connection);
      }
    }
  }

  /** Everything that waits is decided now: no more packets will come. */
  finish(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  /** Returns the number of established connections of which it is undecided whether they were seen. */
  get undecided(): number {
    return this.undecidedConnections().length;
  }

  /**
   * Returns when the oldest of them was reported, in microseconds since the Unix epoch; null if there is
   * none.
   */
  get undecidedSinceUs(): number | null {
    const times = this.undecidedConnections().map(({ sinceUs }) => sinceUs);
    return times.length === 0 ? null : Math.min(...times);
  }

  private undecidedConnections(): Waiting[] {
    return [...this.waiting.values()].flat().filter(({ connection }) => connection.kind === 'established');
  }

  private decide(key: string, decided: Waiting, isSeen: boolean): void {
    this.deleteWaiting(key, decided);
    this.settle(decided.connection, isSeen, decided.sinceUs);
    this.hooks.onDecided(decided.connection);
  }

  private deleteWaiting(key: string, deleted: Waiting): void {
    const left = this.waiting.get(key)!.filter((each) => each !== deleted);
    if (left.length === 0) this.waiting.delete(key);
    else this.waiting.set(key, left);
  }

  /** A report without a time may be about any time: it is compared. */
  private isAfterEnd({ monotonicUs }: KernelConnection): boolean {
    return monotonicUs !== undefined && monotonicUs > this.endUs;
  }

  /** Returns the sums over all namespaces. `after_end`: reports of times that nobody claims, see `endAt`. */
  counters(): Counters {
    const sum: NamespaceCounts = {
      kernel_connections: 0,
      seen: 0,
      missed: 0,
      redirected: 0,
      blocked: 0,
      failed: 0,
    };
    for (const counts of this.namespaces.values()) {
      for (const name of Object.keys(sum) as (keyof NamespaceCounts)[]) sum[name] += counts[name];
    }
    return { ...sum, namespaces: this.namespaces.size, forgotten: this.forgotten, after_end: this.afterEnd };
  }

  private claimBeginning({ tuple, initialSequence }: KernelConnection): boolean {
    const beginning = this.beginnings.get(beginningKey(tuple.remoteAddress, initialSequence));
    if (beginning === undefined || beginning.isMatched) return false;
    beginning.isMatched = true;
    return true;
  }

  private settle(connection: KernelConnection, isSeen: boolean, timeUs: number): void {
    const counts = this.countsOf(connection.netns);
    if (isSeen) {
      this.visible.add(connection.netns);
      counts[connection.kind === 'established' ? 'seen' : 'failed']++;
      return;
    }
    if (
      connection.kind === 'failed' &&
      (this.hooks.isWatched(connection.netns) || this.visible.has(connection.netns))
    ) {
      counts.blocked++;
      this.hooks.onBlocked(connection, timeUs);
      return;
    }
    if (connection.kind === 'established' && this.hooks.isRedirected?.(connection) === true) {
      counts.seen++;
      counts.redirected++;
      return;
    }
    counts.missed++;
    this.hooks.onMissed(connection);
  }

  private countsOf(netns: number): NamespaceCounts {
    let counts = this.namespaces.get(netns);
    if (counts === undefined) {
      counts = { kernel_connections: 0, seen: 0, missed: 0, redirected: 0, blocked: 0, failed: 0 };
      this.namespaces.set(netns, counts);
      if (this.namespaces.size > MAX_NAMESPACES) this.mergeOldest();
    }
    return counts;
  }

  /** Adds the counts of the oldest namespace to the next one, so that the sums stay right. */
  private mergeOldest(): void {
    const [oldest, next] = this.namespaces.keys();
    if (oldest === undefined || next === undefined) return;
    const counts = this.namespaces.get(oldest)!;
    const into = this.namespaces.get(next)!;
    for (const name of Object.keys(into) as (keyof NamespaceCounts)[]) into[name] += counts[name];
    this.namespaces.delete(oldest);
    this.visible.delete(oldest);
  }
}

function beginningKey(remoteAddress: string, initialSequence: number): string {
  // A template makes a tree of its parts, which the tables would keep.
  return [initialSequence, remoteAddress].join('|');
}
