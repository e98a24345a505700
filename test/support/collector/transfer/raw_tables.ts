/** Reads all rows of the databases of an embedded store by plain SQL, to compare two stores independently of their copy. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ADMIN } from '../../../../collector/admin/admin_schema.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';

/**
 * A copy has only ids of raw roll-ups and coverage reports. Caches, kept answers and leases stay behind.
 */
const OWN = new Set(['rollups', 'rollup_lines', 'coverage', 'changed_days', 'leases', 'kept_answers']);

const SELECTS: Record<string, string> = {
  // Two paths that are one in PostgreSQL are added up.
  paths_v1: `SELECT identity, listed, replace(hex(path), '00', 'EFBFBD') AS path,
    sum(count) AS count, max(last_us) AS last_us FROM paths_v1 GROUP BY 1, 2, 3`,
};

/** Returns the rows of each table as sorted texts. PostgreSQL has U+FFFD in place of U+0000. */
export function rawTables(dataDir: string): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  for (const file of [FINDINGS.file, ADMIN.file]) {
    const database = new DatabaseSync(join(dataDir, file), { readOnly: true });
    const names = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).all();
    for (const name of names.map((row) => String(row['name']))) {
      if (OWN.has(name)) continue;
      const rows = database.prepare(SELECTS[name] ?? `SELECT * FROM ${name}`).all();
      tables.set(
        `${file} ${name}`,
        rows.map((row) => JSON.stringify(Object.entries(row)).replaceAll('\\u0000', '\ufffd')).sort(),
      );
    }
    database.close();
  }
  return tables;
}
