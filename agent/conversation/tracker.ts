/**
 * All connections to the metadata endpoints at once: segments in, exchanges out. Knows no clock: time is what the
 * segments carry and what `tick` is told.
 *
 * `Context` is whatever the caller wants to remember with a connection (its owner); this room never looks into it.
 */
import type { Counters } from '../../protocol/records.ts';
import type { FlowTuple } from '../flow.ts';
import {
  Connection,
  type ConnectionCounters,
  type Handshake,
  newConnectionCounters,
  type Remains,
} from './connection.ts';
import type { Exchange, ExchangeRequest } from './exchange.ts';
import {
  DEFAULT_LIMITS,
  HALF_OPEN_EXPIRY_US,
  IDLE_EXPIRY_US,
  type Limits,
  REMAINS_KEPT_US,
} from './limits.ts';
import { isSigned, timestampOf } from './options.ts';
import { WINDOW_BYTES } from './reassembly.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { deleteOldest, TranslatedCopies } from './translated.ts';

export interface TrackerHooks<Context> {
  /** A connection was seen for the first time, with its SYN or in its middle. */
  connectionOpened(tuple: FlowTuple, atSyn: boolean, initialSequence: number | null): Context;
  /** A request was seen to the end of its head; its answer is still to come. */
  requestSeen(tuple: FlowTuple, context: Context, request: ExchangeRequest, startUs: number): void;
  exchangeCompleted(tuple: FlowTuple, context: Context, exchange: Exchange): void;
  connectionClosed(tuple: FlowTuple, context: Context): void;
}

interface HalfOpen<Context> extends Handshake {
  tuple: FlowTuple;
  context: Context;
  isn: number;
}

/** SYNs with data on the ports of a living connection that are kept until the service believes them or not. */
const MAX_RIVAL_SYNS = 256;
const MAX_RIVAL_BYTES = 1_500;

