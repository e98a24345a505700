/** Stores what a transaction has changed in a working set. The order of tables is the same in every transaction. */
import { DAY_US } from '../../contract/window.ts';
import { CALLER_TIME_US } from '../sqlite/callers.ts';
import { BUCKET_US, type Cell, type CountedSums } from '../sqlite/counted_rows.ts';
import {
  adding,
  type Column,
  deleteRows,
  insertRows,
  replacing,
  transposed,
  unnested,
  type Value,
} from './bulk.ts';
import type { Session } from './database_pool.ts';
import type { WorkingSet } from './working_set.ts';
import {
  CALLERS,
  COVERAGE_DAYS,
  FUTURE_CALLS,
  HOST_TABLES,
  HOSTS,
  IDENTITY_HOSTS,
  STREAMS,
  type WorkingTable,
} from './working_tables.ts';

/** Another transaction changed what this one relied on. It may succeed when it is tried again. */
export class RetryError extends Error {}
/** A record is stored already. The batches have to be counted again without it. */
export class DuplicateError extends Error {}

const CALLS: readonly Column[] = [
  ['time_us', 'bigint'],
  ['id', 'uuid'],
  ['host', 'bigint'],
  ['identity', 'bigint'],
  ['caller', 'bigint'],
  ['kind', 'bigint'],
  ['shape', 'bigint'],
  ['user_agent', 'bigint'],
  ['path', 'text'],
  ['query', 'text'],
  ['duration_ms', 'double precision'],
  ['source_address', 'text'],
  ['source_port', 'integer'],
];
const SUMS: readonly Column[] = [
  ['count', 'bigint'],
  ['first_us', 'bigint'],
  ['last_us', 'bigint'],
];
const HOST: Column = ['host', 'bigint'];
const CLASS: Column = ['class', 'smallint'];
const HOUR: Column = ['hour', 'integer'];
const DAY: Column = ['day', 'integer'];
const IDENTITY: Column = ['identity', 'bigint'];
const KIND: Column = ['kind', 'bigint'];
const SLOT: Column = ['slot', 'smallint'];

export interface ChangesOptions {
  /** Tells the rows of this writer apart from those of others, where many writers add to the same sums. */
  slot: number;
  /** The collector's clock, in microseconds since 1970. */
  nowUs: number;
  /** Numbers of the hosts of which something was stored. */
  hosts: readonly number[];
  /** Numbers in the set of processes that were inserted in this transaction, with their times. */
  newCallers: ReadonlySet<number>;
  /** Positions of the streams before this transaction; those that are missing are new. */
  positions: ReadonlyMap<string, number>;
}

/**
 * Processes must have their stored numbers (`storeCallers`), as all rows of dictionaries. All statements are sent at once:
 * to wait for each answer would take longer than most of them do.
 */
export async function storeChanges(
  session: Session,
  set: WorkingSet,
  { slot, nowUs, hosts, newCallers, positions }: ChangesOptions,
): Promise<void> {
  const sent: Promise<void>[] = [];
  sent.push(storeCalls(session, set, slot));
  sent.push(storeRecordIds(session, set, Math.floor(nowUs / DAY_US)));
  sent.push(touchCallers(session, set, newCallers));
  for (const table of [...HOST_TABLES, COVERAGE_DAYS]) sent.push(storeHostRows(session, set, table));
  sent.push(storeIdentities(session, set));
  sent.push(storeSums(session, set, slot));
  sent.push(storePaths(session, set, slot));
  sent.push(storeHops(session, set));
  sent.push(storeHosts(session, set, hosts));
  sent.push(storeStreams(session, set, positions));
  await Promise.all(sent);
}

/** Inserts new processes. Throws nothing where one is stored: `loadCallers` looks for these before. */
export async function storeCallers(session: Session, set: WorkingSet, added: Value[][]): Promise<void> {
  const { others } = CALLERS;
  const rows = set.toStored(
    'callers',
    [['id', 'bigint'], ...others],
    added.map((row) => [...row]),
  );
  const names = others.map(([name]) => name).join(', ');
  const stored = await session.query<{ id: number; hash: Buffer }>(
    `INSERT INTO callers (${names}) SELECT ${names} FROM ${unnested(others)} ORDER BY hash
     ON CONFLICT (hash) DO NOTHING RETURNING id, hash`,
    transposed(
      others,
      rows.map((row) => row.slice(1)),
    ),
  );
  if (stored.length < added.length) throw new RetryError('A process was stored by another writer.');
  const localOf = new Map(added.map((row) => [(row[1] as Buffer).toString('hex'), row[0] as number]));
  for (const { id, hash } of stored) set.ids('callers').set(localOf.get(hash.toString('hex'))!, id);
  const columns: Column[] = [
    ['caller', 'bigint'],
    ['facts', 'text'],
  ];
  const facts = set.toStored('caller_facts', columns, set.rows('SELECT caller, facts FROM caller_facts'));
  await insertRows(session, 'caller_facts', columns, ['caller'], facts, '(caller) DO NOTHING');
}

