/**
 * Follows all connections to the metadata endpoints: segments in, exchanges out. It reads no clock: the time
 * is the one of the segments and of `tick`.
 *
 * `Context` is a value that the caller keeps with each connection (its owner). This room never reads it.
 *
 * The file is longer than others because the place of one segment depends on all tables at once: connections,
 * half-open ones, rival SYNs, translated copies, and the remains of connections that ended.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import type { FlowTuple } from '../flow.ts';
import { Connection } from './connection.ts';
import {
  type ConnectionCounters,
  flatCounters,
  newConnectionCounters,
  newTrackerCounters,
} from './counters.ts';
import type { EndedConnection } from './ended_connection.ts';
import type { Exchange, ExchangeRequest } from './exchange.ts';
import { belongsTo, type HalfOpen, isExpectedReset, learnHandshake } from './half_open.ts';
import {
  COPY_WAIT_US,
  DEFAULT_LIMITS,
  ENDED_KEPT_US,
  HALF_OPEN_EXPIRY_US,
  IDLE_EXPIRY_US,
  type Limits,
  MAX_ENDED,
  MAX_WAITING_SEGMENTS,
  REMAINS_KEPT_US,
} from './limits.ts';
import type { Remains } from './remains.ts';
import { RivalSyns } from './rival_syns.ts';
import { ACK, clientFlowOf, FIN, RST, type Segment, SYN } from './segment.ts';
import { isSigned, timestampOf } from './tcp_options.ts';
import { answersOriginal, type Copy, proveByAnswers, TranslatedCopies } from './translated_copies.ts';

export interface TrackerHooks<Context> {
  /** A connection was seen for the first time, at its SYN or in its middle, at `timeUs`. Returns its context. */
  connectionOpened(tuple: FlowTuple, atSyn: boolean, initialSequence: number | null, timeUs: number): Context;
  /** A request's head is complete; its answer is still to come. */
  requestSeen(tuple: FlowTuple, context: Context, request: ExchangeRequest, startUs: number): void;
  exchangeCompleted(tuple: FlowTuple, context: Context, exchange: Exchange): void;
  /** See `ConnectionHooks.clientClosed`. */
  clientClosed(context: Context, timeUs: number, answerHopLimit: number | null): void;
  connectionClosed(tuple: FlowTuple, context: Context): void;
  /** A packet of the client was seen. Called before anything that the packet causes, except at its SYN. */
  clientPacketSeen?(context: Context, segment: Segment): void;
  /** The connection was seen a second time, with translated addresses. */
  copySeen?(context: Context): void;
}

