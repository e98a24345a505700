/**
 * Serves the metrics of the agent by HTTP. It is part of a daemon that must not miss packets: it has few connections, waits
 * for nobody long, and answers requests that come at once with one reading.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { HostPort } from '../../common/host_address.ts';

const PATH = '/metrics';
const MAX_CONNECTIONS = 8;
const MAX_HEADER_BYTES = 8192;
/** Time to a whole request, and time that a connection may be idle. */
const TIMEOUT_MS = 5000;
/** A reading is given out again for this time. */
const KEPT_MS = 1000;
const RETRY_MS = 10_000;

export interface MetricsServerOptions {
  address: HostPort;
  contentType: string;
  /** Reads the metrics. */
  text: () => Promise<string>;
  log: Logger;
}

export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #server: Server;
  #reading: { text: Promise<string>; untilMs: number } | null = null;
  #retry: NodeJS.Timeout | null = null;
  #isRefusalLogged = false;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: TIMEOUT_MS,
        requestTimeout: TIMEOUT_MS,
        keepAliveTimeout: TIMEOUT_MS,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    // A client that reads nothing, or sends nothing, has the connection for so long.
    this.#server.timeout = TIMEOUT_MS;
    this.#server.on('error', (error) => this.#onRefused(error));
  }

  /** Listens. Where that fails, the agent goes on to watch, the log has the reason, and it is tried again. */
  start(): void {
    const { host, port } = this.#options.address;
    this.#server.listen({ host, port, backlog: MAX_CONNECTIONS }, () => {
      this.#isRefusalLogged = false;
      this.#options.log.info({ host, port: this.port }, 'metrics are served');
    });
    // Metrics keep no process alive.
    this.#server.unref();
  }

  /** Null while it does not listen. */
  get port(): number | null {
    return (this.#server.address() as AddressInfo | null)?.port ?? null;
  }

  async stop(): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #onRefused(error: Error): void {
    const { address, log } = this.#options;
    if (!this.#isRefusalLogged) {
      log.error(
        { ...address, error: error.message },
        'metrics cannot be served: another program has the address, or it is none of this host; change metrics_listen. The agent watches, and tries again',
      );
    }
    this.#isRefusalLogged = true;
    this.#retry = setTimeout(() => this.start(), RETRY_MS);
    this.#retry.unref();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '/' } = request;
    response.on('error', () => {});
    const hasBody =
      request.headers['transfer-encoding'] !== undefined ||
      Number(request.headers['content-length'] ?? 0) !== 0;
    // The rest of a request that is not wanted is not read.
    if (hasBody || (method !== 'GET' && method !== 'HEAD')) return end(response, 405, 'GET only\n', true);
    if (url.split('?')[0] !== PATH) return end(response, 404, `The metrics are at ${PATH}\n`);
    try {
      const text = await this.#read();
      response.setHeader('Content-Type', this.#options.contentType);
      end(response, 200, text);
    } catch (error) {
      this.#options.log.error({ err: error }, 'the metrics of the agent cannot be read');
      end(response, 500, 'The metrics cannot be read. The log of the agent has the reason.\n');
    }
  }

  #read(): Promise<string> {
    const nowMs = performance.now();
    if (this.#reading === null || nowMs >= this.#reading.untilMs) {
      const text = this.#options.text();
      this.#reading = { text, untilMs: nowMs + KEPT_MS };
    }
    return this.#reading.text;
  }
}

function end(response: ServerResponse, status: number, text: string, isLast = false): void {
  response.statusCode = status;
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  if (status === 405) response.setHeader('Allow', 'GET, HEAD');
  if (isLast) response.setHeader('Connection', 'close');
  response.end(text);
}
