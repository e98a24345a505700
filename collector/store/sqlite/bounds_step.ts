/**
 * Schema step 3: bounds what one host may add, and what hosts added before there were bounds. Texts with half
 * a surrogate pair are repaired, long ones are cut, boots beyond the bound are deleted and gaps beyond it are
 * merged.
 */
import type { DatabaseSync } from 'node:sqlite';
import { callerFacts, hostFacts } from '../../../protocol/call.ts';
import {
  cleanLabel,
  cutText,
  MAX_IDENTIFIER_CHARACTERS,
  MAX_PATH_CHARACTERS,
} from '../../../protocol/text_bounds.ts';
import type { GapReason } from '../../contract/host.ts';
import { GapRows, MAX_GAPS_OF_DAY } from './gap_rows.ts';
import { MAX_BOOTS } from './gap_writer.ts';

const TABLE = `
  CREATE TABLE host_usage (
    host INTEGER PRIMARY KEY,
    -- Day since 1970 of the collector's clock.
    day INTEGER NOT NULL,
    -- Amounts that the host has added on that day: JSON by name.
    used TEXT NOT NULL
  ) STRICT;
`;
/** JSON within the bounds is shorter than this; most of it is far shorter. */
const LONG_CHARACTERS = 20_000;
/** Matches JSON that may hold half a surrogate pair, which is escaped. A whole pair is not escaped. */
const SUSPECT = `(facts LIKE '%\\ud%' OR length(facts) > ${LONG_CHARACTERS})`;

export function toBounded(database: DatabaseSync): void {
  database.exec(TABLE);
  repairHosts(database);
  repairFacts(database, 'caller_facts', 'caller', (facts) => {
    const parsed = callerFacts.safeParse(facts);
    return parsed.success ? parsed.data : cutAll(facts);
  });
  repairFacts(database, 'identities', 'id', cutAll);
  boundBoots(database);
  boundGaps(database);
}

function repairHosts(database: DatabaseSync): void {
  const set = database.prepare('UPDATE hosts SET facts = ?, name = ? WHERE id = ?');
  for (const { id, host_id: hostId, facts: json } of database.prepare('SELECT * FROM hosts').all()) {
    const facts = JSON.parse(String(json)) as Record<string, unknown>;
    if (hostFacts.safeParse(facts).success && String(json).isWellFormed() && facts['id'] === hostId) continue;
    // The column has U+FFFD in place of half a pair, because the database replaced it.
    const repaired = { ...(cutAll(facts) as object), id: String(hostId) };
    const name = cleanLabel(String(facts['name'] ?? hostId), MAX_IDENTIFIER_CHARACTERS);
    set.run(JSON.stringify({ ...repaired, name }), name, id!);
  }
}

function repairFacts(
  database: DatabaseSync,
  table: 'caller_facts' | 'identities',
  key: 'caller' | 'id',
  repair: (facts: unknown) => unknown,
): void {
  const set = database.prepare(`UPDATE ${table} SET facts = ? WHERE ${key} = ?`);
  const rows = database.prepare(`SELECT ${key} AS id, facts FROM ${table} WHERE ${SUSPECT}`).all();
  for (const { id, facts } of rows) set.run(JSON.stringify(repair(JSON.parse(String(facts)))), id!);
}

/** Cuts every text within a value to the longest that the contract allows. */
function cutAll(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value, MAX_PATH_CHARACTERS);
  if (Array.isArray(value)) return value.map(cutAll);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [cutText(key, MAX_IDENTIFIER_CHARACTERS), cutAll(entry)]),
  );
}

function boundBoots(database: DatabaseSync): void {
  database.exec(
    `DELETE FROM boots WHERE (host, boot_id) IN (
       SELECT host, boot_id FROM (
         SELECT host, boot_id, row_number() OVER (PARTITION BY host ORDER BY last_us DESC, boot_id DESC) AS place FROM boots
       ) WHERE place > ${MAX_BOOTS})`,
  );
}

/** Adds the gaps of a host and reason again, within the bounds, where one day has too many. */
function boundGaps(database: DatabaseSync): void {
  const crowded = database
    .prepare(
      `SELECT DISTINCT host, reason FROM (
         SELECT host, reason, start_us / 86400000000 AS day, count(*) AS count FROM gaps GROUP BY 1, 2, 3
       ) WHERE count > ${MAX_GAPS_OF_DAY}`,
    )
    .all();
  if (crowded.length === 0) return;
  const gaps = new GapRows(database);
  for (const { host, reason } of crowded) {
    database.exec('CREATE TEMP TABLE crowded (start_us INTEGER, end_us INTEGER, amounts TEXT)');
    database
      .prepare(
        'INSERT INTO temp.crowded SELECT start_us, end_us, amounts FROM gaps WHERE host = ? AND reason = ?',
      )
      .run(host!, reason!);
    database.prepare('DELETE FROM gaps WHERE host = ? AND reason = ?').run(host!, reason!);
    for (const row of database.prepare('SELECT * FROM temp.crowded ORDER BY start_us').iterate()) {
      gaps.addGap(
        Number(host),
        String(reason) as GapReason,
        Number(row['start_us']),
        Number(row['end_us']),
        row['amounts'] as string | null,
        0,
      );
    }
    database.exec('DROP TABLE temp.crowded');
  }
}
