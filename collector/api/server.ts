/** The one HTTP(S) server: the API and the page for people, and the upgrade to a WebSocket for agents. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TlsOptions, Server as TlsServer } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import { AGENT_PATH } from '../../protocol/frames.ts';
import { OperatorError } from '../../protocol/operator_error.ts';
import type { ApiApp } from './parts.ts';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How often these times are looked at. */
const CHECK_INTERVAL_MS = 5_000;
/** What we have ended is gone this much later, whether or not its other end has noticed. */
const LINGER_MS = 2_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** People's browsers and those that are just being refused, beyond the agents. */
const SPARE_SOCKETS = 512;
/** How long what is being answered may take when the collector ends. */
const STOP_GRACE_MS = 1500;
const IDLE_LOOK_MS = 20;

const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
const BAD_REQUEST = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

export interface ServerOptions {
  /** Null: plain HTTP. */
  tls: TlsOptions | null;
  /** Agents at one time; more sockets than these and some spare ones are not taken. */
  maxAgents: number;
  /** An upgrade on `AGENT_PATH`; there is nothing else to upgrade to. */
  onAgent: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export class HttpServer {
  readonly #server: Server;

  constructor(app: ApiApp, { tls, maxAgents, onAgent }: ServerOptions) {
    const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
    const options = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    this.#server =
      tls === null
        ? createServer(options, listener)
        : createTlsServer({ ...options, handshakeTimeout: HANDSHAKE_TIMEOUT_MS, ...tls }, listener);
    this.#server.on(tls === null ? 'connection' : 'secureConnection', letGoOnceEnded);
    this.#server.maxConnections = maxAgents + SPARE_SOCKETS;
    this.#server.on('upgrade', (request, socket, head) => {
      if (request.url?.split('?', 1)[0] === AGENT_PATH) onAgent(request, socket, head);
      else socket.on('error', () => socket.destroy()).end(NOT_FOUND);
    });
    this.#server.on('clientError', (_error, socket: Socket) => {
      if (socket.writable) socket.end(BAD_REQUEST);
      else socket.destroy();
    });
  }

  /** Resolves with the bound port. Throws `OperatorError` when the address cannot be had. */
  listen(address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const remedy =
          error.code === 'EADDRINUSE'
            ? 'Another program has it; set another listen address.'
            : 'Set another listen address.';
        reject(
          new OperatorError(
            error.code === 'EACCES' ? 3 : 1,
            `The collector cannot listen on ${address}, port ${port}: ${error.message}. ${remedy}`,
            { cause: error },
          ),
        );
      };
      this.#server.once('error', failed);
      this.#server.listen({ host: address, port }, () => {
        this.#server.off('error', failed);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Null without TLS. For whoever renews its certificate. */
  get tlsServer(): TlsServer | null {
    return this.#server instanceof TlsServer ? this.#server : null;
  }

  /** Takes no more connections; resolves when the ones it has are closed, at the latest after a grace time. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    // Answers that end now leave their connections idle only then.
    const idling = setInterval(() => this.#server.closeIdleConnections(), IDLE_LOOK_MS);
    const straggling = setTimeout(() => this.#server.closeAllConnections(), STOP_GRACE_MS);
    await closed;
    clearTimeout(straggling);
    clearInterval(idling);
  }
}

/** Whoever never closes its own side would hold a socket of ours for ever, refused or not, until there were none left for agents. */
function letGoOnceEnded(socket: Socket): void {
  socket.once('finish', () => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  });
}
