/**
 * Finds the program on whose behalf a relay calls: a sidecar that a pod's own rules redirect connections to,
 * a credential proxy behind a rule of the host, a user-mode network (slirp4netns, pasta).
 *
 * A relay's call goes to the service, and is the one call that counts. The program's own connection to the
 * relay never reaches the service. Both are joined only by facts of the kernel: the relay holds the socket
 * that the program's connection was translated to, or it holds a tunnel device and sends the same request
 * while the program waits. Without such a fact the call is the relay's own.
 *
 * `Caller` is a value that the caller of this class keeps with each program. This class never reads it.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { FlowTuple } from '../flow.ts';
import { keyOf } from '../flow.ts';
import type { SocketOwner } from './owner.ts';
import type { NamespaceRef, Translations } from './translations.ts';

/** The way in which a relay gets what it sends on. */
export type RelayKind = 'redirect' | 'translation' | 'user_network';

const MAX_LEGS = 1_024;
/**
 * Packets wait in the capture's queue, and the kernel's reports are read before them: the program's connection
 * may be closed before the first packet of the relay's is handled.
 */
const QUEUE_DELAY_US = 250_000;
/** Bound on descriptors of one relay that are read to find one socket. */
const MAX_DESCRIPTORS = 8_192;
const MAX_KNOWN = 1_024;

/** The facts of a request that a relay sends on unchanged. */
export interface RequestFacts {
  method: string | null;
  path: string | null;
  query: string | null;
  userAgent: string | null;
  hasToken: boolean;
}

type Owner = Pick<SocketOwner, 'pid' | 'startTicks' | 'netns'>;

/** A program's connection that ends at a relay. */
interface Leg<Caller> {
  caller: Caller;
  owner: Owner;
  kind: RelayKind;
  where: NamespaceRef;
  /** The relay's end of the connection. */
  server: FlowTuple;
  openedUs: number;
  closedUs: number | null;
  /** The request that waits for its answer; null where the capture does not see the program's requests. */
  request: RequestFacts | null;
  /** The relay's connection that sends this one on; null until there is one. */
  takenBy: object | null;
}

export interface Relayed<Caller> {
  caller: Caller;
  kind: RelayKind;
  /** No other program had a connection to this relay at that time. */
  isOnly: boolean;
}

export class Relays<Caller> {
  readonly #translations: Pick<Translations, 'socketInode' | 'listenerInode'>;
  readonly #procRoot: string;
  /** Oldest first. */
  readonly #legs = new Map<string, Leg<Caller>>();
  /** Processes that were found to relay, by pid and start time; least recently found first. */
  readonly #known = new Map<string, RelayKind>();
  /** Sockets that were found at a process. No socket gets the inode number of another one soon. */
  readonly #sockets = new Set<string>();
  readonly #tunnels = new Map<string, boolean>();
  readonly #counts = { legs: 0, legs_evicted: 0, relayed: 0, ambiguous: 0 };

  constructor(translations: Pick<Translations, 'socketInode' | 'listenerInode'>, procRoot = '/proc') {
    this.#translations = translations;
    this.#procRoot = procRoot;
  }

