/**
 * Asks a collector on another machine by its HTTP API. Reads are asked again where that may help; a change is sent once.
 * Every function throws `OperatorError`: 3 where the token is not accepted or its role does not permit the request, else 1.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type * as z from 'zod';
import { tlsOptions } from '../../agent/outbox/collector_tls.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import {
  type Answered,
  CollectorAway,
  notUnderstood,
  refused,
  timedOut,
  unreached,
} from './collector_error.ts';

const API = '/api/v1';
/** A question about a fleet of 100,000 hosts takes seconds. */
const TIMEOUT_MS = 60_000;
const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 500;
/** A collector that asks for a longer pause is not waited for. */
const MAX_PAUSE_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export interface CollectorAccess {
  /** Origin of the collector: `https://collector.example:8787`. */
  url: string;
  /** Returns the token. Called for each request, because a file may get a new one meanwhile. */
  token: () => string;
  /** Names where the token comes from, for errors. */
  tokenFrom: string;
  /** PEM file of the authority of its certificate. Null: the public ones. */
  caFile: string | null;
}

export interface AskOptions {
  /** Milliseconds to a whole answer. */
  timeoutMs?: number;
  /** Limits how often a read is asked. */
  attempts?: number;
}

interface Request {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  path: string;
  body: string | null;
  timeoutMs: number;
  /** A change has a connection of its own: a kept one may be closed while a change is sent on it. */
  isChange?: true;
}

export class CollectorClient {
  readonly url: string;
  readonly #access: CollectorAccess;
  /** Keeps connections for reads. It is made anew after an error, so that renewed certificates are read. */
  #agent: HttpAgent | HttpsAgent | null = null;

  constructor(access: CollectorAccess) {
    this.url = access.url;
    this.#access = access;
  }

  /** Reads. `path` begins after `/api/v1`. */
  get<S extends z.ZodType>(path: string, schema: S, options: AskOptions = {}): Promise<z.infer<S>> {
    return this.#read('GET', path, null, schema, options);
  }

  /** Sends a question that is too long for an address. It changes nothing. */
  ask<S extends z.ZodType>(
    path: string,
    question: unknown,
    schema: S,
    options: AskOptions = {},
  ): Promise<z.infer<S>> {
    return this.#read('POST', path, JSON.stringify(question), schema, options);
  }

  /** Reads, and returns null where the collector knows no such thing. */
  async find<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S> | null> {
    const answer = await this.#retried({ method: 'GET', path, body: null, timeoutMs: TIMEOUT_MS }, ATTEMPTS);
    return answer.status === 404 && isProblem(answer) ? null : this.#parsed(answer, `GET ${path}`, schema);
  }

  /** Sends a change, once: whether it was made is not known where the connection broke. */
  async change<S extends z.ZodType>(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: unknown,
    schema: S,
    { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): Promise<z.infer<S>> {
    const answer = await this.#send({ method, path, body: JSON.stringify(body), timeoutMs, isChange: true });
    return this.#parsed(answer, `${method} ${path}`, schema);
  }

  /**
   * Reads a whole list as an export, whose rows are not cut. `path` has its query already. Throws where the export
   * ended before its end.
   */
  async list<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S>[]> {
    const separator = path.includes('?') ? '&' : '?';
    const full = `${path}${separator}format=ndjson`;
    const answer = await this.#retried(
      { method: 'GET', path: full, body: null, timeoutMs: TIMEOUT_MS },
      ATTEMPTS,
    );
    if (answer.status !== 200) throw this.#refused(answer, `GET ${path}`);
    const items: z.infer<S>[] = [];
    for (const line of answer.body.split('\n')) {
      if (line !== '') items.push(this.#checked(line, `GET ${path}`, schema));
    }
    return items;
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = null;
  }

  async #read<S extends z.ZodType>(
    method: 'GET' | 'POST',
    path: string,
    body: string | null,
    schema: S,
    { timeoutMs = TIMEOUT_MS, attempts = ATTEMPTS }: AskOptions,
  ): Promise<z.infer<S>> {
    const answer = await this.#retried({ method, path, body, timeoutMs }, attempts);
    return this.#parsed(answer, `${method} ${path}`, schema);
  }

