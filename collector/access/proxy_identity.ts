/**
 * Reads the user and the client address from the headers of a reverse proxy, if the request comes from a
 * trusted address.
 */
import type { Counters } from '../../protocol/records.ts';
import { AddressList } from './address_list.ts';
import { COMMAND_PREFIX, type Principal } from './principal.ts';
import { headerOf, type RequestHeaders } from './request_headers.ts';

export interface ProxyOptions {
  /** Header with the name of the user. Null: no proxy authenticates users. */
  userHeader: string | null;
  trustedAddresses: readonly string[];
  /** Users who are admins; all others are viewers. */
  admins: readonly string[];
}

const MAX_USER_CHARACTERS = 200;

export class ProxyIdentity {
  readonly #header: string | null;
  readonly #trusted: AddressList;
  readonly #admins: ReadonlySet<string>;
  readonly #counters = { proxy_users: 0, proxy_headers_ignored: 0, proxy_headers_refused: 0 };

  constructor({ userHeader, trustedAddresses, admins }: ProxyOptions) {
    this.#header = userHeader;
    this.#trusted = new AddressList(trustedAddresses);
    this.#admins = new Set(admins);
  }

  identifyUser(headers: RequestHeaders, remoteAddress: string | null): Principal | null {
    if (this.#header === null) return null;
    const user = headerOf(headers, this.#header);
    if (user === null) return null;
    if (!this.#trusted.has(remoteAddress)) {
      this.#counters.proxy_headers_ignored += 1;
      return null;
    }
    // A comma means that the header came twice, and the client may have added one of the two.
    const isInvalid = user === '' || user.startsWith(COMMAND_PREFIX);
    if (isInvalid || user.length > MAX_USER_CHARACTERS || /[^\x21-\x7e]|,/.test(user)) {
      this.#counters.proxy_headers_refused += 1;
      return null;
    }
    this.#counters.proxy_users += 1;
    return { name: user, role: this.#admins.has(user) ? 'admin' : 'viewer', via: 'proxy', tokenId: null };
  }

  /**
   * Returns the address of the client. If a trusted proxy sent the request, this is the last address in
   * `X-Forwarded-For` that is not a trusted proxy. The client itself may have written the addresses before
   * it.
   */
  clientAddress(headers: RequestHeaders, remoteAddress: string | null): string | null {
    if (!this.#trusted.has(remoteAddress)) return remoteAddress;
    const hops = (headerOf(headers, 'x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
    const client = hops.findLast((hop) => hop !== '' && !this.#trusted.has(hop));
    return client !== undefined && AddressList.isAddress(client) ? client : remoteAddress;
  }

  /** Returns true for the address of a proxy that is trusted to name its client. */
  isTrusted(address: string): boolean {
    return this.#trusted.has(address);
  }

  counters(): Counters {
    return { ...this.#counters };
  }
}
