/**
 * Delivers the spool to a collector over a WebSocket (protocol/frames.ts) and says every few seconds how the agent is.
 *
 * Holds nothing back: what is not acknowledged lies in the spool, and only `MAX_IN_FLIGHT` batches are on their way, so a
 * slow collector fills the spool and not the memory.
 */
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import { type RawData, WebSocket } from 'ws';
import { Backoff } from '../../common/backoff.ts';
import type { HostFacts } from '../../protocol/call.ts';
import {
  AGENT_PATH,
  type AgentFrame,
  type CollectorFrame,
  collectorFrame,
  MAX_FRAME_BYTES,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
} from '../../protocol/frames.ts';
import type { Counters, Heartbeat } from '../../protocol/records.ts';
import { Pass } from './agent_credentials.ts';
import type { Batch } from './batches.ts';
import { type TlsFiles, tlsOptions, tlsRemedy } from './collector_tls.ts';
import type { CredentialFile } from './credential_file.ts';
import type { EnrolmentKey } from './enrolment_key.ts';
import type { Sink } from './sink.ts';
import type { Spool } from './spool.ts';
import { CallerReferences, fullBatchFrame } from './wire_batch.ts';

const MAX_IN_FLIGHT = 8;
const MAX_BATCH_RECORDS = 1000;
const MAX_BATCH_BYTES = 256 * 1024;
/** How long the first record of a batch waits for company. */
const LINGER_MS = 50;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** After a refusal that only an operator can end. */
const REFUSED_RETRY_MS = 60_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A connection on which nothing at all arrived for this many heartbeats (each sends a ping too) is dead. */
const SILENT_HEARTBEATS = 2;

export interface UplinkOptions {
  spool: Spool;
  /** `ws://` or `wss://`, host and port; the path is the protocol's own. */
  url: string;
  /** Enrolment token; null for an agent that has a credential or a certificate. */
  token: string | null;
  tls: TlsFiles;
  credential: CredentialFile;
  enrolmentKey: EnrolmentKey;
  host: HostFacts;
  agentVersion: string;
  heartbeatMs: number;
  heartbeat: () => Promise<Heartbeat>;
  log: Logger;
}

