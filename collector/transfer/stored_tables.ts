/**
 * The tables of the findings as both stores have them. A row is the same values in both, also the numbers by which rows
 * refer to each other. How a store keeps them otherwise is in `sqlite_findings.ts` and `postgres_findings.ts`.
 *
 * Left out is what a store makes for itself: caches, slots of writers, hashes of dictionary rows, counts of raw calls.
 */
import type { Column } from '../store/postgres/bulk.ts';

/** A value of a row. Bytes and UUIDs are hexadecimal digits, and U+0000 is U+FFFD, as in PostgreSQL. */
export type Cell = string | number | null;
export type Row = Cell[];

export interface StoredTable {
  name: string;
  columns: readonly Column[];
  /** Columns that tell rows apart, in the order of the embedded store's index. */
  key: readonly string[];
  /** The same columns in the order of the index of PostgreSQL, where it is another one. */
  postgresKey?: readonly string[];
  /** True where the store gives numbers to new rows (`id`). */
  isNumbered?: true;
  /** The column of which PostgreSQL keeps the SHA-256, because it can be too long for an index. */
  hashed?: 'key' | 'facts';
  /** True where each writer of PostgreSQL has a row of its own (`slot`), and readers add these up. */
  hasSlots?: true;
  /** Column whose sum says most about the table. */
  summed?: string;
}

const [HOST, IDENTITY, KIND]: Column[] = [
  ['host', 'bigint'],
  ['identity', 'bigint'],
  ['kind', 'bigint'],
];
const ID: Column = ['id', 'bigint'];
const UUID: Column = ['id', 'uuid'];
const HOST_ID: Column = ['host_id', 'text'];
const KEY: Column = ['key', 'text'];
const FACTS: Column = ['facts', 'text'];
const CLASS: Column = ['class', 'smallint'];
const DAY: Column = ['day', 'integer'];
const HOUR: Column = ['hour', 'integer'];
const COUNT: Column = ['count', 'bigint'];
const FIRST_US: Column = ['first_us', 'bigint'];
const LAST_US: Column = ['last_us', 'bigint'];
const SUPPLIED_US: Column = ['supplied_us', 'bigint'];
const PROFILE: Column = ['profile', 'bigint'];
const SUMS = [COUNT, FIRST_US, LAST_US];

