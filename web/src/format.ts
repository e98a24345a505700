/** Numbers and spans of time as people read them. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const COMPACT_FROM = 100_000;

export function count(value: number): string {
  return whole.format(value);
}

/** Short where it is large: for tiles and table cells, with `count` in the title. */
export function shortCount(value: number): string {
  return Math.abs(value) < COMPACT_FROM ? whole.format(value) : compact.format(value);
}

/** 100 % only where nothing is missing. */
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

/** The largest unit and the next below it: `3 h 12 min`. Below a second, in milliseconds. */
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

/** `1 host`, `3 hosts`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A list of command arguments as a shell would take them. */
export function shellLine(args: readonly string[]): string {
  return args
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
