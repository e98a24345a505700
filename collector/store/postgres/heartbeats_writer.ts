/**
 * Stores when hosts were heard, and what their agents said. A host has one row in each of two tables: that of the time is
 * small, and is changed in place (https://www.postgresql.org/docs/15/storage-hot.html), so it has no other index than its key.
 *
 * Both tables are logged: standbys answer questions, and after a failover no host may look silent. But a commit waits neither
 * for the disk nor for a standby. What is lost with the primary, a second at most, comes again with the next heartbeats.
 */
import type { HostFacts } from '../../../protocol/call.ts';
import { MAX_AHEAD_US } from '../packed_heartbeat.ts';
import type { HeardHost } from '../store.ts';
import { type Column, insertRows, transposed, unnested, type Value } from './bulk.ts';
import { lockBriefs, refreshBriefs } from './cloud_briefs.ts';
import type { Session } from './database_pool.ts';

const HOST_ID: Column = ['host_id', 'text'];
const HEARD: readonly Column[] = [HOST_ID, ['heard_us', 'bigint']];
const SAID: readonly Column[] = [
  HOST_ID,
  ['time_us', 'bigint'],
  ['body', 'bytea'],
  ['received_us', 'bigint'],
];
/** A host of which there is nothing else begins with a heartbeat. */
const HOSTS: readonly Column[] = [
  HOST_ID,
  ['name', 'text'],
  ['facts', 'text'],
  ['first_us', 'bigint'],
  ['last_us', 'bigint'],
];

const STORE_HEARD = storing(
  'last_heard',
  HEARD,
  'heard_us = excluded.heard_us',
  'excluded.heard_us > last_heard.heard_us OR last_heard.heard_us',
);
const STORE_SAID = storing(
  'heartbeats',
  SAID,
  'time_us = excluded.time_us, body = excluded.body, received_us = excluded.received_us',
  'excluded.received_us >= heartbeats.received_us OR heartbeats.received_us',
);

/** Rows are locked in the order of their key, as by all collectors. `replaces` ends before the latest time of a right clock. */
function storing(table: string, columns: readonly Column[], changes: string, replaces: string): string {
  const names = columns.map(([name]) => name).join(', ');
  return `INSERT INTO ${table} (${names}) SELECT ${names} FROM ${unnested(columns)} ORDER BY host_id COLLATE "C"
    ON CONFLICT (host_id) DO UPDATE SET ${changes} WHERE ${replaces} > $${columns.length + 1}::bigint`;
}

/** `nowUs`: the collector's clock. */
export async function storeHeartbeats(
  session: Session,
  heard: readonly HeardHost[],
  nowUs: number,
): Promise<void> {
  const aheadUs = Math.round(nowUs + MAX_AHEAD_US);
  const times = heard.map(({ hostId, heardUs }) => [hostId, heardUs]);
  const bodies = heard.flatMap(({ hostId, said }): Value[][] =>
    said === null ? [] : [[hostId, said.timeUs, Buffer.from(said.body), said.receivedUs]],
  );
  await session.execute('SET LOCAL synchronous_commit = off');
  await session.execute(STORE_HEARD, [...transposed(HEARD, times), aheadUs]);
  if (bodies.length > 0) await session.execute(STORE_SAID, [...transposed(SAID, bodies), aheadUs]);
  await addHosts(session, heard);
}

async function addHosts(session: Session, heard: readonly HeardHost[]): Promise<void> {
  const first = heard.filter(({ firstUs }) => firstUs !== null);
  if (first.length === 0) return;
  const reported = await session.query<{ host_id: string }>(
    'SELECT host_id FROM hosts WHERE host_id = ANY ($1) AND first_us IS NOT NULL',
    [first.map(({ hostId }) => hostId)],
  );
  const known = new Set(reported.map(({ host_id: hostId }) => hostId));
  const added = first.filter(({ hostId }) => !known.has(hostId));
  if (added.length === 0) return;
  // A host whose batches had nothing new is there without times. The facts of a host come with its first batch.
  await insertRows(
    session,
    'hosts',
    HOSTS,
    ['host_id COLLATE "C"'],
    added.map(({ hostId: id, firstUs }) => [
      id,
      id,
      JSON.stringify({ id, name: id } satisfies HostFacts),
      firstUs,
      firstUs,
    ]),
    `(host_id) DO UPDATE SET first_us = excluded.first_us, last_us = excluded.last_us, version = hosts.version + 1
       WHERE hosts.first_us IS NULL`,
  );
  await lockBriefs(session, false);
  await refreshBriefs(
    session,
    added.map(({ hostId }) => hostId),
  );
}
