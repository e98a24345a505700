/**
 * Copies the admin data of one database to another one, of any kind, and proves that both have the same.
 *
 * Leases stay behind, because they belong to the collectors of a database, and kept answers, because they are made again. A text of PostgreSQL has no U+0000; it is
 * compared and copied as U+FFFD.
 */
import { createHash } from 'node:crypto';
import { OperatorError } from '../../common/operator_error.ts';
import { withoutNul } from '../store/postgres/nul_characters.ts';
import type { AdminSql, SqlRow, SqlValue } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';

interface Table {
  name: string;
  /** The primary key comes first. */
  columns: readonly string[];
  keys: number;
  /** True where the first column is a number that the database gives to new rows. */
  isNumbered?: true;
}

const table = (name: string, keys: number, columns: string): Table => ({
  name,
  keys,
  columns: columns.split(' '),
});

/** A table comes after those that its rows refer to. */
const TABLES: readonly Table[] = [
  table(
    'tokens',
    1,
    'id hash kind name role host_id created_ms created_by enrolled expires_ms last_used_ms revoked_ms enrolment_key_hash scope',
  ),
  table('certified_hosts', 1, 'host_id first_ms'),
  table('sign_in_codes', 1, 'hash role name expires_ms scope'),
  table('sessions', 1, 'hash token name role last_used_ms expires_ms scope id_token'),
  {
    ...table('audit', 1, 'id time_ms actor action subject detail source_address position'),
    isNumbered: true,
  },
  table('settings', 1, 'key value'),
  table(
    'alert_destinations',
    1,
    'id name enabled rules config created_us last_delivered_us last_error digest send_resolved given_up given_up_us given_up_reason stream owners',
  ),
  {
    ...table('alerts', 1, 'number id rule subject time_us severity title text link state audience details'),
    isNumbered: true,
  },
  table('open_alerts', 1, 'dedup_key rule started_us alert'),
  table('alert_deliveries', 2, 'destination alert attempts queued_us next_us'),
  table('alert_subjects', 2, 'kind id state'),
  table(
    'stream_cursors',
    1,
    'destination position since_us sent deleted unfit behind oldest_us checked_us warning',
  ),
  table('findings', 1, 'key number change state minor time_us finding'),
  table('triage', 1, 'workload state set_us set_by until_us reason owner ticket notes'),
  table(
    'plans',
    1,
    'id change sequence created_us created_by begun_us begun_by phase phase_since_us phase_reason is_carried_out step_count left_out_count states has_more reported_us reported_by',
  ),
  table('plan_steps', 2, 'plan position id wave group_name role state undone_us held_us step'),
  table('confirmed_hosts', 1, 'host_id plan step confirmed_us drifted_us'),
];

export const ADMIN_TABLES: readonly string[] = TABLES.map(({ name }) => name);

const PAGE_ROWS = 1_000;

/** The sum of a table. Tables with equal sums have the same rows. */
export interface TableSum {
  table: string;
  rows: number;
  /** SHA-256 over all rows in the order of their keys. */
  sha256: string;
}

/**
 * Copies all rows in one transaction, and returns what both databases have then. `to` must be empty. Throws
 * `OperatorError` where it is not, and where it has something else afterwards; then nothing is stored.
 */
export function copyAdmin(from: AdminSql, to: AdminSql): Promise<TableSum[]> {
  return from.snapshot((source) =>
    to.transaction('access', async (target) => {
      for (const { name } of TABLES) {
        if ((await target.get(`SELECT 1 AS found FROM ${name} LIMIT 1`)) === undefined) continue;
        throw new OperatorError(
          1,
          `The database already has admin data (table ${name}), and nothing was copied. Name an empty database.`,
        );
      }
      for (const each of TABLES) {
        for await (const rows of pagesOf(source, each)) await insert(target, each, rows);
        if (each.isNumbered) await target.continueNumbers(each.name, each.columns[0]!);
      }
      const [copied, expected] = [await adminSums(target), await adminSums(source)];
      for (const [index, sum] of expected.entries()) {
        const { table: name, rows, sha256 } = copied[index]!;
        if (rows === sum.rows && sha256 === sum.sha256) continue;
        throw new OperatorError(
          1,
          `The table ${name} has ${rows} rows (SHA-256 ${sha256}) after the copy, and had ${sum.rows} (${sum.sha256}). Nothing was copied.`,
        );
      }
      return copied;
    }),
  );
}

/** Returns the number of rows and a checksum of each table, so that two databases can be compared. */
export async function adminSums(sql: AdminSql): Promise<TableSum[]> {
  const sums: TableSum[] = [];
  for (const each of TABLES) {
    const hash = createHash('sha256');
    let rows = 0;
    for await (const page of pagesOf(sql, each)) {
      rows += page.length;
      for (const row of page)
        hash.update(`${JSON.stringify(each.columns.map((name) => plain(row[name]!)))}\n`);
    }
    sums.push({ table: each.name, rows, sha256: hash.digest('hex') });
  }
  return sums;
}

async function* pagesOf(sql: AdminSql, { name, columns, keys }: Table): AsyncGenerator<SqlRow[]> {
  const key = columns.slice(0, keys).join(', ');
  let after: SqlValue[] = [];
  for (;;) {
    const behind =
      after.length === 0 ? '' : `WHERE (${key}) > (${after.map((_, at) => `$${at + 1}`).join(', ')})`;
    const rows = await sql.all(
      `SELECT ${columns.join(', ')} FROM ${name} ${behind} ORDER BY ${key} LIMIT ${PAGE_ROWS}`,
      ...after,
    );
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    after = columns.slice(0, keys).map((column) => last[column]!);
  }
}

async function insert(sql: AdminSql, { name, columns }: Table, rows: readonly SqlRow[]): Promise<void> {
  for (const part of inParts(rows)) {
    await sql.run(
      `INSERT INTO ${name} (${columns.join(', ')}) VALUES ${places(part.length, columns.length, 0)}`,
      ...part.flatMap((row) => columns.map((column) => row[column]!)),
    );
  }
}

function plain(value: SqlValue): string | number | null {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : withoutNul(value);
}
