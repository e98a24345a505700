/** Opens sessions of people who have proved who they are, within bounds, and writes that to the audit log. */
import { TokenBuckets } from '../../common/token_bucket.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { scopeText } from '../contract/host_scope_text.ts';
import type { Grant, Principal } from './principal.ts';
import { newSecret, secretHash } from './secret.ts';

export interface SignedIn {
  /** Secret of the session, only for the cookie. */
  session: string;
  principal: Principal;
  /** RFC 3339. */
  expires: string;
  maxAgeSeconds: number;
}

export interface Limited {
  retryAfterSeconds: number;
}

/** A person whom an identity provider has signed in. */
export interface ProvidedPerson {
  /** Identifies the person among all. */
  person: string;
  name: string;
  grant: Grant;
  /** The ID token, encrypted. */
  idToken: string;
  /** For the audit log. */
  detail: string;
  maxMs: number;
}

export const SESSION_IDLE_MS = 12 * 3_600_000;
const SESSION_MAX_MS = 7 * 86_400_000;
/** Beyond this number, the sessions that were unused for the longest are deleted. */
const MAX_SESSIONS = 10_000;
export const LAST_USED_STEP_MS = 60_000;
/**
 * Limits for successful sign-ins, so that one token, or one person, cannot fill the audit log or displace the sessions
 * of others.
 */
const SESSIONS_PER_PERSON_PER_MINUTE = 30;
const MAX_SESSIONS_PER_PERSON = 50;
/** Persons whose sign-ins are counted at one time. */
const MAX_COUNTED = 4096;

export class SessionOpener {
  readonly #admin: AdminStore;
  readonly #now: () => number;
  readonly #opened: TokenBuckets;

  constructor(admin: AdminStore, now: () => number) {
    this.#admin = admin;
    this.#now = now;
    const rate = { perSecond: SESSIONS_PER_PERSON_PER_MINUTE / 60, burst: SESSIONS_PER_PERSON_PER_MINUTE };
    this.#opened = new TokenBuckets(rate, MAX_COUNTED, now);
  }

  /** Opens a session for somebody with a token of ours, or with a sign-in code. */
  openOwn(principal: Principal, remoteAddress: string | null): Promise<SignedIn | Limited> {
    const { tokenId } = principal;
    const subject = tokenId ?? 'sign-in code';
    const detail = grantText(principal);
    return this.#open(
      principal,
      { key: tokenId, idToken: null, subject, detail },
      SESSION_MAX_MS,
      remoteAddress,
    );
  }

  /** Opens a session for a person whom an identity provider has signed in. */
  openProvided(
    { person, name, grant, idToken, detail, maxMs }: ProvidedPerson,
    remoteAddress: string | null,
  ): Promise<SignedIn | Limited> {
    const principal: Principal = { ...grant, name, via: 'session', tokenId: null };
    const entry = { key: person, idToken, subject: 'openid', detail: `${grantText(grant)}, ${detail}` };
    return this.#open(principal, entry, Math.min(maxMs, SESSION_MAX_MS), remoteAddress);
  }

  async #open(
    principal: Principal,
    {
      key,
      idToken,
      subject,
      detail,
    }: { key: string | null; idToken: string | null; subject: string; detail: string },
    maxMs: number,
    remoteAddress: string | null,
  ): Promise<SignedIn | Limited> {
    const wait = key === null ? 0 : this.#opened.tryTake(key);
    if (wait > 0) return { retryAfterSeconds: wait };
    const now = this.#now();
    const session = newSecret('s');
    const { tokenId: token, name, role, scope } = principal;
    await this.#admin.transaction('access', async (store) => {
      await forgetOld(store, now);
      const times = { lastUsedMs: now, expiresMs: now + maxMs };
      await store.sessions.insert(secretHash(session), { token, name, role, scope, idToken, ...times });
      if (token !== null) await store.sessions.keepNewest(token, MAX_SESSIONS_PER_PERSON);
      if (idToken !== null) await store.sessions.keepNewestProvided(name, MAX_SESSIONS_PER_PERSON);
      const entry = { actor: name, action: 'session.open', subject, detail, source_address: remoteAddress };
      await store.auditLog.append(entry, now);
    });
    return {
      session,
      principal,
      expires: new Date(now + maxMs).toISOString(),
      maxAgeSeconds: maxMs / 1000,
    };
  }

  async deleteOld(): Promise<void> {
    await this.#admin.transaction('access', (store) => forgetOld(store, this.#now()));
  }
}

async function forgetOld({ sessions }: AdminStore, now: number): Promise<void> {
  await sessions.forget(now, now - SESSION_IDLE_MS - LAST_USED_STEP_MS, MAX_SESSIONS);
}

/** Describes a role with its scope, for the audit log. */
export function grantText({ role, scope }: Grant): string {
  return scope === null ? `role ${role}` : `role ${role}, scope ${scopeText(scope)}`;
}
