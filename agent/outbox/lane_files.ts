/**
 * The segment files `KIND-NUMBER.log` of one lane, as a former process left them. The number is that of their
 * first record.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Range } from './lanes.ts';
import { scanFrames } from './record_frame.ts';
import type { Segment } from './segment.ts';

const SEGMENT_FILE = /^([a-z0-9]+)-(\d{16})\.log$/;

const MIN_SEGMENT_BYTES = 16 * 1024;
const MAX_SEGMENT_BYTES = 1024 * 1024;
const SEGMENTS_IN_SPOOL = 32;

/** Returns the size at which a segment file of a spool of `spoolBytes` is full. */
export function segmentBytesFor(spoolBytes: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, Math.floor(spoolBytes / SEGMENTS_IN_SPOOL)));
}

/** Returns true for the name of a segment file of any lane. */
export function isSegmentFile(file: string): boolean {
  return SEGMENT_FILE.test(file);
}

export function segmentFileName(lane: string, firstNumber: number): string {
  return `${lane}-${String(firstNumber).padStart(16, '0')}.log`;
}

export interface FoundSegments {
  segments: Segment[];
  /** Number of records in `segments`. */
  records: number;
  /**
   * One more than the largest number that a record has, or may have had where the last file is damaged.
   */
  end: number;
  /** Files without a record at or above the cursor. */
  spent: string[];
  /** Number of files that could not be read. */
  unreadable: number;
}

/**
 * Reads all segment files of a lane. `cursor`: records below this number are delivered. `inFlight`: the ranges
 * that batches carry. Each range counts afterwards the records that were found of it. Throws errors of listing
 * the directory.
 */
export function readSegmentFiles(
  directory: string,
  lane: string,
  cursor: number,
  inFlight: readonly Range[],
): FoundSegments {
  const sent = Math.max(0, ...inFlight.map(({ to }) => to));
  for (const range of inFlight) range.count = 0;
  const found: FoundSegments = { segments: [], records: 0, end: 0, spent: [], unreadable: 0 };
  let previous = -1;
  let hasTornTail = false;
  let lastFile = -1;
  for (const { file, first } of segmentFilesOf(directory, lane)) {
    const path = join(directory, file);
    lastFile = first;
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch {
      found.unreadable += 1;
      continue;
    }
    const segment: Segment = { path, first, end: first, bytes: bytes.length, unsent: 0, unsentOffset: 0 };
    let kept = 0;
    hasTornTail = bytes.length > 0;
    for (const { number, start, end } of scanFrames(bytes).records) {
      hasTornTail = end < bytes.length;
      if (number <= previous) continue;
      previous = number;
      if (number < cursor) continue;
      kept += 1;
      const range = inFlight.find(({ from, to }) => number >= from && number < to);
      if (range !== undefined) range.count += 1;
      segment.end = number + 1;
      if (number < sent) continue;
      if (segment.unsent === 0) segment.unsentOffset = start;
      segment.unsent += 1;
    }
    if (kept === 0) {
      found.spent.push(path);
      continue;
    }
    if (segment.unsent === 0) segment.unsentOffset = segment.bytes;
    found.records += kept;
    found.segments.push(segment);
  }
  // Bytes after the last good record were one that nobody else knows of (more than one, in a power cut's
  // window).
  // A file is made for a record, also where nothing of it can be read.
  found.end = Math.max(previous + (hasTornTail ? 2 : 1), lastFile + 1);
  return found;
}

function segmentFilesOf(directory: string, lane: string): { file: string; first: number }[] {
  const files: { file: string; first: number }[] = [];
  for (const file of readdirSync(directory)) {
    const [, name, first] = SEGMENT_FILE.exec(file) ?? [];
    if (name === lane) files.push({ file, first: Number(first) });
  }
  return files.sort((a, b) => a.first - b.first);
}
