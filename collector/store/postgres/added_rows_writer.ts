/** Stores the calls of a transaction, and what they add to the sums. */
import { DAY_US } from '../../contract/window.ts';
import { BUCKET_US, type Cell, type CountedSums, type IdentityOnHost } from '../sqlite/counted_rows.ts';
import { storeArrivals } from './arrival_notes.ts';
import { type Column, changeRows, hexOf, insertRows, type Value } from './bulk.ts';
import type { Session } from './database_pool.ts';
import { DuplicateError } from './retries.ts';
import type { WorkingSet } from './working_set.ts';
import { FUTURE_CALLS, IDENTITY_HOSTS } from './working_tables.ts';

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

/**
 * A call that is stored already is a violation of a unique key (`isDuplicate`). `arrivedUs`: the time of the notes of arrivals;
 * null for no notes.
 */
export async function storeCalls(
  session: Session,
  set: WorkingSet,
  slot: number,
  arrivedUs: number | null,
): Promise<void> {
  const future = set.changes(FUTURE_CALLS).rows.map((row) => [hexOf(row[0]!), row[1]!]);
  const columns = [...FUTURE_CALLS.keys, ...FUTURE_CALLS.others];
  const insertFuture = insertRows(session, 'future_calls', columns, ['id'], future, '(id) DO NOTHING');
  const days = new Map<number, number>();
  for (const [timeUs] of set.added.calls) {
    const day = Math.floor(timeUs / DAY_US);
    days.set(day, (days.get(day) ?? 0) + 1);
  }
  const rows = set.toStored('calls', CALLS, set.added.calls);
  const insertCalls = insertRows(session, 'calls', CALLS, ['host', 'time_us', 'id'], rows, null);
  const count = insertRows(
    session,
    'call_counts',
    [DAY, SLOT, ['calls', 'bigint']],
    ['day'],
    [...days].map(([day, count]) => [day, slot, count]),
    '(day, slot) DO UPDATE SET calls = call_counts.calls + excluded.calls',
  );
  const arrivals =
    arrivedUs === null
      ? null
      : storeArrivals(
          session,
          rows.map(([timeUs, id, host]) => ({
            host: host as number,
            timeUs: timeUs as number,
            id: id as string,
          })),
          arrivedUs,
        );
  const [added] = await Promise.all([insertFuture, insertCalls, count, arrivals]);
  if (added < future.length)
    throw new DuplicateError('A call that is dated by its receipt is stored already.');
}

export async function storeSums(session: Session, set: WorkingSet, slot: number): Promise<void> {
  const { sums, grownSums } = set.added;
  const hourly = [HOST, CLASS, HOUR, IDENTITY, KIND];
  const daily = [HOST, CLASS, DAY, IDENTITY, KIND];
  await Promise.all([
    addSums(session, set, 'hourly', hourly, sumRows(sums.hourly, 'hourly')),
    growSums(session, set, 'hourly', hourly, sumRows(grownSums.hourly, 'hourly')),
    addSums(session, set, 'daily', daily, sumRows(sums.daily, 'daily')),
    growSums(session, set, 'daily', daily, sumRows(grownSums.daily, 'daily')),
    addSums(
      session,
      set,
      'fleet_hourly',
      [SLOT, CLASS, HOUR, IDENTITY, KIND],
      sumRows(sums.fleetHourly, 'fleetHourly', slot),
    ),
    addSums(
      session,
      set,
      'fleet_daily',
      [SLOT, CLASS, DAY, IDENTITY, KIND],
      sumRows(sums.fleetDaily, 'fleetDaily', slot),
    ),
  ]);
}

/** Returns the rows of sums. `slot` takes the place of the host in sums over all hosts. */
function sumRows(cells: readonly Cell[], table: keyof CountedSums, slot?: number): Value[][] {
  const bucketUs = BUCKET_US[table];
  return cells.map((cell) => {
    const startUs = cell.bucket * bucketUs;
    return [
      ...[slot ?? cell.host, cell.class, cell.bucket, cell.identity, cell.kind],
      ...[cell.count, cell.firstUs - startUs, cell.lastUs - startUs],
    ];
  });
}

/** Adds the times of workloads on hosts. */
export async function storeIdentities(session: Session, set: WorkingSet): Promise<void> {
  const { name, keys, others } = IDENTITY_HOSTS;
  const columns = [...keys, ...others];
  const rowsOf = (onHosts: readonly IdentityOnHost[]) =>
    set.toStored(
      name,
      columns,
      onHosts.map(({ host, identity, firstUs, lastUs, lastV1Us }) => [
        host,
        identity,
        firstUs,
        lastUs,
        lastV1Us,
      ]),
    );
  const names = keys.map(([key]) => key);
  const { onHosts, grownOnHosts } = set.added;
  await Promise.all([
    insertRows(
      session,
      name,
      columns,
      names,
      rowsOf(onHosts),
      `(${names.join(', ')}) DO UPDATE SET ${laterTimes('excluded')}`,
    ),
    changeRows(session, name, columns, names, rowsOf(grownOnHosts), laterTimes('v')),
  ]);
}

/** Returns the changes of a workload's times on a host by those of another row. */
function laterTimes(by: string): string {
  return `first_us = least(identity_hosts.first_us, ${by}.first_us),
    last_us = greatest(identity_hosts.last_us, ${by}.last_us),
    last_v1_us = greatest(identity_hosts.last_v1_us, ${by}.last_v1_us)`;
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
  const onConflict = `(${names.join(', ')}) DO UPDATE SET ${addition(table, 'excluded')}`;
  await insertRows(session, table, columns, names, set.toStored(table, columns, rows), onConflict);
}

/** Adds to rows that are known to be there. */
async function growSums(
  session: Session,
  set: WorkingSet,
  table: string,
  keys: readonly Column[],
  rows: Value[][],
): Promise<void> {
  const columns = [...keys, ...SUMS];
  const names = keys.map(([name]) => name);
  await changeRows(session, table, columns, names, set.toStored(table, columns, rows), addition(table, 'v'));
}

/** Returns the changes that add counts, and keep the earliest and the latest time. */
function addition(table: string, by: string): string {
  return `count = ${table}.count + ${by}.count, first_us = least(${table}.first_us, ${by}.first_us),
    last_us = greatest(${table}.last_us, ${by}.last_us)`;
}
