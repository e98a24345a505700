/**
 * Schema step 5: the number of a host is given once. Without AUTOINCREMENT SQLite gives the highest number
 * again after its row was deleted (https://www.sqlite.org/autoinc.html): a reader that still knows the
 * deleted host by that number would report the new host's calls as those of the deleted one.
 */
import type { DatabaseSync } from 'node:sqlite';

/** Tables that refer to a host by its number. Retention may have left rows of deleted hosts in them. */
const REFERRING = ['streams', 'host_usage', 'watched', 'runs', 'boots', 'gaps', 'callers', 'identity_hosts'];

const REBUILD = `
  CREATE TABLE new_hosts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    facts TEXT NOT NULL,
    first_us INTEGER,
    last_us INTEGER
  ) STRICT;
  INSERT INTO new_hosts SELECT id, host_id, name, facts, first_us, last_us FROM hosts;
  CREATE TABLE new_streams (
    stream TEXT PRIMARY KEY,
    host INTEGER NOT NULL REFERENCES new_hosts,
    last_seq INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO new_streams SELECT stream, host, last_seq FROM streams;
`;
/** Renaming a table renames it in the references to it as well. */
const REPLACE = `
  DROP TABLE streams;
  DROP TABLE hosts;
  ALTER TABLE new_hosts RENAME TO hosts;
  ALTER TABLE new_streams RENAME TO streams;
  DELETE FROM host_usage WHERE host NOT IN (SELECT id FROM hosts);
`;

export function toLastingHostNumbers(database: DatabaseSync): void {
  database.exec(REBUILD);
  const numbers = ['SELECT max(id) AS number FROM hosts'];
  for (const table of REFERRING) numbers.push(`SELECT max(host) AS number FROM ${table}`);
  // Renaming a table renames its row in sqlite_sequence too.
  database.exec(`
    DELETE FROM sqlite_sequence WHERE name = 'new_hosts';
    INSERT INTO sqlite_sequence (name, seq)
      SELECT 'new_hosts', coalesce(max(number), 0) FROM (${numbers.join(' UNION ALL ')});
  `);
  database.exec(REPLACE);
}
