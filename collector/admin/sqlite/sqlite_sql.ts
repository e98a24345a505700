/** Runs the statements of the admin data on SQLite. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { AdminSql, Area, SqlRow, SqlValue, Versioned } from '../admin_sql.ts';

/** The statements of one connection. They are at once done, on the thread that asks. */
class Statements {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  of(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      // Only the form ?1 has a place among the values.
      statement = this.#database.prepare(text.replaceAll(/\$(\d+)/g, '?$1'));
      this.#statements.set(text, statement);
    }
    return statement;
  }

  execute(text: string): void {
    this.#database.exec(text);
  }

  rollBack(text: string): void {
    // SQLite has rolled back by itself after some errors, such as a full disk.
    if (this.#database.isTransaction) this.#database.exec(text);
  }

  version(): string {
    // See https://www.sqlite.org/pragma.html#pragma_data_version.
    return String(this.of('PRAGMA data_version').get()?.['data_version']);
  }
}

/** Within a transaction, which has the connection for itself. */
class SqliteTransaction implements AdminSql {
  readonly clockMs = null;
  protected readonly statements: Statements;

  constructor(statements: Statements) {
    this.statements = statements;
  }

  async all(text: string, ...values: SqlValue[]): Promise<SqlRow[]> {
    return this.statements.of(text).all(...values) as SqlRow[];
  }

  async get(text: string, ...values: SqlValue[]): Promise<SqlRow | undefined> {
    return this.statements.of(text).get(...values) as SqlRow | undefined;
  }

  async run(text: string, ...values: SqlValue[]): Promise<number> {
    return Number(this.statements.of(text).run(...values).changes);
  }

  async transaction<T>(_area: Area, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    this.statements.execute('SAVEPOINT part');
    try {
      const result = await work(this);
      this.statements.execute('RELEASE part');
      return result;
    } catch (error) {
      this.statements.rollBack('ROLLBACK TO part; RELEASE part');
      throw error;
    }
  }

  snapshot<T>(work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return work(this);
  }

  /** SQLite does so by itself. */
  async continueNumbers(): Promise<void> {}

  async version(_of: Versioned): Promise<string> {
    return this.statements.version();
  }
}

/** The transaction of this process that runs on a file. */
interface Turn {
  running: Promise<void> | null;
}

/** By file: another connection of this process would wait for the lock without giving way to who holds it. */
const TURNS = new Map<string, Turn>();

/**
 * The whole connection. What comes while a transaction runs waits for its end, because it would be part of it. One object
 * must have the connection for itself.
 */
export class SqliteSql implements AdminSql {
  readonly clockMs = null;
  readonly #statements: Statements;
  readonly #within: SqliteTransaction;
  readonly #turn: Turn;

  /** `database`: the admin database, open for writing. */
  constructor(database: DatabaseSync) {
    this.#statements = new Statements(database);
    this.#within = new SqliteTransaction(this.#statements);
    this.#turn = turnOf(database.location());
  }

  async all(text: string, ...values: SqlValue[]): Promise<SqlRow[]> {
    while (this.#turn.running !== null) await this.#turn.running;
    return this.#within.all(text, ...values);
  }

  async get(text: string, ...values: SqlValue[]): Promise<SqlRow | undefined> {
    while (this.#turn.running !== null) await this.#turn.running;
    return this.#within.get(text, ...values);
  }

  async run(text: string, ...values: SqlValue[]): Promise<number> {
    while (this.#turn.running !== null) await this.#turn.running;
    return this.#within.run(text, ...values);
  }

  /** The write lock is taken first, so that no other process changes what is read inside. */
  transaction<T>(_area: Area, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return this.#transaction('BEGIN IMMEDIATE', work);
  }

  snapshot<T>(work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return this.#transaction('BEGIN', work);
  }

  /** SQLite does so by itself. */
  async continueNumbers(): Promise<void> {}

  async #transaction<T>(begin: string, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    while (this.#turn.running !== null) await this.#turn.running;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn.running = promise;
    try {
      this.#statements.execute(begin);
      try {
        const result = await work(this.#within);
        this.#statements.execute('COMMIT');
        return result;
      } catch (error) {
        this.#statements.rollBack('ROLLBACK');
        throw error;
      }
    } finally {
      this.#turn.running = null;
      resolve();
    }
  }

  async version(_of: Versioned): Promise<string> {
    while (this.#turn.running !== null) await this.#turn.running;
    return this.#statements.version();
  }
}

/** `file`: null for a database in memory, which has one connection. */
function turnOf(file: string | null): Turn {
  const turn = (file === null ? undefined : TURNS.get(file)) ?? { running: null };
  if (file !== null) TURNS.set(file, turn);
  return turn;
}
