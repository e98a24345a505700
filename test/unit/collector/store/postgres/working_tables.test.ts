/** Tests that every table and column of the embedded store is carried to PostgreSQL, or left out for a reason. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import {
  COLLECTED,
  EMPTIED,
  IDENTITY_HOSTS,
  TRACKED,
} from '../../../../../collector/store/postgres/working_tables.ts';
import { FINDINGS } from '../../../../../collector/store/sqlite/findings_schema.ts';

/** Tables that batches do not change, or that PostgreSQL does not need. */
const OTHERS: Readonly<Record<string, string>> = {
  hosts: 'written by changes_writer.ts',
  streams: 'written by changes_writer.ts',
  paths_v1: 'its sums are carried as differences',
  sums: 'PostgreSQL counts calls by day',
  heartbeats: 'written by heartbeats_writer.ts',
  last_heard: 'written by heartbeats_writer.ts',
  arrivals: 'PostgreSQL notes arrivals by arrivals.ts',
  cloud_counts: 'written by cloud_writer.ts',
  cloud_instances: 'written by cloud_writer.ts',
  cloud_members: 'written by cloud_writer.ts',
  cloud_resources: 'written by cloud_writer.ts',
  cloud_briefs: 'written by cloud_briefs.ts',
  agentless: 'written by cloud_briefs.ts',
  sqlite_sequence: 'belongs to SQLite',
};

const database = new DatabaseSync(':memory:');
for (const step of FINDINGS.migrations) {
  if (typeof step === 'string') database.exec(step);
  else step(database);
}
const columnsOf = (table: string) =>
  database
    .prepare('SELECT name FROM pragma_table_info(?)')
    .all(table)
    .map(({ name }) => String(name));

test('every table of the embedded store is known', () => {
  const tables = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).all();
  const carried = [...TRACKED, IDENTITY_HOSTS].map(({ name }) => name);
  const known = new Set([...carried, ...EMPTIED, ...COLLECTED, ...Object.keys(OTHERS)]);
  assert.deepEqual(
    tables.map(({ name }) => String(name)).filter((name) => !known.has(name)),
    [],
  );
});

for (const { name, keys, others } of [...TRACKED, IDENTITY_HOSTS]) {
  test(`every column of ${name} is known`, () => {
    assert.deepEqual([...keys, ...others].map(([column]) => column).sort(), columnsOf(name).sort());
  });
}
