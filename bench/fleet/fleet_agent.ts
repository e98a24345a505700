/**
 * One simulated agent. Its connection, its pauses before it connects again and its intervals are the real agent's
 * own code (agent/outbox). Its records are those of a quiet host, and it keeps in memory what is not acknowledged,
 * where a real agent has its spool.
 */
import { randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { CollectorLink } from '../../agent/outbox/collector_link.ts';
import { CollectorPace } from '../../agent/outbox/collector_pace.ts';
import { recordText } from '../../agent/outbox/wire_batch.ts';
import type { CallerFacts } from '../../collector/store/workload_identity.ts';
import { VERSION } from '../../common/version.ts';
import type { HostFacts } from '../../protocol/call.ts';
import {
  type AgentFrame,
  type CollectorFrame,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
} from '../../protocol/frames.ts';
import { callerOf, v1Call, v2Rollup, workloadOf } from '../collector/fleet.ts';
import { heartbeatOf } from '../collector/heartbeat.ts';
import type { Latencies } from '../collector/latencies.ts';
import { Random } from '../collector/random.ts';

/** The agent's own bounds (agent/outbox/batch_sender.ts). */
const MAX_IN_FLIGHT = 8;
const MAX_BATCH_RECORDS = 1000;
const LINGER_MS = 50;
/** Defaults of an agent's settings. */
export const HEARTBEAT_MS = 10_000;
export const REPORT_MS = 60_000;
const CALLS_PER_ROLLUP = 20;
const SERVICES = 30;
const LEGACY_WORKLOADS = 60;
const NEW_PROCESS_SHARE = 0.1;

/** Counts of all agents of a process. */
export interface Doings {
  connected: number;
  welcomes: number;
  enrolments: number;
  handedOver: number;
  /** Why connections ended that were not handed over, and how often. */
  ends: Map<string, number>;
  heartbeats: number;
  batches: number;
  resent: number;
  calls: number;
  acknowledgedCalls: number;
  acknowledgedRecords: number;
  rejected: number;
  lastWelcomeMs: number;
  /** Time from the send of a batch until its acknowledgement; that of one that was sent again counts from the first. */
  acknowledgement: Latencies;
  /** Time without a collector of agents that had one. */
  away: Latencies;
}

export interface FleetAgentOptions {
  url: string;
  /** Enrolment token. */
  token: string;
  /** Certificates to trust (PEM); null without TLS. */
  ca: string | null;
  number: number;
  host: HostFacts;
  doings: Doings;
  linkCounters: { bytes_sent: number; invalid_frames: number; half_open: number };
}

interface SentBatch {
  seq: number;
  records: Buffer[];
  calls: number;
  sentMs: number;
}

export class FleetAgent {
  readonly #options: FleetAgentOptions;
  readonly #pace = new CollectorPace(HEARTBEAT_MS);
  readonly #random: Random;
  readonly #stream: string;
  readonly #enrolmentKey = randomBytes(32).toString('base64url');
  readonly #service: CallerFacts;
  readonly #legacy: CallerFacts;
  #credential: string | null = null;
  #link: CollectorLink | null = null;
  #isWelcome = false;
  #endedMs: number | null = null;
  #nextSeq = 1;
  #waiting: { record: Buffer; isCall: boolean }[] = [];
  #unacknowledged: SentBatch[] = [];
  #linger: NodeJS.Timeout | null = null;
  #retry: NodeJS.Timeout | null = null;
  #reports: NodeJS.Timeout | null = null;
  #reportedMs = Date.now();
  #stopped = false;

  constructor(options: FleetAgentOptions) {
    const { number } = options;
    this.#options = options;
    this.#random = new Random(number);
    this.#stream = `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
    const started = timestamp(Date.now());
    this.#service = callerOf(workloadOf('service', number % SERVICES), 2000, started, this.#random);
    this.#legacy = callerOf(workloadOf('legacy', number % LEGACY_WORKLOADS), 3000, started, this.#random);
  }

  get unacknowledged(): number {
    return this.#waiting.length + this.#unacknowledged.length;
  }

  /** Connects, and begins to report at a moment of its own within the interval. */
  start(): void {
    this.#connect();
    this.#reports = setTimeout(() => {
      this.report();
      this.#reports = setInterval(() => this.report(), REPORT_MS);
    }, this.#random.next() * REPORT_MS);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of [this.#linger, this.#retry, this.#reports]) if (timer !== null) clearTimeout(timer);
    this.#link?.close();
  }

  /** Adds a coverage report and a roll-up about the time since the last ones. */
  report(): void {
    const { host } = this.#options;
    const nowMs = Date.now();
    const [start, end] = [timestamp(this.#reportedMs), timestamp(nowMs)];
    const live = nowMs - this.#reportedMs;
    this.#reportedMs = nowMs;
    const connections = { kernel_connections: CALLS_PER_ROLLUP, seen_connections: CALLS_PER_ROLLUP };
    const coverage = { id: uuidv7(), host_id: host.id, boot_id: this.#stream, start, end, live_ms: live };
    const service = workloadOf('service', this.#options.number % SERVICES);
    const rollup = v2Rollup(uuidv7(), { first: start, last: end }, CALLS_PER_ROLLUP, service);
    this.#add(recordText({ kind: 'rollup', rollup: { ...rollup, ...this.#service, host } }), false);
    this.#add(recordText({ kind: 'coverage', coverage: { ...coverage, ...connections, losses: {} } }), false);
  }

  /** Adds one call without a token. */
  call(): void {
    const { host, number, doings } = this.#options;
    const time = timestamp(Date.now());
    const workload = workloadOf('legacy', number % LEGACY_WORKLOADS);
    const isNew = this.#random.next() < NEW_PROCESS_SHARE;
    const pid = 100_000 + this.#random.below(900_000);
    const caller = isNew ? callerOf(workload, pid, time, this.#random) : this.#legacy;
    const call = { ...v1Call(uuidv7(), time, workload, this.#random), ...caller, host };
    doings.calls += 1;
    this.#add(recordText({ kind: 'call', call }), true);
  }

  #add(text: string, isCall: boolean): void {
    this.#waiting.push({ record: Buffer.from(text), isCall });
    this.#linger ??= setTimeout(() => {
      this.#linger = null;
      this.#send();
    }, LINGER_MS);
  }

  #connect(): void {
    if (this.#stopped) return;
    const { url, token, ca, host, number, linkCounters } = this.#options;
    // Each agent has an address of its own, as a host has. Collectors limit what one address may do.
    const localAddress = `127.${1 + (number >> 16)}.${(number >> 8) & 0xff}.${number & 0xff}`;
    const socket = { localAddress, ...(ca !== null && { ca }) };
    this.#link = new CollectorLink({
      url,
      tls: socket,
      headers: { authorization: `Bearer ${this.#credential ?? token}` },
      heartbeatMs: HEARTBEAT_MS,
      counters: linkCounters,
      hello: () => ({
        type: 'hello',
        protocol: OLDEST_PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
        agent_version: VERSION,
        stream: this.#stream,
        host,
        ...(this.#credential === null && { enrolment_key: this.#enrolmentKey }),
      }),
      onFrame: (link, frame) => this.#onFrame(link, frame),
      onHeartbeatDue: (link) => this.#onHeartbeatDue(link),
      onHttpAnswer: (status) => `HTTP ${status}`,
      onError: () => {},
      onEnd: (reason, isHandedOver) => this.#onEnd(reason, isHandedOver),
    });
  }

  #onFrame(link: CollectorLink, frame: CollectorFrame): void {
    if (frame.type === 'welcome') this.#onWelcome(link, frame);
    else if (frame.type === 'ack') this.#onAcknowledgement(frame.seq, frame.rejected);
    else {
      this.#count(`refused: ${frame.reason}`);
      link.close();
    }
  }

  #onWelcome(link: CollectorLink, frame: Extract<CollectorFrame, { type: 'welcome' }>): void {
    const { doings } = this.#options;
    link.useProtocol(frame.protocol);
    this.#pace.follow(frame);
    if (frame.credential !== undefined) {
      this.#credential = frame.credential;
      doings.enrolments += 1;
    }
    this.#forgetUntil(frame.last_seq);
    this.#isWelcome = true;
    doings.connected += 1;
    doings.welcomes += 1;
    doings.lastWelcomeMs = Date.now();
    if (this.#endedMs !== null) doings.away.add(performance.now() - this.#endedMs);
    this.#endedMs = null;
    this.#heartbeat(link);
    doings.resent += this.#unacknowledged.length;
    for (const batch of this.#unacknowledged) link.sendBatch(batch);
    this.#send();
  }

  #onAcknowledgement(seq: number, rejected: number): void {
    this.#options.doings.rejected += rejected;
    this.#pace.resetRetries();
    this.#forgetUntil(seq);
    this.#send();
  }

  #forgetUntil(seq: number): void {
    const { doings } = this.#options;
    while (this.#unacknowledged.length > 0 && this.#unacknowledged[0]!.seq <= seq) {
      const { records, calls, sentMs } = this.#unacknowledged.shift()!;
      doings.acknowledgedRecords += records.length;
      doings.acknowledgedCalls += calls;
      doings.acknowledgement.add(performance.now() - sentMs);
    }
  }

  #onHeartbeatDue(link: CollectorLink): void {
    if (!this.#isWelcome) return;
    if (this.#unacknowledged.length === 0) this.#pace.resetRetries();
    if (this.#pace.isHeartbeatDue(performance.now())) this.#heartbeat(link);
  }

  #heartbeat(link: CollectorLink): void {
    this.#pace.onHeartbeat(performance.now());
    this.#options.doings.heartbeats += 1;
    const heartbeat = heartbeatOf(this.#options.host.id, Date.now());
    link.sendFrame({ type: 'heartbeat', heartbeat } satisfies AgentFrame);
  }

  #send(): void {
    if (!this.#isWelcome || this.#link === null) return;
    while (this.#waiting.length > 0 && this.#unacknowledged.length < MAX_IN_FLIGHT) {
      const taken = this.#waiting.splice(0, MAX_BATCH_RECORDS);
      const batch: SentBatch = {
        seq: this.#nextSeq++,
        records: taken.map(({ record }) => record),
        calls: taken.filter(({ isCall }) => isCall).length,
        sentMs: performance.now(),
      };
      this.#options.doings.batches += 1;
      this.#unacknowledged.push(batch);
      this.#link.sendBatch(batch);
    }
  }

  #onEnd(reason: string | null, isHandedOver: boolean): void {
    const { doings } = this.#options;
    const isElsewhere = isHandedOver && this.#isWelcome;
    if (this.#isWelcome) {
      doings.connected -= 1;
      this.#endedMs = performance.now();
    }
    this.#isWelcome = false;
    this.#link = null;
    if (this.#stopped) return;
    if (isElsewhere) doings.handedOver += 1;
    else if (reason !== null) this.#count(reason);
    this.#retry = setTimeout(() => this.#connect(), this.#pace.nextRetry(isElsewhere));
  }

  #count(reason: string): void {
    const { ends } = this.#options.doings;
    ends.set(reason, (ends.get(reason) ?? 0) + 1);
  }
}

function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