  async #retried(request: Request, attempts: number): Promise<Answered> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#send(request);
        const problem =
          answer.status < 400 ? null : this.#refused(answer, `${request.method} ${request.path}`);
        if (problem instanceof CollectorAway) throw problem;
        return answer;
      } catch (error) {
        if (!(error instanceof CollectorAway) || !error.mayRetry || attempt >= attempts) throw error;
        const pauseMs = (error.retryAfterSeconds ?? 0) * 1000 || FIRST_PAUSE_MS * attempt ** 2;
        if (pauseMs > MAX_PAUSE_MS) throw error;
        await delay(pauseMs);
      }
    }
  }

  /** Resolves with the whole answer, whatever its status is. */
  async #send(request: Request): Promise<Answered> {
    if (request.isChange === true) {
      const agent = this.#newAgent(false);
      return this.#exchange(request, agent).finally(() => agent.destroy());
    }
    try {
      this.#agent ??= this.#newAgent(true);
      return await this.#exchange(request, this.#agent);
    } catch (error) {
      // Other questions may be under way on the connections of the former one.
      this.#agent = null;
      throw error;
    }
  }

  #exchange({ method, path, body, timeoutMs }: Request, agent: HttpAgent | HttpsAgent): Promise<Answered> {
    const address = new URL(`${API}${path}`, this.url);
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.#access.token()}`,
      accept: 'application/json, application/x-ndjson',
      'user-agent': `imdswatch/${VERSION}`,
    };
    if (body !== null) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = `${Buffer.byteLength(body)}`;
    }
    return new Promise((resolve, reject) => {
      const send = address.protocol === 'https:' ? httpsRequest : httpRequest;
      const sent = send(address, { method, headers, agent });
      const timer = setTimeout(() => sent.destroy(timedOut(this.url, timeoutMs / 1000)), timeoutMs);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      const fail = (error: Error) =>
        settle(() => reject(error instanceof OperatorError ? error : unreached(error, this.url)));
      sent.on('error', fail);
      sent.on('response', (response) => {
        this.#collect(response).then(
          (text) =>
            settle(() =>
              resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
            ),
          fail,
        );
      });
      sent.end(body ?? undefined);
    });
  }

  async #collect(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // An answer that is cut off is an error of the stream.
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) {
        response.destroy();
        throw new OperatorError(
          1,
          `The collector ${this.url} answers with more than ${MAX_ANSWER_BYTES} bytes.`,
        );
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  #parsed<S extends z.ZodType>(answer: Answered, request: string, schema: S): z.infer<S> {
    if (answer.status < 200 || answer.status > 299) throw this.#refused(answer, request);
    return this.#checked(answer.body, request, schema);
  }

  #checked<S extends z.ZodType>(text: string, request: string, schema: S): z.infer<S> {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw notUnderstood(this.url, withoutQuery(request), 'it is no JSON');
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data as z.infer<S>;
    const [issue] = result.error.issues;
    throw notUnderstood(this.url, withoutQuery(request), `${issue?.path.join('.')}: ${issue?.message}`);
  }

  #refused(answer: Answered, request: string): OperatorError {
    return refused(answer, this.url, withoutQuery(request), this.#access.tokenFrom);
  }

  #newAgent(keepAlive: boolean): HttpAgent | HttpsAgent {
    if (!this.url.startsWith('https:')) return new HttpAgent({ keepAlive });
    const { caFile } = this.#access;
    return new HttpsAgent({ keepAlive, ...tlsOptions({ caFile, certFile: null, keyFile: null }) });
  }
}

/** A query may name hosts, which are of no use in an error. */
function withoutQuery(request: string): string {
  return request.replace(/\?.*/, '');
}

function isProblem({ headers }: Answered): boolean {
  return /^application\/problem\+json/i.test(headers['content-type'] ?? '');
}
