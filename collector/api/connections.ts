/**
 * Bounds on connections without authentication: how many there may be, in all and from one address, and how
 * long each may take to send its request. A new connection is always accepted, and the one without progress
 * for the longest is closed for it. An agent leaves this list when it is authenticated, and a person with the
 * first authenticated request. Clients without a credential can therefore not use up the places of agents,
 * people or health checks.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import { networkOf } from '../access/client_network.ts';

export interface ConnectionBounds {
  /** Most connections without authentication in all. */
  total: number;
  /** Most of them from one address (IPv6: from one /64). Connections of a trusted proxy are not counted. */
  perAddress: number;
  /** Returns true for a proxy that is trusted to name the address of its client. */
  isTrustedProxy: (address: string) => boolean;
  /** Returns the address of a client. A trusted proxy names that of its client. */
  clientAddress: (headers: IncomingHttpHeaders, remoteAddress: string | undefined) => string | null;
}

/** Time until the first byte, with TLS the first byte of the handshake. */
const SPEAK_MS = 5_000;
/** Time until the head of the first request is complete, TLS handshake included. */
const HEAD_MS = 10_000;
/** Time until the head of a later request is complete, idle time included. */
const NEXT_HEAD_MS = 20_000;
/** Time until the body of a request is complete. */
const BODY_MS = 10_000;
/** Time until the client has read the whole answer. */
const ANSWER_MS = 30_000;
/**
 * A connection is not closed for a new one before it had this time to send something, unless the slack is
 * used up as well.
 */
const GRACE_MS = 500;
/** New connections beyond `total` that may be within their grace time. */
export const SLACK = 512;
/** Most authenticated connections of people and programs, in all and of one person. */
export const MAX_KNOWN = 512;
export const MAX_KNOWN_OF_PERSON = 128;
const CHECK_INTERVAL_MS = 250;
const LOG_INTERVAL_MS = 60_000;

interface Entry {
  readonly socket: Socket;
  readonly tuple: string;
  address: string;
  isLimited: boolean;
  /** Key of the person who was authenticated on it, null until then. */
  person: string | null;
  /** Requests whose answers are not complete. */
  readonly requests: Set<IncomingMessage>;
  hasSentRequest: boolean;
  /** Time of its last progress: it was opened, sent a request, or was answered. */
  sinceMs: number;
}

type Reason =
  | 'dropped_silent'
  | 'dropped_slow_head'
  | 'dropped_slow_body'
  | 'dropped_slow_reader'
  | 'dropped_per_address'
  | 'dropped_for_newer'
  | 'dropped_known';

