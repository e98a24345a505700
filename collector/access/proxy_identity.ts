/**
 * Reads the user, the groups and the client address from the headers of a reverse proxy, if the request comes from a
 * trusted address.
 */
import type { Counters } from '../../protocol/records.ts';
import { AddressList } from './address_list.ts';
import { type GroupRoles, grantOf, groupsText, NoRoleError } from './group_roles.ts';
import { COMMAND_PREFIX, type Grant, type Principal } from './principal.ts';
import { headerOf, type RequestHeaders } from './request_headers.ts';

export interface ProxyOptions {
  /** Header with the name of the user. Null: no proxy authenticates users. */
  userHeader: string | null;
  /** Header with the groups of the user, separated by commas. Null: groups do not count, and every user is a viewer. */
  groupsHeader: string | null;
  trustedAddresses: readonly string[];
  /** Users with a role of their own, whatever their groups are. */
  admins: readonly string[];
  auditors: readonly string[];
  groups: GroupRoles;
}

const MAX_USER_CHARACTERS = 200;

/** For commands and tests: nobody comes by a proxy. */
export const NO_PROXY: ProxyOptions = {
  userHeader: null,
  groupsHeader: null,
  trustedAddresses: [],
  admins: [],
  auditors: [],
  groups: { admins: [], auditors: [], viewers: [], scoped: [] },
};

export class ProxyIdentity {
  readonly #header: string | null;
  readonly #groupsHeader: string | null;
  readonly #groups: GroupRoles;
  readonly #trusted: AddressList;
  readonly #admins: ReadonlySet<string>;
  readonly #auditors: ReadonlySet<string>;
  readonly #counters = {
    proxy_users: 0,
    proxy_headers_ignored: 0,
    proxy_headers_refused: 0,
    proxy_users_without_role: 0,
  };

  constructor({ userHeader, groupsHeader, trustedAddresses, admins, auditors, groups }: ProxyOptions) {
    this.#header = userHeader;
    this.#groupsHeader = groupsHeader;
    this.#groups = groups;
    this.#trusted = new AddressList(trustedAddresses);
    this.#admins = new Set(admins);
    this.#auditors = new Set(auditors);
  }

  /** Throws `NoRoleError` where the groups of the user have no role. */
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
    const grant = this.#grantOf(user, headers);
    this.#counters.proxy_users += 1;
    return { ...grant, name: user, via: 'proxy', tokenId: null };
  }

  #grantOf(user: string, headers: RequestHeaders): Grant {
    if (this.#admins.has(user)) return { role: 'admin', scope: null };
    if (this.#auditors.has(user)) return { role: 'auditor', scope: null };
    if (this.#groupsHeader === null) return { role: 'viewer', scope: null };
    const groups = (headerOf(headers, this.#groupsHeader) ?? '')
      .split(',')
      .map((group) => group.trim())
      .filter((group) => group !== '');
    const grant = grantOf(groups, this.#groups);
    if (grant !== null) return grant;
    this.#counters.proxy_users_without_role += 1;
    throw new NoRoleError(
      `You have no role here. The proxy signed you in as ${user}, and its header ${this.#groupsHeader} named ${groupsText(groups)}. An admin of the collector gives a group a role by proxy_admin_groups, proxy_auditor_groups, proxy_viewer_groups or proxy_scoped_groups.`,
    );
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
