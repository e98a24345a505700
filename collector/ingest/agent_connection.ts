/**
 * One agent's connection, from its `hello` on: checks every frame, lets the agent speak for its own host only, gives its
 * batches to the writer and acknowledges what is durable.
 */
import type { Logger } from 'pino';
import type { RawData, WebSocket } from 'ws';
import type { HostFacts } from '../../protocol/call.ts';
import {
  type AgentFrame,
  agentFrame,
  type CollectorFrame,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
  type RefusalReason,
} from '../../protocol/frames.ts';
import { record, referringRecord } from '../../protocol/records.ts';
import { textsChanged } from '../../protocol/text.ts';
import type { AgentIdentity } from '../access/principal.ts';
import type { EnrolmentClaim } from '../access/token_store.ts';
import type { BatchResult } from '../store/store.ts';
import type { Backlog } from './backlog.ts';
import { CallerTable } from './caller_table.ts';
import { type CheckedBatch, checkFullRecords, checkReferringRecords, parseInTurns } from './checked_batch.ts';
import { type ConnectionLimits, FlowControl } from './flow_control.ts';
import type { HostShares } from './host_shares.ts';
import type { IngestStore, Writer } from './writer.ts';

const HELLO_TIMEOUT_MS = 5_000;
/** Frames that carry no records (heartbeats, pings) within `QUIET_WINDOW_MS`. */
const MAX_QUIET_FRAMES = 100;
const QUIET_WINDOW_MS = 10_000;
/** A batch defines who its records name. Some more do no harm; a table of thousands that nobody names costs as much as records. */
const MAX_SPARE_CALLERS = 100;
/** The last heartbeat of every host is read for every list of hosts: a real one has 5 kB. */
const MAX_HEARTBEAT_BYTES = 64 * 1024;

export interface IngestCounters {
  frames: number;
  invalid_frames: number;
  invalid_records: number;
  foreign_records: number;
  /** Texts and lists that were longer than the contract allows, or not well-formed: stored, but cut or cleaned. */
  cut_texts: number;
  refused: number;
  /** Connections whose `hello` named a host that they may not speak for. */
  foreign_hosts: number;
  credentials_issued: number;
  heartbeats: number;
  flooding: number;
  /** How often a socket was not read for a while: its agent was too fast, or the store too slow. */
  held_back: number;
}

export interface ConnectionContext {
  store: IngestStore;
  writer: Writer;
  counters: IngestCounters;
  backlog: Backlog;
  shares: HostShares;
  limits: ConnectionLimits;
  log: Logger;
  /** Who the door found this to be. */
  identity: AgentIdentity;
  /** For the audit log. */
  sourceAddress: string | null;
  /** See `IngestOptions`. */
  issueCredential: ((hostId: string, claim: EnrolmentClaim) => Promise<string | null>) | null;
  hasCredential: (hostId: string) => boolean;
  /** Called once the agent has said which stream it sends. False: a connection of another host sends this stream. */
  greeted: (connection: AgentConnection) => boolean;
  /** Called when this connection was given the credential of its host. */
  enrolled: (connection: AgentConnection) => void;
}

export class AgentConnection {
  readonly #socket: WebSocket;
  readonly #context: ConnectionContext;
  #host: HostFacts | null = null;
  #stream: string | null = null;
  #protocol = OLDEST_PROTOCOL_VERSION;
  readonly #callers = new CallerTable();
  #turn: Promise<unknown> = Promise.resolve();
  #welcomed = false;
  #hasEnrolled = false;
  #closing = false;
  #quietFrames = 0;
  #quietSince = performance.now();
  readonly #flow: FlowControl;
  #complained = false;
  #helloTimer: NodeJS.Timeout;
  /** When anything last arrived, in `performance.now()` milliseconds: a stepped clock closes nobody. */
  lastHeardMs = performance.now();

