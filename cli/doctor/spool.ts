/**
 * Checks the records that wait for the collector: their number and age, losses, and the space on the disk.
 */
import { accessSync, constants, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Ledger, type LedgerEntry } from '../../agent/outbox/ledger.ts';
import { oldestTime, segmentsIn } from '../../agent/outbox/spool_age.ts';
import {
  type AgentSide,
  AS_ROOT,
  type Check,
  type Finding,
  fail,
  isDenied,
  messageOf,
  ok,
  skip,
  warn,
} from './check.ts';
import { countText, sizeText, spanText } from './quantity.ts';

const OLD_SECONDS = 3_600;
const MIN_FREE_BYTES = 16 * 1_024 * 1_024;

export const spool: Check<AgentSide> = {
  name: 'spool',
  applies: () => true,
  run({ settings, running }) {
    const { spool_dir: directory, spool_max_bytes: maxBytes } = settings;
    try {
      if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
        return [
          warn(`the spool directory ${directory} does not exist`, 'The agent makes it at its first start.'),
        ];
      }
      readdirSync(directory);
    } catch (error) {
      if (isDenied(error)) return [skip(`reading ${directory} needs root`, AS_ROOT)];
      return [
        fail(`${directory}: ${messageOf(error)}`, 'Set spool_dir to a directory that only the agent uses.'),
      ];
    }
    const findings: Finding[] = [];
    try {
      accessSync(directory, constants.W_OK);
    } catch (error) {
      findings.push(
        fail(
          `${directory} cannot be written (${(error as NodeJS.ErrnoException).code})`,
          'The agent keeps only a few records, in memory. Mount the directory writable, or set spool_dir to another one.',
        ),
      );
    }
    const entry = Ledger.read(directory);
    const segments = segmentsIn(directory);
    const bytes = segments.reduce(
      (sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
    if (entry === null) {
      const isDamaged = statSync(join(directory, 'ledger'), { throwIfNoEntry: false }) !== undefined;
      findings.push(
        isDamaged && running.isRunning !== true
          ? warn(
              `the ledger of ${directory} is damaged`,
              'The agent counts the damage at its next start, and sends the records in the spool again.',
            )
          : ok(`${directory} is empty`),
      );
    } else findings.push(...judge(entry, directory, segments, bytes, maxBytes));
    findings.push(spaceFinding(directory, maxBytes - bytes));
    return findings;
  },
};

function judge(
  entry: LedgerEntry,
  directory: string,
  segments: string[],
  bytes: number,
  maxBytes: number,
): Finding[] {
  const lanes = Object.values(entry.lanes);
  const sum = (countIn: (lane: (typeof lanes)[number]) => number) =>
    lanes.reduce((total, lane) => total + countIn(lane), 0);
  const waiting = sum(({ next, acknowledged, overflowed, lost }) => next - acknowledged - overflowed - lost);
  const findings: Finding[] = [];
  const oldest = oldestTime(entry, directory, segments);
  const ageSeconds = oldest === null ? 0 : Math.max(0, (Date.now() - oldest) / 1_000);
  const summary = `${countText(waiting, 'record')} wait${waiting === 1 ? 's' : ''}, ${sizeText(bytes)} of at most ${sizeText(maxBytes)}`;
  if (oldest !== null && ageSeconds > OLD_SECONDS) {
    findings.push(
      warn(
        `${summary}; the oldest is ${spanText(ageSeconds)} old`,
        'They are delivered when the collector can be reached: see the check "collector".',
      ),
    );
  } else
    findings.push(ok(oldest === null ? summary : `${summary}; the oldest is ${spanText(ageSeconds)} old`));
  const overflowed = sum((lane) => lane.overflowed);
  const lost = sum((lane) => lane.lost);
  if (overflowed + lost > 0) {
    findings.push(
      warn(
        `since the spool was made, ${countText(overflowed, 'record')} had to be deleted to make room, and ${lost} were lost to damage`,
        'Raise spool_max_bytes, or repair the connection to the collector.',
      ),
    );
  }
  return findings;
}

function spaceFinding(directory: string, maxGrowth: number): Finding {
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free < MIN_FREE_BYTES) {
    return fail(
      `the disk of ${directory} is full (${sizeText(free)} left)`,
      'Free space on the disk: the agent keeps only a few records, in memory.',
    );
  }
  if (free < maxGrowth) {
    return warn(
      `${sizeText(free)} free on the disk of ${directory}, and the spool may grow by ${sizeText(maxGrowth)}`,
      'Free space on the disk, or lower spool_max_bytes.',
    );
  }
  return ok(`${sizeText(free)} free on the disk of ${directory}`);
}
