/**
 * A stand-in for the catalogue of Backstage, made from the documentation of its API and stricter than it: a request that the
 * documentation does not describe is refused.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export const TOKEN = 'a-token-for-external-access-0123456789';
const PATH = '/api/catalog/entities/by-query';
const KNOWN = new Set(['filter', 'fields', 'limit', 'cursor']);

export type Behaviour = 'good' | 'error' | 'page' | 'redirect' | 'silent' | 'endless' | 'circle' | 'broken';

export interface TestEntity {
  kind?: string;
  name: string;
  namespace?: string;
  owner?: string;
  annotations?: Record<string, string>;
}

export class CatalogueServer {
  readonly #server: Server;
  entities: unknown[] = [];
  behaviour: Behaviour = 'good';
  /** Requests with the right token. */
  asked = 0;
  /** Requests for the place to which `redirect` leads. */
  followed = 0;
  url = '';

  private constructor(tls: { cert: Buffer; key: Buffer } | null) {
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response);
    this.#server = tls === null ? createServer(answer) : createTlsServer(tls, answer);
  }

  static async start(
    entities: readonly TestEntity[] = [],
    tls: { cert: Buffer; key: Buffer } | null = null,
  ): Promise<CatalogueServer> {
    const server = new CatalogueServer(tls);
    server.entities = entities.map(described);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    server.url = `http${tls === null ? '' : 's'}://127.0.0.1:${(server.#server.address() as AddressInfo).port}`;
    return server;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer({ url, method, headers }: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url!, this.url);
    const send = (status: number, json: unknown) =>
      response
        .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
        .end(JSON.stringify(json));
    const refuse = (status: number, name: string) => send(status, { error: { name, message: name } });
    if (pathname === '/elsewhere') {
      this.followed += 1;
      return void send(200, { items: [], totalItems: 0, pageInfo: {} });
    }
    if (headers.authorization !== `Bearer ${TOKEN}`) return void refuse(401, 'AuthenticationError');
    this.asked += 1;
    if (method !== 'GET' || pathname !== PATH) return void refuse(404, 'NotFoundError');
    switch (this.behaviour) {
      case 'error':
        return void response.writeHead(500, { 'content-type': 'text/plain' }).end(`secret ${TOKEN}`);
      case 'page':
        return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>');
      case 'redirect':
        return void response.writeHead(302, { location: `${this.url}/elsewhere` }).end();
      case 'silent':
        return;
      case 'endless':
        response.writeHead(200, { 'content-type': 'application/json' });
        writeForEver(response);
        return;
      case 'circle':
        return void send(200, { items: [{}], totalItems: 9, pageInfo: { nextCursor: 'again' } });
      case 'broken':
        return void send(200, { results: [] });
      case 'good': {
        const page = this.#page(searchParams);
        if (page === null) refuse(400, 'InputError');
        else send(200, page);
      }
    }
  }

  #page(query: URLSearchParams): object | null {
    const limit = Number(query.get('limit') ?? 20);
    const fields = query.get('fields');
    const isKnown = [...query.keys()].every((key) => KNOWN.has(key));
    if (!isKnown || !Number.isInteger(limit) || limit < 1 || fields === null) return null;
    const cursor = query.get('cursor');
    const filters = query.getAll('filter');
    // A cursor has the filters in it.
    if ((cursor === null) !== filters.length > 0) return null;
    const { kinds, from } =
      cursor === null
        ? { kinds: filters.map((filter) => /^kind=(\w+)$/.exec(filter)?.[1]), from: 0 }
        : (JSON.parse(Buffer.from(cursor, 'base64').toString()) as { kinds: string[]; from: number });
    const all = this.entities.filter((entity) => {
      const { kind } = entity as { kind?: unknown };
      return typeof kind !== 'string' || kinds.includes(kind.toLowerCase());
    });
    const next = from + limit;
    const nextCursor = Buffer.from(JSON.stringify({ kinds, from: next })).toString('base64');
    return {
      items: all.slice(from, next),
      totalItems: all.length,
      pageInfo: next < all.length ? { nextCursor } : {},
    };
  }
}

/** Returns an entity in the form of the catalogue. */
export function described({
  kind = 'Component',
  name,
  namespace = 'default',
  owner,
  annotations,
}: TestEntity): unknown {
  return {
    kind,
    metadata: { name, namespace, ...(annotations && { annotations }) },
    spec: { ...(owner && { owner }) },
  };
}

function writeForEver(response: ServerResponse): void {
  const part = `{"items":[${'"x",'.repeat(10_000)}`;
  const more = () => {
    while (!response.destroyed && response.write(part));
  };
  response.on('drain', more);
  more();
}