  constructor(socket: WebSocket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#flow = new FlowControl(socket, context.limits, context, () => {
      context.counters.held_back += 1;
    });
    this.#helloTimer = setTimeout(() => this.refuse('invalid', 'No hello came.'), HELLO_TIMEOUT_MS);
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on('ping', () => this.#onQuietFrame());
    socket.on('error', (error: Error & { code?: string }) => {
      // The WebSocket layer found the bytes themselves invalid (too large, not UTF-8, broken framing) and closes.
      if (error.code?.startsWith('WS_ERR_')) {
        context.counters.invalid_frames += 1;
        this.#complain({ reason: error.code }, 'an agent sent an invalid frame');
      }
    });
    socket.on('close', () => {
      this.#closing = true;
      clearTimeout(this.#helloTimer);
      this.#flow.close();
    });
  }

  get stream(): string | null {
    return this.#stream;
  }
  get isHeldBack(): boolean {
    return this.#flow.isHeldBack;
  }
  /** For whom it speaks; undefined until it has said so. */
  get hostId(): string | undefined {
    return this.#host?.id;
  }
  /** For whom alone it may speak by what it has shown; null: it came by an enrolment token. */
  get boundTo(): string | null {
    return this.#context.identity.hostId;
  }

  /** True: a credential or a certificate stands behind what this connection says. False: an enrolment token only. */
  get hasProof(): boolean {
    return this.#hasEnrolled || this.#context.identity.hostId !== null;
  }

  refuse(reason: RefusalReason, message: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#context.counters.refused += 1;
    this.#send({ type: 'refused', reason, message });
    // 1008: policy violation (RFC 6455 section 7.4.1).
    this.#socket.close(1008, reason);
    setTimeout(() => this.#socket.terminate(), 2000).unref();
  }

  /** The collector ends. 1001: going away. */
  goAway(): void {
    this.#closing = true;
    this.#socket.close(1001);
    setTimeout(() => this.#socket.terminate(), 1000).unref();
  }

  terminate(): void {
    // What it has sent already is not listened to.
    this.#closing = true;
    this.#socket.terminate();
  }

  #send(frame: CollectorFrame): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#closing) return;
    this.lastHeardMs = performance.now();
    this.#context.counters.frames += 1;
    const frame = isBinary ? null : parseFrame(data);
    if (frame === null) {
      this.#invalid('That is not a frame of this protocol.');
      return;
    }
    switch (frame.type) {
      case 'hello':
        this.#onHello(frame).catch((error) => this.#onStoreFailure(error));
        return;
      case 'batch':
        this.#onBatch(frame, byteLength(data)).catch((error) => this.#onStoreFailure(error));
        return;
      case 'heartbeat':
        if (byteLength(data) > MAX_HEARTBEAT_BYTES) {
          this.#invalid('The heartbeat is too large.');
          return;
        }
        this.#flow.heard(byteLength(data), 0);
        this.#onHeartbeat(frame).catch((error) => this.#onStoreFailure(error));
    }
  }

  #invalid(message: string): void {
    this.#context.counters.invalid_frames += 1;
    this.#complain({}, 'an agent sent an invalid frame');
    this.refuse('invalid', message);
  }

  async #onHello(hello: Extract<AgentFrame, { type: 'hello' }>): Promise<void> {
    if (this.#stream !== null) {
      this.#invalid('A second hello.');
      return;
    }
    clearTimeout(this.#helloTimer);
    const { stream, host, protocol: oldest, protocol_max: newest = oldest } = hello;
    const protocol = Math.min(newest, PROTOCOL_VERSION);
    if (protocol < Math.max(oldest, OLDEST_PROTOCOL_VERSION)) {
      this.refuse(
        'protocol',
        `This collector speaks versions ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION} of the protocol, the agent ${oldest} to ${newest}. Update the older of the two.`,
      );
      return;
    }
    this.#protocol = protocol;
    this.#stream = stream;
    this.#host = host;
    const lastSeq = await this.#context.store.lastSeq(stream, host.id);
    if (this.#closing) return;
    const entry = await this.#enter(host.id, hello.enrolment_key ?? null);
    if (entry === null || this.#closing) return;
    if (lastSeq === null || !this.#context.greeted(this)) {
      this.refuse(
        'stream',
        `The stream ${stream} belongs to another host. Was the agent's spool copied with a disk image? Delete its spool_dir.`,
      );
      return;
    }
    this.#welcomed = true;
    this.#flow.speaksFor(host.id);
    this.#send({ type: 'welcome', protocol, last_seq: lastSeq, ...entry });
  }

  /**
   * One host does not speak for another: neither with its own credential, nor with an enrolment token for one that has its
   * own. Null: refused. Else what the agent is given to show from now on, if anything.
   */
  async #enter(hostId: string, enrolmentKey: string | null): Promise<{ credential?: string } | null> {
    const { identity, sourceAddress, issueCredential, hasCredential, counters, log } = this.#context;
    if (identity.hostId === hostId) return {};
    if (identity.hostId === null) {
      if (issueCredential === null) return {};
      // An agent of protocol 1 would not keep it, and could never come back.
      if (this.#protocol === 1 && !hasCredential(hostId)) return {};
      const credential =
        this.#protocol === 1 ? null : await issueCredential(hostId, { enrolmentKey, sourceAddress });
      if (credential !== null) {
        this.#hasEnrolled = true;
        this.#context.enrolled(this);
        counters.credentials_issued += 1;
        log.info({ host: hostId }, 'an agent has enrolled');
        return { credential };
      }
    }
    counters.foreign_hosts += 1;
    log.warn(
      { claimed: hostId, bound_to: identity.hostId, via: identity.via },
      'refused a claim to be another host',
    );
    this.refuse(
      this.#protocol === 1 ? 'invalid' : 'host',
      identity.hostId === null
        ? `The host ${hostId} has a credential of its own already, and this agent did not show it. If its spool_dir was deleted or its credential was lost, revoke the old one on the collector: imdswatch token revoke --host-id ${hostId}.`
        : `This agent's ${identity.via} is bound to the host ${identity.hostId}, and it says that it is ${hostId}. Was it copied from there, or has host_id changed?`,
    );
    return null;
  }

  async #onBatch(frame: Extract<AgentFrame, { type: 'batch' }>, bytes: number): Promise<void> {
    if (!this.#welcomed) {
      this.#invalid('A batch before the welcome.');
      return;
    }
    const { seq, records } = frame;
    this.#flow.came(bytes, records.length + (frame.callers?.length ?? 0));
    try {
      const submitted = await this.#inTurn(() => this.#submit(frame));
      if (submitted === null) {
        this.#invalid('The callers of this batch are not as agreed.');
        return;
      }
      const { accepted, written } = submitted;
      const { result, lastSeq } = await written;
      if (result === 'ahead') {
        this.refuse('out_of_order', `Batch ${seq} came, and ${lastSeq + 1} is the next of this stream.`);
      } else if (!this.#closing) {
        this.#send({ type: 'ack', seq, rejected: records.length - accepted });
      }
    } finally {
      this.#flow.taken(bytes);
    }
  }

  /** The batches of a connection are checked one after the other: each may add to the table of callers. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Gives what is valid of a batch to the writer. Null when its callers are not as agreed. */
  async #submit(
    frame: Extract<AgentFrame, { type: 'batch' }>,
  ): Promise<{ accepted: number; written: Promise<BatchResult> } | null> {
    const { seq, records } = frame;
    const host = this.#host!;
    const checked = await this.#check(frame, host.id);
    if (checked === null) return null;
    const { callers, records: accepted } = checked;
    this.#countLeftOut(host.id, checked);
    const written = this.#context.writer.submit({
      stream: this.#stream!,
      seq,
      host,
      callers,
      records: accepted,
      leftOut: records.length - accepted.length,
    });
    // Whoever waits for it is told; until then nobody is.
    written.catch(() => {});
    return { accepted: accepted.length, written };
  }

  async #check(
    { records, callers = [], forget = false }: Extract<AgentFrame, { type: 'batch' }>,
    hostId: string,
  ): Promise<CheckedBatch | null> {
    const { counters } = this.#context;
    if (this.#protocol === 1) return checkFullRecords(await parseInTurns(records, record, counters), hostId);
    const changedBefore = textsChanged();
    const isAgreed =
      callers.length <= records.length + MAX_SPARE_CALLERS && this.#callers.define(callers, forget);
    counters.cut_texts += textsChanged() - changedBefore;
    if (!isAgreed) return null;
    const parsed = await parseInTurns(records, referringRecord, counters);
    return checkReferringRecords(parsed, hostId, this.#callers);
  }

  #countLeftOut(host: string, { invalid, foreign, fault }: CheckedBatch): void {
    this.#context.counters.invalid_records += invalid;
    this.#context.counters.foreign_records += foreign;
    if (fault !== null) this.#complain({ host, ...fault }, 'left out an invalid record');
    else if (foreign > 0) this.#complain({ host }, 'left out a record that speaks for another host');
  }

  async #onHeartbeat({ heartbeat }: Extract<AgentFrame, { type: 'heartbeat' }>): Promise<void> {
    if (!this.#welcomed || heartbeat.host_id !== this.#host!.id) {
      this.#invalid('A heartbeat for another host, or before the welcome.');
      return;
    }
    if (!this.#onQuietFrame()) return;
    await this.#context.store.heartbeat(heartbeat, Date.now() * 1000);
    this.#context.counters.heartbeats += 1;
  }

  /** False when the connection sends more of what carries nothing than any agent does, and is closed. */
  #onQuietFrame(): boolean {
    const now = performance.now();
    this.lastHeardMs = now;
    if (now - this.#quietSince > QUIET_WINDOW_MS) {
      this.#quietSince = now;
      this.#quietFrames = 0;
    }
    this.#quietFrames += 1;
    if (this.#quietFrames <= MAX_QUIET_FRAMES) return true;
    if (!this.#closing) this.#context.counters.flooding += 1;
    this.refuse('invalid', 'Too many frames without records.');
    return false;
  }

  #onStoreFailure(error: unknown): void {
    this.#context.log.debug({ err: error }, 'a frame could not be stored');
    this.refuse('unavailable', 'The store of this collector cannot take records now.');
  }

  /** One line a connection: whoever sends rubbish must not fill the log as well. */
  #complain(details: object, message: string): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#context.log.warn(details, message);
  }
}

function parseFrame(data: RawData): AgentFrame | null {
  try {
    const parsed = agentFrame.safeParse(JSON.parse(data.toString()));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function byteLength(data: RawData): number {
  return Array.isArray(data) ? data.reduce((sum, part) => sum + part.length, 0) : data.byteLength;
}
