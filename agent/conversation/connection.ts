/**
 * One connection: its two directions, how they depend on each other, and when it is over. The file is longer
 * than others because each step reads and changes both directions at once.
 */

import type { FlowTuple } from '../flow.ts';
import { ConnectionEnd } from './connection_end.ts';
import { Conversation } from './conversation.ts';
import type { ConnectionCounters } from './counters.ts';
import { type Comparison, DeliveredBytes } from './delivered_bytes.ts';
import { EndedConnection } from './ended_connection.ts';
import type { ConnectionHooks } from './exchange.ts';
import {
  ANSWER_WAIT_US,
  GAP_WAIT_US,
  type Limits,
  ONE_SIDED_WAIT_US,
  REMEMBERED_CLIENT_BYTES,
  REMEMBERED_SERVER_BYTES,
  REMEMBERED_SERVER_PIECE_BYTES,
  SYN_WAIT_US,
} from './limits.ts';
import { PathHops } from './path_hops.ts';
import { Reassembly } from './reassembly.ts';
import { type Handshake, LATE_SYN_WINDOW_BYTES, Remains } from './remains.ts';
import { ACK, FIN, RST, type Segment, SYN, URG } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { TimestampCheck } from './timestamp_check.ts';

/** A SYN may carry this much (TCP Fast Open), and its acknowledgement counts it. */
const MAX_SYN_BYTES = 65_535;

export class Connection<Context> {
  readonly tuple: FlowTuple;
  readonly context: Context;
  lastUs: number;
  isOver = false;
  /** The service's segments were seen with this connection's own addresses, not on a translated copy only. */
  sawOwnAnswers = false;
  private isn: number | null;
  private readonly client: Reassembly;
  private readonly server: Reassembly;
  private readonly conversation: Conversation;
  private readonly counters: ConnectionCounters;
  private readonly timestamps = new TimestampCheck();
  private sawClient = false;
  private sawServer = false;
  private isOneSided = false;
  private readonly end: ConnectionEnd;
  private readonly hooks: ConnectionHooks;
  private readonly path = new PathHops();

  /** `isn` is the client's initial sequence number; null if its SYN was not seen. */
  constructor(
    tuple: FlowTuple,
    context: Context,
    isn: number | null,
    nowUs: number,
    limits: Limits,
    counters: ConnectionCounters,
    hooks: ConnectionHooks,
  ) {
    this.tuple = tuple;
    this.context = context;
    this.lastUs = nowUs;
    this.isn = isn;
    this.counters = counters;
    this.end = new ConnectionEnd(counters);
    this.hooks = hooks;
    const conversation = new Conversation(counters.conversation, limits.maxPendingRequests, isn === null, {
      requestSeen: (request, startUs) => hooks.requestSeen(request, startUs),
      exchangeCompleted: (exchange) => {
        exchange.hops = this.path.hops;
        hooks.exchangeCompleted(exchange);
      },
    });
    this.conversation = conversation;
    this.client = new Reassembly(
      {
        data: (bytes, timeUs, seq) => conversation.readClientData(bytes, timeUs, seq),
        gap: (length, timeUs) => conversation.skipClientGap(length, timeUs),
        conflict: (comparison) => {
          if (comparison === 'differs') counters.reassembly.conflicting_segments++;
          else counters.reassembly.unverified_copies++;
          conversation.markAmbiguous();
        },
      },
      counters.reassembly,
      () => true,
      new DeliveredBytes(counters.memory, REMEMBERED_CLIENT_BYTES, REMEMBERED_CLIENT_BYTES),
    );
    // An answer is read only after the request that it answers: its acknowledgement number shows how far that
    // reaches.
    this.server = new Reassembly(
      {
        data: (bytes, timeUs, seq) => conversation.readServerData(bytes, timeUs, seq),
        gap: (length) => conversation.skipServerGap(length),
        // Bodies are not remembered, so a copy of one cannot be compared. That is no loss: bodies are not
        // read.
        conflict: (comparison) => {
          if (comparison === 'differs') counters.reassembly.conflicting_segments++;
        },
      },
      counters.reassembly,
      (ack) => this.client.hasDeliveredUpTo(ack),
      new DeliveredBytes(counters.memory, REMEMBERED_SERVER_BYTES, REMEMBERED_SERVER_PIECE_BYTES),
    );
    if (isn !== null) this.client.startAt((isn + 1) >>> 0);
  }

