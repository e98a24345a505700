/**
 * Internet checksums (RFC 1071). A receiver drops what fails them, so such a packet must not count as received.
 *
 * A host hands packets to its network card before the TCP checksum is computed: the field then holds the sum of the
 * pseudo-header only (`CHECKSUM_PARTIAL` in Linux), and so it does in packets that were merged on reception.
 */

/** Returns whether an IPv4 header's checksum is right. */
export function isIpv4HeaderIntact(data: Uint8Array, start: number, length: number): boolean {
  return isAllOnes(sumOf(data, start, start + length));
}

/**
 * Returns whether a receiver may have accepted the TCP checksum: it is right, or it waits for the network card.
 * The segment is `data[start..end)`; its addresses are the `2 * addressBytes` bytes at `addresses`.
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
  // The part that was not captured cannot be summed up.
  return end > data.length || isAllOnes(pseudo + sumOf(data, start, end));
}

function sumOf(data: Uint8Array, start: number, end: number): number {
  let sum = 0;
  const last = end - 1;
  let at = start;
  for (; at < last; at += 2) sum += (data[at]! << 8) | data[at + 1]!;
  return at < end ? sum + (data[at]! << 8) : sum;
}

/** The sum of a packet that carries its own complement is a multiple of 65,535, and never 0. */
function isAllOnes(sum: number): boolean {
  return sum % 0xffff === 0 && sum !== 0;
}
