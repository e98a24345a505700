/** One connection: its two directions, how they depend on each other, and when it is over. */

import type { FlowTuple } from '../flow.ts';
import { Conversation, type ConversationCounters, type ConversationHooks } from './conversation.ts';
import {
  ANSWER_WAIT_US,
  CLOSE_LINGER_US,
  GAP_WAIT_US,
  type Limits,
  ONE_SIDED_WAIT_US,
  REMEMBERED_CLIENT_BYTES,
  REMEMBERED_SERVER_BYTES,
  REMEMBERED_SERVER_PIECE_BYTES,
  RESET_LINGER_US,
  SYN_WAIT_US,
} from './limits.ts';
import { Reassembly, type ReassemblyCounters, WINDOW_BYTES } from './reassembly.ts';
import { type Comparison, type MemoryUse, Remembered } from './remembered.ts';
import { ACK, FIN, RST, type Segment, SYN, URG } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { TimestampCheck } from './timestamp_check.ts';

/** Counted over all connections. */
export interface ConnectionCounters {
  reassembly: ReassemblyCounters;
  conversation: ConversationCounters;
  resets: number;
  /** What a receiver ignores, and so do we: resets beside the expected byte, and segments from the past. */
  refused_resets: number;
  old_timestamps: number;
  /** Connections that went on behind what we took for their end. */
  segments_after_end: number;
  /** Connections of which the service acknowledged bytes that we had ignored. */
  contradicted_connections: number;
  /** Connections with a request of which one side only was seen. */
  one_sided_connections: number;
  /** Segments with urgent data to the service: nobody can know whether it reads them as part of the stream. */
  urgent_segments: number;
  memory: MemoryUse;
}

export function newConnectionCounters(): ConnectionCounters {
  return {
    reassembly: {
      duplicate_segments: 0,
      out_of_order_segments: 0,
      out_of_window_segments: 0,
      gaps: 0,
      gap_bytes: 0,
      conflicting_segments: 0,
      unverified_copies: 0,
    },
    conversation: {
      requests: 0,
      answers: 0,
      interim_answers: 0,
      gaps_in_heads: 0,
      malformed_requests: 0,
      malformed_answers: 0,
      upgraded_connections: 0,
      opaque_bytes: 0,
      answers_without_request: 0,
      unjudged_answers: 0,
      unseen_requests: 0,
      unfinished_requests: 0,
      undelivered_answers: 0,
      late_answers: 0,
      surplus_requests: 0,
      cut_lines: 0,
    },
    resets: 0,
    refused_resets: 0,
    old_timestamps: 0,
    segments_after_end: 0,
    contradicted_connections: 0,
    one_sided_connections: 0,
    urgent_segments: 0,
    memory: { bytes: 0 },
  };
}

/** What the handshake of a connection told before its first data. */
export interface Handshake {
  /** The service's first sequence number. */
  serverStart: number | null;
  /** The service's own part was seen. */
  sawServer: boolean;
  /** The timestamps of both SYNs; null without one. */
  clientTimestamp: number | null;
  serverTimestamp: number | null;
  timeUs: number;
}

/** What is remembered of a connection that ended. Thousands of them are: nothing but numbers. */
export class Remains {
  readonly lastUs: number;
  readonly isn: number | null;
  readonly clientEnd: number | null;
  readonly serverEnd: number | null;

  constructor(lastUs: number, isn: number | null, clientEnd: number | null, serverEnd: number | null) {
    this.lastUs = lastUs;
    this.isn = isn;
    this.clientEnd = clientEnd;
    this.serverEnd = serverEnd;
  }

  /**
   * Returns how a segment on the same addresses and ports belongs to this connection: it was seen before, it goes on
   * behind the end, or it is another connection's.
   */
  placeSegment(
    { seq, payload, payloadCutBytes }: Segment,
    fromClient: boolean,
  ): 'before' | 'behind' | 'elsewhere' {
    const end = fromClient ? this.clientEnd : this.serverEnd;
    if (end === null) return 'elsewhere';
    const distance = seqDistance(seq, end);
    if (Math.abs(distance) > LATE_SYN_WINDOW_BYTES) return 'elsewhere';
    return distance + payload.length + payloadCutBytes > 0 ? 'behind' : 'before';
  }

