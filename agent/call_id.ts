/** The id and the time of a call: both made once a call, from as little as they need. */
import { randomFillSync } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';

/** Each UUID takes 16; asking for them one by one was 12 % of the processor time of a call. */
const RANDOM_BYTES = 16;
const RANDOM_POOL_BYTES = 256 * RANDOM_BYTES;
const pool = new Uint8Array(RANDOM_POOL_BYTES);
let used = RANDOM_POOL_BYTES;

/** UUIDv7 (RFC 9562) of a moment in microseconds since the Unix epoch. */
export function callId(us: number): string {
  if (used === RANDOM_POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + RANDOM_BYTES);
  used += RANDOM_BYTES;
  return uuidv7({ msecs: Math.floor(us / 1_000), random });
}

let second = Number.NaN;
let secondText = '';

/** RFC 3339 with microseconds, UTC, of microseconds since the Unix epoch. */
export function timestampOf(us: number): string {
  const itsSecond = Math.floor(us / 1_000_000);
  if (itsSecond !== second) {
    second = itsSecond;
    secondText = new Date(itsSecond * 1_000).toISOString().slice(0, -'000Z'.length);
  }
  return `${secondText}${String(us - itsSecond * 1_000_000).padStart(6, '0')}Z`;
}
