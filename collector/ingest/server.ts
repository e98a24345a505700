/** The door for agents: WebSockets on `AGENT_PATH` of a server that the composition owns, for those whom it knows. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { MAX_FRAME_BYTES } from '../../protocol/frames.ts';
import type { Counters } from '../../protocol/records.ts';
import type { AgentIdentity } from '../access/principal.ts';
import type { EnrolmentClaim } from '../access/token_store.ts';
import { AgentConnection, type IngestCounters } from './agent_connection.ts';
import { Backlog } from './backlog.ts';
import type { ConnectionLimits } from './flow_control.ts';
import { HostShares } from './host_shares.ts';
import type { IngestStore, Writer } from './writer.ts';

/** Refused tokens are logged at most this often; each is counted. */
const REFUSAL_LOG_INTERVAL_MS = 60_000;

/** One part in this many of all places is kept for agents that show a credential. */
const RESERVED_SHARE = 8;
/** Connections that have shown an enrolment token and have not said `hello`. */
const MAX_UNGREETED = 256;
/** Connections with the credential of one host. An agent has one, and a half-open one or two after a cut. */
const MAX_CONNECTIONS_OF_HOST = 4;

export const DEFAULT_LIMITS: ConnectionLimits = {
  bytesPerSecond: 32 * 1024 * 1024,
  recordsPerSecond: 40_000,
};

export interface IngestOptions {
  /** Who asks to be let in, by token or certificate; null: nobody who may. */
  identify: (request: IncomingMessage) => AgentIdentity | null;
  /**
   * A credential for a host whose agent came with an enrolment token; null when that host has one and the claim does not prove that
   * it is the same agent. The option null:
   * this collector gives none out, and agents go on with the token.
   */
  issueCredential: ((hostId: string, claim: EnrolmentClaim) => Promise<string | null>) | null;
  /** Whether an agent must show a credential to speak for this host. */
  hasCredential: (hostId: string) => boolean;
  /** Where a request comes from, for the audit log. Left out: the address of its socket. */
  addressOf?: (request: IncomingMessage) => string | null;
  maxConnections: number;
  /** Per connection; left out: `DEFAULT_LIMITS`. */
  limits?: Partial<ConnectionLimits>;
  idleMs: number;
  store: IngestStore;
  writer: Writer;
  log: Logger;
}

