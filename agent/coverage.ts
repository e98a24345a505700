/**
 * What the kernel says was tried against what the capture saw, per network namespace. Where they differ, somebody
 * called and we did not look: that is counted, and the namespace is worth a capture of its own.
 */
import type { Counters } from '../protocol/records.ts';
import type { KernelConnection, SocketTuple } from './attribution/attributor.ts';

/** How long the packets of a connection that the kernel reported may still wait in the capture's queue. */
const QUEUE_DELAY_US = 1_000_000;
/** Linux gives up on a SYN after about 130 s: so much later a failed attempt's SYN is still asked for. */
const SEEN_KEPT_US = 150_000_000;
const MAX_SEEN = 32_768;
const MAX_NAMESPACES = 1_024;

export interface CoverageHooks {
  /** Whether packets of this namespace would be seen. */
  isWatched(netns: number): boolean;
  /** A connection of which no packet was seen. */
  missed(connection: KernelConnection): void;
  /** An attempt whose SYN never left, in a namespace that is watched. */
  blocked(connection: KernelConnection, timeUs: number): void;
}

interface NamespaceCounts {
  kernel_connections: number;
  seen: number;
  missed: number;
  blocked: number;
  /** Attempts that left and came to nothing: refused, or never answered. */
  failed: number;
}

export class Coverage {
  private readonly hooks: CoverageHooks;
  /** Conversations that the capture saw begin → when. Oldest first. */
  private readonly seenAt = new Map<string, number>();
  private readonly waiting: { connection: KernelConnection; sinceUs: number }[] = [];
  private readonly namespaces = new Map<number, NamespaceCounts>();
  /** Namespaces whose packets pass through a capture, shown by one that did. */
  private readonly visible = new Set<number>();
  private forgotten = 0;

  constructor(hooks: CoverageHooks) {
    this.hooks = hooks;
  }

  /** The capture saw a conversation begin. */
  seen(tuple: SocketTuple, timeUs: number): void {
    const key = keyOf(tuple);
    this.seenAt.delete(key);
    this.seenAt.set(key, timeUs);
    if (this.seenAt.size > MAX_SEEN) {
      this.forgotten++;
      const oldest = this.seenAt.keys().next();
      if (!oldest.done) this.seenAt.delete(oldest.value);
    }
  }

  /** The kernel reported a connection, or an attempt that failed. */
  reported(connection: KernelConnection, timeUs: number): void {
    if (connection.kind === 'established') this.of(connection.netns).kernel_connections++;
    if (this.seenAt.has(keyOf(connection.tuple))) this.settle(connection, true, timeUs);
    else this.waiting.push({ connection, sinceUs: timeUs });
  }

  /** Time has passed. Returns whether something waits to be decided. */
  tick(nowUs: number): boolean {
    while (this.waiting.length > 0 && nowUs - this.waiting[0]!.sinceUs >= QUEUE_DELAY_US) {
      const { connection, sinceUs } = this.waiting.shift()!;
      this.settle(connection, this.seenAt.has(keyOf(connection.tuple)), sinceUs);
    }
    for (const [key, timeUs] of this.seenAt) {
      if (nowUs - timeUs <= SEEN_KEPT_US) break;
      this.seenAt.delete(key);
    }
    return this.waiting.length > 0;
  }

  /** Everything that waits is decided now: no more packets will come. */
  finish(): void {
    this.tick(Number.POSITIVE_INFINITY);
  }

  /** Sums over all namespaces. */
  counters(): Counters {
    const sum: NamespaceCounts = { kernel_connections: 0, seen: 0, missed: 0, blocked: 0, failed: 0 };
    for (const counts of this.namespaces.values()) {
      for (const name of Object.keys(sum) as (keyof NamespaceCounts)[]) sum[name] += counts[name];
    }
    return { ...sum, namespaces: this.namespaces.size, forgotten: this.forgotten };
  }

  private settle(connection: KernelConnection, isSeen: boolean, timeUs: number): void {
    const counts = this.of(connection.netns);
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
      this.hooks.blocked(connection, timeUs);
      return;
    }
    counts.missed++;
    this.hooks.missed(connection);
  }

  private of(netns: number): NamespaceCounts {
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

function keyOf({ localAddress, localPort, remoteAddress }: SocketTuple): string {
  return `${localAddress}|${localPort}|${remoteAddress}`;
}
