/**
 * Accepts the WebSockets of agents on `AGENT_PATH` of an HTTP server that the composition owns, after
 * authentication. The file is long because everything that closes connections stands beside their list.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { MAX_FRAME_BYTES } from '../../protocol/frames.ts';
import type { Counters } from '../../protocol/records.ts';
import type { AgentIdentity } from '../access/principal.ts';
import type { EnrolmentClaim } from '../access/token_store.ts';
import { AgentConnection } from './agent_connection.ts';
import { Backlog } from './backlog.ts';
import { placeFor } from './connection_places.ts';
import { drain } from './drain.ts';
import { FleetSize } from './fleet_size.ts';
import type { ConnectionLimits } from './flow_control.ts';
import type { Hearing } from './heard_agent.ts';
import { HeartbeatWriter } from './heartbeat_writer.ts';
import { HostShares } from './host_shares.ts';
import { zeroIngestCounters } from './ingest_counters.ts';
import { type Agents, type PaceSettings, paceOf } from './pacing.ts';
import type { IngestStore, Writer } from './writer.ts';

/** Refused tokens are logged at most this often; each is counted. */
const REFUSAL_LOG_INTERVAL_MS = 60_000;

/** Time at the end for the acknowledgements of batches that were received. */
const LAST_ANSWERS_MS = 1_000;

export const DEFAULT_LIMITS: ConnectionLimits = {
  bytesPerSecond: 32 * 1024 * 1024,
  recordsPerSecond: 40_000,
};

