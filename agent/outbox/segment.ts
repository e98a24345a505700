/**
 * One file of a lane. It is read in order, from the end of the last batch, and unreadable parts are skipped.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { FRAME_HEADER_BYTES, type FramedRecord, MAX_PAYLOAD_BYTES, scanFrames } from './record_frame.ts';

const READ_CHUNK_BYTES = 256 * 1024;

export interface Segment {
  path: string;
  first: number;
  /** One more than its last record's number. */
  end: number;
  bytes: number;
  /** Number of records that are in no batch yet, and the offset of the first of them. */
  unsent: number;
  unsentOffset: number;
}

/**
 * Gives the records from number `from` on to `accept`, as long as `fits` allows. Returns null when one did
 * not fit. Otherwise the segment has no more records, and the result is the number of them that could not be
 * read. Throws when reading again later may succeed.
 */
export function takeFromSegment(
  segment: Segment,
  from: number,
  fits: (payloadBytes: number) => boolean,
  accept: (number: number, payload: Buffer) => void,
): number | null {
  let next = from;
  let fd: number | null = null;
  try {
    fd = openSync(segment.path, 'r');
    let chunkBytes = READ_CHUNK_BYTES;
    while (segment.unsentOffset < segment.bytes) {
      const base = segment.unsentOffset;
      const wanted = Math.min(chunkBytes, segment.bytes - base);
      const chunk = Buffer.allocUnsafe(wanted);
      const read = readSync(fd, chunk, 0, wanted, base);
      const { records, incompleteAt } = scanFrames(chunk.subarray(0, read));
      for (const { number, payload, start, end } of records) {
        if (number < next) continue;
        if (!fits(payload.length)) {
          segment.unsentOffset = base + start;
          return null;
        }
        accept(number, payload);
        next = number + 1;
        segment.unsent -= 1;
        segment.unsentOffset = base + end;
      }
      if (read < wanted || base + read >= segment.bytes) break;
      segment.unsentOffset = base + incompleteAt;
      // One frame larger than the chunk: read more at once, up to the largest frame; beyond that it is
      // damage.
      if (incompleteAt === 0) {
        if (chunkBytes > FRAME_HEADER_BYTES + MAX_PAYLOAD_BYTES) segment.unsentOffset += 1;
        chunkBytes *= 2;
      }
    }
  } catch (error) {
    if (isTransient(error)) throw error;
  } finally {
    if (fd !== null) closeSync(fd);
  }
  const lost = segment.unsent;
  segment.unsent = 0;
  segment.unsentOffset = segment.bytes;
  return lost;
}

/** Returns all readable records of a segment. Throws when reading again later may succeed. */
export function readSegment({ path }: Segment): FramedRecord[] {
  try {
    return scanFrames(readFileSync(path)).records;
  } catch (error) {
    if (isTransient(error)) throw error;
    return [];
  }
}

/**
 * Returns true if reading again later may succeed. Other errors (no file, a bad disk) are losses that are
 * counted.
 */
function isTransient(error: unknown): boolean {
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EPERM'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  );
}
