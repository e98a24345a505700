/**
 * All connections to the metadata endpoints at once: segments in, exchanges out. Knows no clock: time is what the
 * segments carry and what `tick` is told.
 *
 * `Context` is whatever the caller wants to remember with a connection (its owner); this room never looks into it.
 */
import type { Counters } from '../../protocol/records.ts';
import { Connection, type ConnectionCounters, newConnectionCounters, type Remains } from './connection.ts';
import type { Exchange, ExchangeRequest } from './exchange.ts';
import type { FlowTuple } from './flow.ts';
import {
  DEFAULT_LIMITS,
  HALF_OPEN_EXPIRY_US,
  IDLE_EXPIRY_US,
  type Limits,
  REMAINS_KEPT_US,
  SYN_COPY_WINDOW_US,
} from './limits.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';

export interface TrackerHooks<Context> {
  /** A connection was seen for the first time, with its SYN or in its middle. */
  opened(tuple: FlowTuple, atSyn: boolean): Context;
  /** A request was seen to the end of its head; its answer is still to come. */
  asked(tuple: FlowTuple, context: Context, request: ExchangeRequest, startUs: number): void;
  exchange(tuple: FlowTuple, context: Context, exchange: Exchange): void;
  closed(tuple: FlowTuple, context: Context): void;
}

interface HalfOpen<Context> {
  tuple: FlowTuple;
  context: Context;
  isn: number;
  sinceUs: number;
  /** The service's first sequence number, once the handshake told it. */
  serverStart: number | null;
}

export class Tracker<Context> {
  private readonly hooks: TrackerHooks<Context>;
  private readonly isEndpoint: (address: string, port: number) => boolean;
  private readonly limits: Limits;
  private readonly halfOpen = new Map<string, HalfOpen<Context>>();
  private readonly connections = new Map<string, Connection<Context>>();
  /** What tells one SYN from any other → the connection that it opened, for a few seconds. */
  private readonly recentSyns = new Map<string, { key: string; timeUs: number }>();
  /** Keys behind address translation → since when: the connection is followed under the caller's own addresses. */
  private readonly copies = new Map<string, number>();
  /** What is left of connections that ended, for as long as a late copy of their segments may come. */
  private readonly ended = new Map<string, Remains>();
  private readonly shared: ConnectionCounters = newConnectionCounters();
  private pendingBytes = 0;
  private readonly counts = {
    segments: 0,
    foreign_segments: 0,
    connections: 0,
    joined_midway: 0,
    half_open_expired: 0,
    half_open_evicted: 0,
    connections_evicted: 0,
    connections_expired: 0,
    pending_bytes_bound: 0,
    translated_copies: 0,
    stray_segments: 0,
  };

  constructor(
    hooks: TrackerHooks<Context>,
    isEndpoint: (address: string, port: number) => boolean,
    limits: Limits = DEFAULT_LIMITS,
  ) {
    this.hooks = hooks;
    this.isEndpoint = isEndpoint;
    this.limits = limits;
  }

  segment(segment: Segment): void {
    this.counts.segments++;
    const fromClient = this.isEndpoint(segment.destinationAddress, segment.destinationPort);
    if (!fromClient && !this.isEndpoint(segment.sourceAddress, segment.sourcePort)) {
      this.counts.foreign_segments++;
      return;
    }
    const key = fromClient
      ? `${segment.sourceAddress}|${segment.sourcePort}|${segment.destinationAddress}`
      : `${segment.destinationAddress}|${segment.destinationPort}|${segment.sourceAddress}`;
    if (fromClient && (segment.flags & (SYN | ACK)) === SYN) {
      this.syn(key, segment);
      return;
    }
    if (this.copies.has(key)) {
      this.counts.translated_copies++;
      return;
    }
    let connection = this.connections.get(key);
    if (connection === undefined) {
      connection = this.begin(key, segment, fromClient);
      if (connection === undefined) return;
    }
    if (segment.payload.length > 0) {
      // The map's order is the order of last use: the first entry is the one to give up when room is needed.
      this.connections.delete(key);
      this.connections.set(key, connection);
    }
    const pendingBefore = connection.pendingBytes;
    connection.segment(segment, fromClient);
    this.pendingBytes += connection.pendingBytes - pendingBefore;
    this.boundPendingBytes(connection, segment.timeUs);
    if (connection.isOver) this.end(key, connection);
  }

