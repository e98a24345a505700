/**
 * HTTP connections to one destination, which are kept open between requests. Each new connection goes to addresses that
 * `guarded_connect.ts` allows. No redirect is followed, because it could lead anywhere.
 */
import {
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { bareHost } from '../../../common/host_address.ts';
import { VERSION } from '../../../common/version.ts';
import { type Address, allowedAddresses, DeliveryError, lookupOf, type Resolve } from '../guarded_connect.ts';

/** More of an answer is not read. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Time for the rest of an answer whose text is not needed. A connection that has not ended it by then is closed. */
const DRAIN_MS = 2000;
/** Deliveries to one destination are made one after the other. */
const MAX_CONNECTIONS = 1;
/** The receiver has closed a connection that was kept, while the request was on its way. */
const CLOSED_MEANWHILE = new Set(['ECONNRESET', 'EPIPE']);

const NOT_TRUSTED =
  'the receiver ended the connection without an answer. It may not trust the client certificate of this destination: check "certificate"';

export interface HttpRequest {
  method: string;
  url: string;
  headers: Readonly<Record<string, string>>;
  body: Buffer | null;
  /** True where the text of the answer matters. It is empty otherwise. */
  wantsText: boolean;
  signal: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  /** The header `Retry-After`, as it was sent. */
  retryAfter: string | null;
  text: string;
  /** The bytes of `text`. */
  bytes: Uint8Array;
}

/** PEM texts of a client certificate and its key. */
export interface ClientCertificate {
  cert: string;
  key: string;
}

export class HttpConnections {
  readonly #resolve: Resolve;
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #hasCertificate: boolean;

  constructor(resolve: Resolve, certificate: ClientCertificate | null = null) {
    this.#resolve = resolve;
    this.#hasCertificate = certificate !== null;
    const kept = {
      keepAlive: true,
      maxSockets: MAX_CONNECTIONS,
      maxFreeSockets: 1,
      lookup: guardedLookup(resolve),
    };
    this.#http = new HttpAgent(kept);
    this.#https = new HttpsAgent({ ...kept, ...certificate });
  }

  /** Rejects with the cause if there was no answer. Any status is an answer. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const url = new URL(request.url);
    const host = bareHost(url.hostname);
    // Node connects to an address without looking it up.
    if (isIP(host) !== 0) await allowedAddresses(host, this.#resolve);
    try {
      return await this.#exchange(url, host, request);
    } catch (error) {
      if (!(error instanceof ClosedMeanwhile)) throw error;
      return await this.#exchange(url, host, request);
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #exchange(url: URL, host: string, { method, headers, body, wantsText, signal }: HttpRequest) {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    const isSecure = url.protocol === 'https:';
    const options: RequestOptions = {
      host,
      port: url.port,
      path: `${url.pathname}${url.search}`,
      method,
      ...(url.username === ''
        ? {}
        : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }),
      headers: {
        'User-Agent': `imdswatch/${VERSION}`,
        ...(body === null ? {} : { 'Content-Length': String(body.length) }),
        ...headers,
      },
      agent: isSecure ? this.#https : this.#http,
      signal,
    };
    const sent = (isSecure ? requestHttps : requestHttp)(options);
    sent.on('error', (error: NodeJS.ErrnoException) => {
      const isClosed = CLOSED_MEANWHILE.has(error.code ?? '') && !signal.aborted;
      if (isClosed && sent.reusedSocket) reject(new ClosedMeanwhile());
      // With TLS 1.3 a server judges the certificate when the client takes the handshake to be over.
      else if (isClosed && isSecure && this.#hasCertificate) reject(new DeliveryError(NOT_TRUSTED));
      else reject(error);
    });
    sent.once('response', (response) => {
      const status = response.statusCode ?? 0;
      const retryAfter = response.headers['retry-after'] ?? null;
      if (wantsText) {
        bytesOf(response).then(
          (bytes) => resolve({ status, retryAfter, text: bytes.toString(), bytes }),
          reject,
        );
      } else {
        resolve({ status, retryAfter, text: '', bytes: new Uint8Array() });
        drain(response);
      }
    });
    sent.end(body ?? undefined);
    return promise;
  }
}

class ClosedMeanwhile extends Error {
  override name = 'ClosedMeanwhile';
}

function guardedLookup(resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    allowedAddresses(host, resolve).then(
      (addresses: Address[]) => lookupOf(addresses)(host, options, callback),
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}

/** Reads an answer to its end, so that its connection can be used again. */
function drain(response: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => response.destroy(), DRAIN_MS);
  timer.unref();
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) response.destroy();
  });
  response.on('error', () => {});
  response.once('close', () => clearTimeout(timer));
}

async function bytesOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES);
}