export class Uplink implements Sink {
  readonly #options: UplinkOptions;
  readonly #log: Logger;
  readonly #pass: Pass;
  readonly #backoff = new Backoff(FIRST_RETRY_MS, MAX_RETRY_MS);
  #host: HostFacts;
  #socket: WebSocket | null = null;
  /** Stream that was said in this connection's `hello`; null until the collector has welcomed it. */
  #welcomed: string | null = null;
  /** As agreed with the collector, on this connection or the last. */
  #protocol: number | null = null;
  /** Null while protocol 1 is spoken. */
  #callers: CallerReferences | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #lingerTimer: NodeJS.Timeout | null = null;
  #heartbeatTimer: NodeJS.Timeout | null = null;
  #silentHeartbeats = 0;
  #stopped = false;
  /** The state that was logged last: a collector that is away for a day is two lines, not thousands. */
  #state: 'new' | 'connected' | 'down' | 'refused' = 'new';
  #drained: (() => void) | null = null;
  #counters = {
    connections: 0,
    connection_failures: 0,
    refused: 0,
    batches_sent: 0,
    batches_resent: 0,
    bytes_sent: 0,
    acknowledgements: 0,
    heartbeats: 0,
    heartbeat_failures: 0,
    invalid_frames: 0,
    half_open: 0,
    introductions: 0,
  };

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#host = options.host;
    this.#pass = new Pass(options.token, options.credential, options.enrolmentKey);
  }

  get connected(): boolean {
    return this.#welcomed !== null;
  }

  start(): void {
    this.#connect();
  }

  wake(): void {
    if (this.#welcomed === null || this.#lingerTimer !== null) return;
    this.#lingerTimer = setTimeout(() => {
      this.#lingerTimer = null;
      this.#pump();
    }, LINGER_MS);
  }

  /** A collector knows a host by its `hello`: one that has heard an older one is said hello again. */
  introduce(host: HostFacts): void {
    this.#host = host;
    if (this.#socket === null) return;
    this.#counters.introductions += 1;
    this.#backoff.reset();
    this.#closeSocket();
  }

  counters(): Counters {
    const { credentialsRefused: credential_refused, failures: credential_failures } = this.#pass;
    return {
      ...this.#counters,
      credential_refused,
      credential_failures,
      connected: this.connected ? 1 : 0,
    };
  }

  async stop(graceMs: number): Promise<void> {
    if (this.connected && graceMs > 0) {
      this.#pump();
      if (!this.#isDrained()) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs);
          this.#drained = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
    this.#stopped = true;
    for (const timer of [this.#retryTimer, this.#lingerTimer]) if (timer !== null) clearTimeout(timer);
    this.#closeSocket();
  }

  #isDrained(): boolean {
    return !this.connected || (this.#options.spool.unsent === 0 && this.#options.spool.inFlight === 0);
  }

  #connect(): void {
    if (this.#stopped) return;
    const { url, agentVersion, spool } = this.#options;
    const tls = this.#tlsOptions();
    if (tls === null) {
      this.#retryIn(REFUSED_RETRY_MS);
      return;
    }
    const socket = new WebSocket(new URL(AGENT_PATH, url), {
      ...tls,
      headers: this.#pass.headers(),
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    const { stream } = spool;
    const claim = this.#pass.claim();
    socket.on('open', () => {
      this.#silentHeartbeats = 0;
      this.#heartbeatTimer = setInterval(() => this.#onHeartbeat(socket), this.#options.heartbeatMs);
      const hello: AgentFrame = {
        type: 'hello',
        protocol: OLDEST_PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
        agent_version: agentVersion,
        stream,
        host: this.#host,
        ...claim,
      };
      this.#send(socket, JSON.stringify(hello));
    });
    socket.on('message', (data) => this.#onMessage(socket, stream, data));
    socket.on('pong', () => {
      this.#silentHeartbeats = 0;
    });
    socket.on('unexpected-response', (request, response) => {
      request.destroy();
      this.#onEnd(socket, this.#onHttpAnswer(response));
    });
    let reason: string | null = null;
    socket.on('error', (error) => {
      reason = error.message;
      const remedy = tlsRemedy(error, url);
      if (remedy !== null) this.#refuse(`${remedy} Records stay in the spool meanwhile.`);
    });
    socket.on('close', (code) => this.#onEnd(socket, reason ?? `closed with code ${code}`));
  }

  /** Null: what is in the files now cannot be used, which was said. */
  #tlsOptions() {
    try {
      return this.#options.url.startsWith('wss:') ? tlsOptions(this.#options.tls) : {};
    } catch (error) {
      this.#refuse((error as Error).message);
      return null;
    }
  }

  #onNotLetIn(message: string): void {
    const pass = this.#pass;
    if (!pass.onRefused()) {
      this.#refuse(message);
    } else if (pass.credentialsRefused === 1) {
      this.#log.warn(
        { collector: this.#options.url },
        "the collector does not accept this agent's credential; trying to enrol again with agent_token",
      );
    }
  }

  /** Returns the reason to log with the lost connection; null where the refusal has been logged already. */
  #onHttpAnswer({ statusCode }: IncomingMessage): string | null {
    const { url } = this.#options;
    if (statusCode === 401) {
      this.#onNotLetIn(
        `The collector at ${url} refuses this agent's ${this.#pass.shown}. Set agent_token (or agent_token_file) to an enrolment token of the collector. Records stay in the spool meanwhile.`,
      );
      return null;
    }
    if (statusCode === 503) return 'the collector takes no more connections now (HTTP status 503)';
    this.#refuse(
      `${url} answered with HTTP status ${statusCode}: it is not an imdswatch collector, or a proxy is in between. Check collector_url. Records stay in the spool meanwhile.`,
    );
    return null;
  }

  /** Nothing changes until an operator does something: say so once, and ask again slowly. */
  #refuse(message: string): void {
    this.#counters.refused += 1;
    if (this.#state !== 'refused') this.#log.error(message);
    this.#state = 'refused';
  }

  #onMessage(socket: WebSocket, stream: string, data: RawData): void {
    if (socket !== this.#socket) return;
    this.#silentHeartbeats = 0;
    const frame = parseFrame(data);
    if (frame === null) {
      this.#counters.invalid_frames += 1;
      socket.terminate();
      return;
    }
    const { spool } = this.#options;
    switch (frame.type) {
      case 'welcome':
        if (!this.#agree(frame.protocol)) return;
        spool.resumeAfter(frame.last_seq);
        if (frame.credential !== undefined) {
          this.#pass.take(frame.credential);
          this.#log.info('the collector gave this agent a credential of its own');
        }
        if (spool.stream === stream) this.#onWelcome(socket);
        else this.#closeSocket();
        return;
      case 'ack':
        if (this.#welcomed === null) return;
        this.#counters.acknowledgements += 1;
        // Not at the welcome: a collector whose store is full welcomes everybody and can take nothing.
        this.#backoff.reset();
        spool.acknowledgeBatches(frame.seq, frame.rejected);
        this.#pumpIfWorthIt();
        if (this.#drained !== null && this.#isDrained()) this.#drained();
        return;
      case 'refused':
        if (frame.reason === 'unavailable' || frame.reason === 'superseded') {
          this.#log.warn({ reason: frame.reason }, frame.message);
        } else if (frame.reason === 'host') {
          this.#onNotLetIn(`The collector refuses this agent: ${frame.message}`);
        } else {
          this.#refuse(`The collector refuses this agent (${frame.reason}): ${frame.message}`);
        }
        this.#closeSocket();
    }
  }

  /** False: the collector chose a version that this agent did not offer, and is left. */
  #agree(protocol: number): boolean {
    if (protocol < OLDEST_PROTOCOL_VERSION || protocol > PROTOCOL_VERSION) {
      this.#refuse(
        `The collector speaks version ${protocol} of the protocol, this agent ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}. Update the older of the two.`,
      );
      this.#closeSocket();
      return false;
    }
    // Callers are said once per connection: on a new one nobody has been named yet.
    this.#callers = protocol === 1 ? null : new CallerReferences();
    if (protocol < PROTOCOL_VERSION && this.#protocol !== protocol) {
      this.#log.info(
        { collector_speaks: protocol, agent_speaks: PROTOCOL_VERSION },
        'the collector is older than this agent: speaking its version of the protocol',
      );
    }
    this.#protocol = protocol;
    return true;
  }

  #batchFrame(batch: Batch): Buffer {
    return this.#callers === null ? fullBatchFrame(batch) : this.#callers.batchFrame(batch);
  }

  #onWelcome(socket: WebSocket): void {
    this.#counters.connections += 1;
    if (this.#state !== 'connected') this.#log.info({ collector: this.#options.url }, 'connected');
    this.#state = 'connected';
    const again = this.#options.spool.unacknowledgedBatches();
    if (again === null) {
      this.#closeSocket();
      return;
    }
    this.#welcomed = this.#options.spool.stream;
    for (const batch of again) {
      this.#counters.batches_resent += 1;
      this.#send(socket, this.#batchFrame(batch));
    }
    void this.#sendHeartbeat(socket);
    this.#pump();
  }

  /** After an acknowledgement: full batches at once, a few records when they have waited for company. */
  #pumpIfWorthIt(): void {
    if (this.#options.spool.unsent >= MAX_BATCH_RECORDS) this.#pump();
    else if (this.#options.spool.unsent > 0) this.wake();
  }

  #pump(): void {
    const { spool } = this.#options;
    const socket = this.#socket;
    if (socket === null || this.#welcomed === null) return;
    if (spool.stream !== this.#welcomed) {
      this.#closeSocket();
      return;
    }
    while (spool.inFlight < MAX_IN_FLIGHT) {
      const batch = spool.takeBatch(MAX_BATCH_RECORDS, MAX_BATCH_BYTES);
      if (batch === null) return;
      this.#counters.batches_sent += 1;
      this.#send(socket, this.#batchFrame(batch));
    }
  }

  #send(socket: WebSocket, frame: string | Buffer): void {
    this.#counters.bytes_sent += frame.length;
    socket.send(frame, { binary: false }, () => {
      // A frame that could not be sent needs nothing here: the close that follows makes everything unacknowledged be sent again.
    });
  }

  #onHeartbeat(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#silentHeartbeats += 1;
    if (this.#silentHeartbeats > SILENT_HEARTBEATS) {
      this.#counters.half_open += 1;
      socket.terminate();
      return;
    }
    socket.ping();
    if (this.#welcomed !== null) {
      if (this.#options.spool.inFlight === 0) this.#backoff.reset();
      void this.#sendHeartbeat(socket);
      this.#pump();
    }
  }

  async #sendHeartbeat(socket: WebSocket): Promise<void> {
    try {
      const heartbeat = await this.#options.heartbeat();
      if (socket !== this.#socket || this.#welcomed === null) return;
      this.#counters.heartbeats += 1;
      this.#send(socket, JSON.stringify({ type: 'heartbeat', heartbeat } satisfies AgentFrame));
    } catch (error) {
      this.#counters.heartbeat_failures += 1;
      if (this.#counters.heartbeat_failures === 1)
        this.#log.warn({ err: error }, 'no heartbeat could be made');
    }
  }

  #closeSocket(): void {
    const socket = this.#socket;
    if (socket === null) return;
    socket.close(1000);
    this.#onEnd(socket, null);
    // A peer that does not answer the close is not waited for.
    setTimeout(() => socket.terminate(), 1000).unref();
  }

  #onEnd(socket: WebSocket, reason: string | null): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#welcomed = null;
    this.#drained?.();
    if (this.#heartbeatTimer !== null) clearInterval(this.#heartbeatTimer);
    this.#heartbeatTimer = null;
    if (this.#stopped) return;
    this.#counters.connection_failures += 1;
    if (reason !== null && this.#state !== 'down' && this.#state !== 'refused') {
      this.#log.warn(
        { collector: this.#options.url, reason },
        'no connection to the collector; records stay in the spool',
      );
      this.#state = 'down';
    }
    this.#retryIn(this.#state === 'refused' ? REFUSED_RETRY_MS : this.#backoff.next());
  }

  #retryIn(delayMs: number): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
  }
}

function parseFrame(data: RawData): CollectorFrame | null {
  try {
    const parsed = collectorFrame.safeParse(JSON.parse(String(data)));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
