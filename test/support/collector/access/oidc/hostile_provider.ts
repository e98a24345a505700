/**
 * A provider of OpenID Connect on loopback that answers as a test wants it: by default as a good one does, with one part
 * that is wrong. It takes every code, also twice, so that nothing but the collector can refuse a sign-in.
 */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CLIENT_ID } from './test_provider.ts';

type Json = Record<string, unknown>;
export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

interface Key {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export class HostileProvider {
  readonly #server: Server;
  readonly issuer: string;
  #keys = 0;
  #key: Key;
  /** Nonce of each code. */
  readonly #nonces = new Map<string, string>();
  /** Requests by path. */
  readonly asked: string[] = [];
  /** Changes the claims of the next ID tokens. */
  claims: (claims: Json) => Json = (claims) => claims;
  /** Makes the next ID tokens of header and claims. */
  token: (header: Json, claims: Json) => string = (header, claims) => this.signed(header, claims);
  /** Answers a path in place of the good answer. */
  readonly answers = new Map<string, Answer>();
  /** ID tokens that were handed out. */
  readonly tokens: string[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#key = this.#newKey();
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<HostileProvider> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HostileProvider(server);
  }

  /** Signs with a new key from now on, and names only this one. `kid`: that of the key before, as a careless one does. */
  rotate({ keepsId = false } = {}): void {
    const { kid } = this.#key;
    this.#key = this.#newKey();
    if (keepsId) this.#key.kid = kid;
  }

  /** Behaves as a good provider again. */
  reset(): void {
    this.claims = (claims) => claims;
    this.token = (header, claims) => this.signed(header, claims);
    this.answers.clear();
  }

  signed(header: Json, claims: Json, key: KeyObject = this.#key.privateKey): string {
    const input = inputOf(header, claims);
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
  }

  /** Signs with the public key as if it were a shared secret. */
  confused(claims: Json): string {
    const input = inputOf({ alg: 'HS256', kid: this.#key.kid }, claims);
    const secret = this.#key.publicKey.export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  }

  #newKey(): Key {
    this.#keys += 1;
    return { kid: `key-${this.#keys}`, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.issuer);
    this.asked.push(url.pathname);
    const other = this.answers.get(url.pathname);
    if (other !== undefined) {
      other(response, request);
      return;
    }
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json(response, this.metadata());
      case '/jwks': {
        const { kid, publicKey } = this.#key;
        return json(response, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' }] });
      }
      case '/authorize': {
        const code = `code-${this.#nonces.size}`;
        this.#nonces.set(code, url.searchParams.get('nonce')!);
        const back = new URL(url.searchParams.get('redirect_uri')!);
        back.search = String(
          new URLSearchParams({ code, state: url.searchParams.get('state')!, iss: this.issuer }),
        );
        response.writeHead(302, { location: back.href }).end();
        return;
      }
      case '/token': {
        let body = '';
        for await (const part of request) body += String(part);
        return json(response, this.#tokens(new URLSearchParams(body).get('code')!));
      }
      default:
        response.writeHead(404).end();
    }
  }

  metadata(): Json {
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.issuer}/authorize`,
      token_endpoint: `${this.issuer}/token`,
      jwks_uri: `${this.issuer}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      authorization_response_iss_parameter_supported: true,
    };
  }

  #tokens(code: string): Json {
    const now = Math.floor(Date.now() / 1000);
    const claims = this.claims({
      ...{ iss: this.issuer, aud: CLIENT_ID, sub: 'ada', iat: now, exp: now + 300 },
      ...{ nonce: this.#nonces.get(code), preferred_username: 'ada', groups: ['imds-admins'] },
    });
    const idToken = this.token({ alg: 'RS256', kid: this.#key.kid }, claims);
    this.tokens.push(idToken);
    return { access_token: 'access-token-secret', token_type: 'Bearer', id_token: idToken, expires_in: 300 };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

function inputOf(header: Json, claims: Json): string {
  const part = (value: Json) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}`;
}

export function unsigned(claims: Json): string {
  return `${inputOf({ alg: 'none' }, claims)}.`;
}

export function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
