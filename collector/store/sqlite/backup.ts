/** Copies of the databases of a data_dir, made while the collector goes on, and put back when it does not run. */
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

/** Findings, and what admins manage. The second is there once a collector of this release has run. */
const DATABASES = [FINDINGS.file, ADMIN.file];
/** In one step: in several, each commit of the collector would make it begin again. */
const ALL_PAGES = 0x7fff_ffff;

export interface BackedUp {
  file: string;
  bytes: number;
}

/** One database of `dataDir`, checked, to `file`, which must not be there. Throws `OperatorError`. */
export async function backUp(dataDir: string, name: string, file: string): Promise<BackedUp> {
  const source = join(dataDir, name);
  if (!existsSync(source)) {
    throw new OperatorError(1, `There is no store at ${source}. Name its directory with --data-dir.`);
  }
  if (existsSync(file)) throw new OperatorError(1, `${file} is there already. Name another place.`);
  const partial = `${file}.partial`;
  let database: DatabaseSync | null = null;
  try {
    rmSync(partial, { force: true });
    database = new DatabaseSync(source, { readOnly: true, timeout: 5000 });
    await backup(database, partial, { rate: ALL_PAGES });
    chmodSync(partial, 0o600);
    toOneFile(partial);
    check(partial);
    renameSync(partial, file);
    return { file, bytes: statSync(file).size };
  } catch (error) {
    rmSync(partial, { force: true });
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(
      1,
      `The backup to ${file} failed: ${(error as Error).message}. Is there room and permission in ${dirname(file)}?`,
      { cause: error },
    );
  } finally {
    database?.close();
  }
}

/** Every database of `dataDir` into the new directory `target`. Throws `OperatorError`. */
export async function backUpAll(dataDir: string, target: string): Promise<BackedUp[]> {
  if (existsSync(target)) {
    throw new OperatorError(1, `${target} is there already. Name a directory that is not.`);
  }
  const partial = `${target}.partial`;
  const made: BackedUp[] = [];
  try {
    mkdirSync(partial, { recursive: false, mode: 0o700 });
  } catch (error) {
    throw new OperatorError(
      1,
      `${partial} cannot be made: ${(error as Error).message}. If a backup was cut short, delete it.`,
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
 * Puts a backup in place of what `dataDir` holds, which is kept beside it. Returns where. Throws `OperatorError` when
 * the backup is damaged or a collector runs.
 */
export function restoreAll(
  source: string,
  dataDir: string,
  now: Date,
): { restored: string[]; kept: string | null } {
  const names = DATABASES.filter((name) => existsSync(join(source, name)));
  if (!names.includes(FINDINGS.file)) {
    throw new OperatorError(1, `${source} is no backup: there is no ${FINDINGS.file} in it.`);
  }
  for (const name of names) check(join(source, name));
  const release = lockDataDir(dataDir);
  const incoming = names.map((name) => join(dataDir, `${name}.restoring`));
  try {
    for (const [index, name] of names.entries()) {
      copyFileSync(join(source, name), incoming[index]!);
      chmodSync(incoming[index]!, 0o600);
      check(incoming[index]!);
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

/** What root made here must be its collector's, which has a user of its own. */
function giveToOwner(dataDir: string, paths: readonly string[]): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dataDir);
  for (const path of paths) lchownSync(path, uid, gid);
}

/** With a log (WAL) it would be a database of three files as soon as somebody looks into it. */
function toOneFile(file: string): void {
  const database = new DatabaseSync(file);
  try {
    database.exec('PRAGMA journal_mode = DELETE');
  } finally {
    database.close();
  }
}

function check(file: string): void {
  let database: DatabaseSync | null = null;
  let verdict: string;
  try {
    // https://www.sqlite.org/uri.html#uriimmutable: nobody writes it, and nothing is to be left beside it.
    database = new DatabaseSync(new URL(`${pathToFileURL(file)}?immutable=1`), { readOnly: true });
    verdict = String(database.prepare('PRAGMA integrity_check(1)').get()!['integrity_check']);
  } catch (error) {
    verdict = (error as Error).message;
  } finally {
    database?.close();
  }
  if (verdict !== 'ok') throw new OperatorError(1, `${file} is damaged: ${verdict}. Use another backup.`);
}
