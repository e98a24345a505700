/** IP addresses as the kernel holds them (16 bytes, network order) to the one text that is used for each. */

const IPV4_MAPPED_PREFIX_WORDS = [0, 0, 0, 0, 0, 0xffff];

/**
 * Canonical text of the 16 bytes at `offset`: RFC 5952 for IPv6 (lower case, no leading zeros, the first longest run
 * of two or more zero groups as `::`), and dotted IPv4 for an IPv4-mapped address (RFC 4291 section 2.5.5.2).
 */
export function addressText(bytes: Uint8Array, offset: number): string {
  const words: number[] = [];
  for (let i = 0; i < 8; i++) words.push((bytes[offset + 2 * i]! << 8) | bytes[offset + 2 * i + 1]!);
  if (IPV4_MAPPED_PREFIX_WORDS.every((word, i) => words[i] === word)) {
    return `${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`;
  }
  let zerosAt = -1;
  let zeros = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && words[i + run] === 0) run++;
    if (run > zeros) {
      zerosAt = i;
      zeros = run;
    }
  }
  const hex = words.map((word) => word.toString(16));
  if (zerosAt < 0) return hex.join(':');
  return `${hex.slice(0, zerosAt).join(':')}::${hex.slice(zerosAt + zeros).join(':')}`;
}

const CACHED_ADDRESSES_MAX = 1024;

/** Remembers the text of IPv4-mapped addresses: on one host they are few, and each connection brings two. */
export class AddressTexts {
  readonly #mapped = new Map<number, string>();

  text(bytes: Buffer, offset: number): string {
    const mapped =
      bytes.readUInt32BE(offset) === 0 &&
      bytes.readUInt32BE(offset + 4) === 0 &&
      bytes.readUInt32BE(offset + 8) === 0xffff;
    if (!mapped) return addressText(bytes, offset);
    const ipv4 = bytes.readUInt32BE(offset + 12);
    let text = this.#mapped.get(ipv4);
    if (text === undefined) {
      if (this.#mapped.size >= CACHED_ADDRESSES_MAX) this.#mapped.clear();
      text = addressText(bytes, offset);
      this.#mapped.set(ipv4, text);
    }
    return text;
  }
}
