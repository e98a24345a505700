/**
 * `bin/node bench/collector/write_costs.ts` measures the processor time that a store takes for a call of a steady fleet,
 * apart from sockets. Transactions have a fixed size, so that other work on the machine changes the figures little.
 *
 *   --store NAME    `sqlite` or `postgres`; default: postgres
 *   --standbys N    quorum standbys of PostgreSQL; default: 2
 *   --hosts N, --batch N, --calls N   default: 1,000 hosts, batches of 3 calls, transactions of 300 calls
 *   --seconds N     processor time of this process that is measured; default: 10
 *   --statements    lists the statements of PostgreSQL by their time
 *
 * Prints microseconds of processor time a call: for parsing and checking frames, and for storing them in this process and
 * in the servers.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { BatchChecker, type BatchFrame } from '../../collector/ingest/batch_checker.ts';
import { parseFrame } from '../../collector/ingest/frame_parsing.ts';
import { zeroIngestCounters } from '../../collector/ingest/ingest_counters.ts';
import { parseDatabaseUrl } from '../../collector/store/postgres/database_url.ts';
import { PostgresStore } from '../../collector/store/postgres/postgres_store.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch } from '../../collector/store/store.ts';
import type { HostFacts } from '../../protocol/call.ts';
import { type ClusterUsage, DatabaseCluster } from './database_cluster.ts';
import { hostOf } from './fleet.ts';
import { NEW_PROCESS_SHARE } from './ingest.ts';
import { inNewDirectory } from './new_directory.ts';
import { processUsage } from './process_usage.ts';
import { type Entry, makeScript } from './script.ts';

const SCRIPTS = 8;
/** Calls of each host before the measurement: most of its lasting processes have called by then. */
const WARM_UP_CALLS = 48;

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'postgres' },
    standbys: { type: 'string', default: '2' },
    hosts: { type: 'string', default: '1000' },
    batch: { type: 'string', default: '3' },
    calls: { type: 'string', default: '300' },
    seconds: { type: 'string', default: '10' },
    statements: { type: 'boolean', default: false },
  },
});
const callsPerBatch = Number(values.batch);
const callsPerTransaction = Number(values.calls);

/** Makes the frames of one agent, and checks them as its connection does. */
class Sender {
  readonly #host: HostFacts;
  readonly #stream: string;
  readonly #script: readonly Entry[];
  readonly #checker = new BatchChecker(zeroIngestCounters());
  #seq = 0;
  #at = 0;
  #ids = 0;

  constructor(number: number, script: readonly Entry[]) {
    this.#host = hostOf(number);
    this.#stream = `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
    this.#script = script;
    this.#checker.protocol = 2;
  }

