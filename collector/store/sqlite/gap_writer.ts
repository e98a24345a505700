/**
 * Coverage reports to gaps, as they come: what a question over weeks needs is the gaps, not the reports.
 *
 * A gap is never explained away: a clock that was set back or forth makes gaps too many rather than too few.
 * The last report in order of arrival, not the one with the latest time, says from when on nothing is known.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { LOSSES_OF_THE_CALLER } from '../../../protocol/losses.ts';
import { KERNEL_NOT_ASKED, ONE_INTERFACE, ONE_NAMESPACE } from '../../contract/coverage_marks.ts';
import type { GapReason } from '../../contract/host.ts';
import { DAY_US } from '../../contract/window.ts';
import { addAmounts } from './amounts.ts';
import { GapRows, MISSING_US } from './gap_rows.ts';
import type { HostBounds } from './host_bounds.ts';
import { accountFor, type Report } from './run_account.ts';
import type { RunStates } from './run_rows.ts';

export type { Report } from './run_account.ts';

/** The latest boots of one host that are kept. */
export const MAX_BOOTS = 1_000;

/** A first report that begins so much after the collector's time comes from a clock that is ahead. */
const AHEAD_US = 5 * 60_000_000;

export class GapWriter {
  readonly #nowUs: () => number;
  readonly #setWatched: StatementSync;
  readonly #setBoot: StatementSync;
  readonly #countBoots: StatementSync;
  readonly #dropOldestBoot: StatementSync;
  readonly #gaps: GapRows;
  readonly #bounds: HostBounds | null;
  readonly #runs: RunStates;
  readonly #dayOf: StatementSync;
  readonly #setDay: StatementSync;

  /**
   * `bounds` is null, and `runs` a map, while a store is migrated from a schema that had none. `nowUs` is the
   * collector's clock.
   */
  constructor(
    database: DatabaseSync,
    bounds: HostBounds | null,
    runs: RunStates,
    nowUs: () => number = () => Number.MAX_SAFE_INTEGER,
  ) {
    this.#nowUs = nowUs;
    this.#bounds = bounds;
    this.#runs = runs;
    this.#gaps = new GapRows(database);
    this.#setWatched = database.prepare(
      `INSERT INTO watched (host, first_us, last_us, boot_id) VALUES (?, ?, ?, ?)
       ON CONFLICT (host) DO UPDATE SET first_us = iif(first_us > ?, min(first_us, excluded.first_us), first_us),
         last_us = excluded.last_us, boot_id = excluded.boot_id`,
    );
    this.#setBoot = database.prepare(
      `INSERT INTO boots (host, boot_id, first_us, last_us) VALUES (?, ?, ?, ?)
       ON CONFLICT (host, boot_id) DO UPDATE SET first_us = min(first_us, excluded.first_us),
         last_us = max(last_us, excluded.last_us)`,
    );
    this.#countBoots = database.prepare('SELECT count(*) AS count FROM boots WHERE host = ?');
    this.#dropOldestBoot = database.prepare(
      `DELETE FROM boots WHERE host = ?1 AND boot_id =
         (SELECT boot_id FROM boots WHERE host = ?1 ORDER BY last_us, boot_id LIMIT 1)`,
    );
    this.#dayOf = database.prepare('SELECT * FROM coverage_days WHERE day = ? AND host = ?');
    this.#setDay = database.prepare('INSERT OR REPLACE INTO coverage_days VALUES (?, ?, ?, ?, ?, ?)');
  }

  addReport(host: number, report: Report): void {
    const { bootId, endUs } = report;
    const startUs = Math.min(report.startUs, endUs);
    const last = this.#runs.get(host) ?? null;
    const { between, span, notLiveUs, unexplained, unfinished, state } = accountFor(last, report);
    for (const missed of between?.spans ?? []) {
      this.#gap(host, between!.reason, missed.startUs, missed.endUs, missing(missed.endUs - missed.startUs));
    }
    if (notLiveUs > 0) {
      this.#gap(
        host,
        'capture_not_live',
        Math.min(span.startUs, span.endUs - notLiveUs),
        span.endUs,
        missing(notLiveUs),
      );
    }
    if (unfinished !== null) {
      this.#gap(host, 'losses', unfinished.startUs, unfinished.endUs, unfinished.amounts);
    }
    const losses = Object.entries({ ...report.losses, ...unexplained }).filter(([, count]) => count > 0);
    const unseen = losses.filter(([name]) => !LOSSES_OF_THE_CALLER.has(name));
    if (unseen.length > 0) {
      const lossEndUs = Math.max(span.endUs, span.startUs + 1);
      this.#gap(host, 'losses', span.startUs, lossEndUs, Object.fromEntries(unseen));
    }
    this.#runs.set(host, state);
    // A clock that is set back later shows the time before the first report again, and that was not watched
    // the first time. A first report from the future proves nothing: there the next one counts.
    this.#setWatched.run(
      host,
      startUs,
      endUs,
      bootId,
      Math.min(Number.MAX_SAFE_INTEGER, this.#nowUs() + AHEAD_US),
    );
    this.#setBoot.run(host, bootId, startUs, Math.max(startUs, endUs));
    if (last?.bootId !== bootId) this.#boundBoots(host);
    this.#addToDay(host, report, losses);
  }

  /** Adds a gap, merged with the gap of the same reason that it touches. */
  #gap(
    host: number,
    reason: GapReason,
    startUs: number,
    endUs: number,
    amounts: Record<string, number> | null,
  ) {
    const json = amounts === null ? null : JSON.stringify(amounts);
    const isItself = this.#gaps.addGap(host, reason, startUs, endUs, json, 0);
    if (!isItself) this.#bounds?.noteMerged(host, 'gaps', 1);
  }

  /** Deletes the oldest boot where a host has too many. */
  #boundBoots(host: number): void {
    if (Number(this.#countBoots.get(host)!['count']) <= MAX_BOOTS) return;
    this.#dropOldestBoot.run(host);
    this.#bounds?.noteMerged(host, 'boots', 1);
  }

  #addToDay(host: number, report: Report, losses: [string, number][]): void {
    const day = Math.floor(report.endUs / DAY_US);
    const before = this.#dayOf.get(day, host);
    if (before === undefined && this.#bounds?.tryUse(host, 'coverage_days') === false) return;
    const kernel = (before?.['kernel_connections'] ?? null) as number | null;
    const { kernelConnections } = report;
    const amounts: Record<string, number> = Object.fromEntries(losses);
    if (kernelConnections === null) amounts[KERNEL_NOT_ASKED] = 1;
    if (report.leftOut.includes('interfaces')) amounts[ONE_INTERFACE] = 1;
    if (report.leftOut.includes('namespaces')) amounts[ONE_NAMESPACE] = 1;
    this.#setDay.run(
      day,
      host,
      Number(before?.['live_ms'] ?? 0) + report.liveMs,
      kernelConnections === null ? kernel : (kernel ?? 0) + kernelConnections,
      Number(before?.['seen_connections'] ?? 0) + report.seenConnections,
      addAmounts((before?.['losses'] ?? null) as string | null, JSON.stringify(amounts)),
    );
  }
}

function missing(us: number): Record<string, number> {
  return { [MISSING_US]: us };
}
