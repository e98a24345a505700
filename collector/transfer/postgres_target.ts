/**
 * A store in PostgreSQL that a copy makes. While the table `imdswatch_copy` is there, no collector and no command opens the
 * store (`requireKnown` of `schema_steps.ts`).
 */
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminSql } from '../admin/admin_sql.ts';
import { ADMIN_TABLES } from '../admin/copy_admin.ts';
import { POSTGRES_ADMIN } from '../admin/postgres/postgres_schema.ts';
import { PostgresSql } from '../admin/postgres/postgres_sql.ts';
import { COPY_LOCK } from '../store/postgres/advisory_locks.ts';
import { requireNoCollector } from '../store/postgres/connected_collectors.ts';
import type { DatabasePool, Session } from '../store/postgres/database_pool.ts';
import { describeAddress, parseDatabaseUrl } from '../store/postgres/database_url.ts';
import { FINDINGS_SCHEMA } from '../store/postgres/findings_schema.ts';
import { Partitions } from '../store/postgres/partitions.ts';
import { migrate, readState } from '../store/postgres/schema_steps.ts';
import type { CopyProgress, FindingsReader } from './findings.ts';
import { COPY_TABLE, type CopyTarget, requireSource } from './opened_store.ts';
import { daysOf, insertRows, PostgresFindings } from './postgres_findings.ts';
import { longPool } from './postgres_source.ts';
import { placesOf, type Row, STORED_TABLES, type StoredTable } from './stored_tables.ts';

const SCHEMAS = [FINDINGS_SCHEMA, POSTGRES_ADMIN];
/** Days before today of which a copy makes partitions. */
const PARTITION_DAYS = 400;
const BEGIN_ANEW = 'make the database anew (DROP DATABASE and CREATE DATABASE)';

export class PostgresTarget implements CopyTarget {
  readonly place: string;
  readonly admin: AdminSql;
  readonly progress: CopyProgress;
  readonly #pool: DatabasePool;
  readonly #partitions: Partitions;
  readonly #release: () => void;

  private constructor(pool: DatabasePool, place: string, progress: CopyProgress, release: () => void) {
    this.place = place;
    this.progress = progress;
    this.admin = new PostgresSql(pool);
    this.#pool = pool;
    this.#partitions = new Partitions(pool, () => Date.now() * 1000, PARTITION_DAYS);
    this.#release = release;
  }

  /**
   * Begins a copy, or goes on with one. Throws `OperatorError` where the database has data, or an unfinished copy of
   * another place than `source`.
   */
  static async open(url: string, source: string): Promise<PostgresTarget> {
    const pool = longPool(url);
    const place = describeAddress(parseDatabaseUrl(url));
    let release = () => {};
    try {
      release = await lock(pool, place);
      const progress = (await unfinished(pool, place, source)) ?? (await begin(pool, place, source));
      return new PostgresTarget(pool, place, progress, release);
    } catch (error) {
      release();
      await pool.close();
      throw error;
    }
  }

  requireUnused(): Promise<void> {
    return requireNoCollector(this.#pool, this.place);
  }

  snapshot<T>(work: (reader: FindingsReader) => Promise<T>): Promise<T> {
    return this.#pool.transaction(
      (session) => work(new PostgresFindings(session)),
      'ISOLATION LEVEL REPEATABLE READ READ ONLY',
    );
  }

  async write(table: StoredTable, rows: readonly Row[], progress: CopyProgress): Promise<void> {
    if (table.name === 'calls') {
      await this.#partitions.ensure('calls', daysOf(table, rows, 'time_us').keys());
    }
    if (table.name === 'record_ids') {
      const [day] = placesOf(table, ['day']);
      await this.#partitions.ensure('record_ids', new Set(rows.map((row) => Number(row[day!]))));
    }
    await this.#pool.transaction(async (session) => {
      // A crash loses rows together with the progress about them, and they are copied again.
      await session.query('SET LOCAL synchronous_commit = off');
      await insertRows(session, table, rows);
      await session.execute(`UPDATE ${COPY_TABLE} SET progress = $1`, [JSON.stringify(progress)]);
    });
  }

  async complete(numbers: ReadonlyMap<string, number>): Promise<void> {
    await this.#pool.session(async (session) => {
      for (const [table, number] of numbers) {
        if (number === 0) continue;
        await session.query(`SELECT setval(pg_get_serial_sequence($1, 'id'), $2)`, [table, number]);
      }
      // Without statistics the first questions would have bad plans.
      for (const { name } of STORED_TABLES) await session.query(`ANALYZE ${name}`);
    });
  }

  async publish(): Promise<void> {
    await this.#pool.transaction((session) => session.query(`DROP TABLE ${COPY_TABLE}`));
  }

  async close(): Promise<void> {
    this.#release();
    await this.#pool.close();
  }
}

/** Takes a lock that ends with its connection. Throws `OperatorError` where another copy has it. */
async function lock(pool: DatabasePool, place: string): Promise<() => void> {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  await new Promise<void>((resolve, reject) => {
    pool
      .session(async (session) => {
        const [row] = await session.query<{ taken: boolean }>(
          `SELECT pg_try_advisory_lock(${COPY_LOCK}) AS taken`,
        );
        if (!row!.taken) {
          throw new OperatorError(1, `Another copy into ${place} is running. Wait for it to end.`);
        }
        resolve();
        await held;
        await session.query(`SELECT pg_advisory_unlock(${COPY_LOCK})`);
      })
      .catch(reject);
  });
  return release;
}

/** Returns the progress of an earlier run; null where there was none. */
async function unfinished(pool: DatabasePool, place: string, source: string): Promise<CopyProgress | null> {
  const [found] = await pool.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
    COPY_TABLE,
  ]);
  if (!found!.there) return null;
  const [row] = await pool.query<{ source: string; progress: string }>(
    `SELECT source, progress FROM ${COPY_TABLE}`,
  );
  requireSource(place, source, row!.source, BEGIN_ANEW);
  for (const { name, steps } of SCHEMAS) {
    const state = await readState(pool, name);
    if (state?.applied === steps.length) continue;
    throw new OperatorError(
      1,
      `${place} has an unfinished copy by another release of imdswatch. Run that release, or ${BEGIN_ANEW}, and run this command again.`,
    );
  }
  return JSON.parse(row!.progress) as CopyProgress;
}

async function begin(pool: DatabasePool, place: string, source: string): Promise<CopyProgress> {
  for (const schema of SCHEMAS) await migrate(pool, schema);
  await pool.transaction(async (session) => {
    await requireEmpty(session, place);
    await session.query(`CREATE TABLE ${COPY_TABLE} (source text NOT NULL, progress text NOT NULL)`);
    await session.query(`INSERT INTO ${COPY_TABLE} VALUES ($1, '{}')`, [source]);
  });
  try {
    // A collector that starts now finds the table. One that had started before is connected.
    await requireNoCollector(pool, place);
  } catch (error) {
    await pool.query(`DROP TABLE ${COPY_TABLE}`);
    throw error;
  }
  return {};
}

async function requireEmpty(session: Session, place: string): Promise<void> {
  const tables = [
    ...STORED_TABLES.map(({ name }) => name).filter((name) => name !== 'sums'),
    ...ADMIN_TABLES,
  ];
  for (const table of tables) {
    const rows = await session.query(`SELECT 1 FROM ${table} LIMIT 1`);
    if (rows.length === 0) continue;
    throw new OperatorError(
      1,
      `${place} has data already (table ${table}), and nothing was copied. Name an empty database, or ${BEGIN_ANEW}.`,
    );
  }
}
