/** The counters of the conversation room. Each is a sum over all connections. */
import type { Counters } from '../../protocol/records.ts';
import type { MemoryUse } from './delivered_bytes.ts';

export interface ConversationCounters {
  requests: number;
  answers: number;
  interim_answers: number;
  /** Gaps in a stream that were not inside a body: a part of a request or an answer was not seen. */
  gaps_in_heads: number;
  /** Streams that turned out not to be HTTP/1, and the bytes behind that place. */
  malformed_requests: number;
  malformed_answers: number;
  upgraded_connections: number;
  opaque_bytes: number;
  /** Answers of which no request was seen. */
  answers_without_request: number;
  /**
   * The ones among them that do not show which protocol they answer: a call was made that is not reported.
   */
  unjudged_answers: number;
  /** Requests whose bytes were never seen and that nothing answered. */
  unseen_requests: number;
  /** Requests that ended within their first line. */
  unfinished_requests: number;
  /** Answers that were captured and never reached their client. */
  undelivered_answers: number;
  /** Answers that came after their request was reported unanswered. */
  late_answers: number;
  /** Requests beyond the bound on requests that wait for an answer. */
  surplus_requests: number;
  cut_lines: number;
}

export interface ReassemblyCounters {
  duplicate_segments: number;
  out_of_order_segments: number;
  out_of_window_segments: number;
  gaps: number;
  gap_bytes: number;
  /** Copies of bytes that differ from those delivered before. */
  conflicting_segments: number;
  /** Copies of bytes to the service that are not remembered any more. */
  unverified_copies: number;
}

export interface ConnectionCounters {
  reassembly: ReassemblyCounters;
  conversation: ConversationCounters;
  resets: number;
  /** Resets beside the expected byte, and segments from the past: a receiver ignores them, and so do we. */
  refused_resets: number;
  old_timestamps: number;
  /** Connections that went on after we believed that they had ended. */
  segments_after_end: number;
  /** Connections of which the service acknowledged bytes that we had ignored. */
  contradicted_connections: number;
  /** Connections with a request of which one side only was seen. */
  one_sided_connections: number;
  /** Segments with urgent data to the service, which may or may not read them as part of the stream. */
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

/** Creates the counters of the tracker itself. */
export function newTrackerCounters() {
  return {
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
    /** Segments of the service on a copy that count as answers of the original, whose own are not visible. */
    answers_of_copies: 0,
    stray_segments: 0,
    /**
     * Segments of an endpoint on the loopback, on a connection whose client never sent a packet to that
     * endpoint: its packets were redirected to a program on the host, whose answers are translated back.
     */
    redirected_answers: 0,
    /** Segments that every receiver drops: without an acknowledgement, or signed. */
    refused_segments: 0,
    /** SYNs on the ports of a living connection that the service did not answer as such. */
    ignored_syns: 0,
  };
}

/** Returns the sums as they stand among the counters of the agent. */
export function flatCounters({ reassembly, conversation, memory, ...others }: ConnectionCounters): Counters {
  return { ...reassembly, ...conversation, ...others, remembered_bytes: memory.bytes };
}
