/**
 * Rows of the roll-ups that a question sums, as values: which part of which tables, and sums that are merged.
 */

/** Class of the calls of a roll-up row. It leads every key, see the schema. */
export const KIND_CLASS = {
  /** The sum of class `v2` over all workloads of a host. */
  v2Sum: 0,
  v1: 1,
  v2: 2,
  /**
   * Calls that are no IMDSv1 calls, and that verdicts look at for each workload: attempts that were blocked,
   * endpoints without versions, requests for another cloud, refused reads of clients that then took a token,
   * and refused tokens.
   */
  neither: 3,
} as const;

/** A span of whole hours or whole days since 1970. */
export interface Part {
  unit: 'hour' | 'day';
  from: number;
  /** Exclusive. */
  to: number;
}

export interface TotalsQuestion {
  classes: number[];
  parts: Part[];
  /** Numbers of hosts and workloads. Null selects all, an empty list none. */
  hosts: number[] | null;
  identities: number[] | null;
  /** First and last number of the hosts; without it, all those of `hosts`. */
  span?: HostSpan;
}

export interface HostSpan {
  from: number;
  to: number;
}

export interface TotalRow {
  identity: number;
  host: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}

export type TotalColumn = 'identity' | 'host' | 'kind';

/** Returns the parts that lie in the days from `fromDay` until before `toDay`. */
export function partsWithin(parts: Part[], fromDay: number, toDay: number): Part[] {
  return parts
    .map(({ unit, from, to }) => {
      const units = unit === 'hour' ? 24 : 1;
      return { unit, from: Math.max(from, fromDay * units), to: Math.min(to, toDay * units) };
    })
    .filter(({ from, to }) => from < to);
}

/** Adds up rows of equal workload, host and kind. Both lists are ordered by these, and so is the result. */
export function mergeTotals(
  left: readonly TotalRow[],
  right: readonly TotalRow[],
  compare: (a: TotalRow, b: TotalRow) => number = compareRows,
): TotalRow[] {
  const rows: TotalRow[] = [];
  let at = 0;
  for (const row of left) {
    let order = -1;
    while (at < right.length) {
      order = compare(right[at]!, row);
      if (order >= 0) break;
      rows.push(right[at]!);
      at += 1;
    }
    if (at === right.length || order !== 0) {
      rows.push(row);
      continue;
    }
    const more = right[at]!;
    at += 1;
    rows.push({
      identity: row.identity,
      host: row.host,
      kind: row.kind,
      count: row.count + more.count,
      firstUs: Math.min(row.firstUs, more.firstUs),
      lastUs: Math.max(row.lastUs, more.lastUs),
    });
  }
  for (; at < right.length; at += 1) rows.push(right[at]!);
  return rows;
}

/** Compares two rows of one question. Both lack the columns that it does not group by. */
function compareRows(a: TotalRow, b: TotalRow): number {
  if (a.identity !== b.identity) return a.identity - b.identity;
  if (a.host !== b.host) return a.host - b.host;
  return a.kind === b.kind ? 0 : a.kind - b.kind;
}

/** Compares two rows in the order of hosts, then of workloads and kinds. */
export function compareByHost(a: TotalRow, b: TotalRow): number {
  return a.host - b.host || a.identity - b.identity || a.kind - b.kind;
}

/** Returns the rows of a span of hosts from rows in the order of hosts. */
export function rowsOfSpan(rows: readonly TotalRow[], { from, to }: HostSpan): TotalRow[] {
  return rows.slice(placeOf(rows, from), placeOf(rows, to + 1));
}

/** Returns the place of the first row of a host, or of one after it. */
function placeOf(rows: readonly TotalRow[], host: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.host < host) low = middle + 1;
    else high = middle;
  }
  return low;
}
