/**
 * Checks Internet checksums (RFC 1071). A receiver drops a packet that fails them, so it must not count as
 * received.
 *
 * A host gives packets to its network card before the TCP checksum is computed. The field then holds only the
 * sum of the pseudo-header (`CHECKSUM_PARTIAL` in Linux). The same is true of packets that were merged on
 * reception.
 */

/** Returns whether an IPv4 header's checksum is right. */
export function isIpv4HeaderIntact(data: Uint8Array, start: number, length: number): boolean {
  return isRightSum(sumOf(data, start, start + length));
}

/**
 * Returns whether a receiver may have accepted the TCP checksum: it is right, or the network card was to fill
 * it in. The segment is `data[start..end)`; its addresses are the `2 * addressBytes` bytes at `addresses`.
 */
export function isTcpIntact(
  data: Uint8Array,
  start: number,
  end: number,
  addresses: number,
  addressBytes: number,
): boolean {
  const length = end - start;
  const pseudo =
    sumOf(data, addresses, addresses + 2 * addressBytes) + 6 + (length >>> 16) + (length & 0xffff);
  const field = (data[start + 16]! << 8) | data[start + 17]!;
  if ((pseudo - field) % 0xffff === 0) return true;
  // The sum of a segment that was not captured whole is unknown.
  return end > data.length || isRightSum(pseudo + sumOf(data, start, end));
}

function sumOf(data: Uint8Array, start: number, end: number): number {
  let sum = 0;
  const last = end - 1;
  let at = start;
  for (; at < last; at += 2) sum += (data[at]! << 8) | data[at + 1]!;
  return at < end ? sum + (data[at]! << 8) : sum;
}

/** Returns whether a sum is right: with its own complement in it, it is a multiple of 65,535 and never 0. */
function isRightSum(sum: number): boolean {
  return sum % 0xffff === 0 && sum !== 0;
}
