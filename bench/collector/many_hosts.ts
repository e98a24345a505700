/**
 * Measures the page's questions about very many hosts: `bin/node bench/collector/many_hosts.ts HOSTS DIRECTORY`. The store
 * is made in the directory by its own writer unless it is there. The questions go to a collector of its own, as a
 * browser asks them, while nothing else is stored.
 *
 *   --store URL   makes the store in this PostgreSQL database, which must be empty at first
 *   --calls N     there, so many calls that are stored one by one. A part of the hosts is made by the writer, and
 *                 multiplied with SQL. Default: all hosts are made by the writer, with 510,000 calls of 100,000 hosts
 *   --make        only makes the store
 *   --kept        there, one collector judges all hosts in advance and ends; the questions go to the next one at once
 *   --rate N      so many calls a second arrive meanwhile, from 200 agents
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { HOUR_US } from '../../collector/contract/window.ts';
import { DatabasePool } from '../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import { ApiClient } from './api_client.ts';
import { NEW_PROCESS_SHARE } from './ingest.ts';
import { Load } from './load.ts';
import { multiplyCalls } from './many_calls.ts';
import { multiplyHosts } from './many_hosts_copies.ts';
import { DAYS, makeHosts } from './many_hosts_maker.ts';
import { type Answered, askAll } from './many_hosts_questions.ts';
import { MAX_IN_FLIGHT } from './simulated_agent.ts';
import { databaseBytes, Subject } from './subject.ts';

const MARK = 'many_hosts.json';
/** With these, 100,000 hosts have some 100 million calls in roll-ups. */
const ROLLUP_COPIES = 10;
const WRITTEN_HOSTS = 5_000;
/** Board, held hosts, offenders, sums by place, members of groups, and groups of eight attributes. */
const KEPT_ANSWERS = 13;
const KEPT_MS = 300_000;
const FOR_EVER = { raw_days: 3650, rollup_days: 3650, max_bytes: 1024 ** 4 };
const ARRIVING_AGENTS = 200;
const ARRIVING_MS = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: 'string' },
    calls: { type: 'string' },
    make: { type: 'boolean', default: false },
    kept: { type: 'boolean', default: false },
    rate: { type: 'string' },
  },
});
const hosts = Number(positionals[0] ?? 100_000);
const directory = positionals[1];
if (directory === undefined) {
  throw new Error(
    'usage: many_hosts.ts HOSTS DIRECTORY [--store URL [--calls NUMBER] [--kept]] [--rate NUMBER]',
  );
}
mkdirSync(directory, { recursive: true });

async function make(into: string): Promise<object> {
  const nowUs = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
  const url = values.store;
  const store = url === undefined ? openStore(into) : await PostgresStore.open(parseDatabaseUrl(url));
  const isMultiplied = url !== undefined && values.calls !== undefined;
  const copies = isMultiplied ? Math.max(1, Math.floor(hosts / WRITTEN_HOSTS)) : 1;
  const calls = await makeHosts(store, Math.ceil(hosts / copies), nowUs);
  await store.close();
  if (!isMultiplied) return { hosts, calls };
  const pool = new DatabasePool(parseDatabaseUrl(url), { max: 2, statementMs: 24 * 3_600_000 });
  try {
    if (copies > 1) await multiplyHosts(pool, copies - 1);
    const size = { calls: Number(values.calls), rollupCopies: ROLLUP_COPIES, days: DAYS, nowUs };
    return { hosts, ...(await multiplyCalls(pool, size, (text) => console.log(text))) };
  } finally {
    await pool.close();
  }
}

/** Lets all hosts have reported until now: a store that is asked hours later would show hosts that nobody watches. */
async function bringUpToDate(url: string): Promise<void> {
  const pool = new DatabasePool(parseDatabaseUrl(url), { max: 1, statementMs: 600_000 });
  try {
    const nowUs = Date.now() * 1000;
    await pool.query('UPDATE watched SET last_us = $1', [nowUs]);
    await pool.query('UPDATE last_heard SET heard_us = $1', [nowUs]);
    await pool.query('UPDATE hosts SET last_us = $1, version = version + 1', [nowUs]);
    await pool.query('VACUUM ANALYZE watched, last_heard, hosts');
  } finally {
    await pool.close();
  }
}