  get pendingBytes(): number {
    return this.client.pendingBytes + this.server.pendingBytes;
  }

  isSameSyn(isn: number): boolean {
    return this.isn === isn;
  }

  /** Returns whether a SYN that comes after data can be this connection's own, reordered in the capture. */
  acceptsLateSyn(isn: number): boolean {
    if (this.isn !== null) return false;
    const { next, firstSeq } = this.client;
    const seen = next ?? firstSeq;
    if (seen === null) return true;
    const distance = seqDistance(seen, isn);
    return distance > 0 && distance < LATE_SYN_WINDOW_BYTES;
  }

  /** Returns whether this connection may be over, so that a SYN with another sequence number is plausible. */
  get isEnding(): boolean {
    return this.end.isNear;
  }

  /**
   * Returns whether the service acknowledged bytes that we had ignored: our view of this connection is wrong.
   */
  get isContradicted(): boolean {
    return this.end.isContradicted;
  }

  /** Returns the sequence number of the service's first byte; null if the handshake did not show it. */
  get serverStart(): number | null {
    return this.server.start;
  }

  /** Returns whether a SYN-ACK that acknowledges `ack` answers this connection's SYN. */
  acceptsSynAck(ack: number): boolean {
    if (this.isn !== null) {
      const distance = seqDistance(ack, this.isn);
      return distance > 0 && distance <= MAX_SYN_BYTES + 1;
    }
    const seen = this.client.next ?? this.client.firstSeq;
    return seen === null || Math.abs(seqDistance(ack, seen)) < LATE_SYN_WINDOW_BYTES;
  }

  /** Compares a client's bytes with those of this connection. */
  compareClient(seq: number, bytes: Uint8Array): Comparison {
    return this.client.compare(seq, bytes);
  }

  /** The same, but tells bytes behind all that the client has shown here (`ahead`) from bytes that differ. */
  compareClientAhead(seq: number, bytes: Uint8Array): 'same' | 'differs' | 'ahead' {
    const comparison = this.client.compare(seq, bytes);
    if (comparison !== 'unknown') return comparison;
    const { next } = this.client;
    const isAhead = !this.isOver && (next === null || seqDistance((seq + bytes.length) >>> 0, next) > 0);
    return isAhead ? 'ahead' : 'differs';
  }

  /** Compares the beginning of a segment of the service with the bytes that this connection has shown. */
  compareServer(seq: number, bytes: Uint8Array): Comparison {
    return this.server.compare(seq, bytes.subarray(0, REMEMBERED_SERVER_PIECE_BYTES));
  }

  /** Returns whether this connection was joined midway and no byte of its client was seen yet. */
  get lacksClient(): boolean {
    return this.isn === null && this.client.highest === this.client.start;
  }

  /** Adopts the facts of a handshake that was seen before this connection was created. */
  adoptHandshake(handshake: Handshake): void {
    if (handshake.serverStart !== null) this.server.startAt(handshake.serverStart);
    this.sawServer = handshake.sawServer;
    this.sawOwnAnswers = handshake.sawServer;
    this.timestamps.adoptHandshake(handshake);
    if (handshake.serverStart !== null && this.isn !== null) {
      this.client.handleAcknowledgement((this.isn + 1) >>> 0, this.lastUs);
    }
  }

  /** Continues a connection that went on after we believed that it had ended. */
  continueAfter(remains: Remains): void {
    if (remains.clientEnd !== null) this.client.startAt(remains.clientEnd);
    if (remains.serverEnd !== null) this.server.startAt(remains.serverEnd);
    this.end.continueAfter(remains);
  }

  handleSyn(isn: number): void {
    this.isn = isn;
    if (this.client.next === null) this.conversation.startAtMessage();
    this.client.startAt((isn + 1) >>> 0);
    this.settle();
  }

