/**
 * Keeps sums over past days in memory. Such days hardly ever change, and a window of ninety days consists of
 * almost nothing else. A sum is valid for as long as `changed_days` counts no new change of its days.
 */
import { createHash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { TotalColumn, TotalRow, TotalsQuestion } from './total_rows.ts';

/** Bound on the rows of all sums together: some 40 MB. */
export const MAX_ROWS = 300_000;

interface KeptSums {
  changes: number;
  rows: TotalRow[];
}

export class ClosedSums {
  readonly #changes: StatementSync;
  /** The least recently used sums come first. */
  readonly #kept = new Map<string, KeptSums>();
  #rows = 0;

  constructor(database: DatabaseSync) {
    this.#changes = database.prepare(
      'SELECT coalesce(sum(changes), 0) AS changes FROM changed_days WHERE day >= ? AND day < ?',
    );
  }

  /**
   * Returns the sums of a question, grouped by the columns `by`; `sum` works them out where they are not
   * known. Callers must not change the rows.
   */
  sums(question: TotalsQuestion, by: readonly TotalColumn[], sum: () => TotalRow[]): TotalRow[] {
    if (question.parts.length === 0) return [];
    const key = keyOf(question, by);
    const changes = this.#countChanges(question);
    const known = this.#kept.get(key);
    if (known !== undefined) this.#drop(key, known);
    const kept = known?.changes === changes ? known : { changes, rows: sum() };
    if (kept.rows.length > MAX_ROWS) return kept.rows;
    this.#kept.set(key, kept);
    this.#rows += kept.rows.length;
    for (const [oldest, sums] of this.#kept) {
      if (this.#rows <= MAX_ROWS) break;
      this.#drop(oldest, sums);
    }
    return kept.rows;
  }

  #drop(key: string, { rows }: KeptSums): void {
    this.#kept.delete(key);
    this.#rows -= rows.length;
  }

  #countChanges({ parts }: TotalsQuestion): number {
    const days = parts.map(({ unit, from, to }) =>
      unit === 'day' ? { from, to } : { from: Math.floor(from / 24), to: Math.ceil(to / 24) },
    );
    const from = Math.min(...days.map((part) => part.from));
    const to = Math.max(...days.map((part) => part.to));
    return Number(this.#changes.get(from, to)!['changes']);
  }
}

/** Lists of hosts can be long: of such a question the hash is kept. */
const MAX_KEY_CHARACTERS = 1000;

function keyOf(question: TotalsQuestion, by: readonly TotalColumn[]): string {
  const text = JSON.stringify([question, by]);
  return text.length <= MAX_KEY_CHARACTERS ? text : createHash('sha256').update(text).digest('base64');
}