async function touchCallers(
  session: Session,
  set: WorkingSet,
  newCallers: ReadonlySet<number>,
): Promise<void> {
  const ids = set.ids('callers');
  const at = CALLERS.others.findIndex(([name]) => name === 'last_us') + 1;
  const rows = set.changes(CALLERS).rows.filter((row) => !newCallers.has(row[0] as number));
  const columns: Column[] = [
    ['id', 'bigint'],
    ['last_us', 'bigint'],
  ];
  const touched = rows.map((row) => [ids.storedOf(row[0] as number), row[at]!]);
  if (touched.length === 0) return;
  await session.execute(
    `UPDATE callers SET last_us = v.last_us FROM ${unnested(columns)}
     WHERE callers.id = v.id AND callers.last_us / ${CALLER_TIME_US} < v.last_us / ${CALLER_TIME_US}`,
    transposed(columns, touched),
  );
}

async function storeCalls(session: Session, set: WorkingSet, slot: number): Promise<void> {
  const future = set.changes(FUTURE_CALLS).rows.map((row) => [hexOf(row[0]!), row[1]!]);
  const columns = [...FUTURE_CALLS.keys, ...FUTURE_CALLS.others];
  const insertFuture = insertRows(session, 'future_calls', columns, ['id'], future, '(id) DO NOTHING');
  const days = new Map<number, number>();
  for (const [timeUs] of set.added.calls) {
    const day = Math.floor(timeUs / DAY_US);
    days.set(day, (days.get(day) ?? 0) + 1);
  }
  const rows = set.toStored('calls', CALLS, set.added.calls);
  const insertCalls = insertRows(session, 'calls', CALLS, ['host', 'time_us', 'id'], rows, 'DO NOTHING');
  const count = insertRows(
    session,
    'call_counts',
    [DAY, SLOT, ['calls', 'bigint']],
    ['day'],
    [...days].map(([day, count]) => [day, slot, count]),
    '(day, slot) DO UPDATE SET calls = call_counts.calls + excluded.calls',
  );
  const [added, stored] = await Promise.all([insertFuture, insertCalls, count]);
  if (added < future.length)
    throw new DuplicateError('A call that is dated by its receipt is stored already.');
  if (stored < rows.length) throw new DuplicateError('A call is stored already.');
}

async function storeRecordIds(session: Session, set: WorkingSet, day: number): Promise<void> {
  const rows = set.rows(
    `SELECT host, rollup_id FROM rollups WHERE host <> 0 UNION ALL SELECT host, id FROM coverage WHERE host <> 0`,
  );
  if (rows.length === 0) return;
  const columns: Column[] = [HOST, ['id', 'uuid']];
  const stored = await session.execute(
    `INSERT INTO record_ids (day, host, id) SELECT $3, v.host, v.id FROM ${unnested(columns)}
     WHERE NOT EXISTS (SELECT 1 FROM record_ids r WHERE r.host = v.host AND r.id = v.id) ON CONFLICT DO NOTHING`,
    [
      ...transposed(
        columns,
        rows.map(([host, id]) => [host!, hexOf(id!)]),
      ),
      day,
    ],
  );
  if (stored < rows.length) throw new DuplicateError('A roll-up or a coverage report is stored already.');
}

async function storeHostRows(session: Session, set: WorkingSet, table: WorkingTable): Promise<void> {
  const { name, keys, others } = table;
  const { rows, deleted } = set.changes(table);
  const columns = [...keys, ...others];
  const names = keys.map(([key]) => key);
  await Promise.all([
    deleteRows(session, name, keys, set.toStored(name, keys, deleted)),
    insertRows(session, name, columns, names, set.toStored(name, columns, rows), replacing(columns, names)),
  ]);
}

async function storeSums(session: Session, set: WorkingSet, slot: number): Promise<void> {
  await Promise.all([
    addSums(session, set, 'hourly', [HOST, CLASS, HOUR, IDENTITY, KIND], sumRows(set, 'hourly')),
    addSums(session, set, 'daily', [HOST, CLASS, DAY, IDENTITY, KIND], sumRows(set, 'daily')),
    addSums(
      session,
      set,
      'fleet_hourly',
      [SLOT, CLASS, HOUR, IDENTITY, KIND],
      sumRows(set, 'fleetHourly', slot),
    ),
    addSums(
      session,
      set,
      'fleet_daily',
      [SLOT, CLASS, DAY, IDENTITY, KIND],
      sumRows(set, 'fleetDaily', slot),
    ),
  ]);
}

