/** IP addresses as the kernel holds them (16 bytes, network order) to the one text that is used for each. */

import { ipv4Text, ipv6Text } from '../../common/address.ts';

const CACHED_ADDRESSES_MAX = 1024;

/** Remembers the text of IPv4-mapped addresses: on one host they are few, and each connection brings two. */
export class AddressTexts {
  readonly #mapped = new Map<number, string>();

  /** Of the 16 bytes at `offset`; dotted for an IPv4-mapped address (RFC 4291 section 2.5.5.2), else as RFC 5952 has it. */
  text(bytes: Buffer, offset: number): string {
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