  /** Returns whether a segment acknowledges bytes of its peer behind the end; a FIN counts one. */
  acknowledgesMore({ ack, flags }: Segment, fromClient: boolean): boolean {
    const end = fromClient ? this.serverEnd : this.clientEnd;
    if (end === null || (flags & (ACK | RST)) !== ACK) return false;
    const distance = seqDistance(ack, end);
    return distance > 1 && distance < LATE_SYN_WINDOW_BYTES;
  }
}

/** A SYN this far before the first byte seen may be this connection's own, captured late. */
const LATE_SYN_WINDOW_BYTES = 1_048_576;
/** A SYN may carry this much (TCP Fast Open), and its acknowledgement counts it. */
const MAX_SYN_BYTES = 65_535;
/** Ends of ignored segments that are remembered, in case the service acknowledges them. */
const MAX_IGNORED = 16;

export class Connection<Context> {
  readonly tuple: FlowTuple;
  readonly context: Context;
  lastUs: number;
  isOver = false;
  private isn: number | null;
  private readonly client: Reassembly;
  private readonly server: Reassembly;
  private readonly conversation: Conversation;
  private readonly counters: ConnectionCounters;
  private resetUs: number | null = null;
  private clientFinUs: number | null = null;
  private readonly timestamps = new TimestampCheck();
  private sawClient = false;
  private sawServer = false;
  private isOneSided = false;
  /** Acknowledged bytes behind these places mean that the connection did not end where we thought. */
  private clientEdge: number | null = null;
  private serverEdge: number | null = null;
  private readonly ignoredEnds: number[] = [];
  /** The service acknowledged what we had ignored: our view of this connection is wrong. */
  isContradicted = false;

  /** `isn`: the client's initial sequence number, null when its SYN was not seen. */
  constructor(
    tuple: FlowTuple,
    context: Context,
    isn: number | null,
    nowUs: number,
    limits: Limits,
    counters: ConnectionCounters,
    hooks: ConversationHooks,
  ) {
    this.tuple = tuple;
    this.context = context;
    this.lastUs = nowUs;
    this.isn = isn;
    this.counters = counters;
    const conversation = new Conversation(
      counters.conversation,
      limits.maxPendingRequests,
      isn === null,
      hooks,
    );
    this.conversation = conversation;
    this.client = new Reassembly(
      {
        data: (bytes, timeUs) => conversation.clientData(bytes, timeUs),
        gap: (length, timeUs) => conversation.clientGap(length, timeUs),
        conflict: (comparison) => {
          if (comparison === 'differs') counters.reassembly.conflicting_segments++;
          else counters.reassembly.unverified_copies++;
          conversation.doubt();
        },
      },
      counters.reassembly,
      () => true,
      new Remembered(counters.memory, REMEMBERED_CLIENT_BYTES, REMEMBERED_CLIENT_BYTES),
    );
    // An answer is looked at only after what it answers: its acknowledgement number says how much that was.
    this.server = new Reassembly(
      {
        data: (bytes, timeUs, seq) => conversation.serverData(bytes, timeUs, seq),
        gap: (length) => conversation.serverGap(length),
        // Bodies are not remembered, so that a copy of one cannot be compared. That matters to nobody.
        conflict: (comparison) => {
          if (comparison === 'differs') counters.reassembly.conflicting_segments++;
        },
      },
      counters.reassembly,
      (ack) => this.client.hasDeliveredUpTo(ack),
      new Remembered(counters.memory, REMEMBERED_SERVER_BYTES, REMEMBERED_SERVER_PIECE_BYTES),
    );
    if (isn !== null) this.client.startAt((isn + 1) >>> 0);
  }

  get pendingBytes(): number {
    return this.client.pendingBytes + this.server.pendingBytes;
  }

