/** The bounds of this room. None of them is ever exceeded, and each hit is counted. */
export interface Limits {
  /** Connections with data that are followed at one time; the longest idle one makes room for a new one. */
  maxConnections: number;
  /** Connections that have carried no data yet. */
  maxHalfOpen: number;
  /** Out-of-order bytes that are kept for one connection. */
  maxPendingBytes: number;
  /** Out-of-order bytes that are kept for all connections together. */
  maxPendingBytesTotal: number;
  /** Requests of one connection that wait for their answers. */
  maxPendingRequests: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxConnections: 8_192,
  maxHalfOpen: 16_384,
  maxPendingBytes: 262_144,
  maxPendingBytesTotal: 8_388_608,
  maxPendingRequests: 256,
};

/** The longest part of a head's line that is read; the rest of the line is skipped and counted. */
export const MAX_LINE_BYTES = 8_192;
/** The longest head. A longer one makes the stream malformed. */
export const MAX_HEAD_BYTES = 1_048_576;

/** Data of a connection whose SYN was not seen waits this long for the SYN. */
export const SYN_WAIT_US = 250_000;
/**
 * Bytes that the peer acknowledged and we did not see may still come for this long (reordered in the
 * capture).
 */
export const GAP_WAIT_US = 1_000_000;
/** Packets that were sent before a reset may still come for this long. */
export const RESET_LINGER_US = 250_000;
/** An answer may come this long after the client closed its side. */
export const CLOSE_LINGER_US = 5_000_000;
/** A request without an answer for this long is unanswered. */
export const ANSWER_WAIT_US = 60_000_000;
/** A conversation with only one visible side is reported after this time. */
export const ONE_SIDED_WAIT_US = 10_000_000;
/** A connection without a packet for this long is deleted. Linux gives up on a SYN after about 130 s. */
export const IDLE_EXPIRY_US = 600_000_000;
export const HALF_OPEN_EXPIRY_US = 130_000_000;
/** The first segment of a connection is kept this long to recognise its copy behind address translation. */
export const FIRST_COPY_WINDOW_US = 3_000_000;
/**
 * A connection that ended is kept this long to recognise copies of it: each network namespace has its own
 * capture, and they are not read at the same time.
 */
export const ENDED_KEPT_US = 3_000_000;
/** The most connections that are kept so. */
export const MAX_ENDED = 512;
/** A translated copy waits this long for bytes of its original. Then it is a connection of its own. */
export const COPY_WAIT_US = 1_000_000;
/** The most segments of one copy that wait. */
export const MAX_WAITING_SEGMENTS = 64;
/** Delivered bytes that are kept for each direction, to compare later copies with. */
export const REMEMBERED_CLIENT_BYTES = 8_192;
export const REMEMBERED_SERVER_BYTES = 2_048;
/** Only the head of an answer matters, and it stands at the beginning of a segment. */
export const REMEMBERED_SERVER_PIECE_BYTES = 512;
/** A receiver drops the peer's last timestamp after this time (RFC 7323, section 5.5). */
export const TIMESTAMP_EXPIRY_US = 24 * 86_400_000_000;
/** Copies of a connection's segments may still be seen for this long after its end. */
export const REMAINS_KEPT_US = 60_000_000;
