/**
 * Sums over days that are over. They hardly ever change, and a window of ninety days is nearly all of such days: they are kept in
 * memory for as long as `changed_days` says the same.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Question, TotalRow } from './totals.ts';

/** Of all answers that are kept: some 40 MB. */
const MAX_ROWS = 300_000;

interface Kept {
  changes: number;
  rows: TotalRow[];
}

export class ClosedSums {
  readonly #changes: StatementSync;
  /** The one that was asked for longest ago first. */
  readonly #kept = new Map<string, Kept>();
  #rows = 0;

  constructor(database: DatabaseSync) {
    this.#changes = database.prepare(
      'SELECT coalesce(sum(changes), 0) AS changes FROM changed_days WHERE day >= ? AND day < ?',
    );
  }

  /** `by`: the columns of the sums. Nobody changes the rows. */
  of(question: Question, by: readonly string[], sum: () => TotalRow[]): TotalRow[] {
    if (question.parts.length === 0) return [];
    const key = JSON.stringify([question, by]);
    const changes = this.#changesIn(question);
    const known = this.#kept.get(key);
    if (known !== undefined) this.#drop(key, known);
    const kept = known?.changes === changes ? known : { changes, rows: sum() };
    if (kept.rows.length > MAX_ROWS) return kept.rows;
    this.#kept.set(key, kept);
    this.#rows += kept.rows.length;
    for (const [oldest, of] of this.#kept) {
      if (this.#rows <= MAX_ROWS) break;
      this.#drop(oldest, of);
    }
    return kept.rows;
  }

  #drop(key: string, { rows }: Kept): void {
    this.#kept.delete(key);
    this.#rows -= rows.length;
  }

  #changesIn({ parts }: Question): number {
    const days = parts.map(({ unit, from, to }) =>
      unit === 'day' ? { from, to } : { from: Math.floor(from / 24), to: Math.ceil(to / 24) },
    );
    const from = Math.min(...days.map((part) => part.from));
    const to = Math.max(...days.map((part) => part.to));
    return Number(this.#changes.get(from, to)!['changes']);
  }
}
