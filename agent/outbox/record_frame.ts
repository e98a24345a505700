/**
 * The layout of a record in a file of the spool. This module turns bytes into values and back:
 *
 *   magic (4) | payload length (4) | record number (8) | CRC-32 of length, number and payload (4) | payload
 *
 * All numbers little-endian. The payload is JSON in UTF-8, in which the magic's first byte (0xF5) can never
 * occur (RFC 3629 section 1), so after damage the next record is found by looking for the magic and trusting
 * only a good checksum.
 */
import { crc32 } from 'node:zlib';

const MAGIC = Buffer.from([0xf5, 0x49, 0x57, 0x01]);
export const FRAME_HEADER_BYTES = 20;
/**
 * No record is larger; a length above it is damage. Four times the largest HTTP head that a call may carry.
 */
export const MAX_PAYLOAD_BYTES = 1024 * 1024;

export interface FramedRecord {
  /** Position of the record in its lane; grows by one with every record appended. */
  number: number;
  /** A view on the scanned bytes. */
  payload: Buffer;
  /** Offsets in the scanned bytes: the begin of the frame, and the begin of the next one. */
  start: number;
  end: number;
}

/** Turns records into frames in one buffer that is used again: the result is valid until the next call. */
export class FrameEncoder {
  #buffer = Buffer.allocUnsafe(8 * 1024);

  /** Returns null when the payload is larger than `MAX_PAYLOAD_BYTES`. */
  encode(number: number, payload: string | Buffer): Buffer | null {
    const length = Buffer.byteLength(payload);
    if (length > MAX_PAYLOAD_BYTES) return null;
    const size = FRAME_HEADER_BYTES + length;
    if (this.#buffer.length < size) this.#buffer = Buffer.allocUnsafe(2 ** Math.ceil(Math.log2(size)));
    const frame = this.#buffer.subarray(0, size);
    frame.set(MAGIC, 0);
    frame.writeUInt32LE(length, 4);
    frame.writeUInt32LE(number % 2 ** 32, 8);
    frame.writeUInt32LE(Math.floor(number / 2 ** 32), 12);
    if (typeof payload === 'string') frame.write(payload, FRAME_HEADER_BYTES, 'utf8');
    else frame.set(payload, FRAME_HEADER_BYTES);
    frame.writeUInt32LE(checksum(frame), 16);
    return frame;
  }
}

function checksum(frame: Buffer): number {
  return crc32(frame.subarray(FRAME_HEADER_BYTES), crc32(frame.subarray(4, 16)));
}

/**
 * Returns the whole records in `bytes`, in order; bytes between them are skipped. `incompleteAt` is the begin
 * of a frame that the end of `bytes` may have cut (`bytes.length` if there is none). A reader of a growing or
 * partly read file continues there. At the end of a file everything after it is damage.
 */
export function scanFrames(bytes: Buffer): { records: FramedRecord[]; incompleteAt: number } {
  const records: FramedRecord[] = [];
  let incompleteAt = bytes.length;
  let at = 0;
  while (at < bytes.length) {
    const start = bytes.indexOf(MAGIC, at);
    if (start === -1) {
      incompleteAt = Math.min(incompleteAt, startOfCutMagic(bytes, at));
      break;
    }
    const record = frameAt(bytes, start);
    if (record === 'cut') {
      // Perhaps only a damaged length: good records may follow, but a reader of a growing file starts here
      // again.
      incompleteAt = Math.min(incompleteAt, start);
      at = start + 1;
    } else if (record === 'damaged') {
      at = start + 1;
    } else {
      records.push(record);
      // A whole record after a frame that looked cut shows that the frame was damaged and not cut.
      incompleteAt = bytes.length;
      at = record.end;
    }
  }
  return { records, incompleteAt };
}

function frameAt(bytes: Buffer, start: number): FramedRecord | 'cut' | 'damaged' {
  if (start + FRAME_HEADER_BYTES > bytes.length) return 'cut';
  const length = bytes.readUInt32LE(start + 4);
  if (length > MAX_PAYLOAD_BYTES) return 'damaged';
  const end = start + FRAME_HEADER_BYTES + length;
  if (end > bytes.length) return 'cut';
  const frame = bytes.subarray(start, end);
  if (frame.readUInt32LE(16) !== checksum(frame)) return 'damaged';
  const number = frame.readUInt32LE(12) * 2 ** 32 + frame.readUInt32LE(8);
  if (!Number.isSafeInteger(number)) return 'damaged';
  return { number, payload: frame.subarray(FRAME_HEADER_BYTES), start, end };
}

/**
 * Returns the offset of the first one to three bytes of a magic at the end of `bytes`; their length without
 * one.
 */
function startOfCutMagic(bytes: Buffer, from: number): number {
  for (let kept = Math.min(MAGIC.length - 1, bytes.length - from); kept > 0; kept -= 1) {
    const start = bytes.length - kept;
    if (bytes.subarray(start).equals(MAGIC.subarray(0, kept))) return start;
  }
  return bytes.length;
}
