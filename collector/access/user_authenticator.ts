/** Authenticates people by a token, a session, or the header of a trusted proxy. */
import type { Logger } from 'pino';
import { TokenBuckets } from '../../common/token_bucket.ts';
import type { Counters } from '../../protocol/records.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { scopeText } from '../contract/host_scope_text.ts';
import { networkOf } from './client_network.ts';
import { type Actor, checkScope, type Grant, type Principal } from './principal.ts';
import type { ProxyIdentity } from './proxy_identity.ts';
import type { RequestHeaders } from './request_headers.ts';
import { bearerOf, letterOf, newSecret, secretHash } from './secret.ts';
import type { SessionCookie } from './session_cookie.ts';
import type { TokenStore } from './token_store.ts';

export interface PresentedCredentials {
  authorization: string | null | undefined;
  cookie: string | null | undefined;
  headers: RequestHeaders;
  /** Address of the other side of the socket. */
  remoteAddress: string | null | undefined;
}

export interface SignedIn {
  /** Secret of the session, only for the cookie. */
  session: string;
  principal: Principal;
  /** RFC 3339. */
  expires: string;
  maxAgeSeconds: number;
}

export const SIGN_IN_CODE_MINUTES = 15;
const SESSION_IDLE_MS = 12 * 3_600_000;
const SESSION_MAX_MS = 7 * 86_400_000;
/** Beyond this number, the sessions that were unused for the longest are deleted. */
const MAX_SESSIONS = 10_000;
const LAST_USED_STEP_MS = 60_000;
/**
 * Limits for failed sign-ins, per address and in all. Beyond the limit for all, only failed attempts are
 * refused, so that an attacker locks no other person out.
 */
const WRONG_PER_ADDRESS_PER_MINUTE = 10;
const WRONG_PER_MINUTE = 300;
/**
 * Limits for successful sign-ins, so that one token cannot fill the audit log or displace the sessions of
 * others.
 */
const SESSIONS_PER_TOKEN_PER_MINUTE = 30;
const MAX_SESSIONS_PER_TOKEN = 50;
/** Addresses, or tokens, whose attempts are counted at one time. */
const MAX_COUNTED = 4096;
const REFUSAL_LOG_INTERVAL_MS = 60_000;

