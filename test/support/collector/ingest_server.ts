/** The collector's ingest with a store in memory, on a port of its own. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { AgentIdentity } from '../../../collector/access/principal.ts';
import type { EnrolmentClaim } from '../../../collector/access/token_store.ts';
import type { ConnectionLimits } from '../../../collector/ingest/flow_control.ts';
import { IngestServer } from '../../../collector/ingest/server.ts';
import { Writer, type WriterOptions } from '../../../collector/ingest/writer.ts';
import { MemoryStore } from './memory_store.ts';
import { TOKEN } from './processes.ts';

export interface TestIngestOptions extends WriterOptions {
  store?: MemoryStore;
  port?: number;
  /** Left out: 127.0.0.1. */
  address?: string;
  tls?: ServerOptions;
  idleMs?: number;
  heartbeatSeconds?: number;
  fleetMs?: number;
  limits?: Partial<ConnectionLimits>;
  /** True: agents that show `TOKEN` get a credential. Default: none is issued. */
  enrolment?: boolean;
}

/** Credentials of hosts, in place of the collector's access. */
export class Credentials {
  readonly #hostOf = new Map<string, string>();
  readonly #keyOf = new Map<string, string>();
  issued = 0;

  issue(hostId: string, { enrolmentKey = null }: EnrolmentClaim = {}): string | null {
    if (this.has(hostId) && (enrolmentKey === null || this.#keyOf.get(hostId) !== enrolmentKey)) return null;
    this.revoke(hostId);
    if (enrolmentKey !== null) this.#keyOf.set(hostId, enrolmentKey);
    this.issued += 1;
    const credential = `credential-${this.issued}-of-${hostId}`;
    this.#hostOf.set(credential, hostId);
    return credential;
  }

  has(hostId: string): boolean {
    return [...this.#hostOf.values()].includes(hostId);
  }

  revoke(hostId: string): void {
    for (const [credential, host] of this.#hostOf) if (host === hostId) this.#hostOf.delete(credential);
    this.#keyOf.delete(hostId);
  }

  identify({ headers, socket }: IncomingMessage): AgentIdentity | null {
    if (socket instanceof TLSSocket && socket.authorized) {
      return { hostId: String(socket.getPeerCertificate().subject.CN), via: 'certificate' };
    }
    const shown = headers.authorization?.slice('Bearer '.length) ?? '';
    if (shown === TOKEN) return { hostId: null, via: 'enrolment' };
    const hostId = this.#hostOf.get(shown);
    return hostId === undefined ? null : { hostId, via: 'credential' };
  }
}

export class TestIngestServer {
  readonly store: MemoryStore;
  readonly writer: Writer;
  readonly ingest: IngestServer;
  readonly credentials = new Credentials();
  readonly #http: Server;
  readonly #scheme: string;

  private constructor(log: Logger, options: TestIngestOptions) {
    this.#http = options.tls ? createTlsServer(options.tls) : createServer();
    this.#scheme = options.tls ? 'wss' : 'ws';
    this.store = options.store ?? new MemoryStore();
    this.writer = new Writer(this.store, log, { stored: options.stored ?? null });
    this.ingest = new IngestServer({
      identify: async (request) => this.credentials.identify(request),
      issueCredential: options.enrolment
        ? async (hostId, claim) => this.credentials.issue(hostId, claim)
        : null,
      hasCredential: async (hostId) => options.enrolment === true && this.credentials.has(hostId),
      maxConnections: 100,
      limits: options.limits ?? {},
      idleMs: options.idleMs ?? 60_000,
      pace: { heartbeatSeconds: options.heartbeatSeconds ?? null, silentAfterSeconds: 300 },
      ...(options.fleetMs !== undefined && { fleetMs: options.fleetMs }),
      store: this.store,
      writer: this.writer,
      log,
    });
    this.#http.on('upgrade', (request, socket, head) => void this.ingest.onUpgrade(request, socket, head));
  }

  static async open(log: Logger, options: TestIngestOptions = {}): Promise<TestIngestServer> {
    const server = new TestIngestServer(log, options);
    server.#http.listen(options.port ?? 0, options.address ?? '127.0.0.1');
    await once(server.#http, 'listening');
    return server;
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }
  get url(): string {
    return `${this.#scheme}://localhost:${this.port}`;
  }

  async close(): Promise<void> {
    if (!this.#http.listening) return;
    const closed = once(this.#http, 'close');
    this.#http.close();
    await this.ingest.close();
    this.#http.closeAllConnections();
    await closed;
    await this.writer.settled();
  }
}
