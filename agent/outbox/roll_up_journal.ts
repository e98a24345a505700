/**
 * Counts of the roll-ups that are still open, one short frame for each call (about 60 bytes), so that a
 * killed process loses none. The file is never synced: a power cut may cost the counts of the open interval.
 */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import * as z from 'zod';
import { type Rollup, type RollupLine, rollup, rollupLine } from '../../protocol/records.ts';
import { FrameEncoder, scanFrames } from './record_frame.ts';

/** Name of the journal's file in the spool's directory. */
export const JOURNAL_FILE = 'open_rollups';
/** Bound on entries in memory that could not be written yet, in characters of their JSON. */
const MAX_UNWRITTEN = 1024 * 1024;

const slot = z.int().min(0);
const entry = z.union([
  /** A roll-up begins. */
  z.object({ s: slot, rollup: rollup.extend({ count: z.literal(0), lines: z.array(rollupLine).max(0) }) }),
  /** Its next line, with the call that brought it. */
  z.object({ s: slot, line: rollupLine, t: z.string() }),
  /** One more call of its line number `l`. */
  z.object({ s: slot, l: z.int().min(0), t: z.string() }),
]);
export type JournalEntry = z.infer<typeof entry>;

export interface Journal {
  open(slot: number, rollup: Rollup): void;
  line(slot: number, line: RollupLine, time: string): void;
  count(slot: number, line: number, time: string): void;
  /** Returns the entries that the file held when it was opened, in order. */
  entries(): JournalEntry[];
  clear(): void;
  close(): void;
  readonly full: boolean;
  readonly failures: number;
}

/** Adds one call at `time` to the count and the span of a roll-up. */
export function countIn(rollup: Rollup, time: string): void {
  rollup.count += 1;
  // Both are UTC in RFC 3339; without the closing Z they compare as text whatever their precision.
  if (time.slice(0, -1) < rollup.first_time.slice(0, -1)) rollup.first_time = time;
  if (time.slice(0, -1) > rollup.last_time.slice(0, -1)) rollup.last_time = time;
}

/** Returns the sums of a journal's entries. Entries that refer to a damaged one are left out. */
export function replay(entries: JournalEntry[]): Rollup[] {
  const open = new Map<number, Rollup>();
  for (const item of entries) {
    if ('rollup' in item) {
      open.set(item.s, { ...item.rollup, lines: [] });
      continue;
    }
    const rollup = open.get(item.s);
    if (rollup === undefined) continue;
    if ('line' in item) {
      rollup.lines.push({ ...item.line, count: 1 });
    } else {
      const line = rollup.lines[item.l];
      if (line === undefined) continue;
      line.count += 1;
    }
    countIn(rollup, item.t);
  }
  return [...open.values()].filter((rollup) => rollup.count > 0);
}

export class FileJournal implements Journal {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #log: Logger;
  readonly #encoder = new FrameEncoder();
  #fd: number | null = null;
  #bytes = 0;
  #number = 0;
  #failures = 0;
  /** JSON of entries that could not be written yet, in order. */
  readonly #unwritten: string[] = [];
  #isBroken = false;

  constructor(options: { path: string; maxBytes: number; log: Logger }) {
    this.#path = options.path;
    this.#maxBytes = options.maxBytes;
    this.#log = options.log;
  }

  get full(): boolean {
    return this.#bytes >= this.#maxBytes;
  }
  get failures(): number {
    return this.#failures;
  }

  entries(): JournalEntry[] {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(error);
      return [];
    }
    const found: JournalEntry[] = [];
    let readable = true;
    for (const { payload, number } of scanFrames(bytes).records) {
      const parsed = entry.safeParse(JSON.parse(payload.toString('utf8')));
      // Line numbers count lines in order: after a gap they would refer to other lines.
      if (number !== found.length || !parsed.success) {
        readable = false;
        break;
      }
      found.push(parsed.data);
    }
    if (!readable) this.#fail(new Error(`the journal is damaged after ${found.length} entries`));
    return found;
  }

  open(slot: number, rollup: Rollup): void {
    this.#write({ s: slot, rollup });
  }
  line(slot: number, line: RollupLine, time: string): void {
    this.#write({ s: slot, line, t: time });
  }
  count(slot: number, line: number, time: string): void {
    this.#write({ s: slot, l: line, t: time });
  }

  /**
   * Appends one entry, behind those that could not be written before it: an entry refers to earlier ones by
   * their order, so none may be left out. A journal that cannot be written costs its counts only if the
   * process is then killed; the failure is counted, and the agent goes on.
   */
  #write(item: object): void {
    if (this.#isBroken) return;
    this.#unwritten.push(JSON.stringify(item));
    try {
      this.#open();
      while (this.#unwritten.length > 0) {
        this.#append(this.#unwritten[0]!);
        this.#unwritten.shift();
      }
    } catch (error) {
      this.#fail(error);
      const size = this.#unwritten.reduce((sum, { length }) => sum + length, 0);
      if (size > MAX_UNWRITTEN) this.#giveUp();
    }
  }

  #open(): number {
    if (this.#fd === null) {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      this.#fd = openSync(this.#path, 'a', 0o600);
      this.#bytes = fstatSync(this.#fd).size;
    }
    return this.#fd;
  }

  #append(json: string): void {
    const fd = this.#open();
    const frame = this.#encoder.encode(this.#number, json);
    if (frame === null) {
      this.#giveUp();
      throw new Error(`an entry of ${json.length} characters is too large for a frame`);
    }
    const written = writeSync(fd, frame);
    if (written < frame.length) {
      // The reader would take what follows the part of a frame for damage.
      ftruncateSync(fd, this.#bytes);
      throw new Error(`only ${written} of ${frame.length} bytes were written`);
    }
    this.#bytes += frame.length;
    this.#number += 1;
  }

  /** Writes nothing more until the next `clear`: entries that follow a missing one would be read wrongly. */
  #giveUp(): void {
    this.#isBroken = true;
    this.#unwritten.length = 0;
  }

  #fail(error: unknown): void {
    this.#failures += 1;
    if (this.#failures === 1) {
      this.#log.warn(
        { reason: error instanceof Error ? error.message : String(error), journal: this.#path },
        'the journal of open roll-ups failed; their counts are in memory only',
      );
    }
  }

  clear(): void {
    this.#number = 0;
    this.#bytes = 0;
    this.#unwritten.length = 0;
    try {
      if (this.#fd === null) this.#fd = openSync(this.#path, 'a', 0o600);
      ftruncateSync(this.#fd, 0);
      this.#isBroken = false;
    } catch (error) {
      // A file that never was needs no clearing.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(error);
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
