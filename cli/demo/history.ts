/** Makes up clean days of a host, because a verdict asks for more time than a demo has. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootId } from '../../agent/linux/boot_id.ts';
import { DATABASES } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';

export const MADE_UP_DAYS = 15;
const DAY_US = 86_400e6;
const KNOWN_WITHIN_MS = 60_000;
const POLL_MS = 50;
const BUSY_TIMEOUT_MS = 30_000;
const FINDINGS_FILE = DATABASES[0]!.file;

/**
 * Writes into the collector's store that the host was watched for the last `MADE_UP_DAYS` days, and made no call. No
 * start is claimed to have been seen. Everything from now on is what its agent reports. Throws if it does not report.
 */
export async function makeUpHistory(dataDir: string, hostId: string): Promise<void> {
  const database = new DatabaseSync(join(dataDir, FINDINGS_FILE), { timeout: BUSY_TIMEOUT_MS });
  try {
    const host = await numberOf(database, hostId);
    const untilUs = Date.now() * 1000;
    const sinceUs = untilUs - MADE_UP_DAYS * DAY_US;
    const boot = bootId();
    database.exec('BEGIN IMMEDIATE');
    database
      .prepare(
        `INSERT INTO watched (host, first_us, last_us, boot_id) VALUES (?, ?, ?, ?)
         ON CONFLICT (host) DO UPDATE SET first_us = excluded.first_us`,
      )
      .run(host, sinceUs, untilUs, boot);
    // A boot that is younger than the first report would count as a start that was seen.
    database
      .prepare(
        `INSERT INTO boots (host, boot_id, first_us, last_us) VALUES (?, ?, ?, ?)
         ON CONFLICT (host, boot_id) DO UPDATE SET first_us = excluded.first_us`,
      )
      .run(host, boot, sinceUs, untilUs);
    database.exec('COMMIT');
  } finally {
    database.close();
  }
}

/** Waits until the collector knows the host. Returns its number in the store. */
async function numberOf(database: DatabaseSync, hostId: string): Promise<number> {
  const find = database.prepare('SELECT id FROM hosts WHERE host_id = ?');
  const deadlineMs = performance.now() + KNOWN_WITHIN_MS;
  while (performance.now() < deadlineMs) {
    const found = find.get(hostId);
    if (found !== undefined) return Number(found['id']);
    await sleep(POLL_MS);
  }
  throw new OperatorError(1, `The agent of ${hostId} did not report to the demo's collector in time.`);
}