  isSameSyn(isn: number): boolean {
    return this.isn === isn;
  }

  /** Whether a SYN that comes after data can be this connection's own: reordered in the capture. */
  acceptsLateSyn(isn: number): boolean {
    if (this.isn !== null) return false;
    const { next, firstSeq } = this.client;
    const seen = next ?? firstSeq;
    if (seen === null) return true;
    const distance = seqDistance(seen, isn);
    return distance > 0 && distance < LATE_SYN_WINDOW_BYTES;
  }

  /** Returns whether a SYN with another sequence number is plausible: this connection may be over. */
  get isEnding(): boolean {
    return this.resetUs !== null || this.clientFinUs !== null;
  }

  get sawService(): boolean {
    return this.sawServer;
  }

  /** Sequence number of the service's first byte, where the handshake told it. */
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

  /** The handshake was seen before this connection was made. */
  adoptHandshake(handshake: Handshake): void {
    if (handshake.serverStart !== null) this.server.startAt(handshake.serverStart);
    this.sawServer = handshake.sawServer;
    this.timestamps.adoptHandshake(handshake);
    if (handshake.serverStart !== null && this.isn !== null) {
      this.client.handleAcknowledgement((this.isn + 1) >>> 0, this.lastUs);
    }
  }

  /** This connection went on behind what we took for its end. */
  continueAfter(remains: Remains): void {
    if (remains.clientEnd !== null) this.client.startAt(remains.clientEnd);
    if (remains.serverEnd !== null) this.server.startAt(remains.serverEnd);
    // A FIN counts one, and may be acknowledged once more.
    if (remains.clientEnd !== null) this.clientEdge = (remains.clientEnd + 1) >>> 0;
    if (remains.serverEnd !== null) this.serverEdge = (remains.serverEnd + 1) >>> 0;
  }

  handleSyn(isn: number): void {
    this.isn = isn;
    if (this.client.next === null) this.conversation.startsHere();
    this.client.startAt((isn + 1) >>> 0);
    this.settle();
  }