export class UserAuthenticator {
  readonly #admin: AdminStore;
  readonly #tokens: TokenStore;
  readonly #sessions: AdminStore['sessions'];
  readonly #proxy: ProxyIdentity;
  readonly #cookie: SessionCookie;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #byAddress: TokenBuckets;
  readonly #wrong: TokenBuckets;
  readonly #opened: TokenBuckets;
  readonly #lastUsed = new Map<string, { hash: Buffer; ms: number }>();
  #lastRefusalLogMs = Number.NEGATIVE_INFINITY;
  readonly #counters = {
    sign_ins: 0,
    sign_ins_refused: 0,
    sign_ins_limited: 0,
    sign_outs: 0,
    tokens_refused: 0,
    sessions_refused: 0,
  };

  constructor(
    admin: AdminStore,
    parts: {
      tokens: TokenStore;
      proxy: ProxyIdentity;
      cookie: SessionCookie;
      log: Logger;
      now: () => number;
    },
  ) {
    this.#admin = admin;
    this.#sessions = admin.sessions;
    this.#tokens = parts.tokens;
    this.#proxy = parts.proxy;
    this.#cookie = parts.cookie;
    this.#log = parts.log;
    this.#now = parts.now;
    this.#byAddress = perMinute(WRONG_PER_ADDRESS_PER_MINUTE, parts.now);
    this.#wrong = perMinute(WRONG_PER_MINUTE, parts.now);
    this.#opened = perMinute(SESSIONS_PER_TOKEN_PER_MINUTE, parts.now);
  }

  /**
   * A bearer token decides alone: a request with a wrong one is not authenticated, whatever else it carries.
   */
  async identifyUser({
    authorization,
    cookie,
    headers,
    remoteAddress,
  }: PresentedCredentials): Promise<Principal | null> {
    const bearer = bearerOf(authorization);
    if (bearer !== null) return this.#byToken(bearer);
    const user = this.#proxy.identifyUser(headers, remoteAddress ?? null);
    if (user !== null) return user;
    const session = this.#cookie.read(cookie);
    return session === null || session === '' ? null : this.#bySession(session);
  }

  async #byToken(secret: string): Promise<Principal | null> {
    const token = await this.#tokens.find(secret, 'person');
    if (token === null) {
      this.#counters.tokens_refused += 1;
      return null;
    }
    return { name: token.name, role: token.role!, scope: token.scope, via: 'token', tokenId: token.id };
  }

  async #bySession(session: string): Promise<Principal | null> {
    const now = this.#now();
    const hash = letterOf(session) === 's' ? secretHash(session) : null;
    // The time of the last use may not be in the database yet.
    const row =
      hash === null
        ? null
        : await this.#sessions.byHash(hash, now, now - SESSION_IDLE_MS - LAST_USED_STEP_MS);
    const key = hash?.toString('base64') ?? '';
    const lastUsedMs = this.#lastUsed.get(key)?.ms ?? row?.lastUsedMs ?? 0;
    if (hash === null || row === null || now - lastUsedMs >= SESSION_IDLE_MS) {
      this.#counters.sessions_refused += 1;
      return null;
    }
    if (Math.abs(now - lastUsedMs) >= LAST_USED_STEP_MS) this.#lastUsed.set(key, { hash, ms: now });
    return { name: row.name, role: row.role, scope: row.scope, via: 'session', tokenId: row.token };
  }

  /** Throws `OperatorError` for a scope of another role than viewer. */
  async createSignInCode({ role, scope }: Grant, by: Actor): Promise<string> {
    checkScope(scope, role);
    const code = newSecret('c');
    const now = this.#now();
    await this.#admin.transaction('access', async (store) => {
      const expiresMs = now + SIGN_IN_CODE_MINUTES * 60_000;
      await store.sessions.insertCode(secretHash(code), {
        role,
        scope,
        name: `sign-in link of ${by.name}`,
        expiresMs,
      });
      await this.#appendToAudit(store, by, 'sign_in_code.create', role, grantText({ role, scope }));
    });
    return code;
  }

  async signIn(
    secret: string,
    remoteAddress: string | null,
  ): Promise<SignedIn | { retryAfterSeconds: number } | null> {
    const network = networkOf(remoteAddress);
    const wait = this.#byAddress.tryTake(network);
    if (wait > 0) return this.#limited(wait);
    const principal = await this.#principalToSignIn(secret);
    if (principal === null) {
      const waitOfAll = this.#wrong.tryTake('all');
      if (waitOfAll > 0) return this.#limited(waitOfAll);
      this.#refused(remoteAddress);
      return null;
    }
    this.#byAddress.giveBackOne(network);
    const waitOfToken = principal.tokenId === null ? 0 : this.#opened.tryTake(principal.tokenId);
    if (waitOfToken > 0) return this.#limited(waitOfToken);
    const now = this.#now();
    const session = newSecret('s');
    await this.#admin.transaction('access', async (store) => {
      await deleteOldSessions(store, now);
      await store.sessions.insert(secretHash(session), {
        token: principal.tokenId,
        name: principal.name,
        role: principal.role,
        scope: principal.scope,
        idToken: null,
        lastUsedMs: now,
        expiresMs: now + SESSION_MAX_MS,
      });
      if (principal.tokenId !== null)
        await store.sessions.keepNewest(principal.tokenId, MAX_SESSIONS_PER_TOKEN);
      const by = { name: principal.name, sourceAddress: remoteAddress };
      const subject = principal.tokenId ?? 'sign-in code';
      await this.#appendToAudit(store, by, 'session.open', subject, grantText(principal));
    });
    this.#counters.sign_ins += 1;
    return {
      session,
      principal,
      expires: new Date(now + SESSION_MAX_MS).toISOString(),
      maxAgeSeconds: SESSION_MAX_MS / 1000,
    };
  }

  #limited(retryAfterSeconds: number): { retryAfterSeconds: number } {
    this.#counters.sign_ins_limited += 1;
    return { retryAfterSeconds };
  }

  async #principalToSignIn(secret: string): Promise<Principal | null> {
    if (letterOf(secret) === 'c') {
      const code = await this.#sessions.takeCode(secretHash(secret));
      if (code === null || code.expiresMs <= this.#now()) return null;
      return { name: code.name, role: code.role, scope: code.scope, via: 'session', tokenId: null };
    }
    const token = await this.#tokens.find(secret, 'person');
    if (token === null) return null;
    return { name: token.name, role: token.role!, scope: token.scope, via: 'session', tokenId: token.id };
  }

  /** Does nothing if there is no such session. */
  async signOut(session: string, remoteAddress: string | null): Promise<void> {
    if (letterOf(session) !== 's') return;
    const hash = secretHash(session);
    await this.#admin.transaction('access', async (store) => {
      const ended = await store.sessions.delete(hash);
      if (ended === null) return;
      this.#counters.sign_outs += 1;
      await this.#appendToAudit(
        store,
        { name: ended.name, sourceAddress: remoteAddress },
        'session.close',
        'session',
        null,
      );
    });
    this.#lastUsed.delete(hash.toString('base64'));
  }

  /** Ends every session and every unused code. Returns the number of sessions. */
  signOutAll(by: Actor): Promise<number> {
    return this.#admin.transaction('access', async (store) => {
      const count = await store.sessions.deleteAll();
      await this.#appendToAudit(store, by, 'session.close_all', 'all sessions', `${count} sessions`);
      return count;
    });
  }

  async flush(): Promise<void> {
    if (this.#lastUsed.size === 0) return;
    const stored = [...this.#lastUsed];
    await this.#admin.transaction('access', async ({ sessions }) => {
      for (const [, { hash, ms }] of stored) await sessions.used(hash, ms);
    });
    // A session that was used again meanwhile is stored next time.
    for (const [key, used] of stored) if (this.#lastUsed.get(key) === used) this.#lastUsed.delete(key);
  }

  async deleteOldSessions(): Promise<void> {
    await this.#admin.transaction('access', (store) => deleteOldSessions(store, this.#now()));
  }

  #refused(remoteAddress: string | null): void {
    this.#counters.sign_ins_refused += 1;
    const now = performance.now();
    if (now - this.#lastRefusalLogMs < REFUSAL_LOG_INTERVAL_MS) return;
    this.#lastRefusalLogMs = now;
    this.#log.warn({ from: remoteAddress, refused: this.#counters.sign_ins_refused }, 'refused a sign-in');
  }

  async #appendToAudit(
    { auditLog }: AdminStore,
    { name, sourceAddress }: Actor,
    action: string,
    subject: string,
    detail: string | null,
  ): Promise<void> {
    const entry = { actor: name, action, subject, detail, source_address: sourceAddress };
    await auditLog.append(entry, this.#now());
  }

  counters(): Counters {
    return { ...this.#counters };
  }
}

async function deleteOldSessions({ sessions }: AdminStore, now: number): Promise<void> {
  await sessions.forget(now, now - SESSION_IDLE_MS - LAST_USED_STEP_MS, MAX_SESSIONS);
}

/** Describes a role with its scope, for the audit log. */
function grantText({ role, scope }: Grant): string {
  return scope === null ? `role ${role}` : `role ${role}, scope ${scopeText(scope)}`;
}

function perMinute(count: number, now: () => number): TokenBuckets {
  return new TokenBuckets({ perSecond: count / 60, burst: count }, MAX_COUNTED, now);
}
