/**
 * Measures the page's questions about very many hosts: `bin/node bench/collector/many_hosts.ts HOSTS DIRECTORY`. The store
 * is made in the directory by its own writer unless it is there. The questions go to a collector of its own, as a
 * browser asks them, while nothing else is stored.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { DAY_US, HOUR_US } from '../../collector/contract/window.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch, StoredRecord } from '../../collector/store/store.ts';
import { toTimestamp } from '../../collector/store/time.ts';
import type { CallerFacts } from '../../collector/store/workload_identity.ts';
import { ApiClient } from './api_client.ts';
import { callerOf, hostOf, v1Call, v2Rollup, workloadOf } from './fleet.ts';
import { heartbeatOf } from './heartbeat.ts';
import { Latencies } from './latencies.ts';
import { Random } from './random.ts';
import { databaseBytes, Subject } from './subject.ts';

const DAYS = 14;
const HOSTS_IN_TRANSACTION = 1000;
/** Each host has a roll-up every other day. With these, 100,000 hosts make 10 million calls. */
const CALLS_PER_ROLLUP = 14;
/** Every tenth host calls without a token: three workloads, so often each. */
const CALLS_PER_WORKLOAD = 17;
const V1_WORKLOADS = 60;
const V2_WORKLOADS = 30;
const REPETITIONS = 40;
const QUESTION_MS = 5_000;
const MARK = 'many_hosts.json';

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

async function make(store: Store, hosts: number): Promise<number> {
  const nowUs = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
  const maker = new Maker(nowUs);
  for (let from = 0; from < hosts; from += HOSTS_IN_TRANSACTION) {
    const batches = Array.from({ length: Math.min(HOSTS_IN_TRANSACTION, hosts - from) }, (_, index) =>
      maker.batchOf(from + index),
    );
    await store.write(batches);
    await Promise.all(
      batches.map(({ host }) => store.heartbeat(heartbeatOf(host.id, nowUs / 1000), Date.now() * 1000)),
    );
    if (from % 20_000 === 0) console.log(`${from} hosts made`);
  }
  return maker.calls;
}

const PATHS: [name: string, path: string][] = [
  ['overview', '/api/v1/overview'],
  ['offenders', '/api/v1/offenders'],
  ['offenders of a region', '/api/v1/offenders?region=eu-west-1'],
  ['hosts, worst first', '/api/v1/hosts'],
  ['hosts of a team, by name', '/api/v1/hosts?tag=team:data&sort=name'],
  ['hosts that are unproven', '/api/v1/hosts?verdict=unproven'],
  ['hosts by the last call', '/api/v1/hosts?sort=-last_v1'],
  ['groups', '/api/v1/groups?by=asg'],
  ['fix first', '/api/v1/fix-first'],
  ['burn-down', '/api/v1/burn-down?days=90'],
  ['metrics', '/metrics'],
];

interface Page {
  items: { id: string }[];
  next: string | null;
}

async function measure(client: ApiClient, subject: Subject): Promise<void> {
  const ask = async (name: string, next: () => Promise<string>) => {
    const latencies = new Latencies();
    const beganMs = performance.now();
    const beganSeconds = subject.usage().cpuSeconds;
    let first: number | null = null;
    for (let count = 0; count < REPETITIONS && performance.now() - beganMs < QUESTION_MS; count += 1) {
      const { ms } = await client.get(await next());
      first ??= ms;
      latencies.add(ms);
    }
    const { p50_ms: p50, p95_ms: p95, max_ms: max, count } = latencies.spread()!;
    const { residentBytes, cpuSeconds } = subject.usage();
    const resident = Math.round(residentBytes / 1e6);
    const processor = Math.round(((cpuSeconds - beganSeconds) * 1000) / count);
    const rounded = [first!, p50, p95, max].map((ms) => Math.round(ms));
    console.log(
      `${name.padEnd(28)} first ${rounded[0]} ms, p50 ${rounded[1]}, p95 ${rounded[2]}, slowest ${rounded[3]} of ${count}; processor ${processor} ms each; ${resident} MB`,
    );
  };
  for (const [name, path] of PATHS) await ask(name, async () => path);
  let cursor: string | null = null;
  await ask('hosts, page after page', async () => {
    const path: string = `/api/v1/hosts${cursor === null ? '' : `?cursor=${cursor}`}`;
    const { body } = await client.get(path);
    cursor = (body as Page).next;
    return path;
  });
  const { items } = (await client.get('/api/v1/offenders?limit=20')).body as Page;
  let at = 0;
  await ask('one offender', async () => `/api/v1/offenders/${items[at++ % items.length]!.id}`);
  await ask('one host', async () => `/api/v1/hosts/${hostOf(at++ * 10).id}`);
}

const hosts = Number(process.argv[2] ?? 100_000);
const directory = process.argv[3];
if (directory === undefined) throw new Error('usage: many_hosts.ts HOSTS DIRECTORY');
mkdirSync(directory, { recursive: true });
if (!existsSync(join(directory, MARK))) {
  const beganMs = performance.now();
  const store = openStore(directory);
  const calls = await make(store, hosts);
  await store.close();
  writeFileSync(join(directory, MARK), JSON.stringify({ hosts, calls }));
  console.log(`${hosts} hosts, ${calls} calls made in ${Math.round((performance.now() - beganMs) / 1000)} s`);
}
console.log(`${Math.round(databaseBytes(directory) / 1e6)} MB on disk`);
const subject = await Subject.start({ dataDir: directory, tls: false });
try {
  const client = new ApiClient(subject.apiUrl, await subject.personToken('admin'));
  await client.put('/api/v1/retention', { raw_days: 3650, rollup_days: 3650, max_bytes: 1024 ** 4 });
  console.log(`at the start ${Math.round(subject.usage().residentBytes / 1e6)} MB`);
  await measure(client, subject);
  client.close();
  const { mainThreadSeconds, otherThreadsSeconds } = subject.usage();
  console.log(
    `processor: main thread ${mainThreadSeconds.toFixed(1)} s, others ${otherThreadsSeconds.toFixed(1)} s; ` +
      `cores ${availableParallelism()}, load average ${loadavg()
        .map((load) => load.toFixed(1))
        .join(' ')}`,
  );
  await subject.stop();
} catch (error) {
  subject.kill();
  throw error;
}
