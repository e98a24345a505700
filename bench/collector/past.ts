/**
 * Makes the store of 90 days of a fleet by the store's own writer. Calls without a token are stored one by
 * one; calls with a token are rolled up by process and minute, as agents send them. `makePast` forks this as
 * a process of its own.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOUR_US } from '../../collector/contract/window.ts';
import { heardHost } from '../../collector/store/packed_heartbeat.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch, StoredRecord } from '../../collector/store/store.ts';
import type { CallerFacts } from '../../collector/store/workload_identity.ts';
import { VERSION } from '../../common/version.ts';
import { callerOf, hostOf, v1Call, v2Rollup, type Workload, workloadOf } from './fleet.ts';
import { Random } from './random.ts';

export interface PastSize {
  hosts: number;
  days: number;
  /** All calls, with those in roll-ups. */
  calls: number;
  /** The calls among them that are stored one by one, without a token. */
  rawCalls: number;
}

/** Contents of such a store, which stand beside it in `made.json`. */
export interface Past extends PastSize {
  rollups: number;
  coverage: number;
  /** End of the store's last hour. */
  endMs: number;
  madeInSeconds: number;
}

/** Numbers of workloads without tokens, and of the hosts of each: few are on many hosts, many on few. */
const V1_WORKLOADS = 60;
const V1_HOSTS_SHARE = 0.08;
/** Number of workloads with tokens, and how many of them a host has. They take turns by the hour. */
const V2_WORKLOADS = 30;
const V2_PER_HOST = 3;
/** Calls of a routine burst: token requests and reads of one process within a minute. */
const CALLS_PER_ROLLUP = 44;
const V1_RESTART_HOURS = 24;
const V2_RESTART_HOURS = 7 * 24;
/** Share of the calls without a token whose process makes no other call. */
const NEW_PROCESS_SHARE = 0.02;
/** Hours in a batch of one host. Real batches contain a minute, and would take a day to write. */
const COVERAGE_HOURS = 6;
/** Share of coverage intervals in which the host or its agent did not run. */
const MISSED_SHARE = 0.002;
const BOOT_DAYS = 30;
const HOSTS_IN_TRANSACTION = 500;
const WRITES_AT_ONCE = 2;
const MARK = 'made.json';

/** Returns the contents of the store in a directory; null if there is no complete one. */
export function pastIn(dataDir: string): Past | null {
  const file = join(dataDir, MARK);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Past) : null;
}

class Maker {
  readonly #size: PastSize;
  readonly #store: Store;
  readonly #random = new Random(11);
  readonly #callers = new Map<string, CallerFacts>();
  readonly #v1On: Workload[][];
  readonly #v2On: Workload[][];
  readonly #startMs: number;
  readonly #v1PerPair: number;
  readonly #rollupShare: number;
  #ids = 0;
  #rollups = 0;
  #rawCalls = 0;
  #calls = 0;
  #coverage = 0;

  constructor(size: PastSize, store: Store, endMs: number) {
    const { hosts, days, calls, rawCalls } = size;
    this.#size = size;
    this.#store = store;
    this.#startMs = endMs - days * 86_400_000;
    this.#v1On = Array.from({ length: hosts }, () => []);
    let pairs = 0;
    for (let number = 0; number < V1_WORKLOADS; number += 1) {
      const on = Math.max(1, Math.round((hosts * V1_HOSTS_SHARE) / (1 + number / 8)));
      for (let count = 0; count < on; count += 1) {
        this.#v1On[(number * 131 + count * 7) % hosts]!.push(workloadOf('legacy', number));
      }
      pairs += on;
    }
    this.#v2On = Array.from({ length: hosts }, (_, host) =>
      Array.from({ length: V2_PER_HOST }, (_, index) =>
        workloadOf('service', (host * 7 + index * 11) % V2_WORKLOADS),
      ),
    );
    this.#v1PerPair = rawCalls / (pairs * days * 24);
    this.#rollupShare = (calls - rawCalls) / CALLS_PER_ROLLUP / (hosts * days * 24);
    if (this.#rollupShare > 1) throw new Error('more calls than one roll-up by host and hour can hold');
  }

