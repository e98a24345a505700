/**
 * Connections that the kernel reported, held against those of which the capture saw the beginning, per network
 * namespace. Where they differ, somebody called and we did not look: that is counted, and the namespace is worth a
 * capture of its own.
 *
 * Both sides are joined by the sequence number of the connection's SYN. Addresses and ports do not tell two connections
 * apart: another namespace may have the same ones, and a port is used again. The kernel chooses the sequence number anew
 * for each connection, and address translation leaves it as it is.
 */
import type { Counters } from '../../protocol/records.ts';
import type { KernelConnection } from '../attribution/attributor.ts';

/** How long the packets of a connection that the kernel reported may still wait in the capture's queue. */
const QUEUE_DELAY_US = 1_000_000;
/** Linux gives up on a SYN after about 130 s: so much later a failed attempt's SYN is still asked for. */
const SEEN_KEPT_US = 150_000_000;
const MAX_SEEN = 32_768;
const MAX_NAMESPACES = 1_024;

export interface KernelViewHooks {
  /** Whether packets of this namespace would be seen. */
  isWatched(netns: number): boolean;
  /** A connection was reported of which no packet was seen so far: it may still be in the capture's queue. */
  onUndecided(connection: KernelConnection): void;
  /** It was decided whether that one was seen. */
  onDecided(connection: KernelConnection): void;
  /** A connection of which no packet was seen. */
  onMissed(connection: KernelConnection): void;
  /** An attempt whose SYN never left, in a namespace that is watched. */
  onBlocked(connection: KernelConnection, timeUs: number): void;
}

interface NamespaceCounts {
  kernel_connections: number;
  seen: number;
  missed: number;
  blocked: number;
  /** Attempts that left and came to nothing: refused, or never answered. */
  failed: number;
}

interface SeenBeginning {
  timeUs: number;
  /** A report of the kernel's was about it. One beginning stands for one connection. */
  isTaken: boolean;
}

export class KernelView {
  private readonly hooks: KernelViewHooks;
  /** Beginnings that the capture saw, by what `beginningKey` says. Oldest first. */
  private readonly beginnings = new Map<string, SeenBeginning>();
  private readonly waiting: { connection: KernelConnection; sinceUs: number }[] = [];
  private readonly namespaces = new Map<number, NamespaceCounts>();
  /** Namespaces whose packets pass through a capture, shown by one that did. */
  private readonly visible = new Set<number>();
  private forgotten = 0;

  constructor(hooks: KernelViewHooks) {
    this.hooks = hooks;
  }

  /** The capture saw a connection begin, by its SYN or by the first byte after it. The same one may be seen often. */
  recordBeginning(remoteAddress: string, initialSequence: number, timeUs: number): void {
    const key = beginningKey(remoteAddress, initialSequence);
    const isTaken = this.beginnings.get(key)?.isTaken === true;
    this.beginnings.delete(key);
    this.beginnings.set(key, { timeUs, isTaken });
    if (this.beginnings.size > MAX_SEEN) {
      this.forgotten++;
      const oldest = this.beginnings.keys().next();
      if (!oldest.done) this.beginnings.delete(oldest.value);
    }
  }

  /** The kernel reported a connection, or an attempt that failed. */
  recordKernelConnection(connection: KernelConnection, timeUs: number): void {
    if (connection.kind === 'established') this.countsOf(connection.netns).kernel_connections++;
    if (this.claimBeginning(connection)) {
      this.settle(connection, true, timeUs);
      return;
    }
    this.waiting.push({ connection, sinceUs: timeUs });
    this.hooks.onUndecided(connection);
  }

  /** Whether packets of this namespace were seen to pass a capture. */
  isVisible(netns: number): boolean {
    return this.visible.has(netns);
  }

  /** Time has passed. Returns whether something waits to be decided. */
  tick(nowUs: number): boolean {
    while (this.waiting.length > 0 && nowUs - this.waiting[0]!.sinceUs >= QUEUE_DELAY_US) {
      const { connection, sinceUs } = this.waiting.shift()!;
      this.settle(connection, this.claimBeginning(connection), sinceUs);
      this.hooks.onDecided(connection);
    }
    for (const [key, { timeUs }] of this.beginnings) {
      if (nowUs - timeUs <= SEEN_KEPT_US) break;
      this.beginnings.delete(key);
    }
    return this.waiting.length > 0;
  }

  /** Everything that waits is decided now: no more packets will come. */
  finish(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  /** Connections that were made, and of which it is not decided yet whether they were seen. */
  get undecided(): number {
    return this.waiting.filter(({ connection }) => connection.kind === 'established').length;
  }

  /** When the oldest of these was reported, in microseconds since 1970; null where there is none. */
  get undecidedSinceUs(): number | null {
    return this.waiting.find(({ connection }) => connection.kind === 'established')?.sinceUs ?? null;
  }

  /** Sums over all namespaces. */
  counters(): Counters {
    const sum: NamespaceCounts = { kernel_connections: 0, seen: 0, missed: 0, blocked: 0, failed: 0 };
    for (const counts of this.namespaces.values()) {
      for (const name of Object.keys(sum) as (keyof NamespaceCounts)[]) sum[name] += counts[name];
    }
    return { ...sum, namespaces: this.namespaces.size, forgotten: this.forgotten };
  }

  private claimBeginning({ tuple, initialSequence }: KernelConnection): boolean {
    const beginning = this.beginnings.get(beginningKey(tuple.remoteAddress, initialSequence));
    if (beginning === undefined || beginning.isTaken) return false;
    beginning.isTaken = true;
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
    counts.missed++;
    this.hooks.onMissed(connection);
  }

  private countsOf(netns: number): NamespaceCounts {
    let counts = this.namespaces.get(netns);
    if (counts === undefined) {
      counts = { kernel_connections: 0, seen: 0, missed: 0, blocked: 0, failed: 0 };
      this.namespaces.set(netns, counts);
      if (this.namespaces.size > MAX_NAMESPACES) this.mergeOldest();
    }
    return counts;
  }

  /** Namespaces come and go; the sums must not. */
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
  return `${initialSequence}|${remoteAddress}`;
}