  /** `onCopy`: a translated copy of this connection showed the segment, which is the service's. */
  handleSegment(segment: Segment, fromClient: boolean, onCopy = false): void {
    const { flags, timeUs, payload, payloadCutBytes } = segment;
    if (timeUs > this.lastUs) this.lastUs = timeUs;
    const own = fromClient ? this.client : this.server;
    const peer = fromClient ? this.server : this.client;
    const hasAck = (flags & ACK) !== 0;
    if ((flags & RST) !== 0) {
      this.handleReset(own, segment, fromClient, onCopy);
      return;
    }
    if (this.timestamps.isOld(segment, fromClient, own.ackedByPeer)) {
      this.counters.old_timestamps++;
      return;
    }
    if (fromClient) {
      this.sawClient = true;
      this.path.addClientSegment(segment.hopLimit);
      this.conversation.handleClientSegment(hasAck ? segment.ack : null, timeUs);
    } else {
      this.sawServer = true;
      this.sawOwnAnswers ||= !onCopy;
    }
    const isSyn = (flags & SYN) !== 0;
    const first = isSyn ? (segment.seq + 1) >>> 0 : segment.seq;
    if (isSyn) own.startAt(first);
    // The third segment of a handshake acknowledges the SYN only: it shows where the service's stream begins.
    if (
      hasAck &&
      fromClient &&
      payload.length === 0 &&
      !isSyn &&
      first === ((this.isn ?? first - 2) + 1) >>> 0
    ) {
      this.server.startAt(segment.ack);
    }
    const end = (first + payload.length + payloadCutBytes) >>> 0;
    if (end !== first) {
      if (!fromClient) this.path.addServerBytes(first, segment.hopLimit);
      if (this.end.isBehindFin(own.finSeq, end, fromClient)) own.withdrawFin();
      if (fromClient && (flags & URG) !== 0) {
        this.counters.urgent_segments++;
        this.conversation.markAmbiguous();
      }
      if (fromClient && this.isProbe(first, payload)) return;
      if (!own.addSegment(first, payload, payloadCutBytes, timeUs, hasAck ? segment.ack : 0) && fromClient) {
        this.end.addIgnored(end);
      }
    }
    if ((flags & FIN) !== 0) {
      own.setFin(end);
      if (fromClient) {
        this.end.handleClientFin(timeUs);
        this.reportClientClose(timeUs);
      }
    }
    if (hasAck) {
      peer.handleAcknowledgement(segment.ack, timeUs);
      this.end.checkAcknowledgement(segment.ack, fromClient, this.client.next);
    }
    this.settle();
  }

  /**
   * Handles a reset. A receiver accepts one that has exactly the next sequence number (RFC 5961, section 3).
   */
  private handleReset(
    own: Reassembly,
    { seq, ack, flags, timeUs }: Segment,
    fromClient: boolean,
    onCopy: boolean,
  ): void {
    const expected = [own.next, own.highest, own.ackedByPeer, own.finSeq];
    if (own.next !== null && !expected.includes(seq)) {
      this.counters.refused_resets++;
      return;
    }
    if (fromClient) {
      this.sawClient = true;
      this.conversation.handleClientSegment((flags & ACK) === 0 ? null : ack, timeUs);
    } else {
      this.sawServer = true;
      this.sawOwnAnswers ||= !onCopy;
    }
    this.end.handleReset(timeUs, this.client.highest, this.server.highest);
    if (fromClient) this.reportClientClose(timeUs);
  }

  /** Learns that a segment was seen on a translated copy, with the hop limit that it had there. */
  addHopsOfCopy({ seq, payload, hopLimit }: Segment, fromClient: boolean): void {
    if (fromClient) this.path.addClientSegment(hopLimit);
    else if (payload.length > 0) this.path.addServerBytes(seq, hopLimit);
  }

  private reportClientClose(timeUs: number): void {
    if (this.conversation.waitingSinceUs !== null) {
      this.hooks.clientClosed(timeUs, this.path.answerHopLimit);
    }
  }

  /** Returns whether a byte is a keep-alive probe: it was acknowledged long ago (RFC 9293, section 3.8.4). */
  private isProbe(seq: number, payload: Uint8Array): boolean {
    const { next, ackedByPeer } = this.client;
    return (
      payload.length === 1 &&
      next === (seq + 1) >>> 0 &&
      ackedByPeer !== null &&
      seqDistance(ackedByPeer, next) >= 0 &&
      this.conversation.isIdle
    );
  }

  /** Returns whether a decision is due soon that depends on time alone. */
  get isWaiting(): boolean {
    return this.end.isNear || this.client.waitingSinceUs !== null || this.server.waitingSinceUs !== null;
  }