  /**
   * Records a program's connection whose destination the kernel has rewritten to `server`, an address that is
   * no endpoint. `request` is null where the capture does not see its packets.
   */
  addTranslated(
    caller: Caller,
    owner: Owner,
    tuple: FlowTuple,
    where: NamespaceRef,
    server: FlowTuple,
    request: RequestFacts | null,
    nowUs: number,
  ): void {
    const kind = request === null ? 'redirect' : 'translation';
    this.#add(legKey(where.netns, tuple), {
      ...{ caller, owner, kind, where, server, request, openedUs: nowUs },
      ...{ closedUs: null, takenBy: null },
    });
  }

  /** Learns that the program's request was answered. Returns whether a relay has sent it on. */
  endRequest(netns: number, tuple: FlowTuple): boolean {
    const key = legKey(netns, tuple);
    const leg = this.#legs.get(key);
    if (leg?.request == null) return false;
    this.#legs.delete(key);
    return leg.takenBy !== null;
  }

  closeConnection(netns: number, tuple: FlowTuple, nowUs: number): void {
    const leg = this.#legs.get(legKey(netns, tuple));
    if (leg !== undefined) leg.closedUs = nowUs;
  }

  /**
   * Returns the program on whose behalf `relay` sends a request on `connection`, as far as the kernel's facts
   * show one; else null.
   */
  callerOf(relay: Owner, connection: object, request: RequestFacts, startUs: number): Relayed<Caller> | null {
    if (this.#legs.size === 0) return null;
    this.#expire(startUs);
    const open = [...this.#legs.values()].filter(
      (leg) =>
        !isSameProcess(leg.owner, relay) &&
        (leg.takenBy === null ||
          leg.takenBy === connection ||
          (leg.request === null && leg.closedUs === null)) &&
        (leg.request === null || isSameRequest(leg.request, request, false)) &&
        this.#sendsOn(leg, relay),
    );
    const chosen =
      open.find((leg) => leg.takenBy === connection) ??
      open.find((leg) => leg.takenBy === null) ??
      open.at(-1);
    if (chosen === undefined) return null;
    chosen.takenBy = connection;
    this.#remember(relay, chosen.kind);
    this.#counts.relayed++;
    const rivals = open.filter((leg) => leg.takenBy === null || leg === chosen);
    const isOnly = rivals.every(({ owner }) => isSameProcess(owner, chosen.owner));
    if (!isOnly) this.#counts.ambiguous++;
    return { caller: chosen.caller, kind: chosen.kind, isOnly };
  }

  /** Returns whether a process is a user-mode network, by the tunnel device that it holds. */
  isUserNetwork(relay: Owner): boolean {
    const key = processKey(relay);
    let holds = this.#tunnels.get(key);
    if (holds === undefined) {
      holds = this.#holds(relay, '/dev/net/tun');
      this.#tunnels.set(key, holds);
      deleteOldestEntries(this.#tunnels, MAX_KNOWN);
    }
    return holds;
  }

  /** Records that a process relays, which was found in another way. */
  recordRelay(relay: Owner, kind: RelayKind): void {
    this.#remember(relay, kind);
  }

  /** Returns how a process was found to relay before; null if it was not. */
  knownKind(relay: Owner): RelayKind | null {
    return this.#known.get(processKey(relay)) ?? null;
  }

  counters() {
    return { ...this.#counts, open_legs: this.#legs.size };
  }

  #add(key: string, leg: Leg<Caller>): void {
    this.#counts.legs++;
    this.#legs.delete(key);
    this.#legs.set(key, leg);
    if (this.#legs.size <= MAX_LEGS) return;
    this.#counts.legs_evicted++;
    deleteOldestEntries(this.#legs, MAX_LEGS);
  }

  #expire(nowUs: number): void {
    for (const [key, { closedUs }] of this.#legs) {
      if (closedUs !== null && nowUs - closedUs > QUEUE_DELAY_US) this.#legs.delete(key);
    }
  }

  #sendsOn(leg: Leg<Caller>, relay: Owner): boolean {
    if (this.#holdsEndOf(leg.where, leg.server, relay)) return true;
    if (relay.netns === null || relay.netns === leg.where.netns) return false;
    // The address that the connection was translated to may be one of the relay's own namespace.
    const path = `${this.#procRoot}/${relay.pid}/ns/net`;
    return this.#holdsEndOf({ netns: relay.netns, path }, leg.server, relay);
  }

  /** Returns whether the process listens for connections like this one, or has accepted it. */
  #holdsEndOf(where: NamespaceRef, server: FlowTuple, relay: Owner): boolean {
    const inodes = [
      this.#translations.listenerInode(where, server.localAddress, server.localPort),
      this.#translations.socketInode(where, server),
    ];
    return inodes.some((inode) => inode !== null && this.#holdsSocket(relay, inode));
  }

  #holdsSocket(relay: Owner, inode: number): boolean {
    const key = `${processKey(relay)} ${inode}`;
    if (this.#sockets.has(key)) return true;
    if (!this.#holds(relay, `socket:[${inode}]`)) return false;
    this.#sockets.add(key);
    deleteOldestEntries(this.#sockets, MAX_KNOWN);
    return true;
  }

  #holds({ pid }: Owner, target: string): boolean {
    const directory = `${this.#procRoot}/${pid}/fd`;
    try {
      return readdirSync(directory)
        .slice(0, MAX_DESCRIPTORS)
        .some((descriptor) => linkTarget(`${directory}/${descriptor}`) === target);
    } catch {
      return false; // the process has ended, or hides its descriptors
    }
  }

  #remember(relay: Owner, kind: RelayKind): void {
    const key = processKey(relay);
    this.#known.delete(key);
    this.#known.set(key, kind);
    deleteOldestEntries(this.#known, MAX_KNOWN);
  }
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function isSameProcess(a: Owner, b: Owner): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks;
}

function processKey({ pid, startTicks }: Owner): string {
  return `${pid}:${startTicks}`;
}

function legKey(netns: number, tuple: FlowTuple): string {
  return `${netns} ${keyOf(tuple)}`;
}

/**
 * A proxy may change the user agent. It is compared only where nothing but the request joins both sides.
 */
export function isSameRequest(a: RequestFacts, b: RequestFacts, withUserAgent: boolean): boolean {
  return (
    a.method === b.method &&
    a.path === b.path &&
    a.query === b.query &&
    (!withUserAgent || a.userAgent === b.userAgent) &&
    a.hasToken === b.hasToken
  );
}
