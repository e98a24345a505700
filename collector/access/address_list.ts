import { BlockList, isIP, isIPv6 } from 'node:net';

/** A list of networks (`10.0.0.0/8`, `fd00::/8`) and single addresses from a setting. */
export class AddressList {
  readonly #list = new BlockList();
  readonly isEmpty: boolean;

  /** Throws `RangeError` or `TypeError` for a text that is not a network. */
  constructor(networks: readonly string[]) {
    this.isEmpty = networks.length === 0;
    for (const network of networks) {
      const [address = '', prefix] = network.split('/', 2);
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  static isAddress(text: string): boolean {
    return isIP(text) !== 0;
  }

  has(address: string | null | undefined): boolean {
    if (address === null || address === undefined || address === '') return false;
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
    try {
      return this.#list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
    } catch {
      return false; // It is not an address.
    }
  }
}
