/**
 * Coverage reports to gaps, as they come: what a question over weeks needs is the gaps, not the reports.
 *
 * A gap is never explained away: a clock that was set back or forth makes gaps too many rather than too few. The
 * last report in order of arrival, not the one with the latest time, says from when on nothing is known.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../model/host.ts';
import { DAY_US } from '../../model/window.ts';

/** A restart of the agent takes this long at least; less is the time between two readings of the clock. */
const BETWEEN_REPORTS_US = 2_000_000;
/**
 * By how much an interval may be longer than capture was live in it: timers of the agent, and twice what NTP slews a clock by (500 ppm,
 * RFC 5905). Reports may be hourly: a larger share would hide half a minute of each.
 */
const NOT_LIVE_MS = 600;
const NOT_LIVE_SHARE = 0.001;

/** Of one gap or day. An agent has some thirty reasons to lose something; whoever makes up names must not make rows without end. */
const MAX_AMOUNTS = 100;
const MAX_NAME_CHARACTERS = 100;

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
  readonly #gapBefore: StatementSync;
  readonly #addGap: StatementSync;
  readonly #growGap: StatementSync;
  readonly #dayOf: StatementSync;
  readonly #setDay: StatementSync;

  constructor(database: DatabaseSync) {
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
    this.#gapBefore = database.prepare(
      `SELECT start_us, end_us, amounts FROM gaps WHERE host = ? AND reason = ? AND start_us <= ?
       ORDER BY start_us DESC LIMIT 1`,
    );
    this.#addGap = database.prepare(
      'INSERT INTO gaps (host, reason, start_us, end_us, amounts) VALUES (?, ?, ?, ?, ?)',
    );
    this.#growGap = database.prepare(
      'UPDATE gaps SET end_us = ?, amounts = ? WHERE host = ? AND reason = ? AND start_us = ?',
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
    const before = this.#gapBefore.get(host, reason, startUs) as
      | { start_us: number; end_us: number; amounts: string | null }
      | undefined;
    if (before === undefined || before.end_us + BETWEEN_REPORTS_US < startUs) {
      this.#addGap.run(host, reason, startUs, endUs, addAmounts(null, json));
      return;
    }
    const sum = addAmounts(before.amounts, json);
    this.#growGap.run(Math.max(before.end_us, endUs), sum, host, reason, before.start_us);
  }

  #addToDay(host: number, report: Report, losses: [string, number][]): void {
    const day = Math.floor(report.endUs / DAY_US);
    const before = this.#dayOf.get(day, host);
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

/** Sums by name, as JSON; null where there are none. Names beyond the bound are summed as `other`. */
export function addAmounts(json: string | null, moreJson: string | null): string | null {
  const sums = new Map<string, number>();
  for (const amounts of [json, moreJson]) {
    for (const [given, amount] of Object.entries(JSON.parse(amounts ?? '{}') as Record<string, number>)) {
      const isKnown = sums.has(given) || (sums.size < MAX_AMOUNTS && given.length <= MAX_NAME_CHARACTERS);
      const name = isKnown ? given : 'other';
      sums.set(name, Math.min((sums.get(name) ?? 0) + amount, Number.MAX_SAFE_INTEGER));
    }
  }
  return sums.size === 0 ? null : JSON.stringify(Object.fromEntries(sums));
}
