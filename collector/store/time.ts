/** The store's times: whole microseconds since 1970, UTC. */

/** Thousands of records in a row are of the same second, and parsing the date is most of the work. */
let lastSecond = '';
let lastSecondUs = 0;

/** Converts an RFC 3339 timestamp in UTC to microseconds since 1970. */
export function toMicroseconds(timestamp: string): number {
  const second = timestamp.slice(0, 19);
  if (second !== lastSecond) {
    lastSecondUs = Date.parse(`${second}Z`) * 1000;
    lastSecond = second;
  }
  return lastSecondUs + Number(timestamp.slice(20, -1).padEnd(6, '0'));
}

/** Converts microseconds since 1970 to an RFC 3339 timestamp in UTC with six digits. */
export function toTimestamp(microseconds: number): string {
  const seconds = new Date(Math.floor(microseconds / 1_000_000) * 1000).toISOString().slice(0, 19);
  const fraction = ((microseconds % 1_000_000) + 1_000_000) % 1_000_000;
  return `${seconds}.${String(fraction).padStart(6, '0')}Z`;
}
