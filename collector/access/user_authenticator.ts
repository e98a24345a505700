/** Authenticates people by a token, a session, or the header of a trusted proxy. */
import type { Logger } from 'pino';
import { TokenBuckets } from '../../common/token_bucket.ts';
import type { Counters } from '../../protocol/records.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { networkOf } from './client_network.ts';
import { type Actor, checkScope, type Grant, type Principal } from './principal.ts';
import type { ProxyIdentity } from './proxy_identity.ts';
import type { RequestHeaders } from './request_headers.ts';
import { bearerOf, letterOf, newSecret, secretHash } from './secret.ts';
import type { OwnCookie } from './session_cookie.ts';
import {
  grantText,
  LAST_USED_STEP_MS,
  type Limited,
  SESSION_IDLE_MS,
  type SessionOpener,
  type SignedIn,
} from './session_opener.ts';
import type { TokenStore } from './token_store.ts';

export interface PresentedCredentials {
  authorization: string | null | undefined;
  cookie: string | null | undefined;
  headers: RequestHeaders;
  /** Address of the other side of the socket. */
  remoteAddress: string | null | undefined;
}

export const SIGN_IN_CODE_MINUTES = 15;
/**
 * Limits for failed sign-ins, per address and in all. Beyond the limit for all, only failed attempts are
 * refused, so that an attacker locks no other person out.
 */
const WRONG_PER_ADDRESS_PER_MINUTE = 10;
const WRONG_PER_MINUTE = 300;
/** Addresses whose attempts are counted at one time. */
const MAX_COUNTED = 4096;
const REFUSAL_LOG_INTERVAL_MS = 60_000;

export class UserAuthenticator {
  readonly #admin: AdminStore;
  readonly #tokens: TokenStore;
  readonly #sessions: AdminStore['sessions'];
  readonly #proxy: ProxyIdentity;
  readonly #cookie: OwnCookie;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #byAddress: TokenBuckets;
  readonly #wrong: TokenBuckets;
  readonly #opener: SessionOpener;
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
      cookie: OwnCookie;
      opener: SessionOpener;
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
    this.#opener = parts.opener;
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

  async signIn(secret: string, remoteAddress: string | null): Promise<SignedIn | Limited | null> {
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
    const opened = await this.#opener.openOwn(principal, remoteAddress);
    if ('retryAfterSeconds' in opened) return this.#limited(opened.retryAfterSeconds);
    this.#counters.sign_ins += 1;
    return opened;
  }

  #limited(retryAfterSeconds: number): Limited {
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

  /**
   * Returns the encrypted ID token of a person whom an identity provider had signed in. Null for everybody else, and
   * if there is no such session.
   */
  async signOut(session: string, remoteAddress: string | null): Promise<string | null> {
    if (letterOf(session) !== 's') return null;
    const hash = secretHash(session);
    const idToken = await this.#admin.transaction('access', async (store) => {
      const ended = await store.sessions.delete(hash);
      if (ended === null) return null;
      this.#counters.sign_outs += 1;
      const by = { name: ended.name, sourceAddress: remoteAddress };
      const subject = ended.idToken === null ? 'session' : 'openid';
      await this.#appendToAudit(store, by, 'session.close', subject, null);
      return ended.idToken;
    });
    this.#lastUsed.delete(hash.toString('base64'));
    return idToken;
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

function perMinute(count: number, now: () => number): TokenBuckets {
  return new TokenBuckets({ perSecond: count / 60, burst: count }, MAX_COUNTED, now);
}
