/**
 * One WebSocket connection to a collector (protocol/frames.ts): says `hello`, agrees on the version of the
 * protocol, sends frames, and notices when the other side is dead. It knows nothing of retries. Once it has
 * ended it reports nothing more.
 */
import type { SecureContextOptions } from 'node:tls';
import { type RawData, WebSocket } from 'ws';
import {
  AGENT_PATH,
  type AgentFrame,
  type CollectorFrame,
  collectorFrame,
  HANDED_OVER,
  MAX_FRAME_BYTES,
} from '../../protocol/frames.ts';
import type { Batch } from './batches.ts';
import { CallerReferences, fullBatchFrame, withoutNewerValues } from './wire_batch.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * A connection on which nothing at all arrived for this many heartbeats is dead: a ping goes out with each of
 * them.
 */
const SILENT_HEARTBEATS = 2;
/** A peer that does not answer the close of the connection is waited for no longer than this. */
const CLOSE_TIMEOUT_MS = 1000;

export interface LinkCounters {
  bytes_sent: number;
  invalid_frames: number;
  half_open: number;
}

export interface LinkOptions {
  /** `ws://` or `wss://`, host and port. */
  url: string;
  tls: SecureContextOptions;
  headers: Record<string, string>;
  heartbeatMs: number;
  counters: LinkCounters;
  /** Returns the first frame. Called when the connection is open. */
  hello: () => AgentFrame;
  onFrame: (link: CollectorLink, frame: CollectorFrame) => void;
  /** Called each `heartbeatMs` while the connection is open. */
  onHeartbeatDue: (link: CollectorLink) => void;
  /**
   * Called when the opening request got an HTTP answer. Returns the reason for `onEnd`; null if it has been
   * logged.
   */
  onHttpAnswer: (statusCode: number | undefined) => string | null;
  onError: (error: NodeJS.ErrnoException) => void;
  /**
   * Called once. `reason` is null if the end needs no log line. `isHandedOver`: the collector ends, and others
   * are there.
   */
  onEnd: (reason: string | null, isHandedOver: boolean) => void;
}

export class CollectorLink {
  readonly #options: LinkOptions;
  readonly #socket: WebSocket;
  /** Null while protocol 1 is spoken. */
  #callers: CallerReferences | null = null;
  /** The version of the protocol that both sides speak. */
  #version = 1;
  #heartbeatTimer: NodeJS.Timeout | null = null;
  #silentHeartbeats = 0;
  #hasEnded = false;

  /** Begins to connect. */
  constructor(options: LinkOptions) {
    this.#options = options;
    const socket = new WebSocket(new URL(AGENT_PATH, options.url), {
      ...options.tls,
      headers: options.headers,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    let reason: string | null = null;
    socket.on('open', () => this.#onOpen());
    socket.on('message', (data) => this.#onMessage(data));
    socket.on('pong', () => {
      this.#silentHeartbeats = 0;
    });
    socket.on('unexpected-response', (request, response) => {
      request.destroy();
      if (!this.#hasEnded) this.#end(options.onHttpAnswer(response.statusCode));
    });
    socket.on('error', (error) => {
      reason = error.message;
      if (!this.#hasEnded) options.onError(error);
    });
    socket.on('close', (code, text) => {
      // RFC 6455 section 7.4.1: 1001 is "going away".
      const isHandedOver = code === 1001 && String(text) === HANDED_OVER;
      this.#end(isHandedOver ? null : (reason ?? `closed with code ${code}`), isHandedOver);
    });
  }

  #onOpen(): void {
    this.#silentHeartbeats = 0;
    if (this.#hasEnded) return;
    this.#heartbeatTimer = setInterval(() => this.#onHeartbeatTimer(), this.#options.heartbeatMs);
    this.sendFrame(this.#options.hello());
  }

  #onMessage(data: RawData): void {
    if (this.#hasEnded) return;
    this.#silentHeartbeats = 0;
    const frame = parseFrame(data);
    if (frame === null) {
      this.#options.counters.invalid_frames += 1;
      this.#socket.terminate();
      return;
    }
    this.#options.onFrame(this, frame);
  }

  #onHeartbeatTimer(): void {
    this.#silentHeartbeats += 1;
    if (this.#silentHeartbeats > SILENT_HEARTBEATS) {
      this.#options.counters.half_open += 1;
      this.#socket.terminate();
      return;
    }
    this.#socket.ping();
    this.#options.onHeartbeatDue(this);
  }

  /**
   * Sets the version of the protocol that the collector has chosen. Callers are defined once for each
   * connection.
   */
  useProtocol(version: number): void {
    this.#version = version;
    this.#callers = version === 1 ? null : new CallerReferences();
  }

  sendFrame(frame: AgentFrame): void {
    this.#send(JSON.stringify(frame));
  }

  sendBatch(given: Batch): void {
    const batch = this.#version < 3 ? withoutNewerValues(given) : given;
    this.#send(this.#callers === null ? fullBatchFrame(batch) : this.#callers.batchFrame(batch));
  }

  #send(frame: string | Buffer): void {
    this.#options.counters.bytes_sent += frame.length;
    this.#socket.send(frame, { binary: false }, () => {
      // A frame that could not be sent needs nothing here: the connection closes, and the next one sends
      // again everything that is not acknowledged.
    });
  }

  /** Closes the connection in order. */
  close(): void {
    this.#socket.close(1000);
    this.#end(null);
    setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  #end(reason: string | null, isHandedOver = false): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#heartbeatTimer !== null) clearInterval(this.#heartbeatTimer);
    this.#options.onEnd(reason, isHandedOver);
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
