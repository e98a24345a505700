/**
 * Simulates one agent with protocol 2 over a WebSocket of its own, and with the bounds of
 * agent/outbox/batch_sender.ts on unacknowledged records, bytes and batches. Its records are encoded
 * beforehand (script.ts).
 */
import { once } from 'node:events';
import { type RawData, WebSocket } from 'ws';
import { VERSION } from '../../common/version.ts';
import type { HostFacts } from '../../protocol/call.ts';
import { AGENT_PATH, type AgentFrame, type CollectorFrame } from '../../protocol/frames.ts';
import type { Coverage, Heartbeat } from '../../protocol/records.ts';
import type { Latencies } from './latencies.ts';
import type { Entry } from './script.ts';

/** Bounds with the values of the uplink. */
export const MAX_IN_FLIGHT = 8;
export const LINGER_MS = 50;
const MAX_BATCH_RECORDS = 1000;
const MAX_BATCH_BYTES = 256 * 1024;
const SEPARATOR = 0x2c;
/** Bytes of a frame around its records. */
const FRAME_OVERHEAD_BYTES = 200;

/** Counts of all agents of a generator. */
export interface Doings {
  given: number;
  sentCalls: number;
  sentBytes: number;
  frames: number;
  acknowledgedCalls: number;
  /** Records that the collector refused. */
  rejected: number;
  heartbeats: number;
  /** Reasons of connections that ended too early. */
  failures: string[];
  /** Time of each batch from the write to its socket until its acknowledgement. */
  acknowledgement: Latencies | null;
  /** Time of each call from its agent until its acknowledgement. */
  delivery: Latencies | null;
}

export interface AgentOptions {
  url: string;
  /** An enrolment token. */
  token: string;
  /** Certificate (PEM) to trust. */
  ca: string | null;
  number: number;
  host: HostFacts;
  stream: string;
  script: readonly Entry[];
  doings: Doings;
  maxInFlight: number;
}

interface OnItsWay {
  seq: number;
  calls: number;
  sentMs: number;
  /** Time when the agent got each of its calls; empty for a backlog. */
  handedMs: number[];
}

/**
 * All agents of a process share this buffer for their frames: a socket copies the bytes before `send`
 * returns.
 */
let scratch = Buffer.allocUnsafe(1024 * 1024);
/** Ids begin with a time, and so are unique over all agents and runs. */
let idCounter = 0;
/** Credentials by host, which a real agent keeps on disk: an enrolment token enrols a host once. */
const credentials = new Map<string, string>();