export interface IngestOptions {
  /** Identifies an agent by its token or certificate; null where neither is valid, `unavailable` where it cannot tell. */
  identify: (request: IncomingMessage) => Promise<AgentIdentity | 'unavailable' | null>;
  /**
   * Issues a credential for a host whose agent showed an enrolment token. Resolves to null where the host has
   * one already and the claim does not prove that it is the same agent. Without this option (null) no
   * credentials are issued, and agents go on with the token.
   */
  issueCredential: ((hostId: string, claim: EnrolmentClaim) => Promise<string | null>) | null;
  /** Tells whether an agent must show a credential to speak for this host. */
  hasCredential: (hostId: string) => Promise<boolean>;
  /** Returns the address of the client, for the audit log. Defaults to the address of the socket. */
  addressOf?: (request: IncomingMessage) => string | null;
  maxConnections: number;
  /** Limits of one connection. Default: `DEFAULT_LIMITS`. */
  limits?: Partial<ConnectionLimits>;
  idleMs: number;
  pace: PaceSettings;
  /** Interval at which the hosts of all collectors are counted. Default: 30 s. */
  fleetMs?: number;
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
  readonly #fleet: FleetSize;
  readonly #heartbeats: HeartbeatWriter;
  #closing = false;
  #isLookingForProof = false;
  /** Counts the credentials that have ended. */
  #endings = 0;
  #emptied: (() => void) | null = null;
  #lastRefusalLogMs = Number.NEGATIVE_INFINITY;
  readonly #counters = {
    accepted: 0,
    unauthorized: 0,
    over_limit: 0,
    idle: 0,
    superseded: 0,
    unproven: 0,
    made_room: 0,
    handed_over: 0,
  };
  readonly #frameCounters = zeroIngestCounters();

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
        void this.#closeUnprovenOfKnownHosts();
      },
      Math.max(1000, options.idleMs / 4),
    );
    const { store, log, fleetMs, pace } = options;
    const { silentAfterSeconds } = pace;
    this.#heartbeats = new HeartbeatWriter({ store, log, silentAfterSeconds });
    this.#fleet = new FleetSize({ store, log, silentAfterSeconds, intervalMs: fleetMs });
  }

  /**
   * Handles an HTTP server's `upgrade` event for a request to `AGENT_PATH`. Resolves to true where the agent was
   * accepted.
   */
  async onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<boolean> {
    // A peer that resets the connection before the WebSocket owns it must not end the process.
    socket.on('error', () => socket.destroy());
    const identity = await this.#identify(request);
    const sourceAddress = this.#options.addressOf?.(request) ?? request.socket.remoteAddress ?? null;
    if (identity === null) {
      this.#onUnauthorized(request);
      respond(socket, '401 Unauthorized');
      return false;
    }
    if (identity === 'unavailable') {
      respond(socket, '503 Service Unavailable');
      return false;
    }
    if (this.#closing || !this.#makePlaceFor(identity)) {
      this.#counters.over_limit += 1;
      respond(socket, '503 Service Unavailable');
      return false;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) =>
      this.#onConnection(webSocket, identity, sourceAddress),
    );
    return true;
  }

  #agents(): Agents {
    const connections = this.#connections.size;
    return { connections, fleet: Math.max(this.#fleet.hosts, connections) };
  }

  #hearing(): Hearing {
    return {
      nowMs: performance.now(),
      nowUs: Date.now() * 1000,
      hosts: this.#agents().fleet,
      silentAfterSeconds: this.#options.pace.silentAfterSeconds,
    };
  }

  /** A credential that ended meanwhile is looked up again: `disconnect` does not know this connection yet. */
  async #identify(request: IncomingMessage): Promise<AgentIdentity | 'unavailable' | null> {
    for (;;) {
      const endings = this.#endings;
      const identity = await this.#options.identify(request);
      if (identity === null || identity === 'unavailable' || endings === this.#endings) return identity;
    }
  }

  /** Tells whether a connection may be accepted, and closes another one where that makes room. */
  #makePlaceFor({ hostId }: AgentIdentity): boolean {
    const { hasPlace, leaving } = placeFor(hostId, this.#connections, this.#options.maxConnections);
    if (leaving !== null) {
      this.#counters.made_room += 1;
      leaving.terminate();
    }
    return hasPlace;
  }

  #onUnauthorized({ socket }: IncomingMessage): void {
    this.#counters.unauthorized += 1;
    const now = performance.now();
    if (now - this.#lastRefusalLogMs < REFUSAL_LOG_INTERVAL_MS) return;
    this.#lastRefusalLogMs = now;
    this.#options.log.warn(
      { from: socket.remoteAddress, refused: this.#counters.unauthorized },
      'refused a connection without a valid token or certificate',
    );
  }

  #onConnection(webSocket: WebSocket, identity: AgentIdentity, sourceAddress: string | null): void {
    const { store, writer, log, issueCredential, hasCredential } = this.#options;
    this.#counters.accepted += 1;
    const connection: AgentConnection = new AgentConnection(webSocket, {
      store,
      writer,
      counters: this.#frameCounters,
      backlog: this.#backlog,
      shares: this.#shares,
      limits: this.#limits,
      pace: () => paceOf(this.#agents(), this.#options.pace),
      hearing: () => this.#hearing(),
      onHeard: (heard) => this.#heartbeats.add(heard),
      log,
      identity,
      sourceAddress,
      issueCredential,
      hasCredential,
      claimStream: () => this.#claimStream(connection),
      onEnrolled: () => this.#closeUnproven(connection.hostId!),
    });
    this.#connections.add(connection);
    webSocket.on('close', () => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#emptied?.();
      const { stream } = connection;
      if (stream !== null && this.#byStream.get(stream) === connection) this.#byStream.delete(stream);
    });
  }

  /**
   * Gives the stream to a connection. An older connection of the same host is closed: its agent has left it.
   */
  #claimStream(connection: AgentConnection): boolean {
    const stream = connection.stream!;
    const older = this.#byStream.get(stream);
    if (older !== undefined) {
      if (older.hostId !== connection.hostId) return false;
      this.#counters.superseded += 1;
      older.refuse('superseded', 'Another connection sends this stream now.');
    }
    this.#byStream.set(stream, connection);
    return true;
  }

  /**
   * Closes the connections that speak for a host by an enrolment token alone: the host has a credential now.
   */
  #closeUnproven(hostId: string): void {
    for (const connection of this.#connections) {
      if (connection.hostId !== hostId || connection.hasProof) continue;
      this.#counters.unproven += 1;
      connection.terminate();
    }
  }

  /** Does the same for hosts that got their credential by a command, by the API or by a certificate. */
  async #closeUnprovenOfKnownHosts(): Promise<void> {
    if (this.#options.issueCredential === null || this.#isLookingForProof) return;
    this.#isLookingForProof = true;
    try {
      for (const { hostId, hasProof } of [...this.#connections]) {
        if (hostId !== undefined && !hasProof && (await this.#options.hasCredential(hostId)))
          this.#closeUnproven(hostId);
      }
    } catch (error) {
      this.#options.log.debug(
        { err: error },
        'credentials could not be looked up; the next round tries again',
      );
    } finally {
      this.#isLookingForProof = false;
    }
  }

  #closeIdle(): void {
    const oldest = performance.now() - this.#options.idleMs;
    for (const connection of this.#connections) {
      if (connection.lastHeardMs >= oldest || connection.isHeldBack) continue;
      this.#counters.idle += 1;
      connection.terminate();
    }
  }

  counters(): Counters {
    return {
      ...this.#counters,
      ...this.#frameCounters,
      ...this.#heartbeats.counters(),
      fleet_hosts: this.#agents().fleet,
      connections: this.#connections.size,
      backlog_bytes: this.#backlog.bytes,
      waiting_in_line: this.#backlog.waiting,
    };
  }

  /** Counts the connected agents by their release, as they say. */
  agentVersions(): Map<string, number> {
    const versions = new Map<string, number>();
    for (const { agentVersion } of this.#connections) {
      if (agentVersion !== null) versions.set(agentVersion, (versions.get(agentVersion) ?? 0) + 1);
    }
    return versions;
  }

  /**
   * Closes the connections that rest on a credential of this host (null: on an enrolment token), which has
   * ended. Their agents must authenticate again. Connections that have sent no `hello` are included: they
   * were accepted by that credential.
   */
  disconnect(hostId: string | null): void {
    this.#endings += 1;
    for (const connection of this.#connections) {
      if (connection.boundTo === hostId || connection.hostId === hostId) connection.terminate();
    }
  }

  /**
   * Accepts no more agents, and hands those that are connected over to other collectors. The closes are spread
   * over `forMs`. Resolves when all have left, some seconds later at most.
   */
  async drain(forMs: number): Promise<void> {
    this.#closing = true;
    const leaving = [...this.#connections].map((connection) => ({
      handOver: async (graceMs: number) => {
        if (!this.#connections.has(connection)) return;
        await connection.goAway(graceMs, true);
        this.#counters.handed_over += 1;
      },
    }));
    await drain(leaving, forMs);
  }

  /** Accepts no more agents. Resolves when all connections are closed, and their heartbeats are stored. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#idleTimer);
    this.#fleet.stop();
    this.#webSockets.close();
    await this.#closeConnections();
    await this.#heartbeats.close();
  }

  async #closeConnections(): Promise<void> {
    if (this.#connections.size === 0) return;
    const closed = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    for (const connection of this.#connections) void connection.goAway(LAST_ANSWERS_MS, false);
    const straggling = setTimeout(() => {
      for (const connection of this.#connections) connection.terminate();
    }, LAST_ANSWERS_MS + 1000);
    await closed;
    clearTimeout(straggling);
  }
}

function respond(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
