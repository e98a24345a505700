/**
 * Authentication of agents and people, and the settings that admins manage. One object over the admin
 * database. The collector uses it on its main thread, and `imdswatch token` in a process of its own, whose
 * changes the collector notices within a second.
 */
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type * as z from 'zod';
import type { Counters } from '../../protocol/records.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { AuditQuestion } from '../admin/audit_log.ts';
import { type AuditEntry, type NewToken, retention, type Token } from '../contract/administration.ts';
import { AgentAuthenticator, type AgentAuthenticatorOptions } from './agent_authenticator.ts';
import { Enrolments } from './enrolments.ts';
import type { Actor, AgentIdentity, Grant, Principal } from './principal.ts';
import { ProxyIdentity, type ProxyOptions } from './proxy_identity.ts';
import type { RequestHeaders } from './request_headers.ts';
import { isSameOrigin } from './same_origin.ts';
import { type OwnCookie, sessionCookie } from './session_cookie.ts';
import { type Limited, type ProvidedPerson, SessionOpener, type SignedIn } from './session_opener.ts';
import { type EndedToken, type EnrolmentClaim, TokenStore } from './token_store.ts';
import { type PresentedCredentials, UserAuthenticator } from './user_authenticator.ts';

export interface AccessOptions extends AgentAuthenticatorOptions {
  proxy: ProxyOptions;
  /** True if people reach the collector over TLS: its own, or that of a proxy in front of it. */
  secure: boolean;
  /** Address by which people reach the collector, if it differs from the Host header. */
  publicUrl: string | null;
}

export type RetentionSettings = z.infer<typeof retention>;

/**
 * Raw calls show each single call, and are kept for two weeks, the window of readiness. Roll-ups show the
 * trend, and are kept for a year and a month, so that years can be compared. 20 GiB hold some 100 million raw
 * calls.
 */
export const DEFAULT_RETENTION: RetentionSettings = {
  raw_days: 14,
  rollup_days: 400,
  max_bytes: 20 * 1024 ** 3,
};

/** Time until a change by another process is noticed, and until `last_used` is on disk. */
const POLL_INTERVAL_MS = 1000;
const RETENTION_KEY = 'retention';
const ADDRESS_KEY = 'address';

export class Access {
  readonly #admin: AdminStore;
  readonly #options: AccessOptions;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #tokens: TokenStore;
  readonly #agents: AgentAuthenticator;
  readonly #enrolments: Enrolments;
  readonly #users: UserAuthenticator;
  readonly #opener: SessionOpener;
  readonly #proxy: ProxyIdentity;
  readonly #auditLog: AdminStore['auditLog'];
  readonly #settings: AdminStore['settings'];
  readonly #timer: NodeJS.Timeout;
  #polling: Promise<void> = Promise.resolve();
  #polls = 0;
  readonly #counters = { cross_origin_refused: 0, store_errors: 0 };
  /** Reads and writes the cookie of a session. */
  readonly cookie: OwnCookie;

