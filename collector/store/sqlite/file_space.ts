/** Space of a database file on disk: free pages are given back to the file system a little at a time. */
import { chmodSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

/** Pages that one step gives back: 4 MiB. Each may have to be moved, and agents wait for the step to end. */
const STEP_PAGES = 1024;
/** Free pages that stay, as a share of the used ones: what is written until the next run needs them again. */
const KEPT_SHARE = 0.1;
/** Left free on the disk besides the copy that `rewriteToShrink` makes. */
const RESERVE_BYTES = 256 * 1024 * 1024;
/** https://www.sqlite.org/pragma.html#pragma_auto_vacuum */
const INCREMENTAL = 2;

function pragma(database: DatabaseSync, name: string): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()![name]);
}

/** Must run before anything else is written to a new file. */
export function allowShrinking(database: DatabaseSync): void {
  database.exec(`PRAGMA auto_vacuum = ${INCREMENTAL}`);
}

export function canShrink(database: DatabaseSync): boolean {
  return pragma(database, 'auto_vacuum') === INCREMENTAL;
}

/**
 * Gives back free pages beyond those that will soon be needed again, and returns true while there are more of
 * them. The file is smaller once the write-ahead log was moved into it.
 */
export function shrinkStep(database: DatabaseSync): boolean {
  if (!canShrink(database)) return false;
  const free = pragma(database, 'freelist_count');
  const kept = Math.ceil((pragma(database, 'page_count') - free) * KEPT_SHARE);
  if (free <= kept) return false;
  database.exec(`PRAGMA incremental_vacuum(${Math.min(STEP_PAGES, free - kept)})`);
  return free - kept > STEP_PAGES;
}

/**
 * Rewrites a file of an earlier release, which could not shrink, so that it can. Closes `database`, which
 * must be the collector's only connection. Leaves the file as it is, until the next start, where the disk has
 * no room for a second copy, or where another process reads or writes the database meanwhile.
 */
export function rewriteToShrink(database: DatabaseSync, file: string): boolean {
  const copy = `${file}.rewriting`;
  try {
    rmSync(copy, { force: true });
    const { bavail, bsize } = statfsSync(dirname(file));
    if (bavail * bsize < statSync(file).size + RESERVE_BYTES) return false;
    allowShrinking(database);
    const versionBefore = pragma(database, 'data_version');
    database.prepare('VACUUM INTO ?').run(copy);
    chmodSync(copy, 0o600);
    // A log that outlived its database would be played into the new one.
    if (database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] !== 0) return false;
    database.exec('BEGIN IMMEDIATE');
    if (pragma(database, 'data_version') !== versionBefore) return false;
    renameSync(copy, file);
    return true;
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
    database.close();
    rmSync(copy, { force: true });
  }
}
