/** The door for agents: a WebSocket on `AGENT_PATH`, for those who show the token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { AGENT_PATH, MAX_FRAME_BYTES } from '../../protocol/frames.ts';
import { OperatorError } from '../../protocol/operator_error.ts';
import type { Counters } from '../../protocol/records.ts';
import type { Store } from '../store/store.ts';
import { AgentConnection, type IngestCounters } from './agent_connection.ts';
import type { Writer } from './writer.ts';

/** Sockets beyond the agents': for those that are just being refused. */
const SPARE_SOCKETS = 64;
const HEADERS_TIMEOUT_MS = 10_000;
/** Refused tokens are logged at most this often; each is counted. */
const REFUSAL_LOG_INTERVAL_MS = 60_000;

export interface IngestOptions {
  address: string;
  port: number;
  token: string;
  maxConnections: number;
  idleMs: number;
  store: Store;
  writer: Writer;
  log: Logger;
}

export class IngestServer {
  readonly #options: IngestOptions;
  readonly #http: Server;
  readonly #webSockets: WebSocketServer;
  readonly #tokenDigest: Buffer;
  readonly #connections = new Set<AgentConnection>();
  readonly #byStream = new Map<string, AgentConnection>();
  readonly #idleTimer: NodeJS.Timeout;
  #lastRefusalLogMs = Number.NEGATIVE_INFINITY;
  #door = { accepted: 0, unauthorized: 0, over_limit: 0, idle: 0, superseded: 0 };
  #frames: IngestCounters = {
    frames: 0,
    invalid_frames: 0,
    invalid_records: 0,
    foreign_records: 0,
    refused: 0,
    heartbeats: 0,
    flooding: 0,
  };

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#tokenDigest = digest(options.token);
    this.#http = createServer({ headersTimeout: HEADERS_TIMEOUT_MS }, (_request, response) => {
      response.writeHead(404, { connection: 'close' }).end();
    });
    this.#http.maxConnections = options.maxConnections + SPARE_SOCKETS;
    this.#webSockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
    });
    this.#http.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
    this.#idleTimer = setInterval(() => this.#closeIdle(), Math.max(1000, options.idleMs / 4));
  }

  /** Resolves with the bound port. Throws `OperatorError` when the address cannot be had. */
  listen(): Promise<number> {
    const { address, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#http.once('error', (error: NodeJS.ErrnoException) => {
        clearInterval(this.#idleTimer);
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
      });
      this.#http.listen({ host: address, port }, () => resolve((this.#http.address() as AddressInfo).port));
    });
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until the WebSocket has it, a peer that resets the connection must not end the process.
    socket.on('error', () => socket.destroy());
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== AGENT_PATH) {
      answer(socket, '404 Not Found');
    } else if (!this.#isAuthorized(request)) {
      this.#onUnauthorized(request);
      answer(socket, '401 Unauthorized');
    } else if (this.#connections.size >= this.#options.maxConnections) {
      this.#door.over_limit += 1;
      answer(socket, '503 Service Unavailable');
    } else {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#onConnection(webSocket));
    }
  }

  /** Compares digests of equal length in constant time, so that neither content nor length of the token shows. */
  #isAuthorized({ headers }: IncomingMessage): boolean {
    const match = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '');
    return timingSafeEqual(digest(match?.[1] ?? ''), this.#tokenDigest) && match !== null;
  }

  #onUnauthorized({ socket }: IncomingMessage): void {
    this.#door.unauthorized += 1;
    const now = performance.now();
    if (now - this.#lastRefusalLogMs < REFUSAL_LOG_INTERVAL_MS) return;
    this.#lastRefusalLogMs = now;
    this.#options.log.warn(
      { from: socket.remoteAddress, refused: this.#door.unauthorized },
      'refused a connection without the right token',
    );
  }

  #onConnection(webSocket: WebSocket): void {
    const { store, writer, log } = this.#options;
    this.#door.accepted += 1;
    const connection: AgentConnection = new AgentConnection(webSocket, {
      store,
      writer,
      counters: this.#frames,
      log,
      greeted: (greeted) => this.#onGreeted(greeted),
    });
    this.#connections.add(connection);
    webSocket.on('close', () => {
      this.#connections.delete(connection);
      const { stream } = connection;
      if (stream !== null && this.#byStream.get(stream) === connection) this.#byStream.delete(stream);
    });
  }

  /** An agent that comes back is known to have left its old connection, even if that one has not noticed. */
  #onGreeted(connection: AgentConnection): boolean {
    const stream = connection.stream!;
    const older = this.#byStream.get(stream);
    if (older !== undefined) {
      if (older.hostId !== connection.hostId) return false;
      this.#door.superseded += 1;
      older.refuse('superseded', 'Another connection sends this stream now.');
    }
    this.#byStream.set(stream, connection);
    return true;
  }

  #closeIdle(): void {
    const oldest = performance.now() - this.#options.idleMs;
    for (const connection of this.#connections) {
      if (connection.lastHeardMs >= oldest) continue;
      this.#door.idle += 1;
      connection.terminate();
    }
  }

  counters(): Counters {
    return { ...this.#door, ...this.#frames, connections: this.#connections.size };
  }

  /** Takes nothing more in; resolves when every connection is closed. */
  async close(): Promise<void> {
    clearInterval(this.#idleTimer);
    for (const connection of this.#connections) connection.goAway();
    const closed = new Promise<void>((resolve) => {
      this.#http.close(() => resolve());
    });
    this.#webSockets.close();
    this.#http.closeIdleConnections();
    const straggling = setTimeout(() => {
      for (const connection of this.#connections) connection.terminate();
      this.#http.closeAllConnections();
    }, 1500);
    await closed;
    clearTimeout(straggling);
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function answer(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
