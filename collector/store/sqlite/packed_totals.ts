/**
 * Totals of hosts in the form that the reader's thread sends: some ten thousand rows that differ in three
 * numbers. Columns are copied in no time; copying objects took longer than reading the rows.
 */
import type { CallKind, CountedCalls } from '../store.ts';

export interface HostTotals {
  hostId: string;
  identity: string | null;
  kinds: CountedCalls[];
}

export interface PackedHostTotals {
  owners: { hostId: string; identity: string | null }[];
  /** Index after the last row of each owner. */
  ends: number[];
  /** The kinds of the rows, each of them once. */
  kinds: CallKind[];
  kindOf: Uint32Array;
  counts: Float64Array;
  firstUs: Float64Array;
  lastUs: Float64Array;
}

interface PackedRow {
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}

/** Number in place of a kind: IMDSv2 calls that are not told apart. */
export const PLAIN_V2 = 0;
export const PLAIN_V2_KIND: CallKind = {
  version: 2,
  endpoint: null,
  category: 'other',
  status: null,
  outcome: 'answered',
  fallback: null,
  role: null,
  userAgent: null,
};

export class HostTotalsPacker {
  readonly #kindById: (id: number) => CallKind;
  readonly #owners: PackedHostTotals['owners'] = [];
  readonly #ends: number[] = [];
  readonly #kinds: CallKind[] = [];
  readonly #kindIndex = new Map<number, number>();
  readonly #rows: PackedRow[] = [];
  #host = -1;
  #identity: number | null = -1;

  constructor(kindById: (id: number) => CallKind) {
    this.#kindById = kindById;
  }

  /** Sets the owner of the next rows. The rows of one owner are added one after the other. */
  setOwner(host: number, identity: number | null, name: () => PackedHostTotals['owners'][number]): void {
    if (host === this.#host && identity === this.#identity) return;
    if (this.#owners.length > 0) this.#ends.push(this.#rows.length);
    this.#host = host;
    this.#identity = identity;
    this.#owners.push(name());
  }

  addRow({ kind, count, firstUs, lastUs }: PackedRow): void {
    let index = this.#kindIndex.get(kind);
    if (index === undefined) {
      index = this.#kinds.push(kind === PLAIN_V2 ? PLAIN_V2_KIND : this.#kindById(kind)) - 1;
      this.#kindIndex.set(kind, index);
    }
    this.#rows.push({ kind: index, count, firstUs, lastUs });
  }

  packed(): PackedHostTotals {
    const rows = this.#rows;
    return {
      owners: this.#owners,
      ends: this.#owners.length === 0 ? [] : [...this.#ends, rows.length],
      kinds: this.#kinds,
      kindOf: Uint32Array.from(rows, ({ kind }) => kind),
      counts: Float64Array.from(rows, ({ count }) => count),
      firstUs: Float64Array.from(rows, ({ firstUs }) => firstUs),
      lastUs: Float64Array.from(rows, ({ lastUs }) => lastUs),
    };
  }
}

export function unpackHostTotals(packed: PackedHostTotals): HostTotals[] {
  const { owners, ends, kinds, kindOf, counts, firstUs, lastUs } = packed;
  let at = 0;
  return owners.map(({ hostId, identity }, index) => {
    const counted: CountedCalls[] = [];
    for (; at < ends[index]!; at += 1) {
      const {
        version,
        endpoint,
        category,
        status,
        outcome,
        fallback,
        answeredBy,
        callerRole,
        role,
        userAgent,
      } = kinds[kindOf[at]!]!;
      counted.push({
        version,
        endpoint,
        category,
        status,
        outcome,
        fallback,
        ...(answeredBy != null && { answeredBy }),
        ...(callerRole != null && { callerRole }),
        role,
        userAgent,
        count: counts[at]!,
        firstUs: firstUs[at]!,
        lastUs: lastUs[at]!,
      });
    }
    return { hostId, identity, kinds: counted };
  });
}
