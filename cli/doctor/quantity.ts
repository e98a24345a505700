/** Formats sizes and spans of time for people. */
const KIB = 1_024;
const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

export function sizeText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= KIB && unit < UNITS.length - 1; unit++) value /= KIB;
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

export function spanText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** Returns a count with its noun: `1 record`, `2 records`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
