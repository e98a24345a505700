/** The HTTP(S) server: the API and the page for people, and the upgrade to a WebSocket for agents. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TlsOptions, Server as TlsServer } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import { AGENT_PATH } from '../../protocol/frames.ts';
import type { Counters } from '../../protocol/records.ts';
import { type ConnectionBounds, Connections, MAX_KNOWN, SLACK } from './connections.ts';
import type { ApiApp } from './env.ts';

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const HANDSHAKE_TIMEOUT_MS = 5_000;
/** Interval at which these times are checked. */
const CHECK_INTERVAL_MS = 5_000;
/** A connection that we ended is destroyed after this time, even if the other side keeps it open. */
const LINGER_MS = 2_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Connections that were ended and are not closed yet, beyond those that are counted elsewhere. */
const SPARE_SOCKETS = 512;
/** Time that running requests have to finish when the collector stops. */
const STOP_GRACE_MS = 1500;
const IDLE_LOOK_MS = 20;

const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
const BAD_REQUEST = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

export interface ServerOptions {
  /** Null: plain HTTP. */
  tls: TlsOptions | null;
  /** Most agents at one time. */
  maxAgents: number;
  /** Bounds on connections without authentication. */
  bounds: ConnectionBounds;
  /**
   * Handles an upgrade on `AGENT_PATH`, the only path with upgrades. Resolves to true if the agent was
   * authenticated. Must not reject.
   */
  onAgent: (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<boolean>;
  log: Logger;
}

export class HttpServer {
  readonly #server: Server;
  readonly #connections: Connections;

  constructor(app: ApiApp, { tls, maxAgents, bounds, onAgent, log }: ServerOptions) {
    const connections = new Connections(bounds, log);
    this.#connections = connections;
    const callbacks = new WeakMap<object, (person: string) => void>();
    const answer = getRequestListener(
      (request, env) => app.fetch(request, { ...env, onAuthenticated: callbacks.get(env.incoming) }),
      { overrideGlobalObjects: false },
    );
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      const { onEnded, onAuthenticated } = connections.registerRequest(request);
      callbacks.set(request, onAuthenticated);
      response.once('close', onEnded);
      void answer(request, response);
    };
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
    this.#server.on(tls === null ? 'connection' : 'secureConnection', destroyOnceEnded);
    // With TLS this is the TCP connection before its handshake.
    this.#server.on('connection', (socket: Socket) => connections.registerConnection(socket));
    // `Connections` makes room for new connections. This bounds only those that it cannot see.
    this.#server.maxConnections = maxAgents + bounds.total + SLACK + MAX_KNOWN + SPARE_SOCKETS;
    this.#server.on('upgrade', (request, socket, head) => {
      if (request.url?.split('?', 1)[0] === AGENT_PATH) {
        void onAgent(request, socket, head).then((isAccepted) => {
          if (isAccepted) connections.releaseToAgent(request.socket);
        });
      } else socket.on('error', () => socket.destroy()).end(NOT_FOUND);
    });
    this.#server.on('clientError', (_error, socket: Socket) => {
      if (socket.writable) socket.end(BAD_REQUEST);
      else socket.destroy();
    });
  }

  /** Resolves with the bound port. Rejects with `OperatorError` if the address cannot be used. */
  listen(address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const remedy =
          error.code === 'EADDRINUSE'
            ? 'Another program uses this port. Set another listen address.'
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

  counters(): Counters {
    return this.#connections.counters();
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Null without TLS. `ServerTls` gives it renewed certificates. */
  get tlsServer(): TlsServer | null {
    return this.#server instanceof TlsServer ? this.#server : null;
  }

  /**
   * Accepts no more connections. Resolves when the open ones are closed, at the latest after a grace time.
   */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    // A connection becomes idle only when its last answer has ended.
    const idling = setInterval(() => this.#server.closeIdleConnections(), IDLE_LOOK_MS);
    const straggling = setTimeout(() => this.#server.closeAllConnections(), STOP_GRACE_MS);
    await closed;
    clearTimeout(straggling);
    clearInterval(idling);
    this.#connections.close();
  }
}

/**
 * Destroys a socket some time after we ended it. A client that never closes its side would otherwise hold the
 * socket for ever.
 */
function destroyOnceEnded(socket: Socket): void {
  socket.once('finish', () => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  });
}