/** A table comes after those that its rows refer to. */
export const STORED_TABLES: readonly StoredTable[] = [
  {
    name: 'hosts',
    key: ['id'],
    isNumbered: true,
    columns: [ID, HOST_ID, ['name', 'text'], FACTS, FIRST_US, LAST_US],
  },
  {
    name: 'streams',
    key: ['stream'],
    columns: [['stream', 'text'], HOST!, ['last_seq', 'bigint']],
    summed: 'last_seq',
  },
  { name: 'identities', key: ['id'], isNumbered: true, columns: [ID, KEY, FACTS] },
  {
    name: 'user_agents',
    key: ['id'],
    isNumbered: true,
    hashed: 'key',
    columns: [ID, KEY, ['text', 'text'], LAST_US],
  },
  {
    name: 'kinds',
    key: ['id'],
    isNumbered: true,
    hashed: 'key',
    columns: [
      ID,
      KEY,
      CLASS,
      ['version', 'smallint'],
      ['endpoint', 'text'],
      ['category', 'text'],
      ['status', 'integer'],
      ['outcome', 'text'],
      ['fallback', 'text'],
      ['role', 'text'],
      ['user_agent', 'bigint'],
      LAST_US,
      ['answered_by', 'text'],
      ['caller_role', 'text'],
    ],
  },
  {
    name: 'shapes',
    key: ['id'],
    isNumbered: true,
    hashed: 'key',
    columns: [
      ID,
      KEY,
      ['kind', 'text'],
      ['server_version', 'integer'],
      ['method', 'text'],
      ['destination_address', 'text'],
      ['destination_port', 'integer'],
      LAST_US,
      ['hops', 'integer'],
      ['token_hop_limit', 'integer'],
      ['relay', 'text'],
    ],
  },
  { name: 'profiles', key: ['id'], isNumbered: true, hashed: 'facts', columns: [ID, FACTS, FIRST_US] },
  { name: 'host_profiles', key: ['host', 'profile'], columns: [HOST!, PROFILE, ['until_us', 'bigint']] },
  {
    name: 'callers',
    key: ['id'],
    isNumbered: true,
    columns: [ID, ['hash', 'bytea'], IDENTITY!, HOST!, LAST_US],
  },
  { name: 'caller_facts', key: ['caller'], columns: [['caller', 'bigint'], FACTS] },
  {
    name: 'calls',
    // Two hosts can send the same id.
    key: ['time_us', 'id', 'host'],
    columns: [
      ['time_us', 'bigint'],
      UUID,
      HOST!,
      IDENTITY!,
      ['caller', 'bigint'],
      KIND!,
      ['shape', 'bigint'],
      ['user_agent', 'bigint'],
      ['path', 'text'],
      ['query', 'text'],
      ['duration_ms', 'double precision'],
      ['source_address', 'text'],
      ['source_port', 'integer'],
    ],
  },
  {
    name: 'arrivals',
    key: ['last'],
    columns: [
      ['last', 'bigint'],
      ['calls', 'integer'],
      ['stored_us', 'bigint'],
      ['oldest_us', 'bigint'],
      ['newest_us', 'bigint'],
      ['keys', 'bytea'],
    ],
    summed: 'calls',
  },
  { name: 'future_calls', key: ['id'], columns: [UUID, ['stored_us', 'bigint']] },
  // The embedded store keeps roll-ups and coverage reports whole. Both stores look only at their ids.
  { name: 'record_ids', key: ['day', 'host', 'id'], columns: [DAY, HOST!, UUID] },
  {
    name: 'hourly',
    key: ['class', 'hour', 'identity', 'host', 'kind'],
    postgresKey: ['host', 'class', 'hour', 'identity', 'kind'],
    columns: [CLASS, HOUR, IDENTITY!, HOST!, KIND!, ...SUMS],
    summed: 'count',
  },
  {
    name: 'daily',
    key: ['class', 'day', 'identity', 'host', 'kind'],
    postgresKey: ['host', 'class', 'day', 'identity', 'kind'],
    columns: [CLASS, DAY, IDENTITY!, HOST!, KIND!, ...SUMS],
    summed: 'count',
  },
  {
    name: 'fleet_hourly',
    key: ['class', 'hour', 'identity', 'kind'],
    hasSlots: true,
    columns: [CLASS, HOUR, IDENTITY!, KIND!, ...SUMS],
    summed: 'count',
  },
  {
    name: 'fleet_daily',
    key: ['class', 'day', 'identity', 'kind'],
    hasSlots: true,
    columns: [CLASS, DAY, IDENTITY!, KIND!, ...SUMS],
    summed: 'count',
  },
  {
    name: 'identity_hosts',
    key: ['identity', 'host'],
    postgresKey: ['host', 'identity'],
    columns: [IDENTITY!, HOST!, FIRST_US, LAST_US, ['last_v1_us', 'bigint']],
  },
  {
    name: 'measured_hops',
    key: ['identity', 'host', 'hops'],
    postgresKey: ['host', 'identity', 'hops'],
    columns: [IDENTITY!, HOST!, ['hops', 'integer'], ['token_hop_limit', 'integer'], LAST_US],
  },
  {
    name: 'paths_v1',
    key: ['identity', 'listed', 'path'],
    hasSlots: true,
    columns: [IDENTITY!, ['listed', 'smallint'], ['path', 'text'], COUNT, LAST_US],
    summed: 'count',
  },
  { name: 'host_usage', key: ['host'], columns: [HOST!, DAY, ['used', 'text']] },
  { name: 'watched', key: ['host'], columns: [HOST!, FIRST_US, LAST_US, ['boot_id', 'text']] },
  { name: 'runs', key: ['host'], columns: [HOST!, ['state', 'text']] },
  {
    name: 'boots',
    key: ['host', 'boot_id'],
    columns: [HOST!, ['boot_id', 'text'], FIRST_US, LAST_US],
  },
  {
    name: 'gaps',
    key: ['host', 'reason', 'start_us'],
    columns: [HOST!, ['reason', 'text'], ['start_us', 'bigint'], ['end_us', 'bigint'], ['amounts', 'text']],
  },
  {
    name: 'coverage_days',
    key: ['day', 'host'],
    postgresKey: ['host', 'day'],
    columns: [
      DAY,
      HOST!,
      ['live_ms', 'double precision'],
      ['kernel_connections', 'bigint'],
      ['seen_connections', 'bigint'],
      ['losses', 'text'],
    ],
    summed: 'seen_connections',
  },
  {
    name: 'heartbeats',
    key: ['host_id'],
    columns: [HOST_ID, ['time_us', 'bigint'], ['body', 'bytea'], ['received_us', 'bigint']],
  },
  { name: 'last_heard', key: ['host_id'], columns: [HOST_ID, ['heard_us', 'bigint']] },
  {
    name: 'cloud_counts',
    key: ['host_id', 'start_us'],
    columns: [
      HOST_ID,
      ['start_us', 'bigint'],
      ['end_us', 'bigint'],
      ['no_token', 'bigint'],
      ['no_token_rejected', 'bigint'],
    ],
    summed: 'no_token',
  },
  {
    name: 'cloud_instances',
    key: ['host_id'],
    columns: [
      HOST_ID,
      ['http_tokens', 'text'],
      ['hop_limit', 'integer'],
      SUPPLIED_US,
      ['http_endpoint', 'text'],
    ],
  },
  {
    name: 'cloud_members',
    key: ['host_id'],
    columns: [
      HOST_ID,
      ['account', 'text'],
      ['region', 'text'],
      ['state', 'text'],
      ['launched_us', 'bigint'],
      ['terminated_us', 'bigint'],
      ['image_id', 'text'],
      ['scaling_group', 'text'],
      ['template_id', 'text'],
      ['template_version', 'bigint'],
      ['is_spot', 'smallint'],
      ['managed_by', 'text'],
      ['tags', 'text'],
      SUPPLIED_US,
      PROFILE,
    ],
  },
  {
    name: 'cloud_resources',
    key: ['kind', 'account', 'region', 'id'],
    columns: [['kind', 'text'], ['account', 'text'], ['region', 'text'], ['id', 'text'], FACTS, SUPPLIED_US],
  },
  {
    name: 'cloud_briefs',
    key: ['host'],
    columns: [
      HOST!,
      ['state', 'smallint'],
      ['launched_us', 'bigint'],
      ['terminated_us', 'bigint'],
      ['supplied_us', 'bigint'],
      PROFILE,
      ['tokens', 'smallint'],
      ['tokens_supplied_us', 'bigint'],
      ['launch_counted_us', 'bigint'],
      ['end_counted_us', 'bigint'],
    ],
  },
  { name: 'agentless', key: ['host_id'], columns: [HOST_ID] },
  {
    name: 'sums',
    key: ['name'],
    columns: [
      ['name', 'text'],
      ['value', 'bigint'],
    ],
  },
];

/** Days of the ids of roll-ups and coverage reports that are of use, before the last day that has some. */
export const RECORD_ID_DAYS = 2;

/** Returns the positions of columns in the rows of a table. */
export function placesOf({ columns }: StoredTable, names: readonly string[]): number[] {
  return names.map((name) => columns.findIndex(([column]) => column === name));
}
