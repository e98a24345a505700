/**
 * One agent's connection, from its `hello` on. Checks every frame, lets the agent speak for its own host
 * only, gives its batches to the writer and acknowledges them when they are durable. The file is long because all
 * frames share the state of the connection.
 */
import type { RawData, WebSocket } from 'ws';
import type { HostFacts } from '../../protocol/call.ts';
import {
  type AgentFrame,
  type CollectorFrame,
  HANDED_OVER,
  type Pace,
  type RefusalReason,
} from '../../protocol/frames.ts';
import type { BatchResult } from '../store/store.ts';
import { Acknowledgement } from './acknowledgement.ts';
import { BatchChecker, type BatchFrame } from './batch_checker.ts';
import type { CheckedBatch } from './checked_batch.ts';
import type { ConnectionContext } from './connection_context.ts';
import { FlowControl, TakenBatch } from './flow_control.ts';
import { byteLength, parseFrame } from './frame_parsing.ts';
import { agreeOnProtocol, authorizeHost, type Hello } from './handshake.ts';
import { HeardAgent } from './heard_agent.ts';
import { isOtherPace } from './pacing.ts';
import { QuietFrames } from './quiet_frames.ts';
import { Unanswered } from './unanswered.ts';

/** Codes of RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const HELLO_TIMEOUT_MS = 5_000;
/** An agent that does not answer the close of its connection is waited for no longer than this. */
const CLOSE_MS = 5_000;
/** The last heartbeat of every host is read for every list of hosts. That of a real agent has 5 kB. */
const MAX_HEARTBEAT_BYTES = 64 * 1024;

/** A batch that waits for the store, and the number of its records that were left out. */
interface Submitted {
  written: Promise<BatchResult>;
  rejected: number;
}

