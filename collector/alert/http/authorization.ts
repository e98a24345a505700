/** Makes the header that authenticates a request. Tokens of OAuth 2.0 are kept until shortly before they end. */
import * as z from 'zod';
import type { Authentication } from '../../contract/http_request.ts';
import { DeliveryError } from '../guarded_connect.ts';
import type { HttpConnections } from './connections.ts';
import { checkStatus } from './outcome.ts';
import { basicCredentials } from './prepared.ts';

/** A token is renewed this long before it ends. */
const EARLY_MS = 60_000;
const DEFAULT_LIFETIME_S = 300;

/** RFC 6749 section 5.1. */
const tokenAnswer = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  expires_in: z.coerce.number().positive().optional(),
});

export class Authorization {
  readonly #auth: Authentication;
  readonly #connections: HttpConnections;
  readonly #now: () => number;
  #token: { text: string; untilMs: number } | null = null;

  /** `now`: milliseconds since 1970. */
  constructor(auth: Authentication, connections: HttpConnections, now: () => number) {
    this.#auth = auth;
    this.#connections = connections;
    this.#now = now;
  }

  /** Rejects with `DeliveryError` if no token is given. */
  async headers(signal: AbortSignal): Promise<Record<string, string>> {
    const auth = this.#auth;
    switch (auth.kind) {
      case 'none':
        return {};
      case 'header':
        return { [auth.name]: auth.value };
      case 'basic':
        return { Authorization: `Basic ${basicCredentials(auth.username, auth.password)}` };
      case 'oauth2':
        return { Authorization: `Bearer ${await this.#accessToken(auth, signal)}` };
    }
  }

  /** Forgets a token that the receiver did not accept. Returns false where a new one would be the same. */
  renew(): boolean {
    const had = this.#token !== null;
    this.#token = null;
    return had;
  }

  async #accessToken(
    auth: Extract<Authentication, { kind: 'oauth2' }>,
    signal: AbortSignal,
  ): Promise<string> {
    if (this.#token !== null && this.#token.untilMs > this.#now()) return this.#token.text;
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: auth.client_id,
      client_secret: auth.client_secret,
      ...(auth.scope === '' ? {} : { scope: auth.scope }),
    });
    const answer = await this.#connections.send({
      method: 'POST',
      url: auth.token_url,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: Buffer.from(form.toString()),
      wantsText: true,
      signal,
    });
    this.#checkGrant(answer);
    const parsed = tokenAnswer.safeParse(jsonOrNull(answer.text));
    if (!parsed.success) {
      throw new DeliveryError('the token endpoint answered without an access token', { next: 'blocked' });
    }
    const { access_token: text, expires_in: seconds = DEFAULT_LIFETIME_S } = parsed.data;
    this.#token = { text, untilMs: this.#now() + Math.max(0, seconds * 1000 - EARLY_MS) };
    return text;
  }

  /** A client that is refused (RFC 6749 section 5.2: 400 or 401) needs a person. */
  #checkGrant(answer: { status: number; retryAfter: string | null }): void {
    try {
      checkStatus(answer, this.#now());
    } catch (error) {
      const { next, retryAfterMs } = error as DeliveryError;
      throw new DeliveryError(`the token endpoint answered HTTP ${answer.status}`, {
        next: next === 'again' ? next : 'blocked',
        retryAfterMs,
      });
    }
  }
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