  /**
   * Time has passed: what waited long enough is decided. Returns whether some connection waits for a decision within
   * the next second; then the next tick should come sooner than that.
   */
  tick(nowUs: number): boolean {
    let isWaiting = false;
    for (const [key, connection] of this.connections) {
      this.account(connection, () => connection.tick(nowUs));
      if (connection.isOver) {
        this.end(key, connection);
      } else if (nowUs - connection.lastUs > IDLE_EXPIRY_US) {
        this.counts.connections_expired++;
        this.giveUp(key, connection);
      } else {
        isWaiting ||= connection.isWaiting;
      }
    }
    for (const [key, half] of this.halfOpen) {
      if (nowUs - half.sinceUs <= HALF_OPEN_EXPIRY_US) break; // oldest first
      // Open, and silent for so long: its first request may still come.
      if (half.serverStart !== null && nowUs - half.sinceUs <= IDLE_EXPIRY_US) continue;
      this.counts.half_open_expired++;
      this.dropHalfOpen(key, half);
    }
    for (const [syn, { timeUs }] of this.recentSyns) {
      if (nowUs - timeUs <= SYN_COPY_WINDOW_US) break;
      this.recentSyns.delete(syn);
    }
    for (const [key, { lastUs }] of this.ended) {
      if (nowUs - lastUs <= REMAINS_KEPT_US) break;
      this.ended.delete(key);
    }
    for (const [key, sinceUs] of this.copies) {
      if (nowUs - sinceUs <= IDLE_EXPIRY_US) break;
      this.copies.delete(key);
    }
    return isWaiting;
  }

  /** No more segments will come: everything that is open ends now. */
  finish(): void {
    for (const [key, connection] of this.connections) this.giveUp(key, connection);
    for (const [key, half] of this.halfOpen) this.dropHalfOpen(key, half);
  }

  counters(): Counters {
    return {
      ...this.counts,
      ...this.shared.reassembly,
      ...this.shared.conversation,
      resets: this.shared.resets,
      open_connections: this.connections.size,
      half_open_connections: this.halfOpen.size,
      pending_bytes: this.pendingBytes,
    };
  }

  private syn(key: string, segment: Segment): void {
    const known = this.connections.get(key);
    if (known !== undefined) {
      if (known.isSameSyn(segment.seq)) return; // retransmitted, or seen on another interface
      if (known.acceptsLateSyn(segment.seq)) {
        this.account(known, () => {
          known.synSeen(segment.seq);
          if (segment.payload.length > 0) known.segment(segment, true);
        });
        if (known.isOver) this.end(key, known);
        return;
      }
      // The port is used again: the old connection is over, whatever of it was not seen.
      this.giveUp(key, known);
    }
    const over = this.ended.get(key);
    if (over !== undefined) {
      if (over.isn === segment.seq) {
        this.counts.stray_segments++;
        return;
      }
      this.ended.delete(key);
    }
    const half = this.halfOpen.get(key);
    if (half !== undefined) {
      if (half.isn === segment.seq) return;
      this.dropHalfOpen(key, half);
    }
    const fingerprint = `${segment.seq}|${segment.window}|${segment.destinationAddress}|${Buffer.from(segment.options).toString('latin1')}`;
    const original = this.recentSyns.get(fingerprint);
    if (
      original !== undefined &&
      original.key !== key &&
      Math.abs(segment.timeUs - original.timeUs) <= SYN_COPY_WINDOW_US
    ) {
      // Sequence number, window and options (with their time stamp) survive address translation: this is the same
      // SYN on its way out, and the first copy had the caller's own addresses.
      this.counts.translated_copies++;
      this.copies.delete(key);
      this.copies.set(key, segment.timeUs);
      return;
    }
    this.copies.delete(key);
    this.recentSyns.delete(fingerprint);
    this.recentSyns.set(fingerprint, { key, timeUs: segment.timeUs });
    if (this.recentSyns.size > this.limits.maxHalfOpen) deleteOldest(this.recentSyns);
    if (this.halfOpen.size >= this.limits.maxHalfOpen) {
      const oldest = this.halfOpen.entries().next().value;
      if (oldest !== undefined) {
        this.counts.half_open_evicted++;
        this.dropHalfOpen(...oldest);
      }
    }
    const tuple = tupleOf(segment, true);
    const context = this.hooks.opened(tuple, true);
    this.halfOpen.set(key, {
      tuple,
      context,
      isn: segment.seq,
      sinceUs: segment.timeUs,
      serverStart: null,
    });
    if (segment.payload.length > 0) {
      // TCP Fast Open (RFC 7413): the request travels with the SYN.
      const connection = this.begin(key, segment, true);
      if (connection !== undefined) this.account(connection, () => connection.segment(segment, true));
    }
  }