export class Connections {
  readonly #bounds: ConnectionBounds;
  readonly #log: Logger;
  readonly #now: () => number;
  /** All of these are in the order of progress: the first has made none for the longest. */
  readonly #unknown = new Set<Entry>();
  readonly #known = new Set<Entry>();
  readonly #byAddress = new Map<string, Set<Entry>>();
  readonly #byTuple = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #lastLogMs = Number.NEGATIVE_INFINITY;
  readonly #counters: Record<Reason | 'opened', number> = {
    opened: 0,
    dropped_silent: 0,
    dropped_slow_head: 0,
    dropped_slow_body: 0,
    dropped_slow_reader: 0,
    dropped_per_address: 0,
    dropped_for_newer: 0,
    dropped_known: 0,
  };

  constructor(bounds: ConnectionBounds, log: Logger, now: () => number = () => performance.now()) {
    this.#bounds = bounds;
    this.#log = log;
    this.#now = now;
    this.#timer = setInterval(() => this.check(), CHECK_INTERVAL_MS).unref();
  }

  /** Registers a connection that was just accepted, with TLS before its handshake. */
  registerConnection(socket: Socket): void {
    this.#counters.opened += 1;
    const remote = socket.remoteAddress ?? '';
    const entry: Entry = {
      socket,
      tuple: tupleOf(socket),
      address: networkOf(remote),
      isLimited: !this.#bounds.isTrustedProxy(remote),
      person: null,
      requests: new Set(),
      hasSentRequest: false,
      sinceMs: this.#now(),
    };
    this.#byTuple.set(entry.tuple, entry);
    socket.once('close', () => this.#remove(entry));
    this.#add(entry);
    this.#enforce(entry.address);
  }

  /**
   * Registers a request whose head has arrived. The caller calls `onEnded` when the answer is complete or the
   * connection closed.
   */
  registerRequest(request: IncomingMessage): {
    onEnded: () => void;
    onAuthenticated: (person: string) => void;
  } {
    const entry = this.#byTuple.get(tupleOf(request.socket));
    if (entry === undefined) return { onEnded: () => {}, onAuthenticated: () => {} };
    this.#followProxy(entry, request);
    entry.hasSentRequest = true;
    entry.requests.add(request);
    this.#progress(entry);
    return {
      onEnded: () => {
        entry.requests.delete(request);
        this.#progress(entry);
      },
      onAuthenticated: (person) => this.#onKnown(entry, person),
    };
  }

  /** Removes a connection that belongs to an agent now, which other code bounds. */
  releaseToAgent(socket: Socket): void {
    const entry = this.#byTuple.get(tupleOf(socket));
    if (entry !== undefined) this.#remove(entry);
  }

  counters(): Counters {
    return { ...this.#counters, connections: this.#unknown.size, known_connections: this.#known.size };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Closes connections that have taken too long. A timer calls it. */
  check(): void {
    const now = this.#now();
    for (const entry of [...this.#unknown]) {
      const reason = overdue(entry, now);
      if (reason !== null) this.#drop(entry, reason);
    }
    for (const address of [...this.#byAddress.keys()]) this.#enforcePerAddress(address);
    this.#enforceTotal();
  }

  #add(entry: Entry): void {
    this.#unknown.add(entry);
    const others = this.#byAddress.get(entry.address);
    if (others === undefined) this.#byAddress.set(entry.address, new Set([entry]));
    else others.add(entry);
  }

  #remove(entry: Entry): void {
    if (this.#byTuple.get(entry.tuple) === entry) this.#byTuple.delete(entry.tuple);
    this.#unknown.delete(entry);
    this.#known.delete(entry);
    this.#leaveAddress(entry);
  }

  #leaveAddress(entry: Entry): void {
    const others = this.#byAddress.get(entry.address);
    others?.delete(entry);
    if (others?.size === 0) this.#byAddress.delete(entry.address);
  }

  #progress(entry: Entry): void {
    entry.sinceMs = this.#now();
    const list = entry.person !== null ? this.#known : this.#unknown;
    if (!list.delete(entry)) return; // It is closed already.
    list.add(entry);
    const others = this.#byAddress.get(entry.address);
    if (others?.delete(entry)) others.add(entry);
  }

  /** Counts the connection of a proxy for the client that the proxy names, from the first request on. */
  #followProxy(entry: Entry, { headers, socket }: IncomingMessage): void {
    if (entry.person !== null || !this.#bounds.isTrustedProxy(socket.remoteAddress ?? '')) return;
    const client = this.#bounds.clientAddress(headers, socket.remoteAddress);
    if (client === null || this.#bounds.isTrustedProxy(client)) return;
    this.#unknown.delete(entry);
    this.#leaveAddress(entry);
    entry.address = networkOf(client);
    entry.isLimited = true;
    this.#add(entry);
    this.#enforce(entry.address);
  }

  #onKnown(entry: Entry, person: string): void {
    if (entry.person !== null || !this.#unknown.delete(entry)) return;
    entry.person = person;
    this.#leaveAddress(entry);
    this.#known.add(entry);
    const connections = [...this.#known].filter((other) => other.person === person);
    if (connections.length > MAX_KNOWN_OF_PERSON) this.#dropOneOf(connections);
    else if (this.#known.size > MAX_KNOWN) this.#dropOneOf([...this.#known]);
  }

  /**
   * Closes the connection that is idle for the longest. If all wait for answers, closes the one that waits
   * the longest.
   */
  #dropOneOf(entries: readonly Entry[]): void {
    const victim = entries.find(({ requests }) => requests.size === 0) ?? entries[0]!;
    this.#drop(victim, 'dropped_known');
  }

  #enforce(address: string): void {
    this.#enforcePerAddress(address);
    this.#enforceTotal();
  }

  #enforcePerAddress(address: string): void {
    const entries = this.#byAddress.get(address);
    if (entries === undefined || entries.size <= this.#bounds.perAddress) return;
    const limited = [...entries].filter(({ isLimited }) => isLimited);
    const now = this.#now();
    for (const entry of limited.slice(0, Math.max(0, limited.length - this.#bounds.perAddress))) {
      if (now - entry.sinceMs < GRACE_MS) return;
      this.#drop(entry, 'dropped_per_address');
    }
  }

  /**
   * Closes a connection of the address that has the most, so that a flood from one address affects no other
   * address.
   */
  #enforceTotal(): void {
    const now = this.#now();
    while (this.#unknown.size > this.#bounds.total) {
      let most = 0;
      for (const { size } of this.#byAddress.values()) most = Math.max(most, size);
      const victim = [...this.#unknown].find(({ address }) => this.#byAddress.get(address)?.size === most)!;
      const hasSlack = this.#unknown.size <= this.#bounds.total + SLACK;
      if (hasSlack && now - victim.sinceMs < GRACE_MS) return;
      this.#drop(victim, 'dropped_for_newer');
    }
  }

  #drop(entry: Entry, reason: Reason): void {
    this.#counters[reason] += 1;
    this.#remove(entry);
    entry.socket.destroy();
    const now = this.#now();
    if (now - this.#lastLogMs < LOG_INTERVAL_MS) return;
    this.#lastLogMs = now;
    this.#log.warn(
      { from: entry.address, reason, ...this.counters() },
      'closed a connection beyond the limits for clients without authentication, or for one person; all are counted, one a minute is logged',
    );
  }
}

function overdue({ socket, requests, hasSentRequest, sinceMs }: Entry, now: number): Reason | null {
  const waited = now - sinceMs;
  if (requests.size > 0) {
    if (waited > ANSWER_MS) return 'dropped_slow_reader';
    const isComplete = [...requests].every(({ complete }) => complete);
    return !isComplete && waited > BODY_MS ? 'dropped_slow_body' : null;
  }
  if (hasSentRequest) return waited > NEXT_HEAD_MS ? 'dropped_slow_head' : null;
  if (socket.bytesRead === 0) return waited > SPEAK_MS ? 'dropped_silent' : null;
  return waited > HEAD_MS ? 'dropped_slow_head' : null;
}

/** Returns a key that is the same for a TLS connection and the TCP connection below it. */
function tupleOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
