/**
 * Takes the findings of the agent's stages: decides which calls are sent whole and which are rolled up, keeps
 * records in the spool, and lets the sink deliver them.
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Call, HostFacts } from '../../protocol/call.ts';
import type { Coverage, Heartbeat, StageCounters, WireRecord } from '../../protocol/records.ts';
import type { TlsFiles } from './collector_tls.ts';
import { CredentialFile } from './credential_file.ts';
import { EnrolmentKey } from './enrolment_key.ts';
import type { LaneName } from './lanes.ts';
import { measureSelf } from './own_usage.ts';
import { RollUp } from './roll_up.ts';
import { FileJournal, JOURNAL_FILE } from './roll_up_journal.ts';
import { isRoutine } from './routine.ts';
import type { Sink } from './sink.ts';
import { Spool } from './spool.ts';
import { Uplink } from './uplink.ts';
import { recordText } from './wire_batch.ts';

/** Share of the spool's bytes that the journal of open roll-ups may take, and its bound. */
const JOURNAL_SHARE = 1 / 16;
const MAX_JOURNAL_BYTES = 4 * 1024 * 1024;

const NO_TLS_FILES: TlsFiles = { caFile: null, certFile: null, keyFile: null };

/** The part of a heartbeat that the agent's other stages know. */
export type AgentState = Pick<Heartbeat, 'counters' | 'coverage' | 'attribution'>;

export interface OutboxOptions {
  spoolDir: string;
  /** Bound on everything that the outbox keeps on disk. */
  spoolMaxBytes: number;
  host: HostFacts;
  agentVersion: string;
  /**
   * `rolled_up`: routine IMDSv2 calls are counted per caller and interval. `all`: every call is sent whole.
   */
  detail: 'rolled_up' | 'all';
  rollupIntervalMs: number;
  state: () => AgentState;
  /** Makes the sink that delivers the spool's records. */
  sink: (spool: Spool, heartbeat: () => Promise<Heartbeat>) => Sink;
  log: Logger;
}

export interface CollectorAddress {
  url: string;
  /** Enrolment token; null for an agent that has a credential or a certificate. */
  token: string | null;
  /** The directory of the agent's credential. */
  spoolDir: string;
  tls?: TlsFiles;
  heartbeatMs: number;
}

/** Returns the usual sink: an uplink to one collector. */
export function toCollector(
  { url, token, spoolDir, tls = NO_TLS_FILES, heartbeatMs }: CollectorAddress,
  { host, agentVersion, log }: Pick<OutboxOptions, 'host' | 'agentVersion' | 'log'>,
): OutboxOptions['sink'] {
  return (spool, heartbeat) => {
    const credential = new CredentialFile(spoolDir, host.id, log);
    return new Uplink({
      spool,
      url,
      token,
      tls,
      credential,
      enrolmentKey: new EnrolmentKey(spoolDir, host.id, log),
      heartbeatMs,
      host,
      agentVersion,
      heartbeat,
      log,
    });
  };
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #spool: Spool;
  readonly #rollUp: RollUp;
  readonly #sink: Sink;
  readonly #started = new Date().toISOString();
  #received = 0;
  #whole = 0;

  /** Opens the spool. Throws `OperatorError` when another process has it. */
  constructor(options: OutboxOptions) {
    this.#options = options;
    const { spoolDir, spoolMaxBytes, host, log } = options;
    const journalBytes = Math.min(MAX_JOURNAL_BYTES, Math.floor(spoolMaxBytes * JOURNAL_SHARE));
    this.#spool = new Spool({
      directory: spoolDir,
      maxBytes: spoolMaxBytes - journalBytes,
      hostId: host.id,
      log,
    });
    this.#sink = options.sink(this.#spool, () => this.heartbeat());
    this.#rollUp = new RollUp({
      journal: new FileJournal({ path: join(spoolDir, JOURNAL_FILE), maxBytes: journalBytes, log }),
      intervalMs: options.rollupIntervalMs,
      emit: (rollup) => this.#append('rollup', { kind: 'rollup', rollup }),
    });
  }

  start(): void {
    this.#sink.start();
  }

  /**
   * Records a call. `isProven`: false for a call that counts as IMDSv2 without proof. Such a call is sent
   * whole.
   */
  call(call: Call, isProven = true): void {
    this.#received += 1;
    if (this.#options.detail === 'rolled_up' && isProven && isRoutine(call)) {
      this.#rollUp.addCall(call);
      return;
    }
    this.#whole += 1;
    this.#append(call['imds.version'] === 1 ? 'v1' : 'v2', { kind: 'call', call });
  }

  /**
   * Records a coverage report. Adds the spool's losses, because lost records may have contained unseen IMDSv1
   * calls.
   */
  coverage(coverage: Coverage): void {
    const unreported = this.#spool.unreportedLosses();
    const losses = { ...coverage.losses };
    for (const [reason, count] of Object.entries(unreported)) losses[`spool.${reason}`] = count;
    this.#append('coverage', { kind: 'coverage', coverage: { ...coverage, losses } });
    this.#spool.markReported(unreported);
  }

  #append(lane: LaneName, record: WireRecord): void {
    this.#spool.appendRecord(lane, recordText(record));
    this.#sink.notifyOfRecord();
  }

  /**
   * Returns the state of delivery. `kept`: records that wait for the collector. `fault`: the reason why they
   * cannot be written to disk; null when they can.
   */
  delivery(): { connected: boolean; kept: number; bytes: number; fault: string | null } {
    const { records, bytes } = this.#spool.report();
    return {
      connected: this.#sink.counters()['connected'] === 1,
      kept: records,
      bytes,
      fault: this.#spool.fault,
    };
  }

  counters(): StageCounters {
    return {
      outbox: { received: this.#received, whole: this.#whole, rolled_up: this.#received - this.#whole },
      roll_up: this.#rollUp.counters(),
      spool: this.#spool.counters(),
      uplink: this.#sink.counters(),
    };
  }

  /** Takes facts of the host that were learnt since the start. The host's id is the same. */
  updateHost(host: HostFacts): void {
    this.#sink.updateHost?.(host);
  }

  async heartbeat(): Promise<Heartbeat> {
    const { host, agentVersion, state } = this.#options;
    const { counters, coverage, attribution } = state();
    return {
      time: new Date().toISOString(),
      host_id: host.id,
      agent_version: agentVersion,
      started: this.#started,
      counters: { ...counters, ...this.counters() },
      coverage,
      attribution,
      agent: await measureSelf(),
      spool: this.#spool.report(),
    };
  }

  /**
   * Stops in order. Open roll-ups go to the spool. Records are delivered for up to `graceMs`; the rest waits
   * for the next start.
   */
  async stop(graceMs = 2000): Promise<void> {
    this.#rollUp.close();
    await this.#sink.stop(graceMs);
    await this.#spool.close();
  }
}
