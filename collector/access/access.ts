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
import {
  type AuditEntry,
  type NewToken,
  type Role,
  retention,
  type Token,
} from '../contract/administration.ts';
import { AgentAuthenticator, type AgentAuthenticatorOptions } from './agent_authenticator.ts';
import { Enrolments } from './enrolments.ts';
import type { Actor, AgentIdentity, Principal } from './principal.ts';
import { ProxyIdentity, type ProxyOptions } from './proxy_identity.ts';
import type { RequestHeaders } from './request_headers.ts';
import { isSameOrigin } from './same_origin.ts';
import { type SessionCookie, sessionCookie } from './session_cookie.ts';
import { type EndedToken, type EnrolmentClaim, TokenStore } from './token_store.ts';
import { type PresentedCredentials, type SignedIn, UserAuthenticator } from './user_authenticator.ts';

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
  readonly #certified: AdminStore['certifiedHosts'];
  readonly #agents: AgentAuthenticator;
  readonly #enrolments: Enrolments;
  readonly #users: UserAuthenticator;
  readonly #proxy: ProxyIdentity;
  readonly #auditLog: AdminStore['auditLog'];
  readonly #settings: AdminStore['settings'];
  readonly #timer: NodeJS.Timeout;
  readonly #counters = { cross_origin_refused: 0, store_errors: 0 };
  /** Reads and writes the cookie of a session. */
  readonly cookie: SessionCookie;

  /** `now`: milliseconds since 1970. The caller closes the database, after `close()`. */
  constructor(admin: AdminStore, options: AccessOptions, log: Logger, now: () => number = Date.now) {
    this.#admin = admin;
    this.#options = options;
    this.#log = log;
    this.#now = now;
    this.cookie = sessionCookie(options.secure);
    this.#auditLog = admin.auditLog;
    this.#settings = admin.settings;
    this.#proxy = new ProxyIdentity(options.proxy);
    this.#tokens = new TokenStore(admin, now);
    this.#certified = admin.certifiedHosts;
    this.#agents = new AgentAuthenticator(this.#tokens, this.#certified, options, now);
    this.#enrolments = new Enrolments(admin, (hostId, claim) => this.issueCredential(hostId, claim));
    const { cookie } = this;
    const parts = { tokens: this.#tokens, proxy: this.#proxy, cookie, log, now };
    this.#users = new UserAuthenticator(admin, parts);
    this.#timer = setInterval(() => this.poll(), POLL_INTERVAL_MS).unref();
  }

  // Agents

  /**
   * Authenticates an agent. Returns null if its credential is not valid, or if the database failed (counted
   * and logged).
   */
  identifyAgent(request: IncomingMessage): AgentIdentity | null {
    try {
      return this.#agents.identify(request);
    } catch (error) {
      this.#onStoreError(error);
      return null;
    }
  }

  /**
   * Issues a credential for an agent whose identity is `enrolment`. Returns null if the host has one already
   * and the claim does not prove that it is the same agent: no other agent gets that host until an admin
   * revokes the credential. Throws if it cannot be stored.
   */
  issueCredential(hostId: string, claim: EnrolmentClaim = {}): string | null {
    return this.#agents.issueCredential(hostId, claim);
  }

  /** Does the same for many agents that enrol at once, in few transactions. */
  enrol(hostId: string, claim: EnrolmentClaim = {}): Promise<string | null> {
    return this.#enrolments.enrol(hostId, claim);
  }

  /** Returns true if an enrolment token no longer authenticates this host, only a credential or certificate. */
  hasCredential(hostId: string): boolean {
    return this.#agents.hasCredential(hostId);
  }

  // People

  identifyUser(credentials: PresentedCredentials): Principal | null {
    return this.#users.identifyUser(credentials);
  }

  /** Creates a code for a link that signs in once within 15 minutes (`signInLink`). */
  createSignInCode(role: Role, by: Actor): string {
    return this.#users.createSignInCode(role, by);
  }

  /**
   * Signs in with a person's token or a sign-in code. Returns null if it is neither, and `retryAfterSeconds`
   * after too many attempts. `remoteAddress` is the result of `clientAddress`.
   */
  signIn(secret: string, remoteAddress: string | null): SignedIn | { retryAfterSeconds: number } | null {
    return this.#users.signIn(secret, remoteAddress);
  }

  /** `session` is the result of `cookie.read`. */
  signOut(session: string, remoteAddress: string | null): void {
    this.#users.signOut(session, remoteAddress);
  }

  /** Ends every session and invalidates every sign-in code. Returns the number of sessions. */
  signOutAll(by: Actor): number {
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

  tokens(): Token[] {
    return this.#tokens.list();
  }

  /**
   * `secret` is not stored. Throws `OperatorError`: 2 if a role or host is missing, 1 if the host has a
   * credential.
   */
  createToken(token: NewToken, by: Actor): { token: Token; secret: string } {
    return this.#tokens.create(token, by);
  }

  /**
   * Takes effect at once, also on sessions. Returns false if there is no such token, or if it was revoked
   * before.
   */
  revokeToken(id: string, by: Actor): boolean {
    return this.#tokens.revoke(id, by);
  }

  /** Lets a host that used a certificate enrol by token from now on. Returns false if it never used one. */
  releaseCertifiedHost(hostId: string, by: Actor): boolean {
    return this.#admin.transaction(() => {
      const released = this.#certified.remove(hostId);
      if (released) {
        const { name: actor, sourceAddress: source_address } = by;
        this.audit({ actor, action: 'certificate.release', subject: hostId, detail: null, source_address });
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

  audit(entry: Omit<AuditEntry, 'id' | 'time'>): void {
    this.#auditLog.append(entry, this.#now());
  }

  /** Returns the newest first. */
  auditLog(question: AuditQuestion): AuditEntry[] {
    return this.#auditLog.newest(question);
  }

  retention(): RetentionSettings {
    const stored = retention.safeParse(this.#settings.get(RETENTION_KEY));
    return stored.success ? stored.data : DEFAULT_RETENTION;
  }

  setRetention(value: RetentionSettings, by: Actor): void {
    const { raw_days, rollup_days, max_bytes } = value;
    this.#admin.transaction(() => {
      this.#settings.put(RETENTION_KEY, value);
      this.audit({
        actor: by.name,
        action: 'retention.set',
        subject: 'retention',
        detail: `raw ${raw_days} days, roll-ups ${rollup_days} days, at most ${max_bytes} bytes`,
        source_address: by.sourceAddress,
      });
    });
  }

  /** Returns the base of the collector's links, as of its last start, for commands beside it. */
  address(): string | null {
    const stored = this.#settings.get(ADDRESS_KEY);
    return typeof stored === 'string' ? stored : null;
  }

  setAddress(url: string): void {
    this.#settings.put(ADDRESS_KEY, url);
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
   * second.
   */
  poll(): void {
    try {
      this.#tokens.poll();
      this.#tokens.flush();
      this.#users.flush();
    } catch (error) {
      this.#onStoreError(error);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.poll();
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
