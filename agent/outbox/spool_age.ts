/** Finds out how long records have waited in a spool, from its files, which another process may use. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSegmentFile } from './lane_files.ts';
import { Ledger, type LedgerEntry } from './ledger.ts';
import { scanFrames } from './record_frame.ts';

/** Returns the names of the files of records. */
export function segmentsIn(directory: string): string[] {
  return readdirSync(directory).filter(isSegmentFile);
}

/** Returns the time of the oldest record that waits on the disk, in milliseconds since 1970; null where none has one. */
export function oldestRecordMs(directory: string): number | null {
  const entry = Ledger.read(directory);
  return entry === null ? null : oldestTime(entry, directory, segmentsIn(directory));
}

/**
 * Returns the time of the oldest record that waits, in milliseconds since 1970; null when no record has a
 * time.
 */
export function oldestTime(
  entry: LedgerEntry,
  directory: string,
  segments: readonly string[],
): number | null {
  let oldest: number | null = null;
  for (const [lane, { cursor }] of Object.entries(entry.lanes)) {
    const first = segments.filter((name) => name.startsWith(`${lane}-`)).sort()[0];
    if (first === undefined) continue;
    let content: Buffer;
    try {
      content = readFileSync(join(directory, first));
    } catch {
      continue; // the agent has delivered and deleted this segment meanwhile
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
