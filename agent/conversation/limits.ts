/** Every bound of the conversation room in one place; none of them is ever exceeded, each hit is counted. */
export interface Limits {
  /** Connections with data followed at once; the longest idle one is given up for a new one. */
  maxConnections: number;
  /** Connections of which only a SYN was seen. */
  maxHalfOpen: number;
  /** Out-of-order bytes kept for one direction of one connection. */
  maxPendingBytes: number;
  /** Out-of-order bytes kept in all. */
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

/** Longest part of a head's line that is looked at; the rest of the line is skipped and counted. */
export const MAX_LINE_BYTES = 8_192;
/** A head longer than this is no head: the connection is given up. */
export const MAX_HEAD_BYTES = 1_048_576;

/** How long data of a connection whose SYN was not seen (yet) waits for it. */
export const SYN_WAIT_US = 250_000;
/** How long bytes that the peer acknowledged and we did not see may still come (reordered in the capture). */
export const GAP_WAIT_US = 1_000_000;
/** How long after a RST packets captured before it may still come. */
export const RESET_LINGER_US = 250_000;
/** How long an answer may come after the client closed its side. */
export const CLOSE_LINGER_US = 5_000_000;
/** A request without an answer for this long is unanswered. */
export const ANSWER_WAIT_US = 60_000_000;
/** A conversation of which only one side is seen is reported after this long. */
export const ONE_SIDED_WAIT_US = 10_000_000;
/** A connection without a packet for this long is forgotten. Linux gives up on a SYN after about 130 s. */
export const IDLE_EXPIRY_US = 600_000_000;
export const HALF_OPEN_EXPIRY_US = 130_000_000;
/** How long a SYN is remembered to recognise its copy behind address translation. */
export const SYN_COPY_WINDOW_US = 3_000_000;
/** Delivered bytes that are remembered of each direction, to compare later copies with. */
export const REMEMBERED_CLIENT_BYTES = 8_192;
export const REMEMBERED_SERVER_BYTES = 2_048;
/** Of an answer only the head matters, and it stands at the beginning of a segment. */
export const REMEMBERED_SERVER_PIECE_BYTES = 512;
/** A receiver forgets the peer's last timestamp after this long (RFC 7323, section 5.5). */
export const TIMESTAMP_EXPIRY_US = 24 * 86_400_000_000;
/** How long after its end a connection's segments may still be seen once more. */
export const REMAINS_KEPT_US = 60_000_000;