  /**
   * Returns since when bytes are held back that may have a request in them, in microseconds since the Unix epoch; null
   * without any. The answer to a request that is known already may wait without being one.
   */
  get heldSinceUs(): number | null {
    if (this.client.waitingSinceUs !== null) return this.client.waitingSinceUs;
    return this.conversation.waitingSinceUs === null ? this.server.waitingSinceUs : null;
  }

  tick(nowUs: number): void {
    if (this.isOver) return;
    this.joinMidway(nowUs);
    for (const stream of [this.client, this.server]) {
      const sinceUs = stream.waitingSinceUs;
      if (sinceUs !== null && nowUs - sinceUs >= GAP_WAIT_US && stream.lacksAcknowledgedBytes()) {
        stream.skipGap(nowUs, false);
      }
    }
    this.settle();
    if (this.isOver) return;
    const outcome = this.end.dueOutcome(nowUs, this.lastUs);
    if (outcome !== null) {
      this.finish(outcome);
    } else {
      const waitingSinceUs = this.conversation.waitingSinceUs;
      if (
        waitingSinceUs !== null &&
        !(this.sawClient && this.sawServer) &&
        nowUs - waitingSinceUs >= ONE_SIDED_WAIT_US
      ) {
        if (!this.isOneSided) this.counters.one_sided_connections++;
        this.isOneSided = true;
        this.conversation.expire();
        return;
      }
      if (waitingSinceUs !== null && nowUs - Math.max(waitingSinceUs, this.lastUs) >= ANSWER_WAIT_US) {
        this.conversation.expire();
      }
    }
  }

  /** Ends the connection and reports everything that is known of it. */
  finish(outcome: 'unanswered' | 'reset'): void {
    if (this.isOver) return;
    this.isOver = true;
    this.skipAllGaps(this.lastUs);
    // Bytes that the service acknowledged and the capture missed are a gap, even with nothing behind them.
    if (this.client.lacksAcknowledgedBytes()) this.client.skipGap(this.lastUs, false);
    this.conversation.finish(this.end.wasReset ? 'reset' : outcome);
  }

  /** Gives up on all missing bytes, to make room or to end. */
  skipAllGaps(nowUs: number): void {
    this.startStreams();
    // Each step may make the other direction ready; a stream has at most as many gaps as it keeps chunks.
    for (let round = 0; round < 100_000; round++) {
      const stream = this.client.holdsData ? this.client : this.server;
      if (!stream.holdsData) break;
      const before = stream.pendingBytes;
      const nextBefore = stream.next;
      stream.skipGap(nowUs, true);
      this.server.flush();
      if (stream.pendingBytes === before && stream.next === nextBefore) {
        // The service's bytes wait for requests that the capture missed.
        const ack = stream.firstAck;
        if (stream !== this.server || ack === null || !this.client.skipTo(ack, nowUs)) break;
        this.server.flush();
      }
    }
  }

  /** Deletes everything but the client's bytes, of which copies may come, and returns what is kept. */
  discardAllButRequests(): EndedConnection<Context> {
    this.client.discardPending();
    this.server.discard();
    return new EndedConnection(this.context, this.lastUs, this.serverStart, this.client.delivered);
  }

  discard(): void {
    this.client.discard();
    this.server.discard();
  }

  remains(): Remains {
    return new Remains(this.lastUs, this.isn, this.client.next, this.server.next);
  }

  /** Starts a stream at the first byte that was seen, if its beginning does not come in time. */
  private joinMidway(nowUs: number): void {
    if (this.client.next !== null && this.server.next !== null) return;
    const waits = [this.client, this.server].some(
      ({ waitingSinceUs }) => waitingSinceUs !== null && nowUs - waitingSinceUs >= SYN_WAIT_US,
    );
    if (waits) this.startStreams();
  }

  private startStreams(): void {
    if (this.client.next === null) {
      const seq = this.client.firstSeq ?? this.server.firstAck;
      if (seq !== null) this.client.startAt(seq);
    }
    if (this.server.next === null && this.server.firstSeq !== null) this.server.startAt(this.server.firstSeq);
    this.server.flush();
  }

  private settle(): void {
    this.server.flush();
    if (this.client.isDone && this.server.isDone && !this.client.holdsData && !this.server.holdsData) {
      this.finish('unanswered');
    }
  }
}
