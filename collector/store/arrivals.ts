/**
 * Notes of the calls that a transaction has stored, in their order. Whoever sends every call on reads the notes, because
 * the calls themselves have no order of arrival: they are kept by their time, and agents deliver some of them days late.
 *
 * A call has a position: the number of calls that were noted up to it. A note has the positions up to `last`.
 */
import type { Call } from '../../protocol/call.ts';

/** Row of `sums`: 1 while arrivals are noted. */
export const ARRIVALS_NOTED = 'arrivals_noted';
/** Row of `sums`: when the notes that are kept now were begun. It tells them apart from earlier ones. */
export const ARRIVALS_SINCE_US = 'arrivals_since_us';
/** Row of `sums`: when calls were last read by somebody who keeps the own position, as `imdswatch calls --follow` does. */
export const ARRIVALS_FOLLOWED_US = 'arrivals_followed_us';
/** Calls of one note. A transaction with more makes several. */
export const MAX_NOTED = 2000;
const HOST_BYTES = 6;
const TIME_BYTES = 8;
const ID_BYTES = 16;
const KEY_BYTES = HOST_BYTES + TIME_BYTES + ID_BYTES;

/** The key of a call in the store. */
export interface CallKey {
  /** Number of its host. */
  host: number;
  timeUs: number;
  /** Hexadecimal digits. */
  id: string;
}

export interface Note {
  calls: number;
  oldestUs: number;
  newestUs: number;
  keys: Buffer;
}

/** Some of the calls, in the order of their arrival. */
export interface ArrivedCalls {
  calls: Call[];
  /** Position of each of them. */
  positions: number[];
  /** When each of them was stored, in microseconds since 1970. */
  storedUs: number[];
  /** Position after which the following calls come. */
  next: number;
  /** The first and the last position that was read, with the ids of their calls (hexadecimal digits), which may be deleted. */
  ends: readonly [NotedCall, NotedCall] | null;
}

export interface NotedCall {
  position: number;
  id: string;
}

/** The notes behind a position. */
export interface WaitingArrivals {
  /** Position of the last call that was noted. */
  last: number;
  /** When the calls of the first note behind the position were stored, and the earliest time of one of them. */
  storedUs: number | null;
  oldestUs: number | null;
  /** All calls from the position up to this one were deleted. */
  deletedUpTo: number;
  /** When calls were last followed; null where they never were. */
  followedUs: number | null;
}

/** The part of the store by which calls are read in the order of their arrival. */
export interface ArrivalStore {
  /** Notes arrivals from now on. Calls that are stored after it resolves are noted. */
  noteArrivals(nowUs: number): Promise<void>;
  /** Does the same, and remembers that calls are followed at this time. Returns when the notes were begun. */
  followArrivals(nowUs: number): Promise<number>;
  /** Notes no more arrivals, and forgets all notes. Does nothing where calls were followed at this time or later. */
  endArrivals(unlessFollowedUs: number): Promise<void>;
  /**
   * Returns the calls behind a position, from at most `limit` positions. Those that retention has deleted are left out.
   */
  arrivals(after: number, limit: number): Promise<ArrivedCalls>;
  arrivalsBehind(after: number): Promise<WaitingArrivals>;
  /** Deletes notes up to a position. The last one stays: the next positions follow it. */
  forgetArrivals(upTo: number): Promise<void>;
}

/** Puts keys together to notes. */
export function notesOf(keys: readonly CallKey[]): Note[] {
  const notes: Note[] = [];
  for (let from = 0; from < keys.length; from += MAX_NOTED) {
    const some = keys.slice(from, from + MAX_NOTED);
    const bytes = Buffer.allocUnsafe(some.length * KEY_BYTES);
    let [oldestUs, newestUs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    some.forEach(({ host, timeUs, id }, at) => {
      const start = at * KEY_BYTES;
      bytes.writeUIntBE(host, start, HOST_BYTES);
      bytes.writeDoubleBE(timeUs, start + HOST_BYTES);
      bytes.write(id, start + HOST_BYTES + TIME_BYTES, 'hex');
      oldestUs = Math.min(oldestUs, timeUs);
      newestUs = Math.max(newestUs, timeUs);
    });
    notes.push({ calls: some.length, oldestUs, newestUs, keys: bytes });
  }
  return notes;
}

/** Returns the keys of a note from a place on, at most `limit`. */
export function keysOf(bytes: Uint8Array, from: number, limit: number): CallKey[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const keys: CallKey[] = [];
  const end = Math.min(buffer.length, (from + limit) * KEY_BYTES);
  for (let start = from * KEY_BYTES; start < end; start += KEY_BYTES) {
    keys.push({
      host: buffer.readUIntBE(start, HOST_BYTES),
      timeUs: buffer.readDoubleBE(start + HOST_BYTES),
      id: buffer.toString('hex', start + HOST_BYTES + TIME_BYTES, start + KEY_BYTES),
    });
  }
  return keys;
}

/** Returns the first and the last of the keys that were read. */
export function endsOf(keys: readonly CallKey[], positions: readonly number[]): ArrivedCalls['ends'] {
  if (keys.length === 0) return null;
  const endAt = (at: number): NotedCall => ({ position: positions.at(at)!, id: keys.at(at)!.id });
  return [endAt(0), endAt(-1)];
}

/** A note as it is read. */
export interface StoredNote {
  last: number;
  calls: number;
  storedUs: number;
  keys: Uint8Array;
}

/** Returns the keys behind a position, at most `limit`, with their positions and times. `notes` are in their order. */
export function keysBehind(
  notes: readonly StoredNote[],
  after: number,
  limit: number,
): { keys: CallKey[]; positions: number[]; storedUs: number[] } {
  const keys: CallKey[] = [];
  const positions: number[] = [];
  const times: number[] = [];
  for (const { last, calls, storedUs, keys: bytes } of notes) {
    const first = last - calls + 1;
    const from = Math.max(0, after + 1 - first);
    keysOf(bytes, from, limit - keys.length).forEach((key, at) => {
      keys.push(key);
      positions.push(first + from + at);
      times.push(storedUs);
    });
    if (keys.length >= limit) break;
  }
  return { keys, positions, storedUs: times };
}