export class AgentConnection {
  readonly #socket: WebSocket;
  readonly #context: ConnectionContext;
  #host: HostFacts | null = null;
  #agentVersion: string | null = null;
  #stream: string | null = null;
  readonly #checker: BatchChecker;
  #welcomed = false;
  #hasEnrolled = false;
  #closing = false;
  /** Nothing more is taken, and what was taken is still answered. */
  #leaving = false;
  readonly #quietFrames = new QuietFrames();
  readonly #flow: FlowControl;
  #hasWarned = false;
  readonly #unanswered = new Unanswered();
  readonly #acknowledgement = new Acknowledgement(
    (ack) => this.#send(ack),
    () => this.#otherPace(),
  );
  readonly #heard = new HeardAgent();
  /** The pace that the agent was told last. */
  #toldPace: Pace = {};
  /** Messages that were read before the connection had to stand in line. They are not parsed. */
  #waiting: { data: RawData; isBinary: boolean }[] = [];
  #helloTimer: NodeJS.Timeout;
  /** Time of the last data, in `performance.now()` milliseconds, which a step of the clock does not change. */
  lastHeardMs = performance.now();

  constructor(socket: WebSocket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#checker = new BatchChecker(context.counters);
    this.#flow = new FlowControl(socket, context.limits, context, {
      heldBack: () => {
        context.counters.held_back += 1;
      },
      turn: () => this.#onTurn(),
    });
    this.#helloTimer = setTimeout(
      () => this.refuse('invalid', 'No hello arrived in time.'),
      HELLO_TIMEOUT_MS,
    );
    socket.on('message', (data, isBinary) => {
      this.#waiting.push({ data, isBinary });
      this.#onTurn();
    });
    socket.on('ping', () => this.#onQuietFrame());
    socket.on('error', (error: Error & { code?: string }) => {
      // The WebSocket layer found the bytes themselves invalid (too large, not UTF-8, broken framing) and
      // closes.
      if (error.code?.startsWith('WS_ERR_')) {
        context.counters.invalid_frames += 1;
        this.#warnOnce({ reason: error.code }, 'an agent sent an invalid frame');
      }
    });
    socket.on('close', () => {
      this.#closing = true;
      clearTimeout(this.#helloTimer);
      this.#flow.close();
      this.#unanswered.stopWaiting();
    });
  }

  get stream(): string | null {
    return this.#stream;
  }
  get isHeldBack(): boolean {
    return this.#flow.isHeldBack;
  }
  /** The host that the agent named; undefined before its `hello`. */
  get hostId(): string | undefined {
    return this.#host?.id;
  }
  /** The release of the agent, as it says; null before its `hello`. */
  get agentVersion(): string | null {
    return this.#agentVersion;
  }
  /** The only host that its credential or certificate speaks for; null for an enrolment token. */
  get boundTo(): string | null {
    return this.#context.identity.hostId;
  }

  /**
   * True where the agent has shown a credential or a certificate, or was given a credential; false for an
   * enrolment token alone.
   */
  get hasProof(): boolean {
    return this.#hasEnrolled || this.#context.identity.hostId !== null;
  }

  refuse(reason: RefusalReason, message: string): void {
    if (this.#closing) return;
    this.#acknowledgement.flush();
    this.#closing = true;
    this.#context.counters.refused += 1;
    this.#send({ type: 'refused', reason, message });
    this.#socket.close(POLICY_VIOLATION, reason);
    setTimeout(() => this.#socket.terminate(), 2000).unref();
  }

  /**
   * Closes the connection when the batches that were received are answered, after `graceMs` at the latest.
   * `isDraining`: other collectors are there, and the agent connects again at once.
   */
  async goAway(graceMs: number, isDraining: boolean): Promise<void> {
    if (this.#closing) return;
    this.#leaving = true;
    this.#flow.stopReading();
    await this.#unanswered.wait(graceMs);
    if (this.#closing) return;
    this.#acknowledgement.flush();
    this.#closing = true;
    this.#socket.close(GOING_AWAY, isDraining ? HANDED_OVER : '');
    // The answer to the close must be read. Frames before it are ignored, and stay in the agent's spool.
    this.#socket.resume();
    setTimeout(() => this.#socket.terminate(), CLOSE_MS).unref();
  }

  terminate(): void {
    // Frames that have arrived already are ignored.
    this.#closing = true;
    this.#socket.terminate();
  }

  #send(frame: CollectorFrame): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Takes the messages that wait, until the connection must stand in line. */
  #onTurn(): void {
    // Frames before the welcome are small, and the agent gives up if they are not answered.
    while (this.#waiting.length > 0 && (!this.#welcomed || this.#flow.mayTake())) {
      const { data, isBinary } = this.#waiting.shift()!;
      if (!this.#closing && !this.#leaving) this.#onMessage(data, isBinary);
    }
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    this.lastHeardMs = performance.now();
    this.#context.counters.frames += 1;
    const frame = isBinary ? null : parseFrame(data);
    if (frame === null) {
      this.#onInvalidFrame('That is not a frame of this protocol.');
      return;
    }
    switch (frame.type) {
      case 'hello':
        this.#onHello(frame).catch((error) => this.#onStoreFailure(error));
        return;
      case 'batch':
        this.#onBatch(frame, byteLength(data));
        return;
      case 'heartbeat':
        if (byteLength(data) > MAX_HEARTBEAT_BYTES) {
          this.#onInvalidFrame('The heartbeat is too large.');
          return;
        }
        this.#flow.countFrame(byteLength(data), 0);
        this.#onHeartbeat(frame);
    }
  }

  #onInvalidFrame(message: string): void {
    this.#context.counters.invalid_frames += 1;
    this.#warnOnce({}, 'an agent sent an invalid frame');
    this.refuse('invalid', message);
  }

  async #onHello(hello: Hello): Promise<void> {
    if (this.#stream !== null) {
      this.#onInvalidFrame('A connection has one hello, and this is the second.');
      return;
    }
    clearTimeout(this.#helloTimer);
    const { stream, host } = hello;
    const agreed = agreeOnProtocol(hello);
    if ('reason' in agreed) {
      this.refuse(agreed.reason, agreed.message);
      return;
    }
    this.#checker.protocol = agreed.protocol;
    this.#stream = stream;
    this.#host = host;
    this.#agentVersion = hello.agent_version;
    const lastSeq = await this.#context.store.lastSeq(stream, host.id);
    if (this.#closing) return;
    const authorized = await authorizeHost(hello, this.#checker.protocol, this.#context);
    if ('reason' in authorized) {
      this.refuse(authorized.reason, authorized.message);
      return;
    }
    if (authorized.credential !== undefined) {
      this.#hasEnrolled = true;
      this.#context.onEnrolled();
    }
    if (this.#closing) return;
    if (lastSeq === null || !this.#context.claimStream()) {
      this.refuse(
        'stream',
        `The stream ${stream} belongs to another host. Was the agent's spool copied with a disk image? Delete its spool_dir.`,
      );
      return;
    }
    this.#welcomed = true;
    this.#flow.joinHost(host.id);
    const { protocol } = this.#checker;
    this.#toldPace = this.#context.pace();
    this.#send({ type: 'welcome', protocol, last_seq: lastSeq, ...authorized, ...this.#toldPace });
  }

  /** Returns the pace that the agent is to be told; null where it follows it. */
  #otherPace(): Pace | null {
    const pace = this.#context.pace();
    if (!isOtherPace(this.#toldPace, pace)) return null;
    this.#toldPace = pace;
    return pace;
  }

  #onBatch(frame: BatchFrame, bytes: number): void {
    if (!this.#welcomed) {
      this.#onInvalidFrame('The batch arrived before the welcome.');
      return;
    }
    const taken = new TakenBatch(this.#flow, bytes, frame.records.length + (frame.callers?.length ?? 0));
    this.#unanswered.add();
    const submitted = this.#checker.check(frame, this.#host!.id, (checked) =>
      this.#submit(checked, frame, taken),
    );
    this.#answer(frame.seq, submitted, taken).catch((error) => this.#onStoreFailure(error));
  }

  /** Answers a batch when it is durable. It is not an argument, because the records would be kept until then. */
  async #answer(
    seq: number,
    checked: Submitted | null | Promise<Submitted | null>,
    taken: TakenBatch,
  ): Promise<void> {
    try {
      const submitted = await checked;
      if (submitted === null) {
        this.#onInvalidFrame('The callers of this batch are out of order, too many or not defined.');
        return;
      }
      const { result, lastSeq } = await submitted.written;
      if (result === 'ahead') {
        this.refuse(
          'out_of_order',
          `Batch ${seq} arrived, but batch ${lastSeq + 1} is the next one of this stream.`,
        );
      } else if (!this.#closing) {
        this.#acknowledgement.add(seq, submitted.rejected);
      }
    } finally {
      taken.complete();
      this.#unanswered.remove();
    }
  }

  /**
   * Gives the valid records of a batch to the writer. Its answer is awaited outside of the check, so that the
   * next batch is checked meanwhile.
   */
  #submit(checked: CheckedBatch, { seq, records }: BatchFrame, taken: TakenBatch): Submitted {
    const host = this.#host!;
    const rejected = records.length - checked.records.length;
    this.#countRejected(host.id, checked);
    const { callers, records: kept } = checked;
    const batch = { stream: this.#stream!, seq, host, callers, records: kept, leftOut: rejected };
    const written = this.#context.writer.submit(batch, () => taken.give());
    // The caller handles the rejection; without this line it would count as unhandled until then.
    written.catch(() => {});
    return { written, rejected };
  }

  #countRejected(host: string, { invalid, foreign, fault }: CheckedBatch): void {
    this.#context.counters.invalid_records += invalid;
    this.#context.counters.foreign_records += foreign;
    if (fault !== null) this.#warnOnce({ host, ...fault }, 'left out an invalid record');
    else if (foreign > 0) this.#warnOnce({ host }, 'left out a record that speaks for another host');
  }

  #onHeartbeat({ heartbeat }: Extract<AgentFrame, { type: 'heartbeat' }>): void {
    if (!this.#welcomed || heartbeat.host_id !== this.#host!.id) {
      this.#onInvalidFrame('The heartbeat is for another host, or arrived before the welcome.');
      return;
    }
    if (!this.#onQuietFrame()) return;
    this.#context.onHeard(this.#heard.onHeartbeat(heartbeat, this.#context.hearing()));
    this.#context.counters.heartbeats += 1;
  }

  /** Returns false, and closes the connection, where more frames without records come than any agent sends. */
  #onQuietFrame(): boolean {
    this.lastHeardMs = performance.now();
    if (this.#quietFrames.count(this.lastHeardMs)) return true;
    if (!this.#closing) this.#context.counters.flooding += 1;
    this.refuse('invalid', 'The agent sent too many frames without records.');
    return false;
  }

  #onStoreFailure(error: unknown): void {
    this.#context.log.debug({ err: error }, 'a frame could not be stored');
    this.refuse('unavailable', 'The store of this collector cannot store records now.');
  }

  /** Logs one line per connection: a broken agent must not fill the log. */
  #warnOnce(details: object, message: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#context.log.warn(details, message);
  }
}
