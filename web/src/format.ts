/** Formats numbers, durations and sizes for people. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const COMPACT_FROM = 100_000;

export function count(value: number): string {
  return whole.format(value);
}

/** Shortens a large number, for tiles and table cells. Their title has the exact number from `count`. */
export function shortCount(value: number): string {
  return Math.abs(value) < COMPACT_FROM ? whole.format(value) : compact.format(value);
}

/** Rounds down, so that 100 % appears only if nothing is missing. */
export function percent(value: number): string {
  const digits = value >= 100 || value === 0 ? 0 : value > 99 ? 2 : 1;
  const floored = Math.floor(value * 10 ** digits) / 10 ** digits;
  return `${floored.toLocaleString(undefined, { maximumFractionDigits: digits })} %`;
}

const UNITS: [string, number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/**
 * Formats a duration with its two largest units, such as `3 h 12 min`. Below one second it uses milliseconds.
 */
export function duration(seconds: number): string {
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  let rest = Math.round(seconds);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && amount === 0)) break;
  }
  return parts.length === 0 ? '0 s' : parts.join(' ');
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
export function bytes(value: number): string {
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < BYTE_UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${amount.toLocaleString(undefined, { maximumFractionDigits: amount < 10 && unit > 0 ? 1 : 0 })} ${BYTE_UNITS[unit]}`;
}

/** Formats a number with its noun: `1 host`, `3 hosts`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Quotes command arguments so that a shell reads them back unchanged. */
export function shellLine(args: readonly string[]): string {
  return args
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