  private constructor(
    admin: AdminStore,
    tokens: TokenStore,
    options: AccessOptions,
    log: Logger,
    now: () => number,
  ) {
    this.#admin = admin;
    this.#options = options;
    this.#log = log;
    this.#now = now;
    this.cookie = sessionCookie(options.secure);
    this.#auditLog = admin.auditLog;
    this.#settings = admin.settings;
    this.#proxy = new ProxyIdentity(options.proxy);
    this.#tokens = tokens;
    this.#agents = new AgentAuthenticator(admin, tokens, options, now);
    this.#enrolments = new Enrolments(
      admin,
      (store, enrolments) => this.#agents.issueCredentials(store, enrolments),
      () => tokens.onNotStored(),
    );
    const { cookie } = this;
    this.#opener = new SessionOpener(admin, now);
    const parts = { tokens: this.#tokens, proxy: this.#proxy, cookie, opener: this.#opener, log, now };
    this.#users = new UserAuthenticator(admin, parts);
    this.#timer = setInterval(() => {
      if (this.#polls === 0) void this.poll();
    }, POLL_INTERVAL_MS).unref();
  }

  /** `now`: milliseconds since 1970. The caller closes the database, after `close()`. */
  static async open(
    admin: AdminStore,
    options: AccessOptions,
    log: Logger,
    now: () => number = Date.now,
  ): Promise<Access> {
    const access = new Access(admin, await TokenStore.open(admin, now), options, log, now);
    await access.#opener.deleteOld();
    return access;
  }

  // Agents

  /**
   * Authenticates an agent. Resolves to null if its credential is not valid, and to `unavailable` if the database failed
   * (counted and logged): then it is not known, and the agent must come again.
   */
  async identifyAgent(request: IncomingMessage): Promise<AgentIdentity | 'unavailable' | null> {
    try {
      return await this.#agents.identify(request);
    } catch (error) {
      this.#onStoreError(error);
      return 'unavailable';
    }
  }

  /**
   * Issues a credential for an agent whose identity is `enrolment`. Resolves to null if the host has one already
   * and the claim does not prove that it is the same agent: no other agent gets that host until an admin
   * revokes the credential. Rejects if it cannot be stored. Many agents that enrol at once need few transactions.
   */
  enrol(hostId: string, claim: EnrolmentClaim = {}): Promise<string | null> {
    return this.#enrolments.enrol(hostId, claim);
  }

  /** Returns true if an enrolment token no longer authenticates this host, only a credential or certificate. */
  hasCredential(hostId: string): Promise<boolean> {
    return this.#agents.hasCredential(hostId);
  }

  // People

  identifyUser(credentials: PresentedCredentials): Promise<Principal | null> {
    return this.#users.identifyUser(credentials);
  }

  /** Creates a code for a link that signs in once within 15 minutes (`signInLink`). */
  createSignInCode(grant: Grant, by: Actor): Promise<string> {
    return this.#users.createSignInCode(grant, by);
  }

  /**
   * Signs in with a person's token or a sign-in code. Returns null if it is neither, and `retryAfterSeconds`
   * after too many attempts. `remoteAddress` is the result of `clientAddress`.
   */
  signIn(secret: string, remoteAddress: string | null): Promise<SignedIn | Limited | null> {
    return this.#users.signIn(secret, remoteAddress);
  }

  /** Opens a session for a person whom an identity provider has signed in. */
  openSession(person: ProvidedPerson, remoteAddress: string | null): Promise<SignedIn | Limited> {
    return this.#opener.openProvided(person, remoteAddress);
  }

  /**
   * `session` is the result of `cookie.read`. Returns the encrypted ID token of a person whom an identity provider had
   * signed in, else null.
   */
  signOut(session: string, remoteAddress: string | null): Promise<string | null> {
    return this.#users.signOut(session, remoteAddress);
  }

  /** Ends every session and invalidates every sign-in code. Returns the number of sessions. */
  signOutAll(by: Actor): Promise<number> {
    return this.#users.signOutAll(by);
  }

  /** Returns the address of the client, which a trusted proxy names. The audit log and the limits use it. */
  clientAddress(headers: RequestHeaders, remoteAddress: string | null | undefined): string | null {
    return this.#proxy.clientAddress(headers, remoteAddress ?? null);
  }

  isTrustedProxy(address: string): boolean {
    return this.#proxy.isTrusted(address);
  }

  /**
   * Returns true if a request may change something for this principal (null: it signs in). A program sends a
   * token on purpose. A browser adds the cookie of a session and a proxy adds its header to any request, so
   * that request must come from our own page.
   */
  mayChange(principal: Principal | null, headers: RequestHeaders): boolean {
    if (principal?.via === 'token' || isSameOrigin(headers, this.#options)) return true;
    this.#counters.cross_origin_refused += 1;
    return false;
  }

  // Administration

  tokens(): Promise<Token[]> {
    return this.#tokens.list();
  }

  /**
   * `secret` is not stored. Throws `OperatorError`: 2 if a role or host is missing, 1 if the host has a
   * credential.
   */
  createToken(token: NewToken, by: Actor): Promise<{ token: Token; secret: string }> {
    return this.#tokens.create(token, by);
  }

  /**
   * Takes effect at once, also on sessions. Returns false if there is no such token, or if it was revoked
   * before.
   */
  revokeToken(id: string, by: Actor): Promise<boolean> {
    return this.#tokens.revoke(id, by);
  }

  /** Lets a host that used a certificate enrol by token from now on. Returns false if it never used one. */
  releaseCertifiedHost(hostId: string, by: Actor): Promise<boolean> {
    return this.#admin.transaction('access', async ({ certifiedHosts, auditLog }) => {
      const released = await certifiedHosts.remove(hostId);
      if (released) {
        const { name: actor, sourceAddress: source_address } = by;
        const entry = { actor, action: 'certificate.release', subject: hostId, detail: null, source_address };
        await auditLog.append(entry, this.#now());
      }
      return released;
    });
  }

  /**
   * Calls `listener` for each token that expires or is revoked, here or by a command, so that its connections
   * can be closed.
   */
  onTokenEnded(listener: (ended: EndedToken) => void): void {
    this.#tokens.onEnded(listener);
  }

  async audit(entry: Omit<AuditEntry, 'id' | 'time'>): Promise<void> {
    await this.#auditLog.append(entry, this.#now());
  }

  /** Returns the newest first. */
  auditLog(question: AuditQuestion): Promise<AuditEntry[]> {
    return this.#auditLog.newest(question);
  }

  async retention(): Promise<RetentionSettings> {
    const stored = retention.safeParse(await this.#settings.get(RETENTION_KEY));
    return stored.success ? stored.data : DEFAULT_RETENTION;
  }

  async setRetention(value: RetentionSettings, by: Actor): Promise<void> {
    const { raw_days, rollup_days, max_bytes } = value;
    const entry = {
      actor: by.name,
      action: 'retention.set',
      subject: 'retention',
      detail: `raw ${raw_days} days, roll-ups ${rollup_days} days, at most ${max_bytes} bytes`,
      source_address: by.sourceAddress,
    };
    await this.#admin.transaction('settings', async ({ settings, auditLog }) => {
      await settings.put(RETENTION_KEY, value);
      await auditLog.append(entry, this.#now());
    });
  }

  /** Returns the base of the collector's links, as of its last start, for commands beside it. */
  async address(): Promise<string | null> {
    const stored = await this.#settings.get(ADDRESS_KEY);
    return typeof stored === 'string' ? stored : null;
  }

  async setAddress(url: string): Promise<void> {
    await this.#settings.put(ADDRESS_KEY, url);
  }

  /** Counts successful and refused authentications. */
  counters(): Counters {
    return {
      ...this.#agents.counters(),
      ...this.#users.counters(),
      ...this.#proxy.counters(),
      ...this.#counters,
    };
  }

  /**
   * Notices tokens that ended, and stores when tokens and sessions were last used. A timer calls it every
   * second. Never rejects: a failure is counted and logged.
   */
  poll(): Promise<void> {
    this.#polls += 1;
    this.#polling = this.#polling.then(() => this.#pollOnce());
    return this.#polling;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.poll();
  }

  async #pollOnce(): Promise<void> {
    try {
      await this.#tokens.poll();
      await this.#tokens.flush();
      await this.#users.flush();
    } catch (error) {
      this.#onStoreError(error);
    } finally {
      this.#polls -= 1;
    }
  }

  #onStoreError(error: unknown): void {
    this.#counters.store_errors += 1;
    // `poll` fails every second. The first error is logged, and then ever fewer.
    if (Math.log2(this.#counters.store_errors) % 1 !== 0) return;
    this.#log.error(
      { err: error, errors: this.#counters.store_errors },
      'the database of tokens and sessions cannot be used; nobody can sign in or connect until it can',
    );
  }
}
