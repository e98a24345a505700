/** Checks within one store that sums equal what they are sums of. A collector may go on writing: it reads one moment. */
import { DAY_US, HOUR_US } from '../contract/window.ts';
import { SUMS_DELETED_UNTIL_US } from '../store/sqlite/retention.ts';
import { toTimestamp } from '../store/time.ts';
import { type Comparison, compareStores } from './compare_stores.ts';
import type { FindingsReader } from './findings.ts';
import { INVARIANTS, type Invariant, type InvariantName, type Key, type Retained } from './invariants.ts';
import { openSource, type Place } from './places.ts';
import type { Cell } from './stored_tables.ts';

/** Differences of one invariant that are listed; all of them are counted. */
const MAX_LISTED = 10;

export interface Difference {
  /** RFC 3339; null where the figure is not of one hour or day. */
  hour: string | null;
  /** Such as `2026-11-20`. */
  day: string | null;
  /** Id of the host; its number in the store where there is no such host any more. */
  host: string | null;
  /** Name of a stream or a partition. */
  name: string | null;
  /** Numbers of rows, as in the tables of the store. */
  class: number | null;
  workload: number | null;
  kind: number | null;
  found: number;
  expected: number;
}

export interface CheckedInvariant {
  name: InvariantName;
  table: string;
  /** Number of figures that differ; `differences` has the first ones. */
  different: number;
  differences: Difference[];
}

export interface StoreCheck {
  place: string;
  /** Start of the first whole day whose sums are all retained; null where all days are. */
  since: string | null;
  checked: CheckedInvariant[];
  /** The tables of this store and of another one; null where none was named. */
  against: { place: string; tables: Comparison[] } | null;
}

export interface CheckOptions {
  /** Another store, which should have the same rows. No collector may use either. */
  against: Place | null;
}

/** Throws `OperatorError` where a store cannot be opened, or has a schema of another release. */
export async function checkStore(place: Place, { against }: CheckOptions): Promise<StoreCheck> {
  const store = await openSource(place);
  try {
    const other = against === null ? null : await openSource(against);
    try {
      if (other !== null) {
        await store.requireUnused();
        await other.requireUnused();
      }
      const { since, checked } = await store.snapshot(checkInvariants);
      if (other === null) return { place: store.place, since, checked, against: null };
      const tables = await compareStores(store, other);
      return { place: store.place, since, checked, against: { place: other.place, tables } };
    } finally {
      await other?.close();
    }
  } finally {
    await store.close();
  }
}

/** Tells whether everything that was checked is equal. */
export function isEqual({ checked, against }: StoreCheck): boolean {
  return (
    checked.every(({ different }) => different === 0) &&
    (against === null || against.tables.every(({ isSame }) => isSame))
  );
}

async function checkInvariants(reader: FindingsReader): Promise<Pick<StoreCheck, 'since' | 'checked'>> {
  const retained = await readRetained(reader);
  const checked: CheckedInvariant[] = [];
  for (const invariant of INVARIANTS) {
    if (invariant.kind !== undefined && invariant.kind !== reader.kind) continue;
    checked.push(await check(reader, invariant, retained));
  }
  return { since: retained.day === 0 ? null : toTimestamp(retained.day * DAY_US), checked };
}

async function readRetained(reader: FindingsReader): Promise<Retained> {
  const [row] = await reader.select(`SELECT value FROM sums WHERE name = '${SUMS_DELETED_UNTIL_US}'`);
  const untilUs = Number(row?.['value'] ?? 0);
  return { hour: Math.ceil(untilUs / HOUR_US), day: Math.ceil(untilUs / DAY_US) };
}

async function check(
  reader: FindingsReader,
  { name, table, keys, sql }: Invariant,
  retained: Retained,
): Promise<CheckedInvariant> {
  const withHost = keys.includes('host');
  const rows = await reader.select(
    `SELECT d.*, count(*) OVER () AS total ${withHost ? ', hosts.host_id AS "hostId"' : ''}
     FROM (${sql(retained)}) AS d ${withHost ? 'LEFT JOIN hosts ON hosts.id = d.host' : ''}
     ${keys.length === 0 ? '' : `ORDER BY ${keys.map((key) => `d.${key}`).join(', ')}`} LIMIT ${MAX_LISTED}`,
  );
  return {
    name,
    table,
    different: Number(rows[0]?.['total'] ?? 0),
    differences: rows.map((row) => differenceOf(row)),
  };
}

function differenceOf(row: Record<string, Cell>): Difference {
  const text = (key: Key) => (row[key] === undefined ? null : String(row[key]));
  const number = (key: Key) => (row[key] === undefined ? null : Number(row[key]));
  const [hour, day] = [number('hour'), number('day')];
  return {
    hour: hour === null ? null : toTimestamp(hour * HOUR_US),
    day: day === null ? null : toTimestamp(day * DAY_US).slice(0, 10),
    host: row['hostId'] == null ? text('host') : String(row['hostId']),
    name: text('name'),
    class: number('class'),
    workload: number('workload'),
    kind: number('kind'),
    found: Number(row['found']),
    expected: Number(row['expected']),
  };
}
