/**
 * Coverage reports to gaps, as they come: what a question over weeks needs is the gaps, not the reports.
 *
 * A gap is never explained away: a clock that was set back or forth makes gaps too many rather than too few. The
 * last report in order of arrival, not the one with the latest time, says from when on nothing is known.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../model/host.ts';
import { DAY_US } from '../../model/window.ts';
import { addAmounts } from './amounts.ts';
import { GapRows } from './gap_rows.ts';
import type { HostBounds } from './host_bounds.ts';

/** A restart of the agent takes this long at least; less is the time between two readings of the clock. */
const BETWEEN_REPORTS_US = 2_000_000;
/**
 * By how much an interval may be longer than capture was live in it: timers of the agent, and twice what NTP slews a clock by (500 ppm,
 * RFC 5905). Reports may be hourly: a larger share would hide half a minute of each.
 */
const NOT_LIVE_MS = 600;
const NOT_LIVE_SHARE = 0.001;

/** Boots of one host that are kept, the latest ones. */
export const MAX_BOOTS = 1_000;

export interface Report {
  bootId: string;
  startUs: number;
  endUs: number;
  liveMs: number;
  kernelConnections: number | null;
  seenConnections: number;
  losses: Record<string, number>;
}

interface Watched {
  lastUs: number;
  bootId: string;
}

/** Who it was is lost; the call was seen, and counts with its version. */
const OF_THE_CALLER_ONLY: ReadonlySet<string> = new Set(['calls.unattributed', 'attribution.evicted']);

export class GapWriter {
  readonly #watchedOf: StatementSync;
  readonly #setWatched: StatementSync;
  readonly #setBoot: StatementSync;
  readonly #countBoots: StatementSync;
  readonly #dropOldestBoot: StatementSync;
  readonly #gaps: GapRows;
  readonly #bounds: HostBounds | null;
  readonly #dayOf: StatementSync;
  readonly #setDay: StatementSync;

  /** `bounds` is null while a store is migrated from a schema that had none. */
  constructor(database: DatabaseSync, bounds: HostBounds | null) {
    this.#bounds = bounds;
    this.#gaps = new GapRows(database);
    this.#watchedOf = database.prepare('SELECT last_us, boot_id FROM watched WHERE host = ?');
    this.#setWatched = database.prepare(
      `INSERT INTO watched (host, first_us, last_us, boot_id) VALUES (?, ?, ?, ?)
       ON CONFLICT (host) DO UPDATE SET first_us = min(first_us, excluded.first_us), last_us = excluded.last_us,
         boot_id = excluded.boot_id`,
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

  add(host: number, report: Report): void {
    const { bootId, endUs, liveMs } = report;
    // A clock that was set back meanwhile: which time was watched cannot be said.
    const startUs = Math.min(report.startUs, endUs);
    const row = this.#watchedOf.get(host) as { last_us: number; boot_id: string } | undefined;
    if (row !== undefined) this.#between({ lastUs: row.last_us, bootId: row.boot_id }, host, report);
    const intervalMs = (endUs - report.startUs) / 1000;
    const missingMs = intervalMs - liveMs;
    if (missingMs > Math.max(NOT_LIVE_MS, intervalMs * NOT_LIVE_SHARE)) {
      this.#gap(host, 'capture_not_live', startUs, endUs, { missing_ms: Math.round(missingMs) });
    }
    const losses = Object.entries(report.losses).filter(([, count]) => count > 0);
    const unseen = losses.filter(([name]) => !OF_THE_CALLER_ONLY.has(name));
    if (unseen.length > 0) {
      const lossEndUs = Math.max(report.startUs, endUs, startUs + 1);
      this.#gap(host, 'losses', startUs, lossEndUs, Object.fromEntries(unseen));
    }
    this.#setWatched.run(host, startUs, endUs, bootId);
    this.#setBoot.run(host, bootId, startUs, Math.max(startUs, endUs));
    if (row?.boot_id !== bootId) this.#boundBoots(host);
    this.#addToDay(host, report, losses);
  }

  #between(last: Watched, host: number, { bootId, startUs }: Report): void {
    const rebooted = bootId !== last.bootId;
    // An agent begins a report where it ended the one before. One that begins earlier is another start of it, with a clock
    // that was set back: how long nobody watched cannot be said, and it counts as long as the step.
    const fromUs = Math.min(last.lastUs, startUs);
    const toUs = Math.max(last.lastUs, startUs);
    if (toUs - fromUs <= (rebooted ? 0 : BETWEEN_REPORTS_US)) return;
    this.#gap(host, rebooted ? 'boot' : 'agent_not_running', fromUs, toUs, null);
  }

  /** One with the gap of the same reason that it touches. */
  #gap(
    host: number,
    reason: GapReason,
    startUs: number,
    endUs: number,
    amounts: Record<string, number> | null,
  ) {
    const json = amounts === null ? null : JSON.stringify(amounts);
    const isItself = this.#gaps.add(host, reason, startUs, endUs, json, BETWEEN_REPORTS_US);
    if (!isItself) this.#bounds?.note(host, 'gaps', 1);
  }

  /** Keeps the latest boots. */
  #boundBoots(host: number): void {
    if (Number(this.#countBoots.get(host)!['count']) <= MAX_BOOTS) return;
    this.#dropOldestBoot.run(host);
    this.#bounds?.note(host, 'boots', 1);
  }

  #addToDay(host: number, report: Report, losses: [string, number][]): void {
    const day = Math.floor(report.endUs / DAY_US);
    const before = this.#dayOf.get(day, host);
    if (before === undefined && this.#bounds?.allows(host, 'coverage_days') === false) return;
    const kernel = (before?.['kernel_connections'] ?? null) as number | null;
    const { kernelConnections } = report;
    this.#setDay.run(
      day,
      host,
      Number(before?.['live_ms'] ?? 0) + report.liveMs,
      kernelConnections === null ? kernel : (kernel ?? 0) + kernelConnections,
      Number(before?.['seen_connections'] ?? 0) + report.seenConnections,
      addAmounts((before?.['losses'] ?? null) as string | null, JSON.stringify(Object.fromEntries(losses))),
    );
  }
}
