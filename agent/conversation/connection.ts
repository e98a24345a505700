/** One connection: its two directions, how they depend on each other, and when it is over. */
import { Conversation, type ConversationCounters, type ConversationHooks } from './conversation.ts';
import type { FlowTuple } from './flow.ts';
import {
  ANSWER_WAIT_US,
  CLOSE_LINGER_US,
  GAP_WAIT_US,
  type Limits,
  RESET_LINGER_US,
  SYN_WAIT_US,
} from './limits.ts';
import { Reassembly, type ReassemblyCounters, seqDistance } from './reassembly.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';

/** Counted over all connections. */
export interface ConnectionCounters {
  reassembly: ReassemblyCounters;
  conversation: ConversationCounters;
  resets: number;
}

export function newConnectionCounters(): ConnectionCounters {
  return {
    reassembly: {
      duplicate_segments: 0,
      out_of_order_segments: 0,
      out_of_window_segments: 0,
      gaps: 0,
      gap_bytes: 0,
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
  };
}

/** What is remembered of a connection that ended. Thousands of them are: nothing but numbers. */
export class Remains {
  readonly lastUs: number;
  readonly isn: number | null;
  private readonly clientEnd: number | null;
  private readonly serverEnd: number | null;

  constructor(lastUs: number, isn: number | null, clientEnd: number | null, serverEnd: number | null) {
    this.lastUs = lastUs;
    this.isn = isn;
    this.clientEnd = clientEnd;
    this.serverEnd = serverEnd;
  }

  /** Whether a segment on the same addresses and ports is this connection's own, seen once more. */
  includes({ seq }: Segment, fromClient: boolean): boolean {
    const end = fromClient ? this.clientEnd : this.serverEnd;
    if (end === null) return false;
    const distance = seqDistance(end, seq);
    return distance >= 0 && distance < LATE_SYN_WINDOW_BYTES;
  }
}

/** A SYN this far before the first byte seen may be this connection's own, captured late. */
const LATE_SYN_WINDOW_BYTES = 1_048_576;

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
      },
      counters.reassembly,
      () => true,
    );
    // An answer is looked at only after what it answers: its acknowledgement number says how much that was.
    this.server = new Reassembly(
      {
        data: (bytes, timeUs, seq) => conversation.serverData(bytes, timeUs, seq),
        gap: (length) => conversation.serverGap(length),
      },
      counters.reassembly,
      (ack) => this.client.covers(ack),
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

  /** The handshake was seen before this connection was made: where the service's stream begins. */
  serverStartsAt(seq: number): void {
    this.server.startAt(seq);
  }

  synSeen(isn: number): void {
    this.isn = isn;
    if (this.client.next === null) this.conversation.startsHere();
    this.client.startAt((isn + 1) >>> 0);
    this.settle();
  }

  segment(segment: Segment, fromClient: boolean): void {
    const { flags, timeUs, payload, payloadCutBytes } = segment;
    if (timeUs > this.lastUs) this.lastUs = timeUs;
    const own = fromClient ? this.client : this.server;
    const peer = fromClient ? this.server : this.client;
    const hasAck = (flags & ACK) !== 0;
    if (fromClient) this.conversation.clientSegment(hasAck ? segment.ack : null, timeUs);
    if ((flags & RST) !== 0) {
      // A reset far from the window is forged or belongs to an older connection on the same port (RFC 5961).
      if (own.next !== null && Math.abs(seqDistance(segment.seq, own.next)) > LATE_SYN_WINDOW_BYTES) return;
      if (this.resetUs === null) {
        this.resetUs = timeUs;
        this.counters.resets++;
      }
      return;
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
    own.push(first, payload, payloadCutBytes, timeUs, hasAck ? segment.ack : 0);
    if ((flags & FIN) !== 0) {
      own.finAt((first + payload.length + payloadCutBytes) >>> 0);
      if (fromClient) this.clientFinUs ??= timeUs;
    }
    if (hasAck) peer.acknowledged(segment.ack, timeUs);
    this.settle();
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
      if (sinceUs !== null && nowUs - sinceUs >= GAP_WAIT_US && stream.missesAcknowledged()) {
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
        if (stream !== this.server || ack === null || !this.client.advanceTo(ack, nowUs)) break;
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
    const waits = [this.client, this.server].some(
      ({ next, waitingSinceUs }) =>
        next === null && waitingSinceUs !== null && nowUs - waitingSinceUs >= SYN_WAIT_US,
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
    if (this.client.done && this.server.done && !this.client.holdsData && !this.server.holdsData) {
      this.finish('unanswered');
    }
  }
}
