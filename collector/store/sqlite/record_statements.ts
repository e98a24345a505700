/** The statements that insert records one by one. A record whose id is there already is left as it is. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

export type RecordStatements = Record<
  'addCalls' | 'addRollup' | 'addRollupLine' | 'addCoverage',
  StatementSync
>;

export function prepareRecordStatements(database: DatabaseSync): RecordStatements {
  return {
    addCalls: database.prepare(`UPDATE sums SET value = value + ? WHERE name = 'calls'`),
    addRollup: database.prepare(
      `INSERT INTO rollups (rollup_id, first_us, last_us, host, identity, caller, user_agent, source_address, count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollup_id) DO NOTHING RETURNING id`,
    ),
    addRollupLine: database.prepare(
      `INSERT INTO rollup_lines (rollup, kind, category, method, path, status, outcome, count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    addCoverage: database.prepare(
      `INSERT INTO coverage (id, host, boot_id, start_us, end_us, live_ms, kernel_connections, seen_connections, losses)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    ),
  };
}
