/** Counts the calls, and the losses of coverage reports, that this collector has stored since its start. */
import { LOSSES, OTHER_LOSSES } from '../../protocol/losses.ts';
import type { Counters } from '../../protocol/records.ts';
import type { StoredBatch } from './store.ts';

/** Names of losses are bounded, because an agent of another release may send any. */
const KNOWN_LOSSES: ReadonlySet<string> = new Set([
  ...Object.entries(LOSSES).flatMap(([stage, names]) => names.map((name) => `${stage}.${name}`)),
  ...OTHER_LOSSES,
]);
const OTHER_LOSS = 'other';
/** Losses that are a time. */
const IN_MILLISECONDS = '_ms';

export interface CountedCall {
  version: 1 | 2 | null;
  category: string;
  count: number;
}

/** Sums that only grow. */
export interface StoredCounts {
  calls: readonly CountedCall[];
  /** By `stage.counter`. */
  losses: Counters;
  /** Time that was not watched, by `stage.counter`. */
  unwatchedMs: Counters;
}

/** The sums of one batch. They are made before the store is given its records, which nothing keeps afterwards. */
export class StoredTally {
  readonly #calls = new Map<string, CountedCall>();
  readonly #losses = new Map<string, number>();

  /** `batch`: the batch that is counted; null for none yet. */
  constructor(batch: StoredBatch | null) {
    for (const record of batch?.records ?? []) {
      switch (record.kind) {
        case 'call':
          this.#addCalls(record.call['imds.version'], record.call['imds.category'], 1);
          break;
        case 'rollup':
          for (const line of record.rollup.lines) this.#addCalls(2, line['imds.category'], line.count);
          break;
        case 'coverage':
          for (const [name, amount] of Object.entries(record.coverage.losses)) {
            this.#addLoss(KNOWN_LOSSES.has(name) ? name : OTHER_LOSS, amount);
          }
      }
    }
  }

  join(other: StoredTally): void {
    for (const { version, category, count } of other.#calls.values())
      this.#addCalls(version, category, count);
    for (const [name, amount] of other.#losses) this.#addLoss(name, amount);
  }

  counts(): StoredCounts {
    const isTime = (name: string) => name.endsWith(IN_MILLISECONDS);
    const losses = [...this.#losses];
    return {
      calls: [...this.#calls.values()],
      losses: Object.fromEntries(losses.filter(([name]) => !isTime(name))),
      unwatchedMs: Object.fromEntries(losses.filter(([name]) => isTime(name))),
    };
  }

  #addCalls(version: 1 | 2 | null, category: string, count: number): void {
    const key = `${version} ${category}`;
    const known = this.#calls.get(key);
    if (known === undefined) this.#calls.set(key, { version, category, count });
    else known.count += count;
  }

  #addLoss(name: string, amount: number): void {
    this.#losses.set(name, (this.#losses.get(name) ?? 0) + amount);
  }
}
