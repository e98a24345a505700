/** Reads stored rows into a working set. A transaction that relies on them checks the versions of their hosts. */
import { DAY_US } from '../../contract/window.ts';
import type { PackedBatches } from '../sqlite/packed_batch.ts';
import type { StoredBatch } from '../store.ts';
import { toMicroseconds } from '../time.ts';
import type { Value } from './bulk.ts';
import type { Session } from './database_pool.ts';
import type { FoundRows } from './dictionary_writer.ts';
import type { HostRow } from './known_hosts.ts';
import type { WorkingSet } from './working_set.ts';
import {
  CALLERS,
  COVERAGE_DAYS,
  DICTIONARIES,
  HOST_TABLES,
  IDENTITY_HOSTS,
  type WorkingTable,
} from './working_tables.ts';

const tableOf = (name: string) => DICTIONARIES.find((table) => table.name === name)!;
const IDENTITIES = tableOf('identities');
const PROFILES = tableOf('profiles');
const KINDS = tableOf('kinds');
const USER_AGENTS = tableOf('user_agents');

/** Loads the dictionaries that are bounded: without them the first transactions would all be written twice. */
export async function loadDictionaries(session: Session, set: WorkingSet): Promise<void> {
  // Other writers add rows meanwhile: the user agents are read after the kinds that refer to them.
  const kinds = await select(session, KINDS, '', []);
  const at = [...KINDS.keys, ...KINDS.others].findIndex(([column]) => column === 'user_agent');
  const userAgents = [...new Set(kinds.flatMap((row) => row[at] ?? []))];
  loadNumbered(set, USER_AGENTS, await select(session, USER_AGENTS, 'WHERE id = ANY ($1)', [userAgents]));
  loadNumbered(set, KINDS, kinds);
}

/** Lists of the things that a working set lacks to write some batches. */
export interface Lacking {
  hostIds: string[];
  streams: { hostId: string; stream: string }[];
  callers: Buffer[];
  days: { hostId: string; day: number }[];
}

export function lackingOf(set: WorkingSet, batches: readonly StoredBatch[], packed: PackedBatches): Lacking {
  const hostIds = new Set<string>();
  const streams = new Map<string, string>();
  const days = new Map<string, { hostId: string; day: number }>();
  for (const { host, stream, records } of batches) {
    const known = set.hosts.get(host.id);
    if (known === undefined) hostIds.add(host.id);
    if (known?.streams.has(stream) !== true) streams.set(stream, host.id);
    for (const record of records) {
      if (record.kind !== 'coverage') continue;
      const day = Math.floor(toMicroseconds(record.coverage.end) / DAY_US);
      if (known?.days.has(day) !== true) days.set(`${day} ${host.id}`, { hostId: host.id, day });
    }
  }
  return {
    hostIds: [...hostIds],
    streams: [...streams].map(([stream, hostId]) => ({ hostId, stream })),
    callers: set.unknownCallers(packed),
    days: [...days.values()],
  };
}

/** Tells whether rows are needed that change: they must be read in one state of the database. */
export function isAboutHosts({ hostIds, streams, days }: Lacking): boolean {
  return hostIds.length + streams.length + days.length > 0;
}

/** Loads what a set lacks, in one state of the database. Hosts that are not stored are added by the caller. */
export async function loadLacking(session: Session, set: WorkingSet, lacking: Lacking): Promise<void> {
  const { hostIds, streams, callers, days } = lacking;
  if (hostIds.length > 0) await loadHosts(session, set, hostIds);
  await loadStreams(session, set, streams);
  await loadCallers(session, set, callers);
  await loadCoverageDays(session, set, days);
}

/** Loads hosts with all of their rows, and the workloads and profiles that these refer to. */
async function loadHosts(session: Session, set: WorkingSet, hostIds: readonly string[]): Promise<void> {
  const hosts = await session.query<HostRow & Record<string, unknown>>(
    'SELECT id, host_id, name, facts, first_us, last_us, version FROM hosts WHERE host_id = ANY ($1)',
    [hostIds],
  );
  if (hosts.length === 0) return;
  const numbers = hosts.map(({ id }) => id);
  const tables = [...HOST_TABLES, IDENTITY_HOSTS];
  const found = await Promise.all(
    tables.map(async (table) => ({
      table,
      rows: await select(session, table, 'WHERE host = ANY ($1)', [numbers]),
    })),
  );
  const referred = (name: string) => {
    const rows = found.find(({ table }) => table.name === name)!.rows;
    return [...new Set(rows.map((row) => row[1] as number))];
  };
  await loadIdentities(session, set, referred('identity_hosts'));
  const profiles = referred('host_profiles').filter((id) => set.ids('profiles').localOf(id) === undefined);
  if (profiles.length > 0) {
    loadNumbered(set, PROFILES, await select(session, PROFILES, 'WHERE id = ANY ($1)', [profiles]));
  }
  for (const { table, rows } of found) set.load(table, rows);
  for (const host of hosts) set.loadHost(host);
}

/** Loads the positions of streams, also of hosts that are not stored. */
async function loadStreams(session: Session, set: WorkingSet, streams: Lacking['streams']): Promise<void> {
  if (streams.length === 0) return;
  const rows = await session.query<{ stream: string; host: number; last_seq: number }>(
    'SELECT stream, host, last_seq FROM streams WHERE stream = ANY ($1)',
    [streams.map(({ stream }) => stream)],
  );
  const stored = new Map(rows.map((row) => [row.stream, row]));
  for (const { hostId, stream } of streams) {
    const row = stored.get(stream);
    set.loadStream(hostId, stream, row?.host ?? null, row?.last_seq ?? 0);
  }
}