  async make(progress: (share: number) => void): Promise<Omit<Past, 'madeInSeconds' | 'endMs'>> {
    const { hosts, days } = this.#size;
    const hours = days * 24;
    const writing: Promise<unknown>[] = [];
    for (let hour = 0; hour < hours; hour += COVERAGE_HOURS) {
      for (let from = 0; from < hosts; from += HOSTS_IN_TRANSACTION) {
        const batches: StoredBatch[] = [];
        for (let host = from; host < Math.min(hosts, from + HOSTS_IN_TRANSACTION); host += 1) {
          batches.push(this.#batchOf(host, hour));
        }
        writing.push(this.#store.write(batches));
        if (writing.length >= WRITES_AT_ONCE) await writing.shift();
      }
      progress(Math.min(1, (hour + COVERAGE_HOURS) / hours));
    }
    await Promise.all(writing);
    return {
      ...this.#size,
      calls: this.#calls,
      rawCalls: this.#rawCalls,
      rollups: this.#rollups,
      coverage: this.#coverage,
    };
  }

  /** Returns all records of one host for the hours from `first` on. */
  #batchOf(host: number, first: number): StoredBatch {
    const callers: CallerFacts[] = [];
    const records: StoredRecord[] = [];
    for (let hour = first; hour < first + COVERAGE_HOURS; hour += 1) {
      if (this.#random.next() < this.#rollupShare) this.#rollup(host, hour, callers, records);
      for (const workload of this.#v1On[host]!) this.#v1Calls(workload, host, hour, callers, records);
    }
    this.#cover(host, this.#startMs + (first + COVERAGE_HOURS) * 3_600_000, records);
    return {
      stream: `00000000-0000-4000-9000-${host.toString(16).padStart(12, '0')}`,
      seq: first / COVERAGE_HOURS + 1,
      host: hostOf(host),
      callers,
      records,
    };
  }

  #rollup(host: number, hour: number, callers: CallerFacts[], records: StoredRecord[]): void {
    const workload = this.#v2On[host]![hour % V2_PER_HOST]!;
    const caller = callers.push(this.#lasting(workload, host, Math.floor(hour / V2_RESTART_HOURS))) - 1;
    const firstMs = this.#startMs + hour * 3_600_000 + this.#random.below(3_540_000);
    const times = { first: timestamp(firstMs), last: timestamp(firstMs + 59_000) };
    const rollup = v2Rollup(this.#id(firstMs), times, CALLS_PER_ROLLUP, workload);
    records.push({ kind: 'rollup', caller, rollup });
    this.#rollups += 1;
    this.#calls += CALLS_PER_ROLLUP;
  }

  #v1Calls(
    workload: Workload,
    host: number,
    hour: number,
    callers: CallerFacts[],
    records: StoredRecord[],
  ): void {
    const count = Math.floor(this.#v1PerPair + this.#random.next());
    if (count === 0) return;
    const lasting = callers.push(this.#lasting(workload, host, Math.floor(hour / V1_RESTART_HOURS))) - 1;
    for (let index = 0; index < count; index += 1) {
      const ms = this.#startMs + hour * 3_600_000 + Math.floor((index / count) * 3_600_000);
      const isNew = this.#random.next() < NEW_PROCESS_SHARE;
      const caller = isNew ? callers.push(this.#newProcess(workload, ms)) - 1 : lasting;
      const call = v1Call(this.#id(ms), timestamp(ms), workload, this.#random);
      records.push({ kind: 'call', caller, call });
      this.#rawCalls += 1;
      this.#calls += 1;
    }
  }

  #lasting(workload: Workload, host: number, start: number): CallerFacts {
    const key = `${workload.name} ${host}`;
    const known = this.#callers.get(key);
    const startTime = timestamp(this.#startMs + start * 1000);
    if (known?.process?.start_time === startTime) return known;
    const caller = callerOf(workload, 1000 + host, startTime, this.#random);
    this.#callers.set(key, caller);
    return caller;
  }

  #newProcess(workload: Workload, ms: number): CallerFacts {
    return callerOf(workload, 100_000 + this.#random.below(900_000), timestamp(ms), this.#random);
  }

  #cover(host: number, endMs: number, records: StoredRecord[]): void {
    if (this.#random.next() < MISSED_SHARE) return;
    const startMs = endMs - COVERAGE_HOURS * 3_600_000;
    const boot = Math.floor((startMs - this.#startMs) / (BOOT_DAYS * 86_400_000));
    records.push({
      kind: 'coverage',
      coverage: {
        id: this.#id(endMs),
        host_id: hostOf(host).id,
        boot_id: `00000000-0000-4000-a000-${boot.toString(16).padStart(12, '0')}`,
        start: timestamp(startMs),
        end: timestamp(endMs),
        live_ms: endMs - startMs,
        kernel_connections: 12,
        seen_connections: 12,
        losses: {},
      },
    });
    this.#coverage += 1;
  }

  /** Returns a UUIDv7 (RFC 9562 section 5.7) with a counter in place of random bits. */
  #id(ms: number): string {
    this.#ids += 1;
    const time = ms.toString(16).padStart(12, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${this.#ids.toString(16).padStart(12, '0')}`;
  }
}

/** Gives every host a recent heartbeat, because silent hosts are another question. */
async function hear(store: Store, hosts: number): Promise<void> {
  const now = Date.now();
  const heard = Array.from({ length: hosts }, (_, host) =>
    heardHost(
      {
        time: timestamp(now),
        host_id: hostOf(host).id,
        agent_version: VERSION,
        started: timestamp(now - 86_400_000),
        counters: { capture: { received: 12, dropped: 0 } },
        coverage: { live: true, sources: ['any'] },
        attribution: { method: 'ebpf', reason: null },
        agent: { cpu_percent: 0.4, memory_bytes: 75_000_000 },
        spool: { bytes: 0, records: 0, overflowed: {} },
      },
      now * 1000,
    ),
  );
  await store.heartbeats(heard);
}

function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}

export interface PastOrder extends PastSize {
  dataDir: string;
}
/** Reports the share that is made. */
export type PastAnswer = { share: number } | { past: Past };

async function main(order: PastOrder): Promise<void> {
  const { dataDir, ...size } = order;
  const tell = (answer: PastAnswer) => process.send!(answer);
  const store = openStore(dataDir);
  try {
    let past = pastIn(dataDir);
    if (past === null) {
      const beganMs = performance.now();
      const endMs = Math.floor((Date.now() * 1000) / HOUR_US) * (HOUR_US / 1000);
      const made = await new Maker(size, store, endMs).make((share) => tell({ share }));
      past = { ...made, endMs, madeInSeconds: (performance.now() - beganMs) / 1000 };
      writeFileSync(join(dataDir, MARK), JSON.stringify(past));
    }
    await hear(store, size.hosts);
    tell({ past });
  } finally {
    await store.close();
  }
}

if (process.argv[1] === import.meta.filename) {
  await main(JSON.parse(process.argv[2]!) as PastOrder);
  process.disconnect();
}
