/** Runs the statements of the admin data on PostgreSQL, which other collectors use at the same time. */
import { isConnectionLost } from '../../store/postgres/database_errors.ts';
import type { DatabasePool, Session } from '../../store/postgres/database_pool.ts';
import { withoutNul } from '../../store/postgres/nul_characters.ts';
import type { AdminSql, Area, SqlRow, SqlValue, Versioned } from '../admin_sql.ts';

/** First key of the advisory locks of areas: the bytes of "imds" as a number. */
const AREA_LOCKS = 0x696d6473;
/** Second keys. Collectors of all releases use the same. */
const LOCK_OF_AREA: Record<Area, number> = {
  access: 1,
  alerts: 2,
  plans: 3,
  settings: 4,
  triage: 5,
  streams: 6,
  kept_answers: 7,
};

/** The time of the statement, not that of the transaction's begin. */
const CLOCK_MS = 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)';
const VERSION = 'SELECT version FROM admin_versions WHERE name = $1';

/** Within a transaction. */
class PostgresTransaction implements AdminSql {
  readonly clockMs = CLOCK_MS;
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  all(text: string, ...values: SqlValue[]): Promise<SqlRow[]> {
    return this.#session.query<SqlRow>(text, values.map(withoutNul));
  }

  async get(text: string, ...values: SqlValue[]): Promise<SqlRow | undefined> {
    return (await this.all(text, ...values))[0];
  }

  run(text: string, ...values: SqlValue[]): Promise<number> {
    return this.#session.execute(text, values.map(withoutNul));
  }

  /** The area of the outer transaction is locked already. */
  async transaction<T>(_area: Area, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    await this.#session.execute('SAVEPOINT part');
    try {
      const result = await work(this);
      await this.#session.execute('RELEASE part');
      return result;
    } catch (error) {
      if (!isConnectionLost(error)) await this.#session.execute('ROLLBACK TO part; RELEASE part');
      throw error;
    }
  }

  snapshot<T>(work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return work(this);
  }

  async continueNumbers(table: string, column: string): Promise<void> {
    await this.get(
      `SELECT setval(pg_get_serial_sequence($1, $2), max(${column})) FROM ${table} HAVING max(${column}) IS NOT NULL`,
      table,
      column,
    );
  }

  async version(of: Versioned): Promise<string> {
    return String((await this.get(VERSION, of))?.['version']);
  }
}

export class PostgresSql implements AdminSql {
  readonly clockMs = CLOCK_MS;
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /** A question is asked again where the connection was lost, as at a failover. A change is not: it may be stored. */
  async all(text: string, ...values: SqlValue[]): Promise<SqlRow[]> {
    const ask = () => this.#pool.query<SqlRow>(text, values.map(withoutNul));
    try {
      return await ask();
    } catch (error) {
      if (!isConnectionLost(error) || !/^\s*SELECT\b/.test(text)) throw error;
      return ask();
    }
  }

  async get(text: string, ...values: SqlValue[]): Promise<SqlRow | undefined> {
    return (await this.all(text, ...values))[0];
  }

  run(text: string, ...values: SqlValue[]): Promise<number> {
    return this.#pool.session((session) => session.execute(text, values.map(withoutNul)));
  }

  /**
   * Takes the lock of the area first. A collector that is frozen while it holds the lock loses it with its connection
   * after the `idle_in_transaction_session_timeout` of the pool.
   */
  transaction<T>(area: Area, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return this.#pool.transaction(async (session) => {
      await session.query('SELECT pg_advisory_xact_lock($1, $2)', [AREA_LOCKS, LOCK_OF_AREA[area]]);
      return work(new PostgresTransaction(session));
    });
  }

  snapshot<T>(work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return this.#pool.transaction(
      (session) => work(new PostgresTransaction(session)),
      'READ ONLY ISOLATION LEVEL REPEATABLE READ',
    );
  }

  continueNumbers(table: string, column: string): Promise<void> {
    return this.#pool.session((session) => new PostgresTransaction(session).continueNumbers(table, column));
  }

  async version(of: Versioned): Promise<string> {
    return String((await this.get(VERSION, of))?.['version']);
  }
}
