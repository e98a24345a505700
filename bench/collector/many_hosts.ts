/**
 * Measures the page's questions about very many hosts: `bin/node bench/collector/many_hosts.ts HOSTS DIRECTORY`. The store
 * is made in the directory by its own writer unless it is there. The questions go to a collector of its own, as a
 * browser asks them, while nothing else is stored.
 *
 *   --store URL   makes the store in this PostgreSQL database, which must be empty at first
 *   --calls N     there, so many calls that are stored one by one. A part of the hosts is made by the writer, and
 *                 multiplied with SQL. Default: all hosts are made by the writer, with 510,000 calls of 100,000 hosts
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HOUR_US } from '../../collector/contract/window.ts';
import { DatabasePool } from '../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import { ApiClient } from './api_client.ts';
import { multiplyCalls } from './many_calls.ts';
import { multiplyHosts } from './many_hosts_copies.ts';
import { DAYS, makeHosts } from './many_hosts_maker.ts';
import { type Answered, askAll } from './many_hosts_questions.ts';
import { databaseBytes, Subject } from './subject.ts';

const MARK = 'many_hosts.json';
/** With these, 100,000 hosts have some 40 million calls in roll-ups. */
const ROLLUP_COPIES = 4;
const WRITTEN_HOSTS = 5_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: 'string' }, calls: { type: 'string' } },
});
const hosts = Number(positionals[0] ?? 100_000);
const directory = positionals[1];
if (directory === undefined) {
  throw new Error('usage: many_hosts.ts HOSTS DIRECTORY [--store URL [--calls NUMBER]]');
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
    await pool.query('UPDATE heartbeats SET received_us = $1', [nowUs]);
    await pool.query('UPDATE hosts SET last_us = $1, version = version + 1', [nowUs]);
    await pool.query('VACUUM ANALYZE watched, heartbeats, hosts');
  } finally {
    await pool.close();
  }
}

const mark = join(directory, MARK);
if (!existsSync(mark)) {
  const beganMs = performance.now();
  const made = await make(directory);
  writeFileSync(mark, JSON.stringify(made));
  console.log(`made in ${Math.round((performance.now() - beganMs) / 1000)} s`);
}
console.log(readFileSync(mark, 'utf8'));
if (values.store === undefined) console.log(`${Math.round(databaseBytes(directory) / 1e6)} MB on disk`);
else await bringUpToDate(values.store);
const subject = await Subject.start({
  dataDir: directory,
  tls: false,
  ...(values.store !== undefined && { store: values.store }),
});
try {
  const client = new ApiClient(subject.apiUrl, await subject.personToken('admin'));
  await client.put('/api/v1/retention', { raw_days: 3650, rollup_days: 3650, max_bytes: 1024 ** 4 });
  console.log(`at the start ${Math.round(subject.usage().residentBytes / 1e6)} MB`);
  await askAll(client, subject, (answered) => console.log(lineOf(answered)));
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

function lineOf(answered: Answered): string {
  const { name, first_ms, p50_ms, p95_ms, max_ms, count, processor_ms, resident_bytes } = answered;
  const [first, p50, p95, max, processor] = [first_ms, p50_ms, p95_ms, max_ms, processor_ms].map((ms) =>
    Math.round(ms),
  );
  return `${name.padEnd(38)} first ${first} ms, p50 ${p50}, p95 ${p95}, slowest ${max} of ${count}; processor ${processor} ms each; ${Math.round(resident_bytes / 1e6)} MB`;
}