export class Tracker<Context> {
  private readonly hooks: TrackerHooks<Context>;
  private readonly isEndpoint: (address: string, port: number) => boolean;
  private readonly limits: Limits;
  private readonly halfOpen = new Map<string, HalfOpen<Context>>();
  private readonly connections = new Map<string, Connection<Context>>();
  private readonly copies: TranslatedCopies<Context>;
  private readonly rivalSyns = new Map<string, Segment>();
  /** What is left of connections that ended, for as long as a late copy of their segments may come. */
  private readonly remains = new Map<string, Remains>();
  private readonly connectionCounts: ConnectionCounters = newConnectionCounters();
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
    /** Flows that looked like copies of another connection and are connections of their own. */
    false_copies: 0,
    stray_segments: 0,
    /** Segments that every receiver drops: without an acknowledgement, or signed. */
    refused_segments: 0,
    /** SYNs on the ports of a living connection that the service did not answer as such. */
    ignored_syns: 0,
  };

  constructor(
    hooks: TrackerHooks<Context>,
    isEndpoint: (address: string, port: number) => boolean,
    limits: Limits = DEFAULT_LIMITS,
  ) {
    this.hooks = hooks;
    this.isEndpoint = isEndpoint;
    this.limits = limits;
    this.copies = new TranslatedCopies(limits.maxHalfOpen);
  }

  handleSegment(segment: Segment): void {
    this.counts.segments++;
    const fromClient = this.isEndpoint(segment.destinationAddress, segment.destinationPort);
    if (!fromClient && !this.isEndpoint(segment.sourceAddress, segment.sourcePort)) {
      this.counts.foreign_segments++;
      return;
    }
    const key = fromClient
      ? `${segment.sourceAddress}|${segment.sourcePort}|${segment.destinationAddress}`
      : `${segment.destinationAddress}|${segment.destinationPort}|${segment.sourceAddress}`;
    const { flags } = segment;
    // RFC 9293, section 3.10.7: without an acknowledgement only a SYN or a reset is looked at.
    const isUseless = (flags & (SYN | ACK | RST)) === 0 || (flags & (SYN | FIN)) === (SYN | FIN);
    if (isUseless || isSigned(segment.options)) {
      this.counts.refused_segments++;
      return;
    }
    if (fromClient && (flags & (SYN | ACK | RST)) === SYN) {
      this.handleSyn(key, segment);
      return;
    }
    if (this.isCopy(key, segment, fromClient)) {
      this.counts.translated_copies++;
      return;
    }
    if (!fromClient && (flags & (SYN | ACK | RST)) === (SYN | ACK)) this.handleSynAck(key, segment);
    let connection = this.connections.get(key);
    if (connection === undefined) {
      connection = this.openConnection(key, segment, fromClient);
      if (connection === undefined) return;
    }
    if (segment.payload.length > 0) {
      // The map's order is the order of last use: the first entry is the one to give up when room is needed.
      this.connections.delete(key);
      this.connections.set(key, connection);
    }
    const pendingBefore = connection.pendingBytes;
    connection.handleSegment(segment, fromClient);
    this.pendingBytes += connection.pendingBytes - pendingBefore;
    this.boundPendingBytes(connection, segment.timeUs);
    if (connection.isOver) this.closeConnection(key, connection);
    // What follows is another connection than the one that we believed in: it is joined midway.
    else if (connection.isContradicted) this.abandonConnection(key, connection);
  }

  /**
   * Time has passed: what waited long enough is decided. Returns whether some connection waits for a decision within
   * the next second; then the next tick should come sooner than that.
   */
  tick(nowUs: number): boolean {
    let isWaiting = false;
    for (const [key, connection] of this.connections) {
      this.withPendingBytes(connection, () => connection.tick(nowUs));
      if (connection.isOver) {
        this.closeConnection(key, connection);
      } else if (nowUs - connection.lastUs > IDLE_EXPIRY_US) {
        this.counts.connections_expired++;
        this.abandonConnection(key, connection);
      } else {
        isWaiting ||= connection.isWaiting;
      }
    }
    for (const [key, half] of this.halfOpen) {
      if (nowUs - half.timeUs <= HALF_OPEN_EXPIRY_US) break; // oldest first
      // Open, and silent for so long: its first request may still come.
      if (half.serverStart !== null && nowUs - half.timeUs <= IDLE_EXPIRY_US) continue;
      this.counts.half_open_expired++;
      this.dropHalfOpen(key, half);
    }
    for (const [key, { timeUs }] of this.rivalSyns) {
      if (nowUs - timeUs <= HALF_OPEN_EXPIRY_US) break;
      this.rivalSyns.delete(key);
    }
    for (const [key, { lastUs }] of this.remains) {
      if (nowUs - lastUs <= REMAINS_KEPT_US) break;
      this.remains.delete(key);
    }
    this.copies.tick(nowUs);
    return isWaiting;
  }

  /** No more segments will come: everything that is open ends now. */
  finish(): void {
    for (const [key, connection] of this.connections) this.abandonConnection(key, connection);
    for (const [key, half] of this.halfOpen) this.dropHalfOpen(key, half);
  }

  counters(): Counters {
    return {
      ...this.counts,
      ...this.connectionCounts.reassembly,
      ...this.connectionCounts.conversation,
      resets: this.connectionCounts.resets,
      refused_resets: this.connectionCounts.refused_resets,
      old_timestamps: this.connectionCounts.old_timestamps,
      segments_after_end: this.connectionCounts.segments_after_end,
      contradicted_connections: this.connectionCounts.contradicted_connections,
      one_sided_connections: this.connectionCounts.one_sided_connections,
      urgent_segments: this.connectionCounts.urgent_segments,
      remembered_bytes: this.connectionCounts.memory.bytes,
      open_connections: this.connections.size,
      half_open_connections: this.halfOpen.size,
      pending_bytes: this.pendingBytes,
    };
  }

  private handleSyn(key: string, segment: Segment): void {
    const known = this.connections.get(key);
    if (known !== undefined) {
      if (known.isSameSyn(segment.seq)) return; // retransmitted, or seen on another interface
      if (known.acceptsLateSyn(segment.seq)) {
        this.withPendingBytes(known, () => {
          known.handleSyn(segment.seq);
          if (segment.payload.length > 0) known.handleSegment(segment, true);
        });
        if (known.isOver) this.closeConnection(key, known);
        return;
      }
      // A receiver that has a living connection only challenges a SYN (RFC 5961, section 4).
      if (known.sawService && !known.isEnding) {
        this.ignoreSyn(key, segment);
        return;
      }
      // The port is used again: the old connection is over, whatever of it was not seen.
      this.abandonConnection(key, known);
    }
    const over = this.remains.get(key);
    if (over !== undefined) {
      if (over.isn === segment.seq) {
        this.counts.stray_segments++;
        return;
      }
      this.remains.delete(key);
    }
    const half = this.halfOpen.get(key);
    if (half !== undefined) {
      if (half.isn === segment.seq) return;
      if (half.sawServer) {
        this.ignoreSyn(key, segment);
        return;
      }
      this.dropHalfOpen(key, half);
    }
    const originalKey = this.copies.originalOf(key, segment);
    if (originalKey !== null && this.mayBeCopy(originalKey, segment)) {
      this.counts.translated_copies++;
      this.copies.addCopy(key, originalKey, segment);
      return;
    }
    this.copies.deleteCopy(key);
    this.addHalfOpen(key, segment, segment.seq, timestampOf(segment.options));
    if (segment.payload.length > 0) {
      // TCP Fast Open (RFC 7413): the request travels with the SYN.
      const connection = this.openConnection(key, segment, true);
      if (connection !== undefined)
        this.withPendingBytes(connection, () => connection.handleSegment(segment, true));
    }
  }

  private addHalfOpen(
    key: string,
    segment: Segment,
    isn: number,
    clientTimestamp: number | null,
  ): HalfOpen<Context> {
    if (this.halfOpen.size >= this.limits.maxHalfOpen) {
      const oldest = this.halfOpen.entries().next().value;
      if (oldest !== undefined) {
        this.counts.half_open_evicted++;
        this.dropHalfOpen(...oldest);
      }
    }
    const tuple = tupleOf(segment, this.isEndpoint(segment.destinationAddress, segment.destinationPort));
    const half: HalfOpen<Context> = {
      tuple,
      context: this.hooks.connectionOpened(tuple, true, isn),
      isn,
      timeUs: segment.timeUs,
      serverStart: null,
      sawServer: false,
      clientTimestamp,
      serverTimestamp: null,
    };
    this.halfOpen.set(key, half);
    return half;
  }

  /** A SYN on the ports of a living connection: its data is kept, in case the service answers it after all. */
  private ignoreSyn(key: string, segment: Segment): void {
    this.counts.ignored_syns++;
    if (segment.payload.length === 0 || segment.payload.length > MAX_RIVAL_BYTES) return;
    const { payload, options } = segment;
    this.rivalSyns.delete(key);
    this.rivalSyns.set(key, {
      ...segment,
      payload: Uint8Array.from(payload),
      options: Uint8Array.from(options),
    });
    if (this.rivalSyns.size > MAX_RIVAL_SYNS) deleteOldest(this.rivalSyns);
  }

  /** The service answered a SYN: it tells by its acknowledgement which one it believes. */
  private handleSynAck(key: string, segment: Segment): void {
    const known = this.connections.get(key);
    const half = this.halfOpen.get(key);
    if (known === undefined && half === undefined) return;
    if (known !== undefined) {
      if (known.acceptsSynAck(segment.ack)) return;
      this.abandonConnection(key, known);
    } else if (half !== undefined) {
      if (half.isn === (segment.ack - 1) >>> 0) return;
      this.dropHalfOpen(key, half);
    }
    const rival = this.rivalSyns.get(key);
    this.rivalSyns.delete(key);
    const carried = rival === undefined ? -1 : seqDistance(segment.ack, rival.seq) - 1;
    const isRival = rival !== undefined && carried >= 0 && carried <= rival.payload.length;
    const isn = isRival ? rival.seq : (segment.ack - 1) >>> 0;
    this.addHalfOpen(key, segment, isn, isRival ? timestampOf(rival.options) : null);
    if (!isRival) return;
    const connection = this.openConnection(key, rival, true);
    if (connection !== undefined)
      this.withPendingBytes(connection, () => connection.handleSegment(rival, true));
  }

  /** Returns whether the connection that a SYN resembles is alive, and has the bytes that travel with the SYN. */
  private mayBeCopy(originalKey: string, { seq, payload }: Segment): boolean {
    const original = this.connections.get(originalKey);
    if (original === undefined) return payload.length === 0 && this.halfOpen.has(originalKey);
    return payload.length === 0 || original.compareClient((seq + 1) >>> 0, payload) === 'same';
  }

  /** Returns whether a segment belongs to a copy. A flow that turns out to be none is followed from here on. */
  private isCopy(key: string, segment: Segment, fromClient: boolean): boolean {
    const copy = this.copies.copyAt(key);
    if (copy === undefined) return false;
    const original = this.connections.get(copy.originalKey);
    const serverStart = original?.serverStart ?? this.halfOpen.get(copy.originalKey)?.serverStart ?? null;
    if (this.copies.acceptSegment(key, copy, segment, fromClient, original, serverStart)) return true;
    this.counts.false_copies++;
    this.copies.deleteCopy(key);
    const half = this.addHalfOpen(key, segment, copy.isn, null);
    half.serverStart = copy.serverStart;
    half.sawServer = copy.serverStart !== null;
    if (copy.serverStart !== null) this.counts.connections++;
    return false;
  }

  private openConnection(
    key: string,
    segment: Segment,
    fromClient: boolean,
  ): Connection<Context> | undefined {
    let half = this.halfOpen.get(key);
    const remains = half === undefined ? this.remains.get(key) : undefined;
    const isReset = (segment.flags & RST) !== 0;
    if (half !== undefined && !half.sawServer && !isReset && !belongsTo(half, segment, fromClient)) {
      // This SYN was answered by nobody, and the connection that speaks here is another.
      this.dropHalfOpen(key, half);
      half = undefined;
    }
    if (half === undefined) {
      // What is left of a connection that is over, or of one that never was, opens none.
      const opensNone = isReset || (segment.payload.length === 0 && (segment.flags & SYN) === 0);
      const place = remains?.placeSegment(segment, fromClient) ?? 'elsewhere';
      if (opensNone || place === 'before' || (place === 'behind' && !fromClient)) {
        this.counts.stray_segments++;
        if (remains?.acknowledgesMore(segment, fromClient)) {
          this.connectionCounts.segments_after_end++;
          this.remains.delete(key);
        }
        return undefined;
      }
    } else if (isReset) {
      // Refused: nothing was ever asked.
      if (isExpectedReset(half, segment, fromClient)) this.dropHalfOpen(key, half);
      else this.connectionCounts.refused_resets++;
      return undefined;
    } else if (segment.payload.length + segment.payloadCutBytes === 0 && (segment.flags & FIN) === 0) {
      this.handleHandshake(half, segment, fromClient);
      return undefined;
    }
    this.halfOpen.delete(key);
    if (this.connections.size >= this.limits.maxConnections) this.evictOldest();
    const tuple = half?.tuple ?? tupleOf(segment, fromClient);
    const context = half === undefined ? this.hooks.connectionOpened(tuple, false, null) : half.context;
    const connection = new Connection<Context>(
      tuple,
      context,
      half?.isn ?? null,
      segment.timeUs,
      this.limits,
      this.connectionCounts,
      {
        requestSeen: (request, startUs) => this.hooks.requestSeen(tuple, context, request, startUs),
        exchangeCompleted: (exchange) => this.hooks.exchangeCompleted(tuple, context, exchange),
      },
    );
    if (half === undefined) this.counts.joined_midway++;
    else connection.adoptHandshake(half);
    if (half?.serverStart == null) this.counts.connections++;
    if (remains?.placeSegment(segment, fromClient) === 'behind') connection.continueAfter(remains);
    this.remains.delete(key);
    this.connections.set(key, connection);
    return connection;
  }

  /** A connection that says nothing is kept as small as a SYN: a flood of them must not cost those that do. */
  private handleHandshake(half: HalfOpen<Context>, segment: Segment, fromClient: boolean): void {
    const { seq, ack, flags } = segment;
    const answered = (half.isn + 1) >>> 0;
    if ((flags & ACK) === 0 || half.sawServer) return;
    if (fromClient ? seq !== answered : ack !== answered || (flags & SYN) === 0) return;
    if (!fromClient) {
      half.sawServer = true;
      half.serverTimestamp = timestampOf(segment.options);
    }
    if (half.serverStart !== null) return;
    half.serverStart = fromClient ? ack : (seq + 1) >>> 0;
    this.counts.connections++;
  }

  /** A connection that came to its own end. Its last segments may be seen once more, on another interface. */
  private closeConnection(key: string, connection: Connection<Context>): void {
    this.remains.delete(key);
    this.remains.set(key, connection.remains());
    if (this.remains.size > this.limits.maxConnections) deleteOldest(this.remains);
    this.deleteConnection(key, connection);
  }

  /** A connection that we end: what is known of it is reported; it may go on and is then joined midway. */
  private abandonConnection(key: string, connection: Connection<Context>): void {
    this.withPendingBytes(connection, () => connection.finish('unanswered'));
    this.deleteConnection(key, connection);
  }

  private deleteConnection(key: string, connection: Connection<Context>): void {
    this.withPendingBytes(connection, () => connection.discard());
    this.connections.delete(key);
    this.hooks.connectionClosed(connection.tuple, connection.context);
  }

  private withPendingBytes(connection: Connection<Context>, action: () => void): void {
    const before = connection.pendingBytes;
    action();
    this.pendingBytes += connection.pendingBytes - before;
  }

  private dropHalfOpen(key: string, half: HalfOpen<Context>): void {
    this.halfOpen.delete(key);
    this.hooks.connectionClosed(half.tuple, half.context);
  }

  private evictOldest(): void {
    const oldest = this.connections.entries().next().value;
    if (oldest === undefined) return;
    this.counts.connections_evicted++;
    this.abandonConnection(...oldest);
  }

  private boundPendingBytes(connection: Connection<Context>, nowUs: number): void {
    if (
      connection.pendingBytes <= this.limits.maxPendingBytes &&
      this.pendingBytes <= this.limits.maxPendingBytesTotal
    ) {
      return;
    }
    this.counts.pending_bytes_bound++;
    this.withPendingBytes(connection, () => connection.skipGaps(nowUs));
  }
}

function tupleOf(segment: Segment, fromClient: boolean): FlowTuple {
  return fromClient
    ? {
        localAddress: segment.sourceAddress,
        localPort: segment.sourcePort,
        remoteAddress: segment.destinationAddress,
        remotePort: segment.destinationPort,
      }
    : {
        localAddress: segment.destinationAddress,
        localPort: segment.destinationPort,
        remoteAddress: segment.sourceAddress,
        remotePort: segment.sourcePort,
      };
}

/** Returns whether a segment lies within the windows of a connection that was only begun. */
function belongsTo(half: Handshake & { isn: number }, { seq, ack }: Segment, fromClient: boolean): boolean {
  return Math.abs(seqDistance(fromClient ? seq : ack, half.isn)) <= WINDOW_BYTES;
}

/** RFC 9293, section 3.10.7.3, and RFC 5961, section 3: a reset must fit the one place where its receiver is. */
function isExpectedReset(
  half: Handshake & { isn: number },
  { seq, ack, flags }: Segment,
  fromClient: boolean,
): boolean {
  if (fromClient) return seq === (half.isn + 1) >>> 0;
  if (half.serverStart !== null) return seq === half.serverStart;
  return (flags & ACK) !== 0 && ack === (half.isn + 1) >>> 0;
}
