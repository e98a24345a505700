/** Times as the store counts them: whole microseconds since 1970, UTC. */

/** RFC 3339 in UTC to microseconds since 1970. */
export function toMicroseconds(timestamp: string): number {
  const fraction = timestamp.slice(20, -1).padEnd(6, '0');
  return Date.parse(`${timestamp.slice(0, 19)}Z`) * 1000 + Number(fraction);
}

/** Microseconds since 1970 to RFC 3339 in UTC with microseconds. */
export function toTimestamp(microseconds: number): string {
  const seconds = new Date(Math.floor(microseconds / 1_000_000) * 1000).toISOString().slice(0, 19);
  const fraction = ((microseconds % 1_000_000) + 1_000_000) % 1_000_000;
  return `${seconds}.${String(fraction).padStart(6, '0')}Z`;
}
