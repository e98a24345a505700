/**
 * The spool's account of itself: its stream, the progress of each kind of record, the content of every batch
 * on its way, and all losses. The file has two slots that are written in turn, each a frame with a checksum,
 * so a write that a crash interrupts leaves the other slot. The slots are allocated when the file is made, so
 * that they can be written when the disk is full.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { FRAME_HEADER_BYTES, FrameEncoder, scanFrames } from './record_frame.ts';

const SLOT_BYTES = 16 * 1024;
const LEDGER_VERSION = 1;

const count = z.int().min(0);
const laneState = z.object({
  next: count,
  cursor: count,
  acknowledged: count,
  overflowed: count,
  lost: count,
});
const range = z.object({ from: count, to: count, count });
const ledgerEntry = z.object({
  version: z.literal(LEDGER_VERSION),
  stream: z.uuid(),
  host_id: z.string(),
  boot_id: z.string(),
  /** True if the process that wrote this entry ended in order. */
  clean: z.boolean(),
  next_seq: count.min(1),
  lanes: z.record(z.string(), laneState),
  in_flight: z.array(z.object({ seq: count.min(1), ranges: z.record(z.string(), range) })),
  counters: z.record(z.string(), count),
  /** The part of the losses that coverage reports have stated. Ledgers of older releases do not have it. */
  reported: z.record(z.string(), count).default({}),
});
export type LedgerEntry = Omit<z.infer<typeof ledgerEntry>, 'version'>;

export class Ledger {
  readonly #fd: number;
  readonly #encoder = new FrameEncoder();
  #generation: number;

  /**
   * Opens or makes `directory`/ledger. `entry` is the newest readable entry: null in a new directory, and
   * when both slots are damaged (`damaged`). Throws errors of the file system.
   */
  static open(directory: string): { ledger: Ledger; entry: LedgerEntry | null; damaged: boolean } {
    const path = join(directory, 'ledger');
    let fd: number;
    let existed = true;
    try {
      fd = openSync(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      fd = openSync(path, 'w+', 0o600);
      existed = false;
    }
    try {
      const bytes = Buffer.alloc(2 * SLOT_BYTES);
      readSync(fd, bytes, 0, bytes.length, 0);
      const { generation, entry } = newest(bytes);
      if (entry === null) {
        writeSync(fd, Buffer.alloc(2 * SLOT_BYTES), 0, 2 * SLOT_BYTES, 0);
        fsyncSync(fd);
      }
      return { ledger: new Ledger(fd, generation), entry, damaged: existed && entry === null };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Returns the newest entry without opening the ledger for writing; null where there is no readable one. */
  static read(directory: string): LedgerEntry | null {
    let bytes: Buffer;
    try {
      bytes = readFileSync(join(directory, 'ledger'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    return newest(bytes).entry;
  }

  private constructor(fd: number, generation: number) {
    this.#fd = fd;
    this.#generation = generation;
  }

  get fd(): number {
    return this.#fd;
  }

  /** Writes the entry so that it survives this process; `fdatasync` of `fd` makes it survive a power cut. */
  write(entry: LedgerEntry): void {
    const payload = JSON.stringify({ version: LEDGER_VERSION, ...entry });
    const frame = this.#encoder.encode(this.#generation + 1, payload);
    if (frame === null || frame.length > SLOT_BYTES) {
      throw new RangeError(`A ledger entry of ${payload.length + FRAME_HEADER_BYTES} bytes does not fit.`);
    }
    const slot = (this.#generation + 1) % 2;
    const written = writeSync(this.#fd, frame, 0, frame.length, slot * SLOT_BYTES);
    if (written < frame.length) throw new Error('short write to the ledger');
    this.#generation += 1;
  }

  sync(): void {
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function newest(bytes: Buffer): { generation: number; entry: LedgerEntry | null } {
  let generation = 0;
  let entry: LedgerEntry | null = null;
  for (const { number, payload } of scanFrames(bytes).records) {
    const parsed = ledgerEntry.safeParse(parseJson(payload));
    if (!parsed.success || number <= generation) continue;
    generation = number;
    entry = parsed.data;
  }
  return { generation, entry };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}
