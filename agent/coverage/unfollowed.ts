/**
 * What exists and is not watched, for as long as that lasts: connections to the endpoints that no capture follows, and
 * namespaces in which nothing is captured. Both are counted in milliseconds, so that each interval has its share.
 */
import type { Counters } from '../../protocol/records.ts';
import { type FlowTuple, keyOf } from '../flow.ts';
import type { HeldNamespace } from '../linux/network_namespaces.ts';

/** Sockets remembered by their addresses; of one beyond that only its namespace is known, and that it had more. */
const MAX_SOCKETS = 4_096;

interface Connections {
  sockets: Set<string>;
  namespace: HeldNamespace | null;
  /** Sockets that were not remembered: nothing says when the last of them ends but a look into the namespace. */
  hasMore: boolean;
}

export class Unfollowed {
  private readonly connections = new Map<number, Connections>();
  private readonly namespacesUnwatched = new Set<number>();
  private sockets = 0;
  private notFollowedMs = 0;
  private notWatchedMs = 0;
  private passedMs: number | null = null;

  /** Time has passed with what is known until now. */
  advanceTo(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - (this.passedMs ?? nowMs));
    this.passedMs = nowMs;
    if (this.connections.size > 0) this.notFollowedMs += elapsedMs;
    if (this.namespacesUnwatched.size > 0) this.notWatchedMs += elapsedMs;
  }

  /** Whether there is something to look for again. */
  get isAny(): boolean {
    return this.connections.size > 0 || this.namespacesUnwatched.size > 0;
  }

  hasSocketsOf(netns: number): boolean {
    return this.connections.has(netns);
  }

  unwatchedNamespaces(): number[] {
    return [...this.namespacesUnwatched];
  }

  /** Connections that live and are not followed. `namespace` is ours from here on, to ask for them again. */
  addSockets(netns: number, tuples: FlowTuple[], namespace: HeldNamespace | null, nowMs: number): void {
    this.advanceTo(nowMs);
    // However soon it ends, there was a time in which it could speak.
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

  /** The kernel reported the end of a socket. */
  deleteSocket(netns: number, tuple: FlowTuple, nowMs: number): void {
    const known = this.connections.get(netns);
    if (known === undefined) return;
    this.advanceTo(nowMs);
    if (known.sockets.delete(keyOf(tuple))) this.sockets--;
    if (known.sockets.size === 0 && !known.hasMore) this.deleteNamespace(netns);
  }

  /** A look into the namespace found these sockets to the endpoints, and no others. */
  keepOnlySockets(netns: number, tuples: FlowTuple[], nowMs: number): void {
    const known = this.connections.get(netns);
    if (known === undefined) return;
    this.advanceTo(nowMs);
    const alive = new Set(tuples.map(keyOf));
    for (const key of known.sockets) if (!alive.has(key) && known.sockets.delete(key)) this.sockets--;
    if (tuples.length === 0) known.hasMore = false;
    if (known.sockets.size === 0 && !known.hasMore) this.deleteNamespace(netns);
  }

  /** A capture follows all that is in the namespace from now on. */
  deleteSocketsOf(netns: number, nowMs: number): void {
    this.advanceTo(nowMs);
    this.deleteNamespace(netns);
  }

  /** Namespaces with such connections that can be looked into. */
  namespacesWithSockets(): { netns: number; path: string }[] {
    return [...this.connections].flatMap(([netns, { namespace }]) =>
      namespace === null ? [] : [{ netns, path: namespace.path }],
    );
  }

  /** Nothing is captured in this namespace, and nothing was since `sinceMs`. */
  addUnwatched(netns: number, sinceMs: number, nowMs: number): void {
    this.addUnwatchedTime(netns, sinceMs, nowMs);
    this.namespacesUnwatched.add(netns);
  }

  /** Nothing was captured in this namespace from `sinceMs` until now. */
  addUnwatchedTime(netns: number, sinceMs: number, nowMs: number): void {
    this.advanceTo(nowMs);
    // While it is known as not watched, its time passes by itself.
    if (!this.namespacesUnwatched.has(netns)) this.notWatchedMs += nowMs - sinceMs;
  }

  deleteUnwatched(netns: number, nowMs: number): void {
    this.advanceTo(nowMs);
    this.namespacesUnwatched.delete(netns);
  }

  /** Of the namespaces that are not watched, only these are left. */
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
