/** Converts IP addresses of the kernel (16 bytes, network order) to their canonical text. */

import { ipv4Text, ipv6Text } from '../../common/address.ts';

const CACHED_ADDRESSES_MAX = 1024;

/** Caches the text of IPv4-mapped addresses: a host has few of them, and each connection has two. */
export class AddressTexts {
  readonly #mapped = new Map<number, string>();

  /**
   * Returns the text of the 16 bytes at `offset`: dotted for an IPv4-mapped address (RFC 4291, section
   * 2.5.5.2), else in the form of RFC 5952.
   */
  textOf(bytes: Buffer, offset: number): string {
    const mapped =
      bytes.readUInt32BE(offset) === 0 &&
      bytes.readUInt32BE(offset + 4) === 0 &&
      bytes.readUInt32BE(offset + 8) === 0xffff;
    if (!mapped) return ipv6Text(bytes, offset);
    const ipv4 = bytes.readUInt32BE(offset + 12);
    let text = this.#mapped.get(ipv4);
    if (text === undefined) {
      if (this.#mapped.size >= CACHED_ADDRESSES_MAX) this.#mapped.clear();
      text = ipv4Text(bytes, offset + 12);
      this.#mapped.set(ipv4, text);
    }
    return text;
  }
}
