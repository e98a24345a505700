/** Describes what waits for the collector: how much, since when, what was lost, and whether there is room. */
import { accessSync, constants, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Ledger, type LedgerEntry } from '../../agent/outbox/ledger.ts';
import { scanFrames } from '../../agent/outbox/record_frame.ts';
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
  examine({ settings, running }) {
    const { spool_dir: directory, spool_max_bytes: most } = settings;
    try {
      if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
        return [warn(`${directory} is not there`, 'The agent makes it at its first start.')];
      }
      readdirSync(directory);
    } catch (error) {
      if (isDenied(error)) return [skip(`${directory} needs root`, AS_ROOT)];
      return [fail(`${directory}: ${messageOf(error)}`, 'Set spool_dir to a directory of its own.')];
    }
    const found: Finding[] = [];
    try {
      accessSync(directory, constants.W_OK);
    } catch (error) {
      found.push(
        fail(
          `${directory} cannot be written (${(error as NodeJS.ErrnoException).code})`,
          'Records are kept in memory only, and few of them. Mount it writable, or set spool_dir.',
        ),
      );
    }
    const entry = Ledger.read(directory);
    const segments = readdirSync(directory).filter((name) => /^[a-z0-9]+-\d{16}\.log$/.test(name));
    const bytes = segments.reduce(
      (sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
    if (entry === null) {
      const isDamaged = statSync(join(directory, 'ledger'), { throwIfNoEntry: false }) !== undefined;
      found.push(
        isDamaged && running.isRunning !== true
          ? warn(
              `the ledger of ${directory} is damaged`,
              'The next start counts it, and sends again what is there.',
            )
          : ok(`${directory} is empty`),
      );
    } else found.push(...judge(entry, directory, segments, bytes, most));
    found.push(room(directory, most - bytes));
    return found;
  },
};

function judge(
  entry: LedgerEntry,
  directory: string,
  segments: string[],
  bytes: number,
  most: number,
): Finding[] {
  const lanes = Object.values(entry.lanes);
  const sum = (of: (lane: (typeof lanes)[number]) => number) =>
    lanes.reduce((total, lane) => total + of(lane), 0);
  const waiting = sum(({ next, acknowledged, overflowed, lost }) => next - acknowledged - overflowed - lost);
  const found: Finding[] = [];
  const oldest = oldestTime(entry, directory, segments);
  const ageSeconds = oldest === null ? 0 : Math.max(0, (Date.now() - oldest) / 1_000);
  const held = `${countText(waiting, 'record')} wait${waiting === 1 ? 's' : ''}, ${sizeText(bytes)} of at most ${sizeText(most)}`;
  if (oldest !== null && ageSeconds > OLD_SECONDS) {
    found.push(
      warn(
        `${held}; the oldest for ${spanText(ageSeconds)}`,
        'They are delivered once the collector can be reached: see "collector".',
      ),
    );
  } else found.push(ok(oldest === null ? held : `${held}; the oldest for ${spanText(ageSeconds)}`));
  const overflowed = sum((lane) => lane.overflowed);
  const lost = sum((lane) => lane.lost);
  if (overflowed + lost > 0) {
    found.push(
      warn(
        `since it was made ${countText(overflowed, 'record')} gave way to newer ones, and ${lost} were lost to damage`,
        'Raise spool_max_bytes, or look after the connection to the collector.',
      ),
    );
  }
  return found;
}

/** When the oldest record that waits was made, in milliseconds since 1970; null where none says. */
function oldestTime(entry: LedgerEntry, directory: string, segments: string[]): number | null {
  let oldest: number | null = null;
  for (const [lane, { cursor }] of Object.entries(entry.lanes)) {
    const first = segments.filter((name) => name.startsWith(`${lane}-`)).sort()[0];
    if (first === undefined) continue;
    let content: Buffer;
    try {
      content = readFileSync(join(directory, first));
    } catch {
      continue; // delivered meanwhile
    }
    const record = scanFrames(content).records.find(({ number }) => number >= cursor);
    const time = record === undefined ? Number.NaN : timeOf(record.payload);
    if (!Number.isNaN(time) && (oldest === null || time < oldest)) oldest = time;
  }
  return oldest;
}

function timeOf(payload: Buffer): number {
  const { call, rollup, coverage } = JSON.parse(payload.toString('utf8')) as {
    call?: { time: string };
    rollup?: { last_time: string };
    coverage?: { end: string };
  };
  return Date.parse(call?.time ?? rollup?.last_time ?? coverage?.end ?? '');
}

function room(directory: string, wanted: number): Finding {
  const { bavail, bsize } = statfsSync(directory);
  const free = bavail * bsize;
  if (free < MIN_FREE_BYTES) {
    return fail(
      `the disk of ${directory} is full (${sizeText(free)} left)`,
      'Make room: records are kept in memory only, and few of them.',
    );
  }
  if (free < wanted) {
    return warn(
      `${sizeText(free)} free on the disk of ${directory}, and the spool may grow by ${sizeText(wanted)}`,
      'Make room, or lower spool_max_bytes.',
    );
  }
  return ok(`${sizeText(free)} free on its disk`);
}
