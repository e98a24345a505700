/**
 * The interface of a database as the rows of the admin data need it. Their statements are the same for every database:
 * parameters are `$1`, `$2` and so on, and only what SQLite and PostgreSQL both understand is used.
 */
export type SqlValue = string | number | Uint8Array | null;
export type SqlRow = Record<string, SqlValue>;

/**
 * The part of the data that a transaction reads and then changes. Transactions about the same part are run one after the other, also those of other
 * processes, so that what they have read is still true when they write.
 */
export type Area = 'access' | 'alerts' | 'kept_answers' | 'plans' | 'settings' | 'streams' | 'triage';

/** A name of what another process may have changed: tokens that were revoked, or the credentials of agents. */
export type Versioned = 'revocations' | 'credentials';

export interface AdminSql {
  /**
   * An expression for the clock of the database, in milliseconds since 1970. Null where no other collector uses the
   * database.
   */
  readonly clockMs: string | null;
  all(text: string, ...values: SqlValue[]): Promise<SqlRow[]>;
  /** Returns the first row. */
  get(text: string, ...values: SqlValue[]): Promise<SqlRow | undefined>;
  /** Returns the number of changed rows. */
  run(text: string, ...values: SqlValue[]): Promise<number>;
  /**
   * Runs `work` in a transaction: all of its changes are stored, or none. `work` must use the database that it is given,
   * and wait for nothing else. A transaction within another is stored with the outer one, and fails alone.
   */
  transaction<T>(area: Area, work: (sql: AdminSql) => Promise<T>): Promise<T>;
  /** Runs `work`, which changes nothing, on the data as it is at one moment. */
  snapshot<T>(work: (sql: AdminSql) => Promise<T>): Promise<T>;
  /** Lets new rows of a table have numbers above those that were inserted with their numbers. */
  continueNumbers(table: string, column: string): Promise<void>;
  /** Returns a text that changes when another process has changed what it is `of`. It may change without reason. */
  version(of: Versioned): Promise<string>;
}