/** Loads workloads by their stored numbers, with the paths that they are known to request. */
export async function loadIdentities(
  session: Session,
  set: WorkingSet,
  stored: readonly number[],
): Promise<void> {
  const missing = stored.filter((id) => set.ids('identities').localOf(id) === undefined);
  if (missing.length === 0) return;
  loadNumbered(set, IDENTITIES, await select(session, IDENTITIES, 'WHERE id = ANY ($1)', [missing]));
  await loadPaths(session, set, missing);
}

/** Loads rows that another writer has stored. */
export async function loadFound(
  session: Session,
  set: WorkingSet,
  found: readonly FoundRows[],
): Promise<void> {
  for (const { table, rows } of found) {
    loadNumbered(set, table, rows);
    if (table.name === 'identities')
      await loadPaths(
        session,
        set,
        rows.map((row) => row[0] as number),
      );
  }
}

async function loadPaths(session: Session, set: WorkingSet, identities: readonly number[]): Promise<void> {
  const paths = await session.query<{ identity: number; path: string }>(
    'SELECT DISTINCT identity, path FROM paths_v1 WHERE identity = ANY ($1) AND listed = 1',
    [identities],
  );
  for (const { identity, path } of paths) set.loadPath(identity, path);
}

/** Loads processes that are stored, by their hashes. */
export async function loadCallers(
  session: Session,
  set: WorkingSet,
  hashes: readonly Value[],
): Promise<void> {
  if (hashes.length === 0) return;
  const rows = await select(session, CALLERS, 'WHERE hash = ANY ($1)', [hashes]);
  await loadIdentities(
    session,
    set,
    rows.map((row) => row[2] as number),
  );
  set.loadNumbered(CALLERS, rows);
}

/** Loads days of coverage. */
async function loadCoverageDays(session: Session, set: WorkingSet, days: Lacking['days']): Promise<void> {
  const wanted = days.flatMap(({ hostId, day }) => {
    const host = set.hosts.get(hostId);
    return host === undefined ? [] : [{ host, day }];
  });
  if (wanted.length === 0) return;
  const among = 'WHERE (host, day) IN (SELECT * FROM unnest($1::bigint[], $2::integer[]))';
  const values = [wanted.map(({ host }) => host.row), wanted.map(({ day }) => day)];
  set.load(COVERAGE_DAYS, await select(session, COVERAGE_DAYS, among, values));
  for (const { host, day } of wanted) host.days.add(day);
}

/** Loads the records of batches that are stored already, so that they are not counted again. */
export async function loadStoredRecords(
  session: Session,
  set: WorkingSet,
  batches: readonly StoredBatch[],
): Promise<void> {
  const calls = { hosts: [] as number[], ids: [] as string[], timesUs: [] as number[] };
  const others = { hosts: [] as number[], ids: [] as string[] };
  for (const { host, records } of batches) {
    const row = set.hosts.get(host.id)?.row;
    if (row === undefined) continue;
    for (const record of records) {
      if (record.kind === 'call') {
        calls.hosts.push(row);
        calls.ids.push(record.call.id);
        calls.timesUs.push(toMicroseconds(record.call.time));
      } else {
        others.hosts.push(row);
        others.ids.push(record.kind === 'rollup' ? record.rollup.id : record.coverage.id);
      }
    }
  }
  const future = await session.query<{ id: string; stored_us: number }>(
    'SELECT id, stored_us FROM future_calls WHERE id = ANY ($1::uuid[])',
    [calls.ids],
  );
  const stored = await session.query<{ id: string; time_us: number }>(
    `SELECT c.id, c.time_us FROM unnest($1::bigint[], $2::bigint[], $3::uuid[]) AS v (host, time_us, id)
     JOIN calls c ON c.host = v.host AND c.time_us = v.time_us AND c.id = v.id`,
    [calls.hosts, calls.timesUs, calls.ids],
  );
  for (const { id, time_us: timeUs } of stored) set.loadCall(timeUs, bytesOf(id));
  for (const { id, stored_us: storedUs } of future) {
    set.loadFutureCall(storedUs, bytesOf(id));
    set.loadCall(storedUs, bytesOf(id));
  }
  const ids = await session.query<{ id: string }>(
    `SELECT r.id FROM unnest($1::bigint[], $2::uuid[]) AS v (host, id)
     JOIN record_ids r ON r.host = v.host AND r.id = v.id`,
    [others.hosts, others.ids],
  );
  for (const { id } of ids) set.loadRecordId(bytesOf(id));
}

function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

function loadNumbered(set: WorkingSet, table: (typeof DICTIONARIES)[number], rows: Value[][]): void {
  set.loadNumbered(table, rows);
  const at = table.others.findIndex(([column]) => column === 'last_us') + 1;
  if (at === 0) return;
  for (const row of rows) set.noteStoredTime(table.name, row[0] as number, row[at] as number);
}

/** Returns rows with the columns of a table in order. */
async function select(
  session: Session,
  { name, keys, others }: WorkingTable,
  among: string,
  values: unknown[],
): Promise<Value[][]> {
  const columns = [...keys, ...others].map(([column]) => column);
  return session.arrays<Value[]>(`SELECT ${columns.join(', ')} FROM ${name} ${among}`, values);
}
