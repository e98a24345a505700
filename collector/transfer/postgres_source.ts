/** The store in a PostgreSQL database, open for reading. */
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminSql } from '../admin/admin_sql.ts';
import { POSTGRES_ADMIN } from '../admin/postgres/postgres_schema.ts';
import { PostgresSql } from '../admin/postgres/postgres_sql.ts';
import { WRITERS_LOCK } from '../store/postgres/advisory_locks.ts';
import { requireNoCollector } from '../store/postgres/connected_collectors.ts';
import { DatabasePool } from '../store/postgres/database_pool.ts';
import { describeAddress, parseDatabaseUrl } from '../store/postgres/database_url.ts';
import { FINDINGS_SCHEMA } from '../store/postgres/findings_schema.ts';
import { requireSchema } from '../store/postgres/schema_steps.ts';
import type { FindingsReader } from './findings.ts';
import type { OpenedStore } from './opened_store.ts';
import { PostgresFindings } from './postgres_findings.ts';

/** One statement may sort a whole table, and the other store may need long for what it is given. */
const LONG_MS = 7 * 86_400_000;
const CONNECTIONS = 3;

/** Connections of a copy or a check. */
export function longPool(url: string): DatabasePool {
  return new DatabasePool(parseDatabaseUrl(url), {
    max: CONNECTIONS,
    applicationName: 'imdswatch copy',
    statementMs: LONG_MS,
    idleInTransactionMs: LONG_MS,
  });
}

export class PostgresSource implements OpenedStore {
  readonly place: string;
  readonly admin: AdminSql;
  readonly #pool: DatabasePool;
  #isAlone = false;

  private constructor(pool: DatabasePool, place: string) {
    this.place = place;
    this.#pool = pool;
    this.admin = new PostgresSql(pool);
  }

  /** Throws `OperatorError` where there is no store of this release. */
  static async open(url: string): Promise<PostgresSource> {
    const pool = longPool(url);
    try {
      await requireSchema(pool, FINDINGS_SCHEMA);
      await requireSchema(pool, POSTGRES_ADMIN);
      return new PostgresSource(pool, describeAddress(parseDatabaseUrl(url)));
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /** After `requireUnused`, no collector can write findings meanwhile. */
  snapshot<T>(work: (reader: FindingsReader) => Promise<T>): Promise<T> {
    return this.#pool.transaction(async (session) => {
      if (this.#isAlone) {
        const [row] = await session.query<{ alone: boolean }>(
          `SELECT pg_try_advisory_xact_lock(${WRITERS_LOCK}) AS alone`,
        );
        if (!row!.alone) {
          throw new OperatorError(1, `Somebody writes into ${this.place}. Stop all its collectors first.`);
        }
      }
      return work(new PostgresFindings(session));
    }, 'ISOLATION LEVEL REPEATABLE READ READ ONLY');
  }

  async requireUnused(): Promise<void> {
    await requireNoCollector(this.#pool, this.place);
    this.#isAlone = true;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
