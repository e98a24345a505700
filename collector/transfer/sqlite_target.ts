/**
 * An embedded store that a copy makes. The databases are made in a directory below `data_dir`, and are moved into it when
 * they are proven: until then there is no store that a collector, of whatever release, could open.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../../common/operator_error.ts';
import { ADMIN, openAdmin } from '../admin/admin_schema.ts';
import type { AdminSql } from '../admin/admin_sql.ts';
import { SqliteSql } from '../admin/sqlite/sqlite_sql.ts';
import { giveToOwner, toOneFile } from '../store/sqlite/backup.ts';
import { lockDataDir, lockFileOf } from '../store/sqlite/data_dir_lock.ts';
import { openForWriting } from '../store/sqlite/database.ts';
import { FINDINGS } from '../store/sqlite/findings_schema.ts';
import type { CopyProgress, FindingsReader } from './findings.ts';
import { COPY_TABLE, type CopyTarget, requireSource } from './opened_store.ts';
import { SqliteRows } from './sqlite_findings.ts';
import { inSnapshot } from './sqlite_source.ts';
import type { Row, StoredTable } from './stored_tables.ts';

const DIRECTORY = 'unfinished-copy';
/** An empty file in the directory: the databases are proven, and only have to be moved. */
const PROVEN = 'proven';
const FILES = [ADMIN.file, FINDINGS.file];

/** Ends what an earlier run had proven, where it was killed before the databases were in place. Returns true where so. */
export function finishPublishing(dataDir: string): boolean {
  if (!existsSync(join(dataDir, DIRECTORY, PROVEN))) return false;
  const release = lockDataDir(dataDir);
  try {
    moveIntoPlace(dataDir);
    return true;
  } finally {
    release();
  }
}

export class SqliteTarget implements CopyTarget {
  readonly place: string;
  readonly progress: CopyProgress;
  readonly admin: AdminSql;
  readonly #dataDir: string;
  readonly #release: () => void;
  readonly #findings: DatabaseSync;
  readonly #adminData: DatabaseSync;
  readonly #rows: SqliteRows;

  private constructor(
    dataDir: string,
    release: () => void,
    {
      findings,
      adminData,
      progress,
    }: { findings: DatabaseSync; adminData: DatabaseSync; progress: CopyProgress },
  ) {
    this.place = resolve(dataDir);
    this.progress = progress;
    this.admin = new SqliteSql(adminData);
    this.#dataDir = dataDir;
    this.#release = release;
    this.#findings = findings;
    this.#adminData = adminData;
    this.#rows = new SqliteRows(findings);
  }

  /**
   * Begins a copy, or goes on with one. Throws `OperatorError` where `dataDir` has a store, or an unfinished copy of
   * another place than `source`.
   */
  static open(dataDir: string, source: string): SqliteTarget {
    const release = lockDataDir(dataDir);
    try {
      giveToOwner(dataDir, [lockFileOf(dataDir)]);
      const existing = FILES.find((name) => existsSync(join(dataDir, name)));
      if (existing !== undefined) {
        throw new OperatorError(
          1,
          `${resolve(dataDir)} has a store already (${existing}), and nothing was copied. Name another directory, or move its databases away.`,
        );
      }
      return new SqliteTarget(dataDir, release, openDatabases(dataDir, source));
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The lock on the directory keeps collectors away. */
  async requireUnused(): Promise<void> {}

  snapshot<T>(work: (reader: FindingsReader) => Promise<T>): Promise<T> {
    return inSnapshot(this.#findings, work);
  }

  async write(table: StoredTable, rows: readonly Row[], progress: CopyProgress): Promise<void> {
    this.#change(() => {
      this.#rows.insert(table, rows);
      this.#findings.prepare(`UPDATE ${COPY_TABLE} SET progress = ?`).run(JSON.stringify(progress));
    });
  }

  async complete(numbers: ReadonlyMap<string, number>): Promise<void> {
    this.#change(() => {
      this.#findings.exec(`UPDATE sums SET value = (SELECT count(*) FROM calls) WHERE name = 'calls'`);
      const grow = this.#findings.prepare('UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1');
      const add = this.#findings.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)');
      for (const [table, number] of numbers) {
        if (grow.run(table, number).changes === 0) add.run(table, number);
      }
    });
  }

  #change(work: () => void): void {
    this.#findings.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#findings.exec('COMMIT');
    } catch (error) {
      if (this.#findings.isTransaction) this.#findings.exec('ROLLBACK');
      throw error;
    }
  }

  async publish(): Promise<void> {
    this.#closeDatabases();
    writeFileSync(join(this.#dataDir, DIRECTORY, PROVEN), '');
    moveIntoPlace(this.#dataDir);
  }

  async close(): Promise<void> {
    this.#closeDatabases();
    this.#release();
  }

  #closeDatabases(): void {
    for (const database of [this.#findings, this.#adminData]) if (database.isOpen) database.close();
  }
}

function openDatabases(dataDir: string, source: string) {
  const directory = join(dataDir, DIRECTORY);
  const findings = openForWriting(directory, FINDINGS);
  try {
    findings.exec(
      `CREATE TABLE IF NOT EXISTS ${COPY_TABLE} (source TEXT NOT NULL, progress TEXT NOT NULL) STRICT`,
    );
    const row = findings.prepare(`SELECT source, progress FROM ${COPY_TABLE}`).get();
    if (row === undefined) findings.prepare(`INSERT INTO ${COPY_TABLE} VALUES (?, '{}')`).run(source);
    else requireSource(resolve(dataDir), source, String(row['source']), `delete ${resolve(directory)}`);
    const progress = JSON.parse(String(row?.['progress'] ?? '{}')) as CopyProgress;
    return { findings, adminData: openAdmin(directory), progress };
  } catch (error) {
    findings.close();
    throw error;
  }
}

/** May be interrupted at any point, and called again. */
function moveIntoPlace(dataDir: string): void {
  const directory = join(dataDir, DIRECTORY);
  for (const name of FILES) {
    const file = join(directory, name);
    if (!existsSync(file)) continue;
    if (name === FINDINGS.file) dropCopyTable(file);
    // Moved alone, a database would be without the changes in its write-ahead log.
    toOneFile(file);
    giveToOwner(dataDir, [file]);
    renameSync(file, join(dataDir, name));
  }
  rmSync(directory, { recursive: true });
}

function dropCopyTable(file: string): void {
  const database = new DatabaseSync(file);
  try {
    database.exec(`DROP TABLE IF EXISTS ${COPY_TABLE}`);
  } finally {
    database.close();
  }
}