  private begin(key: string, segment: Segment, fromClient: boolean): Connection<Context> | undefined {
    const half = this.halfOpen.get(key);
    if (half === undefined) {
      // What is left of a connection that is over, or of one that never was, opens none.
      const opensNone =
        (segment.flags & RST) !== 0 || (segment.payload.length === 0 && (segment.flags & SYN) === 0);
      if (opensNone || this.ended.get(key)?.includes(segment, fromClient)) {
        this.counts.stray_segments++;
        return undefined;
      }
    } else if ((segment.flags & RST) !== 0) {
      // Refused: nothing was ever asked.
      this.dropHalfOpen(key, half);
      return undefined;
    } else if (segment.payload.length + segment.payloadCutBytes === 0 && (segment.flags & FIN) === 0) {
      this.handshake(half, segment, fromClient);
      return undefined;
    }
    this.halfOpen.delete(key);
    if (this.connections.size >= this.limits.maxConnections) this.evict();
    const tuple = half?.tuple ?? tupleOf(segment, fromClient);
    const context = half === undefined ? this.hooks.opened(tuple, false) : half.context;
    const connection = new Connection<Context>(
      tuple,
      context,
      half?.isn ?? null,
      segment.timeUs,
      this.limits,
      this.shared,
      {
        asked: (request, startUs) => this.hooks.asked(tuple, context, request, startUs),
        exchange: (exchange) => this.hooks.exchange(tuple, context, exchange),
      },
    );
    if (half === undefined) this.counts.joined_midway++;
    if (half?.serverStart == null) this.counts.connections++;
    else connection.serverStartsAt(half.serverStart);
    this.connections.set(key, connection);
    return connection;
  }

  /** A connection that says nothing is kept as small as a SYN: a flood of them must not cost those that do. */
  private handshake(half: HalfOpen<Context>, { seq, ack, flags }: Segment, fromClient: boolean): void {
    const answered = (half.isn + 1) >>> 0;
    if ((flags & ACK) === 0 || half.serverStart !== null) return;
    if (fromClient ? seq !== answered : ack !== answered || (flags & SYN) === 0) return;
    half.serverStart = fromClient ? ack : (seq + 1) >>> 0;
    this.counts.connections++;
  }

  /** A connection that came to its own end. Its last segments may be seen once more, on another interface. */
  private end(key: string, connection: Connection<Context>): void {
    this.ended.delete(key);
    this.ended.set(key, connection.remains());
    if (this.ended.size > this.limits.maxConnections) deleteOldest(this.ended);
    this.forget(key, connection);
  }

  /** A connection that we end: what is known of it is reported; it may go on and is then joined midway. */
  private giveUp(key: string, connection: Connection<Context>): void {
    this.account(connection, () => connection.finish('unanswered'));
    this.forget(key, connection);
  }

  private forget(key: string, connection: Connection<Context>): void {
    this.account(connection, () => connection.discard());
    this.connections.delete(key);
    this.hooks.closed(connection.tuple, connection.context);
  }

  private account(connection: Connection<Context>, action: () => void): void {
    const before = connection.pendingBytes;
    action();
    this.pendingBytes += connection.pendingBytes - before;
  }

  private dropHalfOpen(key: string, half: HalfOpen<Context>): void {
    this.halfOpen.delete(key);
    this.hooks.closed(half.tuple, half.context);
  }

  private evict(): void {
    const oldest = this.connections.entries().next().value;
    if (oldest === undefined) return;
    this.counts.connections_evicted++;
    this.giveUp(...oldest);
  }

  private boundPendingBytes(connection: Connection<Context>, nowUs: number): void {
    if (
      connection.pendingBytes <= this.limits.maxPendingBytes &&
      this.pendingBytes <= this.limits.maxPendingBytesTotal
    ) {
      return;
    }
    this.counts.pending_bytes_bound++;
    this.account(connection, () => connection.skipGaps(nowUs));
  }
}

function tupleOf(segment: Segment, fromClient: boolean): FlowTuple {
  return fromClient
    ? {
        clientAddress: segment.sourceAddress,
        clientPort: segment.sourcePort,
        serverAddress: segment.destinationAddress,
        serverPort: segment.destinationPort,
      }
    : {
        clientAddress: segment.destinationAddress,
        clientPort: segment.destinationPort,
        serverAddress: segment.sourceAddress,
        serverPort: segment.sourcePort,
      };
}

function deleteOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}
