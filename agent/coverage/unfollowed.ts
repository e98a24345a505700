/**
 * Measures how long connections to the endpoints exist that no capture follows, and how long namespaces need
 * a capture and have none. Both are counted in milliseconds, so that each coverage interval gets its share.
 */
import type { Counters } from '../../protocol/records.ts';
import { type FlowTuple, keyOf } from '../flow.ts';
import type { HeldNamespace } from '../linux/network_namespaces.ts';

/** The most sockets that are kept. Beyond it only the fact that a namespace has more sockets is kept. */
const MAX_SOCKETS = 4_096;

interface Connections {
  sockets: Set<string>;
  namespace: HeldNamespace | null;
  /** The namespace has sockets that were not kept. Only a look into it shows when the last of them closes. */
  hasMore: boolean;
}

export class Unfollowed {
  private readonly connections = new Map<number, Connections>();
  private readonly namespacesUnwatched = new Set<number>();
  private sockets = 0;
  private notFollowedMs = 0;
  private notWatchedMs = 0;
  private passedMs: number | null = null;

  /** Adds the time until now to both measurements. */
  advanceTo(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - (this.passedMs ?? nowMs));
    this.passedMs = nowMs;
    if (this.connections.size > 0) this.notFollowedMs += elapsedMs;
    if (this.namespacesUnwatched.size > 0) this.notWatchedMs += elapsedMs;
  }

  /** Returns whether there is any such connection or namespace. */
  get isAny(): boolean {
    return this.connections.size > 0 || this.namespacesUnwatched.size > 0;
  }

  hasSocketsOf(netns: number): boolean {
    return this.connections.has(netns);
  }

  isUnwatched(netns: number): boolean {
    return this.namespacesUnwatched.has(netns);
  }

  unwatchedNamespaces(): number[] {
    return [...this.namespacesUnwatched];
  }

  /** Adds open sockets that are not followed. This object closes `namespace` when it is no longer needed. */
  addSockets(netns: number, tuples: FlowTuple[], namespace: HeldNamespace | null, nowMs: number): void {
    this.advanceTo(nowMs);
    // Even a socket that closes at once was able to send a request.
    this.notFollowedMs += 1;
    const known = this.connections.get(netns) ?? { sockets: new Set(), namespace: null, hasMore: false };
    if (known.namespace === null) known.namespace = namespace;
    else namespace?.close();
    this.connections.set(netns, known);
    for (const tuple of tuples) {
      const key = keyOf(tuple);
      if (known.sockets.has(key)) continue;
      if (this.sockets >= MAX_SOCKETS) {
        known.hasMore = true;
        continue;
      }
      known.sockets.add(key);
      this.sockets++;
    }
  }

  /** Deletes a socket that closed. */
  deleteSocket(netns: number, tuple: FlowTuple, nowMs: number): void {
    const known = this.connections.get(netns);
    if (known === undefined) return;
    this.advanceTo(nowMs);
    if (known.sockets.delete(keyOf(tuple))) this.sockets--;
    if (known.sockets.size === 0 && !known.hasMore) this.deleteNamespace(netns);
  }

  /** Keeps only these sockets of a namespace: a look into it found no others. */
  keepOnlySockets(netns: number, tuples: FlowTuple[], nowMs: number): void {
    const known = this.connections.get(netns);
    if (known === undefined) return;
    this.advanceTo(nowMs);
    const alive = new Set(tuples.map(keyOf));
    for (const key of known.sockets) if (!alive.has(key) && known.sockets.delete(key)) this.sockets--;
    if (tuples.length === 0) known.hasMore = false;
    if (known.sockets.size === 0 && !known.hasMore) this.deleteNamespace(netns);
  }

  /** Deletes the sockets of a namespace: a capture follows them from now on. */
  deleteSocketsOf(netns: number, nowMs: number): void {
    this.advanceTo(nowMs);
    this.deleteNamespace(netns);
  }

  /** Returns the namespaces with such sockets that can be looked into. */
  namespacesWithSockets(): { netns: number; path: string }[] {
    return [...this.connections].flatMap(([netns, { namespace }]) =>
      namespace === null ? [] : [{ netns, path: namespace.path }],
    );
  }

  /** Adds a namespace that has had no capture since `sinceMs`. */
  addUnwatched(netns: number, sinceMs: number, nowMs: number): void {
    this.addUnwatchedTime(netns, sinceMs, nowMs);
    this.namespacesUnwatched.add(netns);
  }

  /** Adds the time from `sinceMs` until now, in which a namespace had no capture. */
  addUnwatchedTime(netns: number, sinceMs: number, nowMs: number): void {
    this.advanceTo(nowMs);
    // The time of a namespace that is already listed is counted by `advanceTo`.
    if (!this.namespacesUnwatched.has(netns)) this.notWatchedMs += nowMs - sinceMs;
  }

  deleteUnwatched(netns: number, nowMs: number): void {
    this.advanceTo(nowMs);
    this.namespacesUnwatched.delete(netns);
  }

  /** Keeps only the unwatched namespaces that still exist. */
  keepOnlyUnwatched(isLeft: (netns: number) => boolean, nowMs: number): void {
    this.advanceTo(nowMs);
    for (const netns of this.namespacesUnwatched) {
      if (!isLeft(netns)) this.namespacesUnwatched.delete(netns);
    }
  }

  close(): void {
    for (const netns of [...this.connections.keys()]) this.deleteNamespace(netns);
  }

  counters(nowMs: number): Counters {
    this.advanceTo(nowMs);
    return {
      not_followed_ms: Math.ceil(this.notFollowedMs),
      not_watched_ms: Math.ceil(this.notWatchedMs),
      connections_not_followed: this.sockets,
      not_watched: this.namespacesUnwatched.size,
    };
  }

  private deleteNamespace(netns: number): void {
    const known = this.connections.get(netns);
    if (known === undefined) return;
    this.sockets -= known.sockets.size;
    known.namespace?.close();
    this.connections.delete(netns);
  }
}