/** Returns the sums that the transaction adds. `slot` takes the place of the host in sums over all hosts. */
function sumRows(set: WorkingSet, table: keyof CountedSums, slot?: number): Value[][] {
  const bucketUs = BUCKET_US[table];
  return set.added.sums[table].map((cell: Cell) => {
    const startUs = cell.bucket * bucketUs;
    return [
      ...[slot ?? cell.host, cell.class, cell.bucket, cell.identity, cell.kind],
      ...[cell.count, cell.firstUs - startUs, cell.lastUs - startUs],
    ];
  });
}

/** Adds the times of workloads on hosts. */
async function storeIdentities(session: Session, set: WorkingSet): Promise<void> {
  const { name, keys, others } = IDENTITY_HOSTS;
  const columns = [...keys, ...others];
  const rows = set.added.onHosts.map(({ host, identity, firstUs, lastUs, lastV1Us }) => [
    host,
    identity,
    firstUs,
    lastUs,
    lastV1Us,
  ]);
  await insertRows(
    session,
    name,
    columns,
    ['host', 'identity'],
    set.toStored(name, columns, rows),
    `(host, identity) DO UPDATE SET first_us = least(identity_hosts.first_us, excluded.first_us),
       last_us = greatest(identity_hosts.last_us, excluded.last_us),
       last_v1_us = greatest(identity_hosts.last_v1_us, excluded.last_v1_us)`,
  );
}

async function addSums(
  session: Session,
  set: WorkingSet,
  table: string,
  keys: readonly Column[],
  rows: Value[][],
): Promise<void> {
  const columns = [...keys, ...SUMS];
  const names = keys.map(([name]) => name);
  await insertRows(session, table, columns, names, set.toStored(table, columns, rows), adding(table, names));
}

async function storePaths(session: Session, set: WorkingSet, slot: number): Promise<void> {
  const columns: Column[] = [
    IDENTITY,
    ['listed', 'smallint'],
    ['path', 'text'],
    ['count', 'bigint'],
    ['last_us', 'bigint'],
    SLOT,
  ];
  const rows = set.rows('SELECT identity, listed, path, count, last_us FROM paths_v1 WHERE count > 0');
  await insertRows(
    session,
    'paths_v1',
    columns,
    ['identity', 'listed', 'path'],
    set.toStored(
      'paths_v1',
      columns,
      rows.map((row) => [...row, slot]),
    ),
    `(identity, listed, path, slot) DO UPDATE SET count = paths_v1.count + excluded.count,
       last_us = greatest(paths_v1.last_us, excluded.last_us)`,
  );
}

async function storeHops(session: Session, set: WorkingSet): Promise<void> {
  const columns: Column[] = [
    HOST,
    IDENTITY,
    ['hops', 'integer'],
    ['token_hop_limit', 'integer'],
    ['last_us', 'bigint'],
  ];
  const rows = set.rows('SELECT host, identity, hops, token_hop_limit, last_us FROM measured_hops');
  await insertRows(
    session,
    'measured_hops',
    columns,
    ['host', 'identity', 'hops'],
    set.toStored('measured_hops', columns, rows),
    `(host, identity, hops) DO UPDATE SET
       token_hop_limit = CASE WHEN excluded.last_us >= measured_hops.last_us
         THEN coalesce(excluded.token_hop_limit, measured_hops.token_hop_limit) ELSE measured_hops.token_hop_limit END,
       last_us = greatest(measured_hops.last_us, excluded.last_us)`,
  );
}

/** Gives the hosts their new facts, times and version. */
async function storeHosts(session: Session, set: WorkingSet, hosts: readonly number[]): Promise<void> {
  if (hosts.length === 0) return;
  const columns = [...HOSTS.keys, ...HOSTS.others];
  const rows = set.rows(
    `SELECT ${columns.map(([name]) => name).join(', ')} FROM hosts WHERE id IN (${hosts.join(', ')})`,
  );
  const others = HOSTS.others.map(([name]) => `${name} = v.${name}`).join(', ');
  await session.execute(
    `UPDATE hosts SET ${others}, version = version + 1 FROM ${unnested(columns)} WHERE hosts.id = v.id`,
    transposed(columns, rows),
  );
}

async function storeStreams(
  session: Session,
  set: WorkingSet,
  positions: ReadonlyMap<string, number>,
): Promise<void> {
  const columns: Column[] = [...STREAMS.keys, ...STREAMS.others];
  const rows = set.changes(STREAMS).rows;
  const before = rows.map((row) => positions.get(row[0] as string) ?? 0);
  const stored = await session.execute(
    `INSERT INTO streams AS s (stream, host, last_seq)
     SELECT v.stream, v.host, v.last_seq FROM ${unnested(columns)} ORDER BY v.stream
     ON CONFLICT (stream) DO UPDATE SET last_seq = excluded.last_seq
       WHERE s.last_seq = ($4::bigint[])[array_position($1::text[], excluded.stream)]`,
    [...transposed(columns, rows), before],
  );
  if (stored < rows.length) throw new RetryError('A stream was continued by another writer.');
}

function hexOf(bytes: Value): string {
  return (bytes as Buffer).toString('hex');
}
