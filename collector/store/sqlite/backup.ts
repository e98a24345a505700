/** Backs the databases of a data_dir up while the collector runs, and restores them while it does not. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { OperatorError } from '../../../common/operator_error.ts';
import { ADMIN } from '../../admin/admin_schema.ts';
import { lockDataDir, lockFileOf } from './data_dir_lock.ts';
import { FINDINGS } from './findings_schema.ts';

/** The findings, and the admin database, which exists once a collector of this release has run. */
const DATABASES = [FINDINGS.file, ADMIN.file];
/** Copies all pages in one step. With several steps each commit of the collector would restart the copy. */
const ALL_PAGES = 0x7fff_ffff;

export interface BackedUp {
  file: string;
  bytes: number;
}

/** Copies one database of `dataDir` to the new file `file`, and checks the copy. Throws `OperatorError`. */
export async function backUp(dataDir: string, name: string, file: string): Promise<BackedUp> {
  const source = join(dataDir, name);
  if (!existsSync(source)) {
    throw new OperatorError(1, `There is no store at ${source}. Name its directory with --data-dir.`);
  }
  if (existsSync(file)) throw new OperatorError(1, `${file} exists already. Name a new file.`);
  const partial = `${file}.partial`;
  let database: DatabaseSync | null = null;
  try {
    rmSync(partial, { force: true });
    database = new DatabaseSync(source, { readOnly: true, timeout: 5000 });
    await backup(database, partial, { rate: ALL_PAGES });
    chmodSync(partial, 0o600);
    toOneFile(partial);
    checkIntegrity(partial);
    renameSync(partial, file);
    return { file, bytes: statSync(file).size };
  } catch (error) {
    rmSync(partial, { force: true });
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(
      1,
      `The backup to ${file} failed: ${(error as Error).message}. Check free space and permissions of ${dirname(file)}.`,
      { cause: error },
    );
  } finally {
    database?.close();
  }
}

/** Copies every database of `dataDir` into the new directory `target`. Throws `OperatorError`. */
export async function backUpAll(dataDir: string, target: string): Promise<BackedUp[]> {
  if (existsSync(target)) {
    throw new OperatorError(1, `${target} exists already. Name a new directory.`);
  }
  const partial = `${target}.partial`;
  const made: BackedUp[] = [];
  try {
    mkdirSync(partial, { recursive: false, mode: 0o700 });
  } catch (error) {
    throw new OperatorError(
      1,
      `${partial} cannot be created: ${(error as Error).message}. If an earlier backup was interrupted, delete it.`,
      { cause: error },
    );
  }
  try {
    for (const name of DATABASES) {
      // The findings must be there; of the other, a collector of an older release knows nothing.
      if (name !== FINDINGS.file && !existsSync(join(dataDir, name))) continue;
      made.push(await backUp(dataDir, name, join(partial, name)));
    }
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
  return made.map(({ file, bytes }) => ({ file: join(target, basename(file)), bytes }));
}

/**
 * Puts a backup in place of the databases of `dataDir`, which are kept in a directory below it; `kept` names
 * it. Throws `OperatorError` where the backup is damaged or a collector runs.
 */
export function restoreAll(
  source: string,
  dataDir: string,
  now: Date,
): { restored: string[]; kept: string | null } {
  const names = DATABASES.filter((name) => existsSync(join(source, name)));
  if (!names.includes(FINDINGS.file)) {
    throw new OperatorError(
      1,
      `${source} is not a backup: it has no ${FINDINGS.file}. Name a directory that "imdswatch backup" made.`,
    );
  }
  for (const name of names) checkIntegrity(join(source, name));
  const release = lockDataDir(dataDir);
  const incoming = names.map((name) => join(dataDir, `${name}.restoring`));
  try {
    for (const [index, name] of names.entries()) {
      copyFileSync(join(source, name), incoming[index]!);
      chmodSync(incoming[index]!, 0o600);
      checkIntegrity(incoming[index]!);
    }
    const old = readdirSync(dataDir).filter((file) =>
      DATABASES.some((name) => [name, `${name}-wal`, `${name}-shm`].includes(file)),
    );
    const kept =
      old.length === 0 ? null : join(dataDir, `replaced-${now.toISOString().replaceAll(/[:.]/g, '-')}`);
    if (kept !== null) {
      mkdirSync(kept, { mode: 0o700 });
      for (const file of old) renameSync(join(dataDir, file), join(kept, file));
    }
    giveToOwner(dataDir, [...incoming, ...(kept === null ? [] : [kept]), lockFileOf(dataDir)]);
    for (const [index, name] of names.entries()) renameSync(incoming[index]!, join(dataDir, name));
    return { restored: names.map((name) => join(dataDir, name)), kept };
  } catch (error) {
    for (const file of incoming) rmSync(file, { force: true });
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(1, `The restore failed: ${(error as Error).message}.`, { cause: error });
  } finally {
    release();
  }
}

/** Gives files that root created to the owner of `dataDir`: the collector runs as a user of its own. */
export function giveToOwner(dataDir: string, paths: readonly string[]): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dataDir);
  for (const path of paths) lchownSync(path, uid, gid);
}

/** Turns the write-ahead log off. With it, reading the backup would create two more files beside it. */
export function toOneFile(file: string): void {
  const database = new DatabaseSync(file);
  try {
    database.exec('PRAGMA journal_mode = DELETE');
  } finally {
    database.close();
  }
}

function checkIntegrity(file: string): void {
  let database: DatabaseSync | null = null;
  let verdict: string;
  try {
    // `immutable` creates no files beside a database that nobody writes
    // (https://www.sqlite.org/uri.html#uriimmutable).
    database = new DatabaseSync(new URL(`${pathToFileURL(file)}?immutable=1`), { readOnly: true });
    verdict = String(database.prepare('PRAGMA integrity_check(1)').get()!['integrity_check']);
  } catch (error) {
    verdict = (error as Error).message;
  } finally {
    database?.close();
  }
  if (verdict !== 'ok') throw new OperatorError(1, `${file} is damaged: ${verdict}. Use another backup.`);
}
