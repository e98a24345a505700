/** Authenticates agents, and decides for which host each of them reports. */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Counters } from '../../protocol/records.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { TokenRow } from '../admin/tokens.ts';
import { certifiedHost } from './client_certificate.ts';
import type { Enrolment } from './enrolments.ts';
import type { AgentIdentity } from './principal.ts';
import { bearerOf, secretHash } from './secret.ts';
import type { EnrolmentClaim, IssuedCredential, TokenStore } from './token_store.ts';

/** Settings for the authentication of agents. */
export interface AgentAuthenticatorOptions {
  /** An enrolment token from the configuration. */
  agentToken: string | null;
  /** If set, that token enrols no host: it is the credential of this host. */
  agentTokenHost: string | null;
}

/** The holder of an enrolment token can invent hosts. This bounds the rows that it can write. */
const MAX_CREDENTIALS = 200_000;
const MAX_HOST_ID_CHARACTERS = 200;

export class AgentAuthenticator {
  readonly #tokens: TokenStore;
  readonly #admin: AdminStore;
  readonly #options: AgentAuthenticatorOptions;
  readonly #now: () => number;
  readonly #agentTokenHash: Buffer | null;
  readonly #counters = {
    agents_by_certificate: 0,
    agents_by_credential: 0,
    agents_by_enrolment: 0,
    agents_refused: 0,
    certificates_refused: 0,
    credentials_issued: 0,
    credentials_renewed: 0,
    credentials_denied: 0,
  };

  constructor(admin: AdminStore, tokens: TokenStore, options: AgentAuthenticatorOptions, now: () => number) {
    this.#tokens = tokens;
    this.#admin = admin;
    this.#options = options;
    this.#now = now;
    this.#agentTokenHash = options.agentToken === null ? null : secretHash(options.agentToken);
  }

  async identify({ socket, headers }: IncomingMessage): Promise<AgentIdentity | null> {
    const certificate = certifiedHost(socket, this.#now());
    if (certificate === 'refused') this.#counters.certificates_refused += 1;
    else if (certificate !== null) {
      this.#counters.agents_by_certificate += 1;
      const { certifiedHosts } = this.#admin;
      if (!(await certifiedHosts.has(certificate.hostId)))
        await certifiedHosts.add(certificate.hostId, this.#now());
      return { hostId: certificate.hostId, via: 'certificate' };
    }
    const identity = await this.#byToken(bearerOf(headers.authorization));
    if (identity === null) this.#counters.agents_refused += 1;
    else if (identity.hostId === null) this.#counters.agents_by_enrolment += 1;
    else this.#counters.agents_by_credential += 1;
    return identity;
  }

  async #byToken(secret: string | null): Promise<AgentIdentity | null> {
    if (secret === null) return null;
    const credential = await this.#tokens.find(secret, 'agent');
    if (credential?.hostId) return { hostId: credential.hostId, via: 'credential' };
    const configured = this.#agentTokenHash;
    if (configured !== null && timingSafeEqual(secretHash(secret), configured)) {
      const { agentTokenHost } = this.#options;
      return agentTokenHost === null
        ? { hostId: null, via: 'enrolment' }
        : { hostId: agentTokenHost, via: 'credential' };
    }
    return (await this.#tokens.find(secret, 'enrolment')) === null
      ? null
      : { hostId: null, via: 'enrolment' };
  }

  /**
   * Issues credentials for agents that enrol. Returns null for one whose host id is not valid or whose host has
   * enrolled before: an enrolment token alone never replaces a host. An agent that lost its credential,
   * because it was killed before it saved it, gets another one if it sends the enrolment key that it enrolled
   * with. Without the key an admin has to revoke the credential first. `store`: a transaction about access, so that no
   * other agent gets a host between the question and the answer. No two of them may be about the same host.
   */
  async issueCredentials(store: AdminStore, enrolments: readonly Enrolment[]): Promise<(string | null)[]> {
    const possible = enrolments.filter(({ hostId }) => this.#isPossible(hostId));
    const hostIds = possible.map(({ hostId }) => hostId);
    const certified = await store.certifiedHosts.among(hostIds);
    const existing = await this.#tokens.credentialsOf(hostIds, store);
    const free = MAX_CREDENTIALS - (await this.#tokens.credentialCount(store));
    const issued: IssuedCredential[] = [];
    let added = 0;
    for (const { hostId, claim } of possible) {
      if (certified.has(hostId)) continue;
      const replaced = existing.get(hostId) ?? null;
      if (replaced === null ? added >= free : !this.#isOwner(replaced, claim)) continue;
      if (replaced === null) added += 1;
      issued.push({ hostId, replaced, claim });
    }
    const secrets = await this.#tokens.issue(store, issued);
    this.#counters.credentials_issued += added;
    this.#counters.credentials_renewed += issued.length - added;
    this.#counters.credentials_denied += enrolments.length - issued.length;
    return enrolments.map(({ hostId }) => secrets.get(hostId) ?? null);
  }

  #isPossible(hostId: string): boolean {
    const isName =
      hostId !== '' && hostId.length <= MAX_HOST_ID_CHARACTERS && !/[\x00-\x1f\x7f]/.test(hostId);
    return isName && hostId !== this.#options.agentTokenHost;
  }

  /**
   * Returns true if only a credential or a certificate authenticates this host, and an enrolment token no
   * longer does.
   */
  async hasCredential(hostId: string): Promise<boolean> {
    if (hostId === this.#options.agentTokenHost || (await this.#admin.certifiedHosts.has(hostId)))
      return true;
    return (await this.#tokens.credentialOf(hostId)) !== null;
  }

  #isOwner({ enrolmentKeyHash }: TokenRow, { enrolmentKey = null }: EnrolmentClaim): boolean {
    if (enrolmentKeyHash === null || enrolmentKey === null) return false;
    return timingSafeEqual(enrolmentKeyHash, secretHash(enrolmentKey));
  }

  counters(): Counters {
    return { ...this.#counters };
  }
}
