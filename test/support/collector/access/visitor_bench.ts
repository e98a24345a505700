/** A real collector, with the credentials and the answers of each kind of visitor. */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { Access } from '../../../../collector/access/access.ts';
import type { Actor } from '../../../../collector/access/principal.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { ViewScope } from '../../../../collector/contract/host_scope.ts';
import type { Role } from '../../../../collector/contract/roles.ts';
import type { Collector } from '../../../../collector/main.ts';
import { AGENT_PATH } from '../../../../protocol/frames.ts';
import { makeCall } from '../calls.ts';
import { Bench } from '../in_process.ts';
import { TOKEN } from '../processes.ts';
import { eventually } from '../stored.ts';
import { Authority } from './certificates.ts';

const ADMIN: Actor = { name: 'test', sourceAddress: null };
export type Headers = Record<string, string>;
type Frame = Record<string, unknown>;

/** Paths that a viewer reads, and those that an admin reads. */
export const FINDINGS = [
  '/api/v1/overview',
  '/api/v1/hosts',
  '/api/v1/offenders',
  '/api/v1/calls',
  '/api/v1/alerts',
  '/metrics',
];
export const ADMINISTRATION = ['/api/v1/tokens', '/api/v1/alert/destinations', '/api/v1/audit'];
export const DESTINATION = {
  name: 'hook',
  rules: ['host_silent'],
  config: {
    kind: 'http',
    values: { url: 'https://hooks.example.com/path-secret', secret: 'a-secret-of-the-webhook' },
  },
};

export const bearer = (secret: string): Headers => ({ authorization: `Bearer ${secret}` });

export class VisitorBench {
  readonly #bench = new Bench();
  readonly dataDir = this.#bench.directory();
  /** The admin database opened beside the collector, like a command does it. */
  readonly #admin: ReturnType<typeof openAdmin>;
  readonly access: Access;
  readonly collector: Collector;

  private constructor(
    dataDir: string,
    collector: Collector,
    bench: Bench,
    admin: ReturnType<typeof openAdmin>,
    access: Access,
  ) {
    this.#bench = bench;
    this.dataDir = dataDir;
    this.collector = collector;
    this.#admin = admin;
    this.access = access;
    bench.atEnd(async () => {
      await this.access.close();
      this.#admin.close();
    });
  }

  static async open(settings: Record<string, unknown> = {}): Promise<VisitorBench> {
    const bench = new Bench();
    const dataDir = String(settings['data_dir'] ?? bench.directory());
    const collector = await bench.collector({ ...settings, data_dir: dataDir });
    const admin = openAdmin(dataDir);
    const options = {
      agentToken: null,
      agentTokenHost: null,
      proxy: NO_PROXY,
      secure: false,
      publicUrl: null,
    };
    const access = await Access.open(new SqliteAdminStore(admin), options, bench.log);
    return new VisitorBench(dataDir, collector, bench, admin, access);
  }

  end(): Promise<void> {
    return this.#bench.end();
  }

  async person(role: Role, scope?: ViewScope): Promise<{ id: string; headers: Headers; secret: string }> {
    const made = { kind: 'person', name: role, role, ...(scope && { scope }) } as const;
    const { token, secret } = await this.access.createToken(made, ADMIN);
    return { id: token.id, headers: bearer(secret), secret };
  }

  signInCode(role: Role): Promise<string> {
    return this.access.createSignInCode({ role, scope: null }, ADMIN);
  }

  async ask(method: string, path: string, headers: Headers = {}, body?: unknown): Promise<Response> {
    const response = await fetch(`${this.collector.pageUrl}${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual',
    });
    if (!path.startsWith('/api/v1/live')) return response;
    await response.body?.cancel();
    return response;
  }

  /** Returns every method and path of the API from its own document. The ids in them do not exist. */
  async routes(): Promise<{ method: string; path: string }[]> {
    const answer = await this.ask('GET', '/api/v1/openapi.json', (await this.person('viewer')).headers);
    const { paths } = (await answer.json()) as { paths: Record<string, Record<string, unknown>> };
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({
        method: method.toUpperCase(),
        path: path.replace('{id}', randomUUID()),
      })),
    );
  }

  /** Connects an agent that claims to be `hostId` and reports a call. Returns the outcome. */
  async agent(
    hostId: string,
    headers: Headers = bearer(TOKEN),
    { claim = {}, tls = {} }: { claim?: Frame; tls?: object } = {},
  ): Promise<{ outcome: string; credential?: string; rejected?: unknown }> {
    const socket = new WebSocket(new URL(AGENT_PATH, this.collector.address.url), { headers, ...tls });
    const frames: Frame[] = [];
    let end: string | null = null;
    socket.on('message', (data) => frames.push(JSON.parse(String(data))));
    socket.on('unexpected-response', (_request, { statusCode }: IncomingMessage) => {
      end = String(statusCode);
    });
    socket.on('error', (error) => {
      end ??= error.message;
    });
    socket.on('close', () => {
      end ??= 'closed';
    });
    this.#bench.atEnd(() => socket.terminate());
    const host = { id: hostId, name: hostId };
    const hello = {
      type: 'hello',
      protocol: 1,
      protocol_max: 2,
      agent_version: '0.0.0',
      stream: randomUUID(),
      host,
    };
    socket.on('open', () => socket.send(JSON.stringify({ ...hello, ...claim })));
    await eventually('an answer to hello', () => frames.length > 0 || end !== null);
    const first = frames[0];
    if (first === undefined) return { outcome: end! };
    if (first['type'] !== 'welcome') return { outcome: String(first['reason']) };
    const { id: _, host: __, ...call } = makeCall({ host: { ...makeCall().host, ...host } });
    const { process, container, k8s, systemd, ...body } = call;
    const { 'attribution.method': method, 'attribution.confidence': confidence, ...rest } = body;
    const facts = { process, container, k8s, systemd };
    const attribution = { 'attribution.method': method, 'attribution.confidence': confidence };
    const callers = [{ ref: 0, ...facts, ...attribution }];
    const records = [{ kind: 'call', caller: 0, call: { ...rest, id: makeCall().id } }];
    socket.send(JSON.stringify({ type: 'batch', seq: 1, records, callers }));
    await eventually('an acknowledgement', () => frames.length > 1 || end !== null);
    socket.terminate();
    const credential = first['credential'];
    return {
      outcome: 'welcome',
      rejected: frames[1]?.['rejected'],
      ...(typeof credential === 'string' && { credential }),
    };
  }
}

/**
 * Connects with a certificate as its host and as another one, and then claims that host with a token. Returns
 * the outcomes.
 */
export async function withCertificate(): Promise<{ own: string; other: string; byToken: string }> {
  const bench = new Bench();
  const authority = new Authority(bench.directory());
  const { certFile, keyFile } = authority.issue('agent', { subject: '/CN=i-certified', usage: 'clientAuth' });
  const secure = await VisitorBench.open({ tls_self_signed: true, tls_client_ca_file: authority.certFile });
  const unchecked = { rejectUnauthorized: false };
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile), ...unchecked };
  try {
    const own = await secure.agent('i-certified', {}, { tls });
    const other = await secure.agent('i-somebody', {}, { tls });
    const byToken = await secure.agent('i-certified', bearer(TOKEN), { tls: unchecked });
    return { own: own.outcome, other: other.outcome, byToken: byToken.outcome };
  } finally {
    await secure.end();
    await bench.end();
  }
}