  frame(): Buffer {
    if (this.#at + callsPerBatch > this.#script.length) this.#at = 0;
    const forget = this.#at === 0 && this.#seq > 0 ? '"forget":true,' : '';
    const entries = this.#script.slice(this.#at, this.#at + callsPerBatch);
    this.#at += callsPerBatch;
    this.#seq += 1;
    const time = `${new Date().toISOString().slice(0, -1)}000Z`;
    const callers = entries.flatMap(({ definition, startAt }) =>
      definition === null ? [] : replaced(definition, startAt, time),
    );
    const records = entries.map(({ record, idAt, timeAt }) =>
      replaced(Buffer.from(replaced(record, timeAt, time)), idAt, this.#id()),
    );
    return Buffer.from(
      `{"type":"batch","seq":${this.#seq},${forget}"callers":[${callers.join(',')}],"records":[${records.join(',')}]}`,
    );
  }

  #id(): string {
    this.#ids += 1;
    const number = this.#stream.slice(-5) + this.#ids.toString(16).padStart(7, '0');
    return `00000000-0000-7000-8000-${number}`;
  }

  check(data: Buffer): StoredBatch {
    const frame = parseFrame(data) as BatchFrame;
    const checked = this.#checker.check(frame, this.#host.id, (each) => each);
    if (checked === null || checked instanceof Promise) throw new Error('A batch was not checked at once.');
    const { callers, records } = checked;
    return { stream: this.#stream, seq: frame.seq, host: this.#host, callers, records };
  }
}

function replaced(text: Buffer, at: number, by: string): string {
  const whole = text.toString('latin1');
  return at < 0 ? whole : `${whole.slice(0, at)}${by}${whole.slice(at + by.length)}`;
}

interface Costs {
  calls: number;
  checkSeconds: number;
  storeSeconds: number;
  transactionMs: number;
}

/** Writes one transaction after the other, until `isDone`. */
async function write(store: Store, senders: Sender[], isDone: (costs: Costs) => boolean): Promise<Costs> {
  const costs: Costs = { calls: 0, checkSeconds: 0, storeSeconds: 0, transactionMs: 0 };
  const seconds = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  let transactions = 0;
  for (let at = 0; !isDone(costs); ) {
    const chosen = Array.from(
      { length: Math.ceil(callsPerTransaction / callsPerBatch) },
      () => senders[at++ % senders.length]!,
    );
    const frames = chosen.map((sender) => sender.frame());
    const before = seconds();
    const batches = frames.map((frame, index) => chosen[index]!.check(frame));
    const checked = seconds();
    const startMs = performance.now();
    const results = await store.write(batches);
    costs.transactionMs += performance.now() - startMs;
    costs.storeSeconds += seconds() - checked;
    costs.checkSeconds += checked - before;
    const stored = results.reduce((sum, { records }) => sum + records, 0);
    if (stored !== chosen.length * callsPerBatch)
      throw new Error(`${stored} calls of a transaction were stored.`);
    costs.calls += stored;
    transactions += 1;
  }
  return { ...costs, transactionMs: costs.transactionMs / transactions };
}

async function measure(store: Store, cluster: DatabaseCluster | null): Promise<void> {
  const scripts = Array.from({ length: SCRIPTS }, (_, seed) => makeScript(seed + 1, NEW_PROCESS_SHARE));
  const senders = Array.from(
    { length: Number(values.hosts) },
    (_, at) => new Sender(at + 1, scripts[at % SCRIPTS]!),
  );
  const warmUpCalls = WARM_UP_CALLS * senders.length;
  await write(store, senders, ({ calls }) => calls >= warmUpCalls);
  if (values.statements) await cluster?.forgetStatements();
  const before = { main: processUsage(process.pid).mainThreadSeconds, cluster: await cluster?.usage() };
  const measured = await write(
    store,
    senders,
    ({ checkSeconds, storeSeconds }) => checkSeconds + storeSeconds >= Number(values.seconds),
  );
  const main = processUsage(process.pid).mainThreadSeconds - before.main;
  const after = await cluster?.usage();
  const micros = (seconds: number) => Math.round((seconds / measured.calls) * 1e7) / 10;
  const grown = (key: keyof ClusterUsage) => (after === undefined ? 0 : after[key] - before.cluster![key]);
  const result = {
    store: values.store,
    calls: measured.calls,
    load_average: loadavg()[0],
    us_a_call: {
      check: micros(measured.checkSeconds),
      store: micros(measured.storeSeconds),
      main_thread_with_making_frames: micros(main),
      primary: micros(grown('primarySeconds')),
      standbys: micros(grown('standbySeconds')),
    },
    wal_bytes_a_call: Math.round(grown('walBytes') / measured.calls),
    transaction_ms: Math.round(measured.transactionMs),
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  if (!values.statements || cluster === null) return;
  for (const { calls, total_ms: ms, rows, wal_bytes: wal, query } of (await cluster.statements()).slice(
    0,
    30,
  )) {
    const figures = [micros(ms / 1000), calls, rows, Math.round(wal / measured.calls)];
    process.stdout.write(`${figures.join('\t')}\t${query.replace(/\s+/g, ' ').slice(0, 100)}\n`);
  }
}

await inNewDirectory(async (dir) => {
  const cluster =
    values.store === 'postgres'
      ? await DatabaseCluster.start(Number(values.standbys), values.statements)
      : null;
  try {
    const store = cluster === null ? openStore(dir) : await PostgresStore.open(parseDatabaseUrl(cluster.url));
    try {
      await measure(store, cluster);
    } finally {
      await store.close();
    }
  } finally {
    await cluster?.close();
  }
});
