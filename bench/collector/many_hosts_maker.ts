/** Makes the records of very many hosts, and stores them by the store's own writer. */
import { randomUUID } from 'node:crypto';
import { DAY_US, HOUR_US } from '../../collector/contract/window.ts';
import { heardHost } from '../../collector/store/packed_heartbeat.ts';
import type { Store, StoredBatch, StoredRecord } from '../../collector/store/store.ts';
import { toTimestamp } from '../../collector/store/time.ts';
import type { CallerFacts } from '../../collector/store/workload_identity.ts';
import { callerOf, hostOf, v1Call, v2Rollup, workloadOf } from './fleet.ts';
import { heartbeatOf } from './heartbeat.ts';
import { Random } from './random.ts';

export const DAYS = 14;
const HOSTS_IN_TRANSACTION = 200;
const MAX_ATTEMPTS = 5;
/** Each host has a roll-up every other day. With these, 100,000 hosts make 10 million calls. */
const CALLS_PER_ROLLUP = 14;
/** Every tenth host calls without a token: three workloads, so often each. */
const CALLS_PER_WORKLOAD = 17;
const V1_WORKLOADS = 60;
const V2_WORKLOADS = 30;

class Maker {
  readonly #random = new Random(7);
  readonly #nowUs: number;
  #ids = 0;
  calls = 0;

  constructor(nowUs: number) {
    this.#nowUs = nowUs;
  }

  batchOf(number: number): StoredBatch {
    const host = {
      ...hostOf(number),
      tags: { ...hostOf(number).tags, 'aws:autoscaling:groupName': `asg-${number % 500}` },
    };
    const callers: CallerFacts[] = [];
    const records: StoredRecord[] = [];
    const startUs = this.#nowUs - (DAYS + 1) * DAY_US;
    const middleUs = startUs + (number % 300) * HOUR_US;
    const pauseUs = number % 10 === 5 ? 5e6 : 0;
    records.push(
      this.#report(host.id, startUs, middleUs, number % 50 === 7),
      this.#report(host.id, middleUs + pauseUs, this.#nowUs, false),
    );
    const service = workloadOf('service', number % V2_WORKLOADS);
    callers.push(callerOf(service, 1000, toTimestamp(startUs), this.#random));
    for (let day = 0; day < DAYS; day += 2) {
      const us = this.#nowUs - Math.floor((day + this.#random.next()) * DAY_US);
      const times = { first: toTimestamp(us), last: toTimestamp(us + 59e6) };
      const rollup = v2Rollup(this.#id(us), times, CALLS_PER_ROLLUP, service);
      records.push({ kind: 'rollup', caller: 0, rollup });
      this.calls += CALLS_PER_ROLLUP;
    }
    if (number % 10 === 0) {
      for (const more of [0, 7, 31])
        this.#v1(workloadOf('legacy', (number / 10 + more) % V1_WORKLOADS), callers, records);
    }
    return { stream: randomUUID(), seq: 1, host, callers, records };
  }

  #v1(workload: ReturnType<typeof workloadOf>, callers: CallerFacts[], records: StoredRecord[]): void {
    const caller = callers.push(callerOf(workload, 2000, toTimestamp(this.#nowUs), this.#random)) - 1;
    for (let count = 0; count < CALLS_PER_WORKLOAD; count += 1) {
      const us = this.#nowUs - Math.floor(((count + 0.5) / CALLS_PER_WORKLOAD) * DAYS * DAY_US);
      const call = v1Call(this.#id(us), toTimestamp(us), workload, this.#random);
      records.push({ kind: 'call', caller, call });
      this.calls += 1;
    }
  }

  #report(hostId: string, startUs: number, endUs: number, isLossy: boolean): StoredRecord {
    return {
      kind: 'coverage',
      coverage: {
        id: this.#id(endUs),
        host_id: hostId,
        boot_id: '00000000-0000-4000-a000-000000000000',
        start: toTimestamp(startUs),
        end: toTimestamp(endUs),
        live_ms: (endUs - startUs) / 1000,
        kernel_connections: 12,
        seen_connections: 12,
        losses: isLossy ? { 'decode.dropped': 3 } : {},
      },
    };
  }

  /** Returns a UUIDv7 (RFC 9562 section 5.7) with a counter in place of random bits. */
  #id(us: number): string {
    this.#ids += 1;
    const time = Math.floor(us / 1000)
      .toString(16)
      .padStart(12, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${this.#ids.toString(16).padStart(12, '0')}`;
  }
}

/** Returns the number of calls. Their last hour ends at `nowUs`. */
export async function makeHosts(store: Store, hosts: number, nowUs: number): Promise<number> {
  const maker = new Maker(nowUs);
  for (let from = 0; from < hosts; from += HOSTS_IN_TRANSACTION) {
    const batches = Array.from({ length: Math.min(HOSTS_IN_TRANSACTION, hosts - from) }, (_, index) =>
      maker.batchOf(from + index),
    );
    await writeAll(store, batches);
    await store.heartbeats(
      batches.map(({ host }) => heardHost(heartbeatOf(host.id, nowUs / 1000), Date.now() * 1000)),
    );
    if (from % 20_000 === 0) console.log(`${from} hosts made`);
  }
  return maker.calls;
}

/**
 * Writes batches, again where the database refused them: on a busy machine it may end a transaction of this size. A batch
 * that was stored is known then.
 */
async function writeAll(store: Store, batches: StoredBatch[]): Promise<void> {
  for (let left = MAX_ATTEMPTS; ; left -= 1) {
    try {
      await store.write(batches);
      return;
    } catch (error) {
      if (left <= 1) throw error;
      console.log(`stored again: ${(error as Error).message}`);
    }
  }
}