export class IngestServer {
  readonly #options: IngestOptions;
  readonly #webSockets: WebSocketServer;
  readonly #limits: ConnectionLimits;
  readonly #backlog = new Backlog();
  readonly #shares: HostShares;
  readonly #connections = new Set<AgentConnection>();
  readonly #byStream = new Map<string, AgentConnection>();
  readonly #idleTimer: NodeJS.Timeout;
  #closing = false;
  #emptied: (() => void) | null = null;
  #lastRefusalLogMs = Number.NEGATIVE_INFINITY;
  #door = { accepted: 0, unauthorized: 0, over_limit: 0, idle: 0, superseded: 0, unproven: 0, made_room: 0 };
  #frames: IngestCounters = {
    frames: 0,
    invalid_frames: 0,
    invalid_records: 0,
    foreign_records: 0,
    cut_texts: 0,
    refused: 0,
    foreign_hosts: 0,
    credentials_issued: 0,
    heartbeats: 0,
    flooding: 0,
    held_back: 0,
  };

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#shares = new HostShares(this.#limits);
    this.#webSockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
    });
    this.#idleTimer = setInterval(
      () => {
        this.#closeIdle();
        this.#closeUnprovenOfKnownHosts();
      },
      Math.max(1000, options.idleMs / 4),
    );
  }

  /** Takes an HTTP server's `upgrade` event, for a request to `AGENT_PATH`. Returns true when the agent was let in. */
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    // Until the WebSocket has it, a peer that resets the connection must not end the process.
    socket.on('error', () => socket.destroy());
    const identity = this.#options.identify(request);
    const sourceAddress = this.#options.addressOf?.(request) ?? request.socket.remoteAddress ?? null;
    if (identity === null) {
      this.#onUnauthorized(request);
      answer(socket, '401 Unauthorized');
      return false;
    }
    if (this.#closing || !this.#hasPlaceFor(identity)) {
      this.#door.over_limit += 1;
      answer(socket, '503 Service Unavailable');
      return false;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) =>
      this.#onConnection(webSocket, identity, sourceAddress),
    );
    return true;
  }

  /**
   * Some places are for agents that show a credential or a certificate, and so is every place of a connection that showed an enrolment
   * token and has not said which host it is.
   */
  #hasPlaceFor({ hostId }: AgentIdentity): boolean {
    const { maxConnections } = this.#options;
    const { size } = this.#connections;
    if (hostId === null) {
      const reserved = Math.floor(maxConnections / RESERVED_SHARE);
      return size < maxConnections - reserved && this.#ungreeted().length < MAX_UNGREETED;
    }
    const own = [...this.#connections].filter(({ boundTo }) => boundTo === hostId);
    const oldest = own.length >= MAX_CONNECTIONS_OF_HOST ? own[0] : undefined;
    const leaving = oldest ?? (size >= maxConnections ? this.#ungreeted()[0] : undefined);
    if (leaving === undefined) return size < maxConnections;
    this.#door.made_room += 1;
    leaving.terminate();
    return true;
  }

  /** Connections by an enrolment token that have not said which host they are, the oldest first. */
  #ungreeted(): AgentConnection[] {
    return [...this.#connections].filter(({ boundTo, stream }) => boundTo === null && stream === null);
  }

  #onUnauthorized({ socket }: IncomingMessage): void {
    this.#door.unauthorized += 1;
    const now = performance.now();
    if (now - this.#lastRefusalLogMs < REFUSAL_LOG_INTERVAL_MS) return;
    this.#lastRefusalLogMs = now;
    this.#options.log.warn(
      { from: socket.remoteAddress, refused: this.#door.unauthorized },
      'refused a connection without a valid token or certificate',
    );
  }

  #onConnection(webSocket: WebSocket, identity: AgentIdentity, sourceAddress: string | null): void {
    const { store, writer, log, issueCredential, hasCredential } = this.#options;
    this.#door.accepted += 1;
    const connection: AgentConnection = new AgentConnection(webSocket, {
      store,
      writer,
      counters: this.#frames,
      backlog: this.#backlog,
      shares: this.#shares,
      limits: this.#limits,
      log,
      identity,
      sourceAddress,
      issueCredential,
      hasCredential,
      greeted: (greeted) => this.#onGreeted(greeted),
      enrolled: ({ hostId }) => this.#closeUnproven(hostId!),
    });
    this.#connections.add(connection);
    webSocket.on('close', () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#emptied?.();
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

  /** A host has a credential from now on: whoever speaks for it by an enrolment token alone does so no longer. */
  #closeUnproven(hostId: string): void {
    for (const connection of this.#connections) {
      if (connection.hostId !== hostId || connection.hasProof) continue;
      this.#door.unproven += 1;
      connection.terminate();
    }
  }

  /** The same for hosts that got their credential elsewhere: by a command, by the API, or by a certificate. */
  #closeUnprovenOfKnownHosts(): void {
    if (this.#options.issueCredential === null) return;
    for (const { hostId, hasProof } of [...this.#connections]) {
      if (hostId !== undefined && !hasProof && this.#options.hasCredential(hostId))
        this.#closeUnproven(hostId);
    }
  }

  #closeIdle(): void {
    const oldest = performance.now() - this.#options.idleMs;
    for (const connection of this.#connections) {
      if (connection.lastHeardMs >= oldest || connection.isHeldBack) continue;
      this.#door.idle += 1;
      connection.terminate();
    }
  }

  counters(): Counters {
    return {
      ...this.#door,
      ...this.#frames,
      connections: this.#connections.size,
      backlog_bytes: this.#backlog.bytes,
    };
  }

  /**
   * A credential of this host ended (null: an enrolment token): whoever speaks for it must come again and show what counts. So must who
   * has shown it and said nothing yet: let in by what it was then, it would stay.
   */
  disconnect(hostId: string | null): void {
    for (const connection of this.#connections) {
      if (connection.boundTo === hostId || connection.hostId === hostId) connection.terminate();
    }
  }

  /** Takes nothing more in; resolves when every agent's connection is closed. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#idleTimer);
    this.#webSockets.close();
    if (this.#connections.size === 0) return;
    const closed = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    for (const connection of this.#connections) connection.goAway();
    const straggling = setTimeout(() => {
      for (const connection of this.#connections) connection.terminate();
    }, 1500);
    await closed;
    clearTimeout(straggling);
  }
}

function answer(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
