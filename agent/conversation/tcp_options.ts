/**
 * Reads the TCP options that decide whether a receiver accepts a segment (RFC 9293, section 3.2; RFC 7323,
 * section 3).
 */

const END = 0;
const PADDING = 1;
const SEGMENT_SIZE = 2;
const TIMESTAMPS = 8;
/** The option kinds of signatures (RFC 2385, RFC 5925). */
const MD5_SIGNATURE = 19;
const AUTHENTICATION = 29;

/** Returns the index of an option's kind, or -1. */
function indexOfOption(options: Uint8Array, kind: number): number {
  let at = 0;
  while (at < options.length && options[at] !== END) {
    if (options[at] === kind) return at;
    if (options[at] === PADDING) at++;
    else if (options[at + 1]! >= 2) at += options[at + 1]!;
    else return -1;
  }
  return -1;
}

/** Returns the sender's timestamp, or null without one. */
export function timestampOf(options: Uint8Array): number | null {
  if (options.length < 10) return null;
  // The usual layout is two bytes of padding, then the timestamps (RFC 7323, appendix A).
  const at =
    options[0] === PADDING && options[1] === PADDING && options[2] === TIMESTAMPS
      ? 2
      : indexOfOption(options, TIMESTAMPS);
  if (at < 0 || options[at + 1] !== 10 || at + 10 > options.length) return null;
  return (
    ((options[at + 2]! << 24) | (options[at + 3]! << 16) | (options[at + 4]! << 8) | options[at + 5]!) >>> 0
  );
}

/**
 * Returns whether a segment is signed. A receiver without the key drops it, and no metadata service has a
 * key.
 */
export function isSigned(options: Uint8Array): boolean {
  if (options.length < 16) return false; // even the shorter signature needs 16 bytes
  return indexOfOption(options, MD5_SIGNATURE) >= 0 || indexOfOption(options, AUTHENTICATION) >= 0;
}

/**
 * Returns the options of a SYN without the maximum segment size. A host that forwards often lowers that size,
 * so that the translated packets fit into a tunnel.
 */
export function withoutSegmentSize(options: Uint8Array): Uint8Array {
  const at = indexOfOption(options, SEGMENT_SIZE);
  if (at < 0 || options[at + 1] !== 4) return options;
  const rest = Uint8Array.from(options);
  return rest.fill(0, at + 2, at + 4);
}