  handleSegment(segment: Segment, fromClient: boolean): void {
    const { flags, timeUs, payload, payloadCutBytes } = segment;
    if (timeUs > this.lastUs) this.lastUs = timeUs;
    const own = fromClient ? this.client : this.server;
    const peer = fromClient ? this.server : this.client;
    const hasAck = (flags & ACK) !== 0;
    if ((flags & RST) !== 0) {
      this.handleReset(own, segment, fromClient);
      return;
    }
    if (this.timestamps.isOld(segment, fromClient, own.ackedByPeer)) {
      this.counters.old_timestamps++;
      return;
    }
    if (fromClient) {
      this.sawClient = true;
      this.conversation.clientSegment(hasAck ? segment.ack : null, timeUs);
    } else {
      this.sawServer = true;
    }
    const isSyn = (flags & SYN) !== 0;
    const first = isSyn ? (segment.seq + 1) >>> 0 : segment.seq;
    if (isSyn) own.startAt(first);
    // The third segment of a handshake acknowledges the SYN only: it tells where the service's stream begins.
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
      if (own.finSeq !== null) this.checkFin(own, end, fromClient);
      if (fromClient && (flags & URG) !== 0) {
        this.counters.urgent_segments++;
        this.conversation.doubt();
      }
      if (fromClient && this.isProbe(first, payload)) return;
      if (!own.addSegment(first, payload, payloadCutBytes, timeUs, hasAck ? segment.ack : 0) && fromClient) {
        this.ignoredEnds.push(end);
        if (this.ignoredEnds.length > MAX_IGNORED) this.ignoredEnds.shift();
      }
    }
    if ((flags & FIN) !== 0) {
      own.setFin(end);
      if (fromClient) this.clientFinUs ??= timeUs;
    }
    if (hasAck) {
      peer.handleAcknowledgement(segment.ack, timeUs);
      this.checkEdges(segment.ack, fromClient);
    }
    this.settle();
  }

  /** A receiver believes a reset that carries exactly the sequence number it expects next (RFC 5961, section 3). */
  private handleReset(own: Reassembly, { seq, ack, flags, timeUs }: Segment, fromClient: boolean): void {
    const expected = [own.next, own.highest, own.ackedByPeer, own.finSeq];
    if (own.next !== null && !expected.includes(seq)) {
      this.counters.refused_resets++;
      return;
    }
    if (fromClient) {
      this.sawClient = true;
      this.conversation.clientSegment((flags & ACK) === 0 ? null : ack, timeUs);
    } else {
      this.sawServer = true;
    }
    if (this.resetUs !== null) return;
    this.resetUs = timeUs;
    this.counters.resets++;
    this.clientEdge = this.client.highest;
    this.serverEdge = this.server.highest;
  }

  /** Bytes behind a FIN: it did not reach its receiver, or they do not. */
  private checkFin(own: Reassembly, end: number, fromClient: boolean): void {
    const fin = own.finSeq!;
    const distance = seqDistance(end, fin);
    if (distance <= 0 || distance > WINDOW_BYTES) return;
    own.withdrawFin();
    const edge = (fin + 1) >>> 0;
    if (fromClient) {
      this.clientEdge ??= edge;
      this.clientFinUs = null;
    } else {
      this.serverEdge ??= edge;
    }
  }

  /** Looks whether an acknowledgement contradicts what we believe of this connection. */
  private checkEdges(ack: number, fromClient: boolean): void {
    const edge = fromClient ? this.serverEdge : this.clientEdge;
    if (edge !== null) {
      const distance = seqDistance(ack, edge);
      if (distance > 0 && distance < WINDOW_BYTES) {
        this.counters.segments_after_end++;
        this.clientEdge = null;
        this.serverEdge = null;
        this.resetUs = null;
      }
    }
    if (fromClient || this.isContradicted || this.client.next === null) return;
    const isFar = Math.abs(seqDistance(ack, this.client.next)) > WINDOW_BYTES;
    this.isContradicted = isFar || this.ignoredEnds.includes(ack);
    if (this.isContradicted) this.counters.contradicted_connections++;
  }

  /** Returns whether a byte only asks for a sign of life: it was acknowledged long ago (RFC 9293, section 3.8.4). */
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

  /** Whether something is decided soon by the mere passing of time. */
  get isWaiting(): boolean {
    return (
      this.resetUs !== null ||
      this.clientFinUs !== null ||
      this.client.waitingSinceUs !== null ||
      this.server.waitingSinceUs !== null
    );
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
    if (this.resetUs !== null && nowUs - this.resetUs >= RESET_LINGER_US) {
      this.finish('reset');
    } else if (
      this.clientFinUs !== null &&
      nowUs - Math.max(this.clientFinUs, this.lastUs) >= CLOSE_LINGER_US
    ) {
      this.finish('unanswered');
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

  /** Over, one way or another: what is known of it is reported. */
  finish(outcome: 'unanswered' | 'reset'): void {
    if (this.isOver) return;
    this.isOver = true;
    this.skipGaps(this.lastUs);
    // Bytes that the service acknowledged and nobody saw, with nothing behind them, are a hole all the same.
    if (this.client.lacksAcknowledgedBytes()) this.client.skipGap(this.lastUs, false);
    this.conversation.finish(this.resetUs === null ? outcome : 'reset');
  }

  /** Gives up on everything that is missing, to make room or to end. */
  skipGaps(nowUs: number): void {
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
        // The service's bytes wait for requests that were never seen.
        const ack = stream.firstAck;
        if (stream !== this.server || ack === null || !this.client.skipTo(ack, nowUs)) break;
        this.server.flush();
      }
    }
  }

  discard(): void {
    this.client.discard();
    this.server.discard();
  }

  remains(): Remains {
    return new Remains(this.lastUs, this.isn, this.client.next, this.server.next);
  }

  /** A stream whose beginning was not seen and did not come late begins where it was first seen. */
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