/** Waits until a collector has judged all hosts in advance, and ends it. Nothing is deleted by age. */
async function keepJudgement(url: string, subject: Subject): Promise<void> {
  const pool = new DatabasePool(parseDatabaseUrl(url), { max: 1, statementMs: 600_000 });
  try {
    const client = new ApiClient(subject.apiUrl, await subject.personToken('admin'));
    await client.put('/api/v1/retention', FOR_EVER);
    client.close();
    await pool.query('DELETE FROM kept_answers');
    const beganMs = performance.now();
    for (let names = 0; names < KEPT_ANSWERS; ) {
      if (performance.now() - beganMs > KEPT_MS) throw new Error('no judgement was kept in time');
      await sleep(500);
      const [row] = await pool.query<{ names: number }>(
        'SELECT count(DISTINCT name) AS names FROM kept_answers',
      );
      names = row!.names;
    }
    const [size] = await pool.query<{ bytes: number; us: number }>(
      'SELECT sum(length(body))::bigint AS bytes, max(as_of_us) - min(as_of_us) AS us FROM kept_answers',
    );
    console.log(
      `kept answers: ${(size!.bytes / 1e6).toFixed(1)} MB, the last one begun ${(size!.us / 1e6).toFixed(1)} s after the first`,
    );
    await subject.stop();
  } catch (error) {
    subject.kill();
    throw error;
  } finally {
    await pool.close();
  }
}

/** Lets calls arrive while questions are asked. Returns a function that ends them and returns their number. */
async function letArrive(subject: Subject, callsPerSecond: number): Promise<() => Promise<number>> {
  const load = new Load();
  const { url, agentToken: token } = subject;
  await load.order({
    ...{ do: 'connect', agents: ARRIVING_AGENTS, urls: [url], token, caFile: null },
    ...{ newProcessShare: NEW_PROCESS_SHARE, maxInFlight: MAX_IN_FLIGHT },
  });
  let isOver = false;
  const send = async () => {
    let calls = 0;
    while (!isOver)
      calls += (await load.order({ do: 'pace', callsPerSecond, forMs: ARRIVING_MS })).totalAcknowledged;
    return calls;
  };
  const sending = send();
  return async () => {
    isOver = true;
    const calls = await sending;
    await load.stop();
    return calls;
  };
}

const mark = join(directory, MARK);
if (!existsSync(mark)) {
  const beganMs = performance.now();
  const made = await make(directory);
  writeFileSync(mark, JSON.stringify(made));
  console.log(`made in ${Math.round((performance.now() - beganMs) / 1000)} s`);
}
console.log(readFileSync(mark, 'utf8'));
if (values.make) process.exit(0);
if (values.store === undefined) console.log(`${Math.round(databaseBytes(directory) / 1e6)} MB on disk`);
else await bringUpToDate(values.store);
const start = () =>
  Subject.start({
    dataDir: directory,
    tls: false,
    ...(values.store !== undefined && { store: values.store }),
  });
if (values.kept) await keepJudgement(values.store!, await start());
const subject = await start();
try {
  const client = new ApiClient(subject.apiUrl, await subject.personToken('admin'));
  if (!values.kept) await client.put('/api/v1/retention', FOR_EVER);
  console.log(`at the start ${Math.round(subject.usage().residentBytes / 1e6)} MB`);
  const arriving = values.rate === undefined ? null : await letArrive(subject, Number(values.rate));
  await askAll(client, subject, (answered) => console.log(lineOf(answered)));
  client.close();
  if (arriving !== null) console.log(`${await arriving()} calls arrived meanwhile`);
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

function lineOf(answered: Answered): string {
  const { name, first_ms, p50_ms, p95_ms, max_ms, count, processor_ms, resident_bytes } = answered;
  const [first, p50, p95, max, processor] = [first_ms, p50_ms, p95_ms, max_ms, processor_ms].map((ms) =>
    Math.round(ms),
  );
  return `${name.padEnd(38)} first ${first} ms, p50 ${p50}, p95 ${p95}, slowest ${max} of ${count}; processor ${processor} ms each; ${Math.round(resident_bytes / 1e6)} MB`;
}
