/**
 * `bin/node bench/collector/heartbeats.ts` measures what the heartbeats of a large fleet cost the store, and how long a
 * batch beside them takes. There are no connections: each heartbeat of 5 kB is given to the part of the collector that
 * decides what of it is stored, and groups it.
 *
 *   --store NAME    postgres (default) or sqlite
 *   --hosts N       default: 100,000
 *   --interval N    seconds between two heartbeats of a host; default: what the collector tells so many agents
 *   --seconds N     default: 60
 *   --batches N     batches a second beside them, each with one coverage report; default: 50
 *
 * Prints one JSON line on stdout.
 */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { HeardAgent } from '../../collector/ingest/heard_agent.ts';
import { HeartbeatWriter } from '../../collector/ingest/heartbeat_writer.ts';
import { paceOf } from '../../collector/ingest/pacing.ts';
import { parseDatabaseUrl } from '../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch } from '../../collector/store/store.ts';
import { DatabaseCluster } from './database_cluster.ts';
import { hostOf } from './fleet.ts';
import { heartbeatOf } from './heartbeat.ts';
import { Latencies } from './latencies.ts';
import { inNewDirectory } from './new_directory.ts';
import { processUsage } from './process_usage.ts';

const SILENT_AFTER_SECONDS = 300;
const HOSTS_AT_ONCE = 1000;
const STEP_MS = 10;

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'postgres' },
    hosts: { type: 'string', default: '100000' },
    interval: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    batches: { type: 'string', default: '50' },
  },
});
const hosts = Number(values.hosts);
const told = paceOf(
  { connections: 0, fleet: hosts },
  { heartbeatSeconds: null, silentAfterSeconds: SILENT_AFTER_SECONDS },
);
const interval = Number(values.interval ?? told.heartbeat_seconds ?? 10);
const seconds = Number(values.seconds);
const batchesPerSecond = Number(values.batches);
const ids = Array.from({ length: hosts }, (_, host) => hostOf(host).id);

/** The processor time of the database: its server, or the threads of the embedded store. Beside it what it wrote. */
interface Used {
  storeSeconds: number;
  mainSeconds: number;
  walBytes: number;
}

async function measure(store: Store, used: () => Promise<Used>): Promise<object> {
  const log = pino({ level: 'silent' });
  const writer = new HeartbeatWriter({ store, silentAfterSeconds: SILENT_AFTER_SECONDS, log });
  const agents = ids.map(() => new HeardAgent());
  const sample = heartbeatOf(ids[0]!, Date.now());
  const hear = (place: number) => {
    const heartbeat = { ...sample, host_id: ids[place]!, time: new Date().toISOString() };
    const hearing = { nowMs: performance.now(), nowUs: Date.now() * 1000, hosts };
    return agents[place]!.onHeartbeat(heartbeat, { ...hearing, silentAfterSeconds: SILENT_AFTER_SECONDS });
  };
  const latencies = new Latencies();
  let given = 0;
  const run = async (forMs: number, isMeasured: boolean) => {
    const beganMs = performance.now();
    const first = given;
    let batches = 0;
    const writing = new Set<Promise<void>>();
    for (let atMs = 0; atMs < forMs; atMs = performance.now() - beganMs) {
      const due = first + (atMs / 1000) * (hosts / interval);
      for (; given < due; given += 1) writer.add(hear(given % hosts));
      for (; isMeasured && batches < (atMs / 1000) * batchesPerSecond; batches += 1) {
        const done = writeOne(store, latencies, batches).finally(() => writing.delete(done));
        writing.add(done);
      }
      await sleep(STEP_MS);
    }
    await Promise.all(writing);
    return (performance.now() - beganMs) / 1000;
  };
  // The first heartbeat of each connection is stored as it is.
  for (let from = 0; from < hosts; from += HOSTS_AT_ONCE) {
    const heard = ids.slice(from, from + HOSTS_AT_ONCE).map((_, index) => hear(from + index).host);
    await store.heartbeats(heard);
  }
  // Groups find their size.
  await run(Math.min(interval, 15) * 1000, false);
  const before = { used: await used(), counters: writer.counters(), given };
  const tookSeconds = await run(seconds * 1000, true);
  const after = { used: await used(), counters: writer.counters() };
  await writer.close();
  const grown = (key: keyof Used) => after.used[key] - before.used[key];
  const counted = (name: string) => after.counters[name]! - before.counters[name]!;
  const heartbeats = given - before.given;
  return {
    heartbeats_per_second: heartbeats / tookSeconds,
    store_cpu_percent: (grown('storeSeconds') / tookSeconds) * 100,
    store_us_per_heartbeat: (grown('storeSeconds') / heartbeats) * 1e6,
    main_thread_us_per_heartbeat: (grown('mainSeconds') / heartbeats) * 1e6,
    wal_bytes_per_minute: (grown('walBytes') / tookSeconds) * 60,
    stored_times_per_second: counted('heartbeats_stored') / tookSeconds,
    stored_contents_per_second: counted('heartbeat_bodies') / tookSeconds,
    transactions_per_second: counted('heartbeat_groups') / tookSeconds,
    failures: counted('heartbeat_failures'),
    batch: latencies.spread(),
  };
}

async function writeOne(store: Store, latencies: Latencies, number: number): Promise<void> {
  const place = (number * 7919) % hosts;
  const now = Date.now();
  const id = ids[place]!;
  const coverage = {
    id: uuidv7(),
    host_id: id,
    boot_id: 'boot',
    start: new Date(now - 60_000).toISOString(),
    end: new Date(now).toISOString(),
    live_ms: 60_000,
    kernel_connections: 0,
    seen_connections: 0,
    losses: {},
  };
  const batch: StoredBatch = {
    stream: uuidv7(),
    seq: 1,
    host: hostOf(place),
    callers: [],
    records: [{ kind: 'coverage', coverage }],
  };
  const beganMs = performance.now();
  await store.write([batch]);
  latencies.add(performance.now() - beganMs);
}

async function inPostgres(): Promise<object> {
  const cluster = await DatabaseCluster.start(0, false);
  try {
    const store = await PostgresStore.open(parseDatabaseUrl(cluster.url));
    const result = await measure(store, async () => {
      const { primarySeconds, walBytes } = await cluster.usage();
      return {
        storeSeconds: primarySeconds,
        mainSeconds: processUsage(process.pid).mainThreadSeconds,
        walBytes,
      };
    });
    await store.close();
    return result;
  } finally {
    await cluster.close();
  }
}

function inSqlite(): Promise<object> {
  return inNewDirectory(async (directory) => {
    const store = openStore(directory);
    const result = await measure(store, async () => {
      const { mainThreadSeconds, otherThreadsSeconds } = processUsage(process.pid);
      return {
        storeSeconds: otherThreadsSeconds,
        mainSeconds: mainThreadSeconds,
        walBytes: Number.NaN,
      };
    });
    await store.close();
    return result;
  });
}

const loadBefore = loadavg()[0]!;
const result = values.store === 'sqlite' ? await inSqlite() : await inPostgres();
const figures = { time: new Date().toISOString(), load: [loadBefore, loadavg()[0]!], node: process.version };
console.log(JSON.stringify({ bench: 'heartbeats', ...values, interval, ...figures, ...result }));
