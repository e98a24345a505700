/**
 * The tables of a working set: which of their rows a transaction changed, and how these rows are stored. Triggers note
 * the keys of changed rows.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Column } from './bulk.ts';

export interface WorkingTable {
  name: string;
  keys: readonly Column[];
  others: readonly Column[];
}

/** Tables whose rows have other numbers in the working set than in PostgreSQL. */
export type Numbered = 'user_agents' | 'kinds' | 'shapes' | 'identities' | 'profiles' | 'callers';
export const NUMBERED: readonly Numbered[] = [
  'user_agents',
  'kinds',
  'shapes',
  'identities',
  'profiles',
  'callers',
];
/** The table that a column of numbers refers to. */
export const REFERENCES: Readonly<Record<string, Numbered>> = {
  user_agent: 'user_agents',
  kind: 'kinds',
  shape: 'shapes',
  identity: 'identities',
  profile: 'profiles',
  caller: 'callers',
};

const HOST: Column = ['host', 'bigint'];
const TIMES: readonly Column[] = [
  ['first_us', 'bigint'],
  ['last_us', 'bigint'],
];

/** Rows about one host. A writer that has the lock of the host's row replaces them. */
export const HOST_TABLES: readonly WorkingTable[] = [
  {
    name: 'host_usage',
    keys: [HOST],
    others: [
      ['day', 'integer'],
      ['used', 'text'],
    ],
  },
  { name: 'watched', keys: [HOST], others: [...TIMES, ['boot_id', 'text']] },
  { name: 'runs', keys: [HOST], others: [['state', 'text']] },
  { name: 'boots', keys: [HOST, ['boot_id', 'text']], others: TIMES },
  {
    name: 'gaps',
    keys: [HOST, ['reason', 'text'], ['start_us', 'bigint']],
    others: [
      ['end_us', 'bigint'],
      ['amounts', 'text'],
    ],
  },
  { name: 'host_profiles', keys: [HOST, ['profile', 'bigint']], others: [['until_us', 'bigint']] },
];

/** Workloads of hosts. Their times are stored as differences. */
export const IDENTITY_HOSTS: WorkingTable = {
  name: 'identity_hosts',
  keys: [HOST, ['identity', 'bigint']],
  others: [...TIMES, ['last_v1_us', 'bigint']],
};

/** Only those days of a host are loaded that a batch is about. */
export const COVERAGE_DAYS: WorkingTable = {
  name: 'coverage_days',
  keys: [HOST, ['day', 'integer']],
  others: [
    ['live_ms', 'double precision'],
    ['kernel_connections', 'bigint'],
    ['seen_connections', 'bigint'],
    ['losses', 'text'],
  ],
};

/** Processes. They belong to one host, and are looked up by their hash. */
export const CALLERS: WorkingTable = {
  name: 'callers',
  keys: [['id', 'bigint']],
  others: [
    ['hash', 'bytea'],
    ['identity', 'bigint'],
    ['host', 'bigint'],
    ['last_us', 'bigint'],
  ],
};

/** Calls that are dated now in place of the future. A row is stored once, and never changes. */
export const FUTURE_CALLS: WorkingTable = {
  name: 'future_calls',
  keys: [['id', 'uuid']],
  others: [['stored_us', 'bigint']],
};

/** A table of values that all hosts share. Its rows are unique by `unique`, and never change but in their time. */
export interface DictionaryTable extends WorkingTable {
  name: Exclude<Numbered, 'callers'>;
  /** The column that tells rows apart. */
  unique: 'key' | 'facts';
}

const ID: Column = ['id', 'bigint'];
const KEY: Column = ['key', 'text'];
const LAST_US: Column = ['last_us', 'bigint'];

/** In the order in which they are written, so that two writers never wait for each other. */
export const DICTIONARIES: readonly DictionaryTable[] = [
  { name: 'user_agents', unique: 'key', keys: [ID], others: [KEY, ['text', 'text'], LAST_US] },
  {
    name: 'kinds',
    unique: 'key',
    keys: [ID],
    others: [
      KEY,
      ['class', 'smallint'],
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
    unique: 'key',
    keys: [ID],
    others: [
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
  { name: 'identities', unique: 'key', keys: [ID], others: [KEY, ['facts', 'text']] },
  {
    name: 'profiles',
    unique: 'facts',
    keys: [ID],
    others: [
      ['facts', 'text'],
      ['first_us', 'bigint'],
    ],
  },
];

export const TRACKED: readonly WorkingTable[] = [
  ...HOST_TABLES,
  COVERAGE_DAYS,
  CALLERS,
  FUTURE_CALLS,
  ...DICTIONARIES,
];

/** Tables that are empty when a transaction begins: what they have at its end is what it adds. */
export const EMPTIED = ['caller_facts', 'rollup_lines', 'rollups', 'coverage', 'measured_hops'];

/** Tables of which `AddedRows` collects what a transaction adds. */
export const COLLECTED = ['calls', 'hourly', 'daily', 'fleet_hourly', 'fleet_daily', 'changed_days'];

/** Creates the tables and triggers that note the keys of changed rows. */
export function trackChanges(database: DatabaseSync): void {
  for (const { name, keys, others } of TRACKED) {
    const names = keys.map(([column]) => column);
    const of = (row: string) => names.map((column) => `${row}.${column}`).join(', ');
    const changed = others.map(([column]) => `old.${column} IS NOT new.${column}`).join(' OR ');
    const same = (row: string) => names.map((column) => `c.${column} = ${row}.${column}`).join(' AND ');
    // The conflict clause of the statement that fires a trigger replaces that of the trigger.
    const note = (row: string) =>
      `BEGIN INSERT INTO changed_${name} SELECT ${of(row)}
         WHERE NOT EXISTS (SELECT 1 FROM changed_${name} c WHERE ${same(row)}); END`;
    database.exec(`
      CREATE TABLE changed_${name} (${names.join(', ')}, PRIMARY KEY (${names.join(', ')})) WITHOUT ROWID;
      CREATE TRIGGER insert_${name} AFTER INSERT ON ${name} ${note('new')};
      CREATE TRIGGER update_${name} AFTER UPDATE ON ${name} WHEN ${changed} ${note('new')};
      CREATE TRIGGER delete_${name} AFTER DELETE ON ${name} ${note('old')};
    `);
  }
  database.exec('CREATE INDEX grown_paths ON paths_v1 (count) WHERE count > 0');
}
