/**
 * Delivers the spool to a collector, and sends a heartbeat with the agent's state every few seconds. Connects
 * again after every end of a connection (collector_link.ts), with growing delays. It keeps no records: what
 * is not acknowledged lies in the spool.
 */
import type { Logger } from 'pino';
import type { HostFacts } from '../../protocol/call.ts';
import { type CollectorFrame, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from '../../protocol/frames.ts';
import type { Counters, Heartbeat } from '../../protocol/records.ts';
import { AgentCredentials } from './agent_credentials.ts';
import { BatchSender } from './batch_sender.ts';
import { CollectorLink } from './collector_link.ts';
import { CollectorPace } from './collector_pace.ts';
import { type TlsFiles, tlsOptions } from './collector_tls.ts';
import { ConnectionLog } from './connection_log.ts';
import type { CredentialFile } from './credential_file.ts';
import type { EnrolmentKey } from './enrolment_key.ts';
import { httpRefusal, protocolRefusal, tlsRefusal } from './refusals.ts';
import type { Sink } from './sink.ts';
import type { Spool } from './spool.ts';

/** Delay after a refusal that only an operator can end. */
const REFUSED_RETRY_MS = 60_000;

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
  readonly #spool: Spool;
  readonly #sender: BatchSender;
  readonly #log: Logger;
  readonly #connectionLog: ConnectionLog;
  readonly #credentials: AgentCredentials;
  readonly #pace: CollectorPace;
  #host: HostFacts;
  #link: CollectorLink | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #stopped = false;
  #onDrained: (() => void) | null = null;
  #counters = {
    connections: 0,
    connection_failures: 0,
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
    this.#spool = options.spool;
    this.#sender = new BatchSender(options.spool);
    this.#pace = new CollectorPace(options.heartbeatMs);
    this.#log = options.log;
    this.#connectionLog = new ConnectionLog(options.url, options.log);
    this.#host = options.host;
    this.#credentials = new AgentCredentials(options.token, options.credential, options.enrolmentKey);
  }

  get connected(): boolean {
    return this.#sender.isActive;
  }

  start(): void {
    this.#connect();
  }

  notifyOfRecord(): void {
    this.#sender.notifyOfRecord();
  }

  /** Sets the facts of the host. A connection that sent older ones in `hello` is replaced. */
  updateHost(host: HostFacts): void {
    this.#host = host;
    if (this.#link === null) return;
    this.#counters.introductions += 1;
    this.#pace.resetRetries();
    this.#link?.close();
  }

  counters(): Counters {
    const { credentialsRefused: credential_refused, failures: credential_failures } = this.#credentials;
    return {
      ...this.#counters,
      batches_sent: this.#sender.sent,
      batches_resent: this.#sender.resent,
      refused: this.#connectionLog.refusals,
      credential_refused,
      credential_failures,
      connected: this.connected ? 1 : 0,
    };
  }

  async stop(graceMs: number): Promise<void> {
    if (this.connected && graceMs > 0) {
      this.#sender.sendWaiting();
      if (!this.#sender.isDrained) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs);
          this.#onDrained = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
    this.#stopped = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#sender.stop();
    this.#link?.close();
  }

  #connect(): void {
    if (this.#stopped) return;
    const { url, agentVersion, heartbeatMs } = this.#options;
    const tls = this.#tlsOptions();
    if (tls === null) {
      this.#retryIn(REFUSED_RETRY_MS);
      return;
    }
    const headers = this.#credentials.requestHeaders();
    const { stream } = this.#spool;
    const credentialFields = this.#credentials.helloFields();
    this.#link = new CollectorLink({
      url,
      tls,
      headers,
      heartbeatMs,
      counters: this.#counters,
      hello: () => ({
        type: 'hello',
        protocol: OLDEST_PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
        agent_version: agentVersion,
        stream,
        host: this.#host,
        ...credentialFields,
      }),
      onFrame: (link, frame) => this.#onFrame(link, frame, stream),
      onHeartbeatDue: (link) => this.#onHeartbeatDue(link),
      onHttpAnswer: (status) => this.#onHttpAnswer(status),
      onError: (error) => {
        const refusal = tlsRefusal(error, url);
        if (refusal !== null) this.#connectionLog.logRefusal(refusal);
      },
      onEnd: (reason, isHandedOver) => this.#onEnd(reason, isHandedOver),
    });
  }

  /** Returns null if the TLS files are unusable; the error has been logged. */
  #tlsOptions() {
    const { url, tls } = this.#options;
    try {
      return url.startsWith('wss:') ? tlsOptions(tls) : {};
    } catch (error) {
      this.#connectionLog.logRefusal((error as Error).message);
      return null;
    }
  }

  /** Returns the reason to log with the lost connection; null where the refusal has been logged already. */
  #onHttpAnswer(status: number | undefined): string | null {
    const { kind, message } = httpRefusal(status, this.#options.url, this.#credentials.sentKind);
    if (kind === 'busy') return message;
    if (kind === 'authentication') this.#onAuthenticationRefused(message);
    else this.#connectionLog.logRefusal(message);
    return null;
  }

  #onAuthenticationRefused(message: string): void {
    if (!this.#credentials.tryNextAfterRefusal()) {
      this.#connectionLog.logRefusal(message);
    } else if (this.#credentials.credentialsRefused === 1) {
      this.#log.warn(
        { collector: this.#options.url },
        "the collector does not accept this agent's credential; trying to enrol again with agent_token",
      );
    }
  }

  /** `stream`: the stream that this connection's `hello` named. */
  #onFrame(link: CollectorLink, frame: CollectorFrame, stream: string): void {
    switch (frame.type) {
      case 'welcome':
        if (!this.#acceptProtocol(link, frame.protocol)) return;
        this.#spool.resumeAfter(frame.last_seq);
        this.#pace.follow(frame);
        if (frame.credential !== undefined) {
          this.#credentials.storeCredential(frame.credential);
          this.#log.info('the collector gave this agent a credential of its own');
        }
        if (this.#spool.stream === stream) this.#onWelcome(link);
        else this.#link?.close();
        return;
      case 'ack':
        if (!this.connected) return;
        this.#counters.acknowledgements += 1;
        // The delay is not reset at the welcome: a collector whose store is full welcomes every agent and can
        // store nothing.
        this.#pace.resetRetries();
        if (frame.pace !== undefined) this.#pace.follow(frame.pace);
        this.#spool.acknowledgeBatches(frame.seq, frame.rejected);
        this.#sender.sendFullBatches();
        if (this.#onDrained !== null && this.#sender.isDrained) this.#onDrained();
        return;
      case 'refused':
        if (frame.reason === 'unavailable' || frame.reason === 'superseded') {
          this.#log.warn({ reason: frame.reason }, frame.message);
        } else if (frame.reason === 'host') {
          this.#onAuthenticationRefused(`The collector refuses this agent: ${frame.message}`);
        } else {
          this.#connectionLog.logRefusal(
            `The collector refuses this agent (${frame.reason}): ${frame.message}`,
          );
        }
        this.#link?.close();
    }
  }

  /** Returns false, and closes the connection, if this agent did not offer the chosen version. */
  #acceptProtocol(link: CollectorLink, protocol: number): boolean {
    const refusal = protocolRefusal(protocol);
    if (refusal !== null) {
      this.#connectionLog.logRefusal(refusal);
      this.#link?.close();
      return false;
    }
    link.useProtocol(protocol);
    this.#connectionLog.logProtocol(protocol);
    return true;
  }

  #onWelcome(link: CollectorLink): void {
    this.#counters.connections += 1;
    this.#connectionLog.logConnected();
    if (!this.#sender.begin(link)) {
      this.#link?.close();
      return;
    }
    void this.#sendHeartbeat(link);
    this.#sender.sendWaiting();
  }

  #onHeartbeatDue(link: CollectorLink): void {
    if (!this.connected) return;
    if (this.#spool.inFlight === 0) this.#pace.resetRetries();
    if (this.#pace.isHeartbeatDue(performance.now())) void this.#sendHeartbeat(link);
    this.#sender.sendWaiting();
  }

  async #sendHeartbeat(link: CollectorLink): Promise<void> {
    this.#pace.onHeartbeat(performance.now());
    try {
      const heartbeat = await this.#options.heartbeat();
      if (link !== this.#link || !this.connected) return;
      this.#counters.heartbeats += 1;
      link.sendFrame({ type: 'heartbeat', heartbeat });
    } catch (error) {
      this.#counters.heartbeat_failures += 1;
      if (this.#counters.heartbeat_failures === 1) {
        this.#log.warn(
          { err: error },
          'the agent could not make its heartbeat; trying again at the next one',
        );
      }
    }
  }

  #onEnd(reason: string | null, isHandedOver: boolean): void {
    const isElsewhere = isHandedOver && this.connected;
    this.#link = null;
    this.#sender.end();
    this.#onDrained?.();
    if (this.#stopped) return;
    if (isElsewhere) this.#log.info('the collector ends; connecting to another one');
    else this.#counters.connection_failures += 1;
    if (reason !== null) this.#connectionLog.logLost(reason);
    this.#retryIn(this.#connectionLog.isRefused ? REFUSED_RETRY_MS : this.#pace.nextRetry(isElsewhere));
  }

  #retryIn(delayMs: number): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
  }
}
