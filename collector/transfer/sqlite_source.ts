/** The embedded store of a `data_dir`, open for reading. */
import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { ADMIN } from '../admin/admin_schema.ts';
import type { AdminSql } from '../admin/admin_sql.ts';
import { SqliteSql } from '../admin/sqlite/sqlite_sql.ts';
import { giveToOwner } from '../store/sqlite/backup.ts';
import { lockDataDir, lockFileOf } from '../store/sqlite/data_dir_lock.ts';
import { openForReading } from '../store/sqlite/database.ts';
import { FINDINGS } from '../store/sqlite/findings_schema.ts';
import type { FindingsReader } from './findings.ts';
import type { OpenedStore } from './opened_store.ts';
import { SqliteFindings } from './sqlite_findings.ts';

export class SqliteSource implements OpenedStore {
  readonly place: string;
  readonly admin: AdminSql;
  readonly #dataDir: string;
  readonly #findings: DatabaseSync;
  readonly #adminData: DatabaseSync;
  #release: (() => void) | null = null;

  /** Throws `OperatorError` where there is no store of this release. */
  constructor(dataDir: string) {
    this.place = resolve(dataDir);
    this.#dataDir = dataDir;
    this.#findings = openForReading(dataDir, FINDINGS);
    try {
      this.#adminData = openForReading(dataDir, ADMIN);
    } catch (error) {
      this.#findings.close();
      throw error;
    }
    this.admin = new SqliteSql(this.#adminData);
  }

  snapshot<T>(work: (reader: FindingsReader) => Promise<T>): Promise<T> {
    return inSnapshot(this.#findings, work);
  }

  /** Keeps collectors away until `close`. */
  async requireUnused(): Promise<void> {
    if (this.#release !== null) return;
    this.#release = lockDataDir(this.#dataDir);
    giveToOwner(this.#dataDir, [lockFileOf(this.#dataDir)]);
  }

  async close(): Promise<void> {
    this.#findings.close();
    this.#adminData.close();
    this.#release?.();
  }
}

/** Runs `work` in a transaction, which sees one moment from its first question on. */
export async function inSnapshot<T>(
  database: DatabaseSync,
  work: (reader: FindingsReader) => Promise<T>,
): Promise<T> {
  database.exec('BEGIN');
  try {
    return await work(new SqliteFindings(database));
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}
