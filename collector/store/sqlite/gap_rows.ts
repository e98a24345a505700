/**
 * The rows of gaps. Touching gaps of one reason are merged, and their number per host is bounded. Beyond the
 * bound two neighbours become one gap that also covers the time between them: a merged gap covers more, never
 * less.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../contract/host.ts';
import { DAY_US } from '../../contract/window.ts';
import { addAmounts } from './amounts.ts';

/** Gaps of one host and reason in one day of the host's clock. */
export const MAX_GAPS_OF_DAY = 48;
/** Gaps of one host and reason in all: ten a day for a year. */
export const MAX_GAPS = 4_000;

/**
 * Name of the amount of time that was not watched. A gap of time without this amount was not watched at all.
 */
export const MISSING_US = 'missing_us';
const TIME_REASONS: ReadonlySet<GapReason> = new Set(['agent_not_running', 'boot', 'capture_not_live']);

/** Returns the unwatched part of a gap, which is at most its length. */
export function missingOf(reason: GapReason, startUs: number, endUs: number, amounts: string | null): number {
  const lengthUs = endUs - startUs;
  if (!TIME_REASONS.has(reason) || amounts === null) return lengthUs;
  const amountUs = (JSON.parse(amounts) as Record<string, number>)[MISSING_US];
  return amountUs === undefined ? lengthUs : Math.min(amountUs, lengthUs);
}

interface GapRow {
  start_us: number;
  end_us: number;
  amounts: string | null;
}

export class GapRows {
  readonly #latestBefore: StatementSync;
  readonly #firstAfter: StatementSync;
  readonly #within: StatementSync;
  readonly #countOf: StatementSync;
  readonly #set: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    const columns = 'SELECT start_us, end_us, amounts FROM gaps WHERE host = ? AND reason = ?';
    this.#latestBefore = database.prepare(`${columns} AND start_us <= ? ORDER BY start_us DESC LIMIT 1`);
    this.#firstAfter = database.prepare(`${columns} AND start_us > ? ORDER BY start_us LIMIT 1`);
    this.#within = database.prepare(`${columns} AND start_us > ? AND start_us <= ? ORDER BY start_us`);
    this.#countOf = database.prepare(
      'SELECT count(*) AS count FROM gaps WHERE host = ? AND reason = ? AND start_us >= ? AND start_us < ?',
    );
    this.#set = database.prepare(
      'INSERT OR REPLACE INTO gaps (host, reason, start_us, end_us, amounts) VALUES (?, ?, ?, ?, ?)',
    );
    this.#delete = database.prepare('DELETE FROM gaps WHERE host = ? AND reason = ? AND start_us = ?');
  }

  /**
   * Adds a gap. It becomes one with a gap of the same reason that lies at most `touchingUs` before it.
   * Returns false where the host had too many, and it was merged with one that it does not touch.
   */
  addGap(
    host: number,
    reason: GapReason,
    startUs: number,
    endUs: number,
    amounts: string | null,
    touchingUs: number,
  ): boolean {
    const before = this.#latestBefore.get(host, reason, startUs) as GapRow | undefined;
    if (before !== undefined && before.end_us + touchingUs >= startUs) {
      this.#grow(host, reason, before, before.start_us, endUs, amounts, startUs);
      return true;
    }
    if (!this.#isFull(host, reason, startUs)) {
      this.#set.run(host, reason, startUs, endUs, addAmounts(null, amounts));
      return true;
    }
    const neighbour = before ?? (this.#firstAfter.get(host, reason, startUs) as GapRow | undefined);
    if (neighbour === undefined) throw new Error('A host that has too many gaps has none.');
    this.#grow(host, reason, neighbour, Math.min(neighbour.start_us, startUs), endUs, amounts, startUs);
    return false;
  }

  #isFull(host: number, reason: GapReason, atUs: number): boolean {
    const dayUs = Math.floor(atUs / DAY_US) * DAY_US;
    return (
      this.#count(host, reason, dayUs, dayUs + DAY_US) >= MAX_GAPS_OF_DAY ||
      this.#count(host, reason, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) >= MAX_GAPS
    );
  }

  #count(host: number, reason: GapReason, fromUs: number, toUs: number): number {
    return Number(this.#countOf.get(host, reason, fromUs, toUs)!['count']);
  }

  /** Merges a row, the gap that is added to it, and every other row that the result overlaps. */
  #grow(
    host: number,
    reason: GapReason,
    row: GapRow,
    startUs: number,
    endUs: number,
    added: string | null,
    addedStartUs: number,
  ): void {
    let reachUs = Math.max(row.end_us, endUs);
    let amounts = addAmounts(
      withMissing(reason, row),
      withMissing(reason, { start_us: addedStartUs, end_us: endUs, amounts: added }),
    );
    if (row.start_us !== startUs) this.#delete.run(host, reason, row.start_us);
    for (const swallowed of this.#within.all(host, reason, startUs, reachUs) as unknown as GapRow[]) {
      if (swallowed.start_us === row.start_us) continue;
      reachUs = Math.max(reachUs, swallowed.end_us);
      amounts = addAmounts(amounts, withMissing(reason, swallowed));
      this.#delete.run(host, reason, swallowed.start_us);
    }
    this.#set.run(host, reason, startUs, reachUs, amounts);
  }
}

/** Returns amounts that can be added up: the unwatched time is explicit. */
function withMissing(reason: GapReason, { start_us, end_us, amounts }: GapRow): string | null {
  if (!TIME_REASONS.has(reason)) return amounts;
  const missingUs = missingOf(reason, start_us, end_us, amounts);
  return JSON.stringify({ ...JSON.parse(amounts ?? '{}'), [MISSING_US]: missingUs });
}
