import { ARRIVALS_STEP } from './arrivals_step.ts';
import { toBounded } from './bounds_step.ts';
import { toCloudBriefs } from './cloud_briefs.ts';
import { CLOUD_INVENTORY_STEP } from './cloud_inventory_rows.ts';
import type { Migration, Schema } from './database.ts';
import { toPresent } from './future_step.ts';
import { toPackedHeartbeats } from './heartbeats_step.ts';
import { HOPS_STEP } from './hops_step.ts';
import { toLastingHostNumbers } from './host_numbers_step.ts';
import { toProfiles } from './profiles.ts';
import { toRuns } from './run_rows.ts';
import { toWorkloads } from './workload_step.ts';

/**
 * The schema of the findings, which are the records of all agents.
 *
 * A process is described once (`callers`), however often it calls; what stays the same when it is started
 * again is its identity. Times are microseconds since 1970, ids the 16 bytes of a UUIDv7: clustered by them,
 * calls are appended at the end.
 */
const MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE hosts (
    id INTEGER PRIMARY KEY,
    host_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    facts TEXT NOT NULL
  ) STRICT;

  CREATE TABLE streams (
    stream TEXT PRIMARY KEY,
    host INTEGER NOT NULL REFERENCES hosts,
    last_seq INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    attributed INTEGER NOT NULL,
    executable TEXT,
    name TEXT,
    script TEXT,
    user TEXT,
    uid INTEGER,
    host_id TEXT,
    source_address TEXT
  ) STRICT;

  CREATE TABLE callers (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    identity INTEGER NOT NULL REFERENCES identities,
    facts TEXT NOT NULL
  ) STRICT;

  CREATE TABLE user_agents (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
  ) STRICT;

  CREATE TABLE calls (
    id BLOB PRIMARY KEY,
    time_us INTEGER NOT NULL,
    host INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    caller INTEGER NOT NULL,
    version INTEGER,
    kind TEXT NOT NULL,
    category TEXT NOT NULL,
    role TEXT,
    endpoint TEXT NOT NULL,
    server_version INTEGER,
    fallback TEXT,
    method TEXT,
    path TEXT,
    query TEXT,
    user_agent INTEGER,
    status INTEGER,
    outcome TEXT NOT NULL,
    duration_ms REAL,
    source_address TEXT NOT NULL,
    source_port INTEGER NOT NULL,
    destination_address TEXT NOT NULL,
    destination_port INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE rollups (
    id INTEGER PRIMARY KEY,
    rollup_id BLOB NOT NULL UNIQUE,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    host INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    caller INTEGER NOT NULL,
    user_agent INTEGER,
    source_address TEXT NOT NULL,
    count INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE rollup_lines (
    rollup INTEGER NOT NULL REFERENCES rollups,
    kind TEXT NOT NULL,
    category TEXT NOT NULL,
    method TEXT,
    path TEXT,
    status INTEGER,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX rollup_lines_rollup ON rollup_lines (rollup);

  CREATE TABLE coverage (
    id BLOB PRIMARY KEY,
    host INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    live_ms REAL NOT NULL,
    kernel_connections INTEGER,
    seen_connections INTEGER NOT NULL,
    losses TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE heartbeats (
    host_id TEXT PRIMARY KEY,
    time_us INTEGER NOT NULL,
    heartbeat TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  toWorkloads,
  toBounded,
  toRuns,
  toLastingHostNumbers,
  (database) => toPresent(database),
  HOPS_STEP,
  // The answerer of a call decides how it counts. Other facts about relays and answerers are only shown, as JSON.
  `ALTER TABLE kinds ADD COLUMN answered_by TEXT; ALTER TABLE shapes ADD COLUMN relay TEXT;`,
  CLOUD_INVENTORY_STEP,
  // Proxies get other advice than their clients.
  'ALTER TABLE kinds ADD COLUMN caller_role TEXT',
  toProfiles,
  toCloudBriefs,
  // A heartbeat takes several pages. Without the index, its time was read behind all of them: 18 µs a host.
  'CREATE INDEX heartbeats_received ON heartbeats (host_id, received_us)',
  ARRIVALS_STEP,
  toPackedHeartbeats,
];

export const FINDINGS: Schema = { name: 'findings', file: 'imdswatch.db', migrations: MIGRATIONS };
