/** Arithmetic of sequence numbers, which count bytes modulo 2^32 (RFC 9293, section 3.4). */

/** Returns `a - b` modulo 2^32 as a signed number. */
export function seqDistance(a: number, b: number): number {
  return (a - b) | 0;
}
