/** Checks whether the collector's databases are whole and of this release's schema, and whether there is room for them to grow. */
import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DATABASES } from '../../collector/local.ts';
import {
  AS_ROOT,
  type Check,
  type CollectorSide,
  type Finding,
  fail,
  isDenied,
  messageOf,
  ok,
  skip,
  warn,
} from './check.ts';
import { sizeText } from './quantity.ts';

/** Every page is read: above it that takes minutes, and the collector wants the disk too. */
const MAX_CHECKED_BYTES = 4 * 1_024 ** 3;
const BUSY_TIMEOUT_MS = 5_000;
const MIN_FREE_BYTES = 256 * 1_024 * 1_024;

export const store: Check<CollectorSide> = {
  name: 'store',
  applies: () => true,
  examine({ settings: { data_dir: directory } }) {
    try {
      if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
        return [warn(`${directory} is not there`, 'The collector makes it at its first start.')];
      }
      readdirSync(directory);
    } catch (error) {
      if (isDenied(error)) return [skip(`${directory} needs root`, AS_ROOT)];
      throw error;
    }
    const { bavail, bsize } = statfsSync(directory);
    const free = bavail * bsize;
    return [
      ...DATABASES.map(({ file, schemaVersion }) => integrity(directory, file, schemaVersion)),
      free < MIN_FREE_BYTES
        ? fail(
            `${sizeText(free)} left on the disk of ${directory}`,
            'Make room: a full store takes nothing, and agents keep what they have.',
          )
        : ok(`${sizeText(free)} free on the disk of ${directory}`),
    ];
  },
};

function integrity(directory: string, name: string, schemaVersion: number): Finding {
  const file = join(directory, name);
  const bytes = statSync(file, { throwIfNoEntry: false })?.size;
  if (bytes === undefined) return warn(`${file} is not there`, 'The collector makes it at its first start.');
  const damaged = (what: string) =>
    fail(
      `${file} is damaged (${what})`,
      'Stop the collector, and restore a backup: imdswatch restore. Agents send again what they still hold.',
    );
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version > schemaVersion) {
      return fail(
        `${file} has schema ${version}, and this release knows ${schemaVersion}`,
        'Install the release that made it, or a newer one.',
      );
    }
    const about = `${file}: ${sizeText(bytes)}, schema ${version}`;
    if (version < schemaVersion) return ok(`${about}, brought to ${schemaVersion} at the next start`);
    if (bytes > MAX_CHECKED_BYTES) return skip(`${about}: too large to be read through here`);
    const [row] = database.prepare('PRAGMA quick_check(1)').all();
    const said = String(row?.['quick_check']);
    return said === 'ok' ? ok(`${about}, whole`) : damaged(said.split('\n').at(-1)!);
  } catch (error) {
    const { errcode } = error as { errcode?: number };
    return errcode === SQLITE_CORRUPT || errcode === SQLITE_NOTADB
      ? damaged(messageOf(error))
      : fail(`${file} cannot be read: ${messageOf(error)}`, AS_ROOT);
  } finally {
    database?.close();
  }
}

/** Result codes: https://www.sqlite.org/rescode.html */
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;
