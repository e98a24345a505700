/**
 * Who gets in, and what admins manage about it. One object over the admin database, used on the collector's main thread, and by
 * `imdswatch token` in a process of its own: what that does is noticed within a second.
 */
import type { IncomingMessage } from 'node:http';
import type { DatabaseSync } from 'node:sqlite';
import type { Logger } from 'pino';
import type * as z from 'zod';
import type { Counters } from '../../protocol/records.ts';
import { AuditLog, type AuditQuestion } from '../admin/audit_log.ts';
import { CertifiedHosts } from '../admin/certified_hosts.ts';
import { StoredSettings } from '../admin/stored_settings.ts';
import { transaction } from '../admin/transaction.ts';
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
  /** People reach the collector over TLS: its own, or that of what stands in front of it. */
  secure: boolean;
  /** Where people find the collector, when that is not the address that they ask. */
  publicUrl: string | null;
}

export type RetentionSettings = z.infer<typeof retention>;

/**
 * Raw calls answer "which call exactly": two weeks, the window of readiness. Roll-ups answer "is it getting better": a year and a
 * month to compare with. 20 GiB is some 100 million raw calls.
 */
export const DEFAULT_RETENTION: RetentionSettings = {
  raw_days: 14,
  rollup_days: 400,
  max_bytes: 20 * 1024 ** 3,
};

/** How soon what another process did is noticed; how long it may take until `last_used` is on disk. */
const POLL_INTERVAL_MS = 1000;
const RETENTION_KEY = 'retention';
const ADDRESS_KEY = 'address';

export class Access {
  readonly #database: DatabaseSync;
  readonly #options: AccessOptions;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #tokens: TokenStore;
  readonly #certified: CertifiedHosts;
  readonly #agents: AgentAuthenticator;
  readonly #enrolments: Enrolments;
  readonly #users: UserAuthenticator;
  readonly #proxy: ProxyIdentity;
  readonly #auditLog: AuditLog;
  readonly #settings: StoredSettings;
  readonly #timer: NodeJS.Timeout;
  readonly #counters = { cross_origin_refused: 0, store_errors: 0 };
  /** How the session of somebody who signed in comes and goes. */
  readonly cookie: SessionCookie;