export class SimulatedAgent {
  readonly #options: AgentOptions;
  readonly #startedMs = Date.now();
  #socket: WebSocket | null = null;
  #seq = 0;
  #at = 0;
  /** True if this connection has defined callers already. */
  #hasDefined = false;
  #onItsWay: OnItsWay[] = [];
  #handedMs: number[] = [];
  /** Sends as much as it may, like after an outage. */
  #hasBacklog = false;
  #linger: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#handedMs.length + this.#onItsWay.length;
  }

  /** Connects. Resolves when the collector has welcomed it. */
  async connect(): Promise<void> {
    const { url, token, ca, host, stream } = this.#options;
    const socket = new WebSocket(new URL(AGENT_PATH, url), {
      headers: { authorization: `Bearer ${credentials.get(host.id) ?? token}` },
      handshakeTimeout: 20_000,
      perMessageDeflate: false,
      ...(ca !== null && { ca }),
    });
    this.#socket = socket;
    await once(socket, 'open');
    const hello: AgentFrame = {
      type: 'hello',
      protocol: 1,
      protocol_max: 2,
      agent_version: VERSION,
      stream,
      host,
    };
    socket.send(JSON.stringify(hello));
    const [first] = (await once(socket, 'message')) as [RawData];
    const welcome = JSON.parse(String(first)) as CollectorFrame;
    if (welcome.type !== 'welcome' || welcome.protocol !== 2) {
      throw new Error(`agent ${host.id} was not welcomed: ${String(first)}`);
    }
    if (welcome.credential !== undefined) credentials.set(host.id, welcome.credential);
    this.#seq = welcome.last_seq;
    socket.on('message', (data) => this.#onFrame(data));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', (code) => {
      if (!this.#closed) this.#fail(`closed with code ${code}`);
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#socket?.close(1000);
  }

  /** Cuts the connection without a closing handshake. */
  cut(): void {
    this.close();
    this.#socket?.terminate();
  }

  /** Returns the same agent, not connected yet. It does not send unacknowledged records of this one again. */
  successor(): SimulatedAgent {
    return new SimulatedAgent(this.#options);
  }

  /** Adds one call, made now. */
  give(nowMs: number): void {
    this.#handedMs.push(nowMs);
    this.#options.doings.given += 1;
    this.#wake();
  }

  setBacklog(hasBacklog: boolean): void {
    this.#hasBacklog = hasBacklog;
    if (hasBacklog) this.#pump();
  }

  heartbeat(): void {
    const time = timestamp(Date.now());
    const heartbeat: Heartbeat = {
      time,
      host_id: this.#options.host.id,
      agent_version: VERSION,
      started: timestamp(this.#startedMs),
      counters: { capture: { received: 12, dropped: 0 }, uplink: { batches_sent: this.#seq } },
      coverage: { live: true, sources: ['any'] },
      attribution: { method: 'ebpf', reason: null },
      agent: { cpu_percent: 0.4, memory_bytes: 75_000_000 },
      spool: { bytes: 0, records: 0, overflowed: {} },
    };
    this.#options.doings.heartbeats += 1;
    this.#socket?.send(JSON.stringify({ type: 'heartbeat', heartbeat } satisfies AgentFrame));
    this.#socket?.ping();
  }

  /** Returns the coverage report of an agent without calls for an interval that ends now. */
  coverage(intervalMs: number): void {
    const now = Date.now();
    const coverage: Coverage = {
      id: this.#id(now),
      host_id: this.#options.host.id,
      boot_id: this.#options.stream,
      start: timestamp(now - intervalMs),
      end: timestamp(now),
      live_ms: intervalMs,
      kernel_connections: 0,
      seen_connections: 0,
      losses: {},
    };
    this.#seq += 1;
    this.#onItsWay.push({ seq: this.#seq, calls: 0, sentMs: performance.now(), handedMs: [] });
    const records = [{ kind: 'coverage', coverage }];
    this.#socket?.send(
      JSON.stringify({ type: 'batch', seq: this.#seq, records, callers: [] } satisfies AgentFrame),
    );
  }

  #fail(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.doings.failures.push(reason);
  }

  #onFrame(data: RawData): void {
    const frame = JSON.parse(String(data)) as CollectorFrame;
    if (frame.type !== 'ack') {
      this.#fail(`the collector said ${String(data)}`);
      return;
    }
    const now = performance.now();
    const { doings } = this.#options;
    doings.rejected += frame.rejected;
    while (this.#onItsWay.length > 0 && this.#onItsWay[0]!.seq <= frame.seq) {
      const { calls, sentMs, handedMs } = this.#onItsWay.shift()!;
      doings.acknowledgedCalls += calls;
      if (calls > 0) doings.acknowledgement?.add(now - sentMs);
      if (doings.delivery !== null) for (const ms of handedMs) doings.delivery.add(now - ms);
    }
    if (this.#hasBacklog || this.#handedMs.length >= MAX_BATCH_RECORDS) this.#pump();
    else if (this.#handedMs.length > 0) this.#wake();
  }

  #wake(): void {
    this.#linger ??= setTimeout(() => {
      this.#linger = null;
      this.#pump();
    }, LINGER_MS);
  }

  #pump(): void {
    while (!this.#closed && this.#onItsWay.length < this.#options.maxInFlight) {
      const calls = this.#hasBacklog ? MAX_BATCH_RECORDS : this.#handedMs.length;
      if (calls === 0) return;
      this.#sendBatch(calls);
    }
  }

  /**
   * Writes a batch of at most so many calls. It ends earlier if it is full, or if the script begins again.
   */
  #sendBatch(maxCalls: number): void {
    const { script, doings } = this.#options;
    const from = this.#at;
    let to = from;
    let spoolBytes = 0;
    let bytes = FRAME_OVERHEAD_BYTES;
    while (to < script.length && to - from < Math.min(maxCalls, MAX_BATCH_RECORDS)) {
      const entry = script[to]!;
      if (to > from && spoolBytes + entry.spoolBytes > MAX_BATCH_BYTES) break;
      spoolBytes += entry.spoolBytes;
      bytes += entry.record.length + 1 + (entry.definition === null ? 0 : entry.definition.length + 1);
      to += 1;
    }
    if (bytes > scratch.length) scratch = Buffer.allocUnsafe(bytes * 2);
    this.#seq += 1;
    const end = this.#compose(from, to);
    this.#at = to === script.length ? 0 : to;
    this.#hasDefined = true;
    this.#socket!.send(scratch.subarray(0, end), { binary: false });
    const handedMs = this.#handedMs.splice(0, to - from);
    this.#onItsWay.push({ seq: this.#seq, calls: to - from, sentMs: performance.now(), handedMs });
    doings.frames += 1;
    doings.sentCalls += to - from;
    doings.sentBytes += end;
  }

  /** Returns the end of the frame in the buffer. */
  #compose(from: number, to: number): number {
    const { script } = this.#options;
    const now = Date.now();
    const time = timestamp(now);
    const forget = from === 0 && this.#hasDefined ? '"forget":true,' : '';
    let at = scratch.write(`{"type":"batch","seq":${this.#seq},${forget}`, 0, 'latin1');
    let opened = false;
    for (let index = from; index < to; index += 1) {
      const { definition, startAt } = script[index]!;
      if (definition === null) continue;
      at += opened ? 0 : scratch.write('"callers":[', at, 'latin1');
      if (opened) scratch[at++] = SEPARATOR;
      opened = true;
      definition.copy(scratch, at);
      if (startAt >= 0) scratch.write(time, at + startAt, 'latin1');
      at += definition.length;
    }
    at += scratch.write(opened ? '],"records":[' : '"records":[', at, 'latin1');
    for (let index = from; index < to; index += 1) {
      const { record, idAt, timeAt } = script[index]!;
      if (index > from) scratch[at++] = SEPARATOR;
      record.copy(scratch, at);
      scratch.write(this.#id(now), at + idAt, 'latin1');
      scratch.write(time, at + timeAt, 'latin1');
      at += record.length;
    }
    return at + scratch.write(']}', at, 'latin1');
  }

  /** Returns a UUIDv7 (RFC 9562 section 5.7) with a counter in place of random bits. */
  #id(nowMs: number): string {
    idCounter += 1;
    const ms = nowMs.toString(16).padStart(12, '0');
    const agent = this.#options.number.toString(16).padStart(5, '0');
    const count = idCounter.toString(16).padStart(12, '0');
    return `${ms.slice(0, 8)}-${ms.slice(8)}-7${agent.slice(2)}-80${agent.slice(0, 2)}-${count}`;
  }
}

/** Returns a time with microseconds, as in every definition and record, whose bytes it replaces. */
function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
