/** Stores what a transaction has changed in a working set. The order of tables is the same in every transaction. */
import { DAY_US } from '../../contract/window.ts';
import { storeCalls, storeIdentities, storeSums } from './added_rows_writer.ts';
import { type Column, deleteRows, hexOf, insertRows, replacing, transposed, unnested } from './bulk.ts';
import { storeFacts, touchCallers } from './callers_writer.ts';
import type { Session } from './database_pool.ts';
import type { KnownHost } from './known_hosts.ts';
import { DuplicateError, RetryError } from './retries.ts';
import type { WorkingSet } from './working_set.ts';
import { COVERAGE_DAYS, HOST_TABLES, type WorkingTable } from './working_tables.ts';

const HOST: Column = ['host', 'bigint'];
const IDENTITY: Column = ['identity', 'bigint'];

export interface ChangesOptions {
  /** Tells the rows of this writer apart from those of others, where many writers add to the same sums. */
  slot: number;
  /** The collector's clock, in microseconds since 1970. */
  nowUs: number;
  /** Notes the arrival of calls. */
  notesArrivals: boolean;
  /** Hosts of which something was stored. */
  hosts: readonly KnownHost[];
  /** Numbers in the set of processes that were inserted in this transaction, with their times. */
  newCallers: ReadonlySet<number>;
  /** New positions of streams, and the numbers of their hosts. */
  streams: readonly { stream: string; host: number; lastSeq: number }[];
}

/**
 * Processes must have their stored numbers (`insertCallers`), as all rows of dictionaries. All statements are sent at once:
 * to wait for each answer would take longer than most of them do.
 */
export async function storeChanges(
  session: Session,
  set: WorkingSet,
  { slot, nowUs, notesArrivals, hosts, newCallers, streams }: ChangesOptions,
): Promise<void> {
  const sent: Promise<void>[] = [];
  sent.push(storeFacts(session, set));
  sent.push(storeCalls(session, set, slot, notesArrivals ? nowUs : null));
  sent.push(storeRecordIds(session, set, Math.floor(nowUs / DAY_US)));
  sent.push(touchCallers(session, set, newCallers));
  for (const table of [...HOST_TABLES, COVERAGE_DAYS]) sent.push(storeHostRows(session, set, table));
  sent.push(storeIdentities(session, set));
  sent.push(storeSums(session, set, slot));
  sent.push(storePaths(session, set, slot));
  sent.push(storeHops(session, set));
  sent.push(storeHosts(session, set, hosts));
  sent.push(storeStreams(session, set, streams));
  await Promise.all(sent);
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

async function storePaths(session: Session, set: WorkingSet, slot: number): Promise<void> {
  const columns: Column[] = [
    IDENTITY,
    ['listed', 'smallint'],
    ['path', 'text'],
    ['count', 'bigint'],
    ['last_us', 'bigint'],
    ['slot', 'smallint'],
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
async function storeHosts(session: Session, set: WorkingSet, hosts: readonly KnownHost[]): Promise<void> {
  if (hosts.length === 0) return;
  const known = new Map(hosts.map((host) => [host.row, host]));
  const rows = set.rows(
    'SELECT id, first_us, last_us, name, facts FROM hosts WHERE id IN (SELECT value FROM json_each(?))',
    JSON.stringify([...known.keys()]),
  );
  for (const [row, , , , json] of rows) known.get(row as number)!.newFacts = String(json);
  const id: Column = ['id', 'bigint'];
  const times: Column[] = [id, ['first_us', 'bigint'], ['last_us', 'bigint']];
  const facts: Column[] = [id, ['name', 'text'], ['facts', 'text']];
  const changed = rows.filter(([row, , , , json]) => known.get(row as number)!.facts !== json);
  const sent = [
    session.execute(
      `UPDATE hosts SET first_us = v.first_us, last_us = v.last_us, version = version + 1
       FROM ${unnested(times)} WHERE hosts.id = v.id`,
      transposed(times, rows),
    ),
  ];
  if (changed.length > 0) {
    sent.push(
      session.execute(
        `UPDATE hosts SET name = v.name, facts = v.facts FROM ${unnested(facts)} WHERE hosts.id = v.id`,
        transposed(
          facts,
          changed.map(([row, , , name, json]) => [row!, name!, json!]),
        ),
      ),
    );
  }
  await Promise.all(sent);
}

/** Sets the positions of streams, each of which must be at the one that is known. */
async function storeStreams(
  session: Session,
  set: WorkingSet,
  streams: ChangesOptions['streams'],
): Promise<void> {
  const columns: Column[] = [['stream', 'text'], HOST, ['last_seq', 'bigint'], ['before', 'bigint']];
  const rows = streams.map(({ stream, host, lastSeq }) => [
    stream,
    host,
    lastSeq,
    set.hosts.position(stream),
  ]);
  const added = rows.filter((row) => row[3] === 0);
  const continued = rows.filter((row) => row[3] !== 0);
  const stored = await Promise.all([
    insertRows(session, 'streams', columns.slice(0, 3), ['stream'], added, '(stream) DO NOTHING'),
    continued.length === 0
      ? 0
      : session.execute(
          `UPDATE streams s SET last_seq = v.last_seq FROM ${unnested(columns)}
           WHERE s.stream = v.stream AND s.last_seq = v.before`,
          transposed(columns, continued),
        ),
  ]);
  if (stored[0] + stored[1] < rows.length) throw new RetryError('A stream was continued by another writer.');
}