export class Tracker<Context> {
  private readonly hooks: TrackerHooks<Context>;
  private readonly isEndpoint: (address: string, port: number) => boolean;
  private readonly limits: Limits;
  private readonly halfOpen = new Map<string, HalfOpen<Context>>();
  private readonly connections = new Map<string, Connection<Context>>();
  private readonly copies: TranslatedCopies<Context>;
  private readonly rivalSyns = new RivalSyns();
  /** Connections that ended a moment ago, to compare copies of them with; oldest first. */
  private readonly ended = new Map<string, EndedConnection<Context>>();
  /** The remains of connections that ended, kept while late copies of their segments may come. */
  private readonly remains = new Map<string, Remains>();
  private readonly connectionCounts: ConnectionCounters = newConnectionCounters();
  private pendingBytes = 0;
  private lastKey = { clientAddress: '', clientPort: 0, endpoint: '', text: '' };
  /** The key of the connection that was used last. */
  private lastUsed = '';
  private readonly counts = newTrackerCounters();

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
      ? this.keyOf(segment.sourceAddress, segment.sourcePort, segment.destinationAddress)
      : this.keyOf(segment.destinationAddress, segment.destinationPort, segment.sourceAddress);
    const { flags } = segment;
    // RFC 9293, section 3.10.7: a receiver reads a segment without an acknowledgement only if it is a SYN or
    // a reset.
    const isUseless = (flags & (SYN | ACK | RST)) === 0 || (flags & (SYN | FIN)) === (SYN | FIN);
    if (isUseless || isSigned(segment.options)) {
      this.counts.refused_segments++;
      return;
    }
    if (fromClient && (flags & (SYN | ACK | RST)) === SYN) {
      this.handleSyn(key, segment);
      this.reportClientPacket(key, segment);
      return;
    }
    if (fromClient) this.reportClientPacket(key, segment);
    else if (segment.device === 'looped' && !this.isKnown(key)) {
      this.counts.redirected_answers++;
      return;
    }
    if (fromClient && segment.payload.length > 0) this.recogniseMidwayCopy(key, segment);
    if (this.isCopy(key, segment, fromClient)) {
      this.counts.translated_copies++;
      this.addHopsOfCopy(key, segment, fromClient);
      if (!fromClient && this.copies.copyAt(key)?.waiting.length === 0) this.shareAnswer(key, segment);
      return;
    }
    if (!fromClient && (flags & (SYN | ACK | RST)) === (SYN | ACK)) this.handleSynAck(key, segment);
    let connection = this.connections.get(key);
    if (connection === undefined) {
      connection = this.openConnection(key, segment, fromClient);
      if (connection === undefined) return;
    }
    this.deliverSegment(key, connection, segment, fromClient, false);
  }

  /** Returns the key of a connection: the same text, with its hash, for segments in a row. */
  private keyOf(clientAddress: string, clientPort: number, endpoint: string): string {
    const last = this.lastKey;
    if (
      last.clientPort !== clientPort ||
      last.clientAddress !== clientAddress ||
      last.endpoint !== endpoint
    ) {
      // A template makes a tree of its parts, which a table would keep: 200 bytes instead of 50.
      const text = [clientAddress, clientPort, endpoint].join('|');
      this.lastKey = { clientAddress, clientPort, endpoint, text };
    }
    return this.lastKey.text;
  }

  /**
   * Makes the decisions that are due at this time. Returns whether a connection waits for a decision within
   * the next second; then the next tick should come sooner.
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
      // The connection is established and silent. Its first request may still come.
      if (half.serverStart !== null && nowUs - half.timeUs <= IDLE_EXPIRY_US) continue;
      this.counts.half_open_expired++;
      this.dropHalfOpen(key, half);
    }
    this.rivalSyns.tick(nowUs);
    for (const [key, { lastUs }] of this.remains) {
      if (nowUs - lastUs <= REMAINS_KEPT_US) break;
      this.remains.delete(key);
    }
    for (const [key, { lastUs }] of this.ended) {
      if (nowUs - lastUs <= ENDED_KEPT_US) break;
      this.deleteEnded(key);
    }
    for (const key of this.copies.waitingKeys()) {
      this.settleCopy(key, nowUs - this.copies.copyAt(key)!.waiting[0]!.timeUs > COPY_WAIT_US);
      isWaiting ||= (this.copies.copyAt(key)?.waiting.length ?? 0) > 0;
    }
    this.copies.tick(nowUs);
    return isWaiting;
  }

  /**
   * Returns since when each connection holds bytes back that may have a request in them, in microseconds since the Unix
   * epoch: behind a hole, before the beginning is known, or of a flow that may be a copy.
   */
  heldSinceUs(): number[] {
    const times: number[] = [];
    for (const { heldSinceUs } of this.connections.values())
      if (heldSinceUs !== null) times.push(heldSinceUs);
    for (const key of this.copies.waitingKeys()) times.push(this.copies.copyAt(key)!.waiting[0]!.timeUs);
    return times;
  }

  /** Ends everything that is open: no more segments will come. */
  finish(): void {
    for (const key of this.copies.waitingKeys()) {
      // The connection may hold back the bytes that a copy waits for until its beginning is given up.
      const original = this.connections.get(this.copies.copyAt(key)?.originalKey ?? '');
      if (original !== undefined)
        this.withPendingBytes(original, () => original.skipAllGaps(original.lastUs));
      this.settleCopy(key, true);
    }
    for (const [key, connection] of this.connections) this.abandonConnection(key, connection);
    for (const [key, half] of this.halfOpen) this.dropHalfOpen(key, half);
    for (const key of [...this.ended.keys()]) this.deleteEnded(key);
  }

  counters(): Counters {
    return {
      ...this.counts,
      ...flatCounters(this.connectionCounts),
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
      // The receiver of a living connection only challenges a SYN (RFC 5961, section 4).
      if (known.sawOwnAnswers && !known.isEnding) {
        this.ignoreSyn(key, segment);
        return;
      }
      // The port is used again, so the old connection is over, even if its end was not seen.
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
      const original =
        this.connections.get(originalKey) ?? this.halfOpen.get(originalKey) ?? this.ended.get(originalKey);
      if (original !== undefined) this.hooks.copySeen?.(original.context);
      return;
    }
    this.copies.deleteCopy(key);
    this.deleteEnded(key);
    this.addHalfOpen(key, segment, segment.seq, timestampOf(segment.options));
    if (segment.payload.length > 0) {
      // With TCP Fast Open (RFC 7413) the request travels with the SYN.
      const connection = this.openConnection(key, segment, true);
      if (connection !== undefined)
        this.withPendingBytes(connection, () => connection.handleSegment(segment, true));
    }
  }

  private reportClientPacket(key: string, segment: Segment): void {
    const known = this.connections.get(key) ?? this.halfOpen.get(key);
    if (known !== undefined) this.hooks.clientPacketSeen?.(known.context, segment);
  }

  private isKnown(key: string): boolean {
    return this.connections.has(key) || this.halfOpen.has(key) || this.copies.copyAt(key) !== undefined;
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
    const tuple = clientFlowOf(segment, this.isEndpoint(segment.destinationAddress, segment.destinationPort));
    const half: HalfOpen<Context> = {
      tuple,
      context: this.hooks.connectionOpened(tuple, true, isn, segment.timeUs),
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

  /** Ignores a SYN on the ports of a living connection, but keeps its data in case the service answers it. */
  private ignoreSyn(key: string, segment: Segment): void {
    this.counts.ignored_syns++;
    this.rivalSyns.addSyn(key, segment);
  }

  /** Handles a SYN-ACK: its acknowledgement number shows which SYN the service accepted. */
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
    const rival = this.rivalSyns.takeAnswered(key, segment.ack);
    const isn = rival === null ? (segment.ack - 1) >>> 0 : rival.seq;
    this.addHalfOpen(key, segment, isn, rival === null ? null : timestampOf(rival.options));
    if (rival === null) return;
    const connection = this.openConnection(key, rival, true);
    if (connection !== undefined)
      this.withPendingBytes(connection, () => connection.handleSegment(rival, true));
  }

  /** Returns whether the connection that a SYN resembles is alive, and has the bytes that the SYN carries. */
  private mayBeCopy(originalKey: string, { seq, payload }: Segment): boolean {
    const original = this.connections.get(originalKey) ?? this.ended.get(originalKey);
    if (original === undefined) return payload.length === 0 && this.halfOpen.has(originalKey);
    return payload.length === 0 || original.compareClient((seq + 1) >>> 0, payload) === 'same';
  }

  /** Recognises the copy of a connection whose SYN is older than the watch by the first bytes of its client. */
  private recogniseMidwayCopy(key: string, segment: Segment): void {
    const known = this.connections.get(key);
    if (known === undefined ? this.halfOpen.has(key) || this.remains.has(key) : !known.lacksClient) return;
    if (this.copies.copyAt(key) !== undefined) return;
    const originalKey = this.copies.originalOf(key, segment);
    const original = originalKey === null ? undefined : this.connections.get(originalKey);
    if (originalKey === null || original === undefined) return;
    if (original.compareClientAhead(segment.seq, segment.payload) === 'differs') return;
    // An answer may have been seen before the first bytes of the client.
    if (known !== undefined) this.abandonConnection(key, known);
    this.copies.addCopy(key, originalKey, segment);
    this.hooks.copySeen?.(original.context);
  }

  /**
   * Returns whether a segment belongs to a copy. A flow that turns out to be no copy is followed from here
   * on.
   */
  private isCopy(key: string, segment: Segment, fromClient: boolean): boolean {
    const copy = this.copies.copyAt(key);
    if (copy === undefined) return false;
    const open = this.connections.get(copy.originalKey);
    const original = open ?? this.ended.get(copy.originalKey);
    const serverStart = original?.serverStart ?? this.halfOpen.get(copy.originalKey)?.serverStart ?? null;
    // A client may send the bytes of a connection that ended once more. The service's number shows which it is.
    const isUncertain =
      copy.proof === 'handshake' &&
      open === undefined &&
      original !== undefined &&
      copy.serverStart === null &&
      segment.payload.length > 0;
    const comparison =
      isUncertain || copy.waiting.length >= MAX_WAITING_SEGMENTS
        ? 'differs'
        : copy.waiting.length > 0
          ? 'ahead' // in the order of its segments
          : this.copies.acceptSegment(key, copy, segment, fromClient, original, serverStart);
    if (comparison === 'same') return true;
    if (comparison === 'ahead') {
      // The next packet overwrites the capture's buffer.
      const [options, payload] = [Uint8Array.from(segment.options), Uint8Array.from(segment.payload)];
      this.copies.hold(key, copy, { ...segment, options, payload });
      this.settleCopy(key, false);
      return true;
    }
    this.followFalseCopy(key, copy, segment);
    return false;
  }

  /** Compares the waiting segments of a copy with what the original has shown since. `isDue`: they wait no longer. */
  private settleCopy(key: string, isDue: boolean): void {
    const copy = this.copies.copyAt(key);
    if (copy === undefined) return;
    const open = this.connections.get(copy.originalKey);
    const original = open ?? this.ended.get(copy.originalKey);
    const serverStart = original?.serverStart ?? this.halfOpen.get(copy.originalKey)?.serverStart ?? null;
    proveByAnswers(copy, open);
    while (copy.waiting.length > 0) {
      const segment = copy.waiting[0]!;
      const fromClient = this.isEndpoint(segment.destinationAddress, segment.destinationPort);
      const comparison = this.copies.acceptSegment(key, copy, segment, fromClient, original, serverStart);
      if (comparison === 'ahead' && !isDue) return;
      if (comparison !== 'same') {
        const waiting = copy.waiting.splice(0);
        this.followFalseCopy(key, copy, segment);
        for (const each of waiting) this.handleSegment(each);
        return;
      }
      copy.waiting.shift();
      if (!fromClient) this.shareAnswer(key, segment);
    }
  }

  /** Follows a flow that turned out to be no copy as a connection of its own from here on. */
  private followFalseCopy(key: string, copy: Copy, segment: Segment): void {
    const waiting = copy.waiting.splice(0);
    this.counts.false_copies++;
    this.copies.deleteCopy(key);
    if (copy.isn === null) {
      this.copies.forgetFirst(waiting[0] ?? segment);
    } else {
      const half = this.addHalfOpen(key, segment, copy.isn, null);
      half.serverStart = copy.serverStart;
      half.sawServer = copy.serverStart !== null;
      if (copy.serverStart !== null) this.counts.connections++;
    }
    for (const each of waiting) this.handleSegment(each);
  }

  /** Gives a segment to its connection. `onCopy`: a translated copy showed it. */
  private deliverSegment(
    key: string,
    connection: Connection<Context>,
    segment: Segment,
    fromClient: boolean,
    onCopy: boolean,
  ): void {
    if (segment.payload.length > 0 && this.lastUsed !== key) {
      // The map's order is the order of last use: its first entry is evicted when room is needed.
      this.connections.delete(key);
      this.connections.set(key, connection);
      this.lastUsed = key;
    }
    const pendingBefore = connection.pendingBytes;
    connection.handleSegment(segment, fromClient, onCopy);
    this.pendingBytes += connection.pendingBytes - pendingBefore;
    this.boundPendingBytes(connection, segment.timeUs);
    if (connection.isOver) this.closeConnection(key, connection);
    // Our view of this connection is wrong. The bytes that follow are joined midway, as another connection.
    else if (connection.isContradicted) this.abandonConnection(key, connection);
  }

  /** Gives a segment of the service on a copy to the original too, if the original's answers are seen nowhere else. */
  private shareAnswer(key: string, segment: Segment): void {
    const copy = this.copies.copyAt(key);
    const original = copy === undefined ? undefined : this.connections.get(copy.originalKey);
    if (copy === undefined || original === undefined || !answersOriginal(copy, segment, original)) return;
    this.counts.answers_of_copies++;
    this.deliverSegment(copy.originalKey, original, segment, false, true);
  }

  /**
   * Gives the hop limit of a segment on a copy to the original, to measure how far away the client is. An answer that
   * a router dropped is seen on the copy only.
   */
  private addHopsOfCopy(key: string, segment: Segment, fromClient: boolean): void {
    const copy = this.copies.copyAt(key);
    if (copy !== undefined) this.connections.get(copy.originalKey)?.addHopsOfCopy(segment, fromClient);
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
      // Nobody answered this SYN, and the segment belongs to another connection.
      this.dropHalfOpen(key, half);
      half = undefined;
    }
    if (half === undefined) {
      // A late segment of a connection that is over, or a reset, opens no connection.
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
      // The connection was refused, so no request was sent.
      if (isExpectedReset(half, segment, fromClient)) this.dropHalfOpen(key, half);
      else this.connectionCounts.refused_resets++;
      return undefined;
    } else if (segment.payload.length + segment.payloadCutBytes === 0 && (segment.flags & FIN) === 0) {
      if (learnHandshake(half, segment, fromClient)) this.counts.connections++;
      return undefined;
    }
    this.halfOpen.delete(key);
    if (this.connections.size >= this.limits.maxConnections) this.evictOldest();
    const tuple = half?.tuple ?? clientFlowOf(segment, fromClient);
    const context =
      half === undefined ? this.hooks.connectionOpened(tuple, false, null, segment.timeUs) : half.context;
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
        clientClosed: (timeUs, answerHopLimit) => this.hooks.clientClosed(context, timeUs, answerHopLimit),
      },
    );
    if (half === undefined) this.counts.joined_midway++;
    else connection.adoptHandshake(half);
    if (half?.serverStart == null) this.counts.connections++;
    if (remains?.placeSegment(segment, fromClient) === 'behind') connection.continueAfter(remains);
    this.remains.delete(key);
    this.connections.set(key, connection);
    this.lastUsed = key;
    return connection;
  }

  /**
   * Closes a connection that came to its own end. Its last segments may be seen again on another interface.
   */
  private closeConnection(key: string, connection: Connection<Context>): void {
    this.remains.delete(key);
    this.remains.set(key, connection.remains());
    // The bytes of the answers are kept no longer than the connection.
    for (const copy of this.copies.unprovenCopiesOf(key))
      proveByAnswers(this.copies.copyAt(copy)!, connection);
    deleteOldestEntries(this.remains, this.limits.maxConnections);
    const ended = this.deleteConnection(key, connection);
    this.deleteEnded(key);
    this.ended.set(key, ended);
    if (this.ended.size > MAX_ENDED) this.deleteEnded(this.ended.keys().next().value!);
  }

  private deleteEnded(key: string): void {
    this.ended.get(key)?.discard();
    this.ended.delete(key);
  }

  /** Ends a connection and reports what is known of it. If it goes on, it is joined midway. */
  private abandonConnection(key: string, connection: Connection<Context>): void {
    this.withPendingBytes(connection, () => connection.finish('unanswered'));
    this.deleteConnection(key, connection);
    connection.discard();
  }

  private deleteConnection(key: string, connection: Connection<Context>): EndedConnection<Context> {
    const ended = this.withPendingBytes(connection, () => connection.discardAllButRequests());
    this.connections.delete(key);
    this.hooks.connectionClosed(connection.tuple, connection.context);
    return ended;
  }

  private withPendingBytes<T>(connection: Connection<Context>, action: () => T): T {
    const before = connection.pendingBytes;
    const result = action();
    this.pendingBytes += connection.pendingBytes - before;
    return result;
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
    this.withPendingBytes(connection, () => connection.skipAllGaps(nowUs));
  }
}