  /** `now`: milliseconds since 1970. The database stays the caller's to close, after `close()`. */
  constructor(admin: DatabaseSync, options: AccessOptions, log: Logger, now: () => number = Date.now) {
    this.#database = admin;
    this.#options = options;
    this.#log = log;
    this.#now = now;
    this.cookie = sessionCookie(options.secure);
    this.#auditLog = new AuditLog(admin);
    this.#settings = new StoredSettings(admin);
    this.#proxy = new ProxyIdentity(options.proxy);
    this.#tokens = new TokenStore(admin, this.#auditLog, now);
    this.#certified = new CertifiedHosts(admin);
    this.#agents = new AgentAuthenticator(this.#tokens, this.#certified, options, now);
    this.#enrolments = new Enrolments(admin, (hostId, claim) => this.issueCredential(hostId, claim));
    const { cookie } = this;
    const parts = { tokens: this.#tokens, audit: this.#auditLog, proxy: this.#proxy, cookie, log, now };
    this.#users = new UserAuthenticator(admin, parts);
    this.#timer = setInterval(() => this.poll(), POLL_INTERVAL_MS).unref();
  }

  // Agents

  /** Who wants to connect as an agent; null: nobody whom we know, or the database could not say (counted and logged). */
  identifyAgent(request: IncomingMessage): AgentIdentity | null {
    try {
      return this.#agents.identify(request);
    } catch (error) {
      this.#onStoreError(error);
      return null;
    }
  }

  /**
   * A credential for an agent whose identity is `enrolment`, to be given to it once. Null: its host has one already, and the claim
   * does not prove that it is the same agent. Nobody else gets that name until an admin revokes the credential. Throws when it cannot
   * be stored.
   */
  issueCredential(hostId: string, claim: EnrolmentClaim = {}): string | null {
    return this.#agents.issueCredential(hostId, claim);
  }

  /** The same, for many who come at once. */
  enrol(hostId: string, claim: EnrolmentClaim = {}): Promise<string | null> {
    return this.#enrolments.enrol(hostId, claim);
  }

  /** Whether only its credential (or certificate) speaks for this host: an enrolment token does not any more. */
  hasCredential(hostId: string): boolean {
    return this.#agents.hasCredential(hostId);
  }

  // People

  identifyUser(credentials: PresentedCredentials): Principal | null {
    return this.#users.identifyUser(credentials);
  }

  /** For a link that signs in once, within 15 minutes: see `signInLink`. */
  createSignInCode(role: Role, by: Actor): string {
    return this.#users.createSignInCode(role, by);
  }

  /**
   * By a person's token or a sign-in code. Null: neither. `retryAfterSeconds`: too many wrong ones. `remoteAddress`: as
   * `clientAddress` gives it.
   */
  signIn(secret: string, remoteAddress: string | null): SignedIn | { retryAfterSeconds: number } | null {
    return this.#users.signIn(secret, remoteAddress);
  }

  /** `session`: what `cookie.read` found. */
  signOut(session: string, remoteAddress: string | null): void {
    this.#users.signOut(session, remoteAddress);
  }

  /** Ends every session and makes every sign-in code worthless. Returns how many sessions there were. */
  signOutAll(by: Actor): number {
    return this.#users.signOutAll(by);
  }

  /** Where a request really comes from: behind a trusted proxy, what that says. For the audit log and for limits. */
  clientAddress(headers: RequestHeaders, remoteAddress: string | null | undefined): string | null {
    return this.#proxy.clientAddress(headers, remoteAddress ?? null);
  }

  isTrustedProxy(address: string): boolean {
    return this.#proxy.isTrusted(address);
  }

  /**
   * Whether a request that changes something may do so for this principal (null: for signing in). A token is shown on purpose; a
   * session's cookie and a proxy's header come along whoever made the browser ask, so it must have been our own page.
   */
  mayChange(principal: Principal | null, headers: RequestHeaders): boolean {
    if (principal?.via === 'token' || isSameOrigin(headers, this.#options)) return true;
    this.#counters.cross_origin_refused += 1;
    return false;
  }

  // What admins manage

  tokens(): Token[] {
    return this.#tokens.list();
  }

  /** `secret` is shown once and kept nowhere. Throws `OperatorError`: 2 a role or host is missing, 1 the host has a credential. */
  createToken(token: NewToken, by: Actor): { token: Token; secret: string } {
    return this.#tokens.create(token, by);
  }

  /** Takes effect at once, on sessions too. False when there is no such token, or it was revoked before. */
  revokeToken(id: string, by: Actor): boolean {
    return this.#tokens.revoke(id, by);
  }

  /** Lets a host that came with a certificate enrol by token from here on. False when it never came with one. */
  releaseCertifiedHost(hostId: string, by: Actor): boolean {
    return transaction(this.#database, () => {
      const released = this.#certified.remove(hostId);
      if (released) {
        const { name: actor, sourceAddress: source_address } = by;
        this.audit({ actor, action: 'certificate.release', subject: hostId, detail: null, source_address });
      }
      return released;
    });
  }

  /** Called for each token that is revoked (here, or by a command) or expires, so that open connections can be cut. */
  onTokenEnded(listener: (ended: EndedToken) => void): void {
    this.#tokens.onEnded(listener);
  }

  audit(entry: Omit<AuditEntry, 'id' | 'time'>): void {
    this.#auditLog.append(entry, this.#now());
  }

  /** Newest first. */
  auditLog(question: AuditQuestion): AuditEntry[] {
    return this.#auditLog.newest(question);
  }

  retention(): RetentionSettings {
    const stored = retention.safeParse(this.#settings.get(RETENTION_KEY));
    return stored.success ? stored.data : DEFAULT_RETENTION;
  }

  setRetention(value: RetentionSettings, by: Actor): void {
    const { raw_days, rollup_days, max_bytes } = value;
    transaction(this.#database, () => {
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

  /** Base of the collector's links as it last listened; for commands beside it. */
  address(): string | null {
    const stored = this.#settings.get(ADDRESS_KEY);
    return typeof stored === 'string' ? stored : null;
  }

  setAddress(url: string): void {
    this.#settings.put(ADDRESS_KEY, url);
  }

  /** Everybody who came in, and everything that was refused. */
  counters(): Counters {
    return {
      ...this.#agents.counters(),
      ...this.#users.counters(),
      ...this.#proxy.counters(),
      ...this.#counters,
    };
  }

  /** Once a second by itself: notices what ended, and stores when tokens and sessions were last used. */
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
    // Once a second by `poll`: the first, then ever more seldom.
    if (Math.log2(this.#counters.store_errors) % 1 !== 0) return;
    this.#log.error(
      { err: error, errors: this.#counters.store_errors },
      'the database of tokens and sessions cannot be used',
    );
  }
}
