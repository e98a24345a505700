/**
 * Checks that the collector's databases are undamaged, have a known schema, and have space on their disk; or that its
 * PostgreSQL database can be used, and what an acknowledgement is worth there.
 */
import { readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  type CheckedDatabase,
  type CheckedStandby,
  checkDatabase,
  DATABASES,
} from '../../collector/local.ts';
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

/** The check reads every page. For a larger file this takes minutes, and slows the collector down. */
const MAX_CHECKED_BYTES = 4 * 1_024 ** 3;
const BUSY_TIMEOUT_MS = 5_000;
const MIN_FREE_BYTES = 256 * 1_024 * 1_024;

export const store: Check<CollectorSide> = {
  name: 'store',
  applies: () => true,
  run({ settings }) {
    const { data_dir: directory, store: database } = settings;
    if (database !== undefined) return inDatabase(database, settings);
    try {
      if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
        return [
          warn(`the directory ${directory} does not exist`, 'The collector makes it at its first start.'),
        ];
      }
      readdirSync(directory);
    } catch (error) {
      if (isDenied(error)) return [skip(`reading ${directory} needs root`, AS_ROOT)];
      throw error;
    }
    const { bavail, bsize } = statfsSync(directory);
    const free = bavail * bsize;
    return [
      ...DATABASES.map(({ file, schemaVersion }) => integrity(directory, file, schemaVersion)),
      free < MIN_FREE_BYTES
        ? fail(
            `only ${sizeText(free)} free on the disk of ${directory}`,
            'Free space on the disk: a collector with a full disk stores nothing, and agents keep their records in the spool.',
          )
        : ok(`${sizeText(free)} free on the disk of ${directory}`),
    ];
  },
};

async function inDatabase(url: string, settings: CollectorSide['settings']): Promise<Finding[]> {
  try {
    const { place, version, durability, room, clock, notificationProblem, standbys } = await checkDatabase(
      url,
      settings,
    );
    return [
      ok(`the primary ${place} answers: PostgreSQL ${version}`),
      ...roomFindings(room),
      ...clockFindings(clock),
      durability.isSafe ? ok(durability.text) : warn(durability.text, SEE_POSTGRESQL),
      ...(notificationProblem === null ? [] : [warn(notificationProblem, SEE_POSTGRESQL)]),
      ...standbys.map(standbyFinding),
    ];
  } catch (error) {
    return [fail(messageOf(error), SEE_POSTGRESQL)];
  }
}

function roomFindings({ isChecked, problem }: CheckedDatabase['room']): Finding[] {
  if (!isChecked) {
    return [
      skip('the user of the database may not make a temporary table, which would show that there is room'),
    ];
  }
  if (problem === null) return [];
  return [
    fail(
      `the database has no room for a batch: ${problem}`,
      'Free space on the disk of the database, or add some. Agents keep their records until then.',
    ),
  ];
}

function clockFindings({ aheadSeconds, isRight }: CheckedDatabase['clock']): Finding[] {
  if (isRight) return [];
  return [
    fail(
      `the clock of this machine is ${Math.round(Math.abs(aheadSeconds))} s ${aheadSeconds > 0 ? 'ahead of' : 'behind'} the clock of the database`,
      'Synchronise both clocks by NTP. Until the difference is at most 60 s, the collector on this machine evaluates no alert rules, sends no alerts and no streams, and deletes no old records.',
    ),
  ];
}

function standbyFinding({ place, problem, lagSeconds }: CheckedStandby): Finding {
  return problem === null
    ? ok(`the standby ${place} answers questions; its data is ${lagSeconds} s old`)
    : warn(
        `the standby ${place} answers no questions: ${problem}`,
        'The primary answers in its place. "A standby for questions" in docs/postgresql.md says what each reason means.',
      );
}

const SEE_POSTGRESQL = 'docs/postgresql.md says how to set up the database.';

function integrity(directory: string, name: string, schemaVersion: number): Finding {
  const file = join(directory, name);
  const bytes = statSync(file, { throwIfNoEntry: false })?.size;
  if (bytes === undefined)
    return warn(`${file} does not exist`, 'The collector makes it at its first start.');
  const damaged = (detail: string) =>
    fail(
      `${file} is damaged (${detail})`,
      'Stop the collector, and restore a backup: imdswatch restore. Agents then send again the records that they still have.',
    );
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version > schemaVersion) {
      return fail(
        `${file} has schema ${version}, but this release supports only ${schemaVersion}`,
        'Install the release that wrote it, or a newer one.',
      );
    }
    const summary = `${file}: ${sizeText(bytes)}, schema ${version}`;
    if (version < schemaVersion)
      return ok(`${summary}, which the collector updates to ${schemaVersion} at its next start`);
    if (bytes > MAX_CHECKED_BYTES) return skip(`${summary}: too large for this check`);
    const [row] = database.prepare('PRAGMA quick_check(1)').all();
    const result = String(row?.['quick_check']);
    return result === 'ok' ? ok(`${summary}, undamaged`) : damaged(result.split('\n').at(-1)!);
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
