/**
 * Bounds what one host may add to the store in one day of the collector's clock. A host with an honest agent
 * stays far below the bounds, also when it delivers days of records after an outage.
 *
 * Beyond a bound the store merges: calls keep their version and their count, and lose the details. The host
 * has a gap `not_kept` for that time, which names what was merged and how often.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { deleteOldestEntries } from '../../../common/bounded_map.ts';
import { DAY_US } from '../../contract/window.ts';
import { addAmounts } from './amounts.ts';

export const DAILY = {
  /** New workloads of the host. */
  workloads: 2_000,
  /** New processes. The next bound is on the bytes of their descriptions. */
  callers: 20_000,
  caller_bytes: 32 * 1024 * 1024,
  kinds: 500,
  user_agents: 1_000,
  shapes: 500,
  /** New paths that were requested without a token. */
  paths: 10_000,
  /** New rows of the roll-ups by hour. */
  sums: 50_000,
  /** Calls and lines of roll-ups that are kept one by one. */
  raw_records: 2_000_000,
  /** An agent that reports every minute delivers a month in one day. */
  coverage_reports: 50_000,
  coverage_days: 400,
  streams: 100,
} as const;
export type Bounded = keyof typeof DAILY;

/** Workloads of one host over all days. */
const MAX_WORKLOADS = 10_000;
/** A restart of the embedded store forgets at most this share of a bound. */
const STORED_SHARE = 1 / 50;
const MAX_CACHED = 16_384;
const REASON = 'not_kept';

interface Usage {
  day: number;
  used: Map<Bounded, number>;
  /** The amounts that are stored. */
  stored: Map<Bounded, number>;
  /** Number of all workloads of the host. */
  workloads: number;
}

export class HostBounds {
  readonly #nowUs: () => number;
  readonly #storedShare: number;
  readonly #usageOf: StatementSync;
  readonly #setUsage: StatementSync;
  readonly #workloadsOf: StatementSync;
  readonly #gapOf: StatementSync;
  readonly #setGap: StatementSync;
  readonly #usages = new Map<number, Usage>();
  /** Amounts that were merged or left out in this transaction, by host. */
  readonly #notes = new Map<number, Map<string, number>>();
  readonly #changed = new Set<number>();

  /**
   * `storedShare`: used amounts are stored when they grew by this share of their bound. With 0 they are stored with every
   * transaction, so that collectors that share a database forget nothing of each other's.
   */
  constructor(
    database: DatabaseSync,
    nowUs: () => number = () => Date.now() * 1000,
    storedShare: number = STORED_SHARE,
  ) {
    this.#nowUs = nowUs;
    this.#storedShare = storedShare;
    this.#usageOf = database.prepare('SELECT day, used FROM host_usage WHERE host = ?');
    this.#setUsage = database.prepare('INSERT OR REPLACE INTO host_usage (host, day, used) VALUES (?, ?, ?)');
    this.#workloadsOf = database.prepare('SELECT count(*) AS count FROM identity_hosts WHERE host = ?');
    this.#gapOf = database.prepare(
      `SELECT start_us, amounts FROM gaps WHERE host = ? AND reason = '${REASON}' AND start_us >= ? AND start_us <= ?
       ORDER BY start_us DESC LIMIT 1`,
    );
    this.#setGap = database.prepare(
      `INSERT OR REPLACE INTO gaps (host, reason, start_us, end_us, amounts) VALUES (?, '${REASON}', ?, ?, ?)`,
    );
  }

  /** Uses up `count` of a bound. Returns false where the bound is reached: the store must merge. */
  tryUse(host: number, what: Bounded, count = 1): boolean {
    const usage = this.#usage(host);
    const used = usage.used.get(what) ?? 0;
    if (used >= DAILY[what] || (what === 'workloads' && usage.workloads >= MAX_WORKLOADS)) {
      this.noteMerged(host, what, 1);
      return false;
    }
    if (what === 'workloads') usage.workloads += count;
    this.#use(host, usage, what, used + count);
    return true;
  }

  /** Counts something that was added already. */
  countUse(host: number, what: Bounded, count: number): void {
    const usage = this.#usage(host);
    this.#use(host, usage, what, (usage.used.get(what) ?? 0) + count);
  }

  /** Notes that something of this host was merged or left out. */
  noteMerged(host: number, what: string, count: number): void {
    let notes = this.#notes.get(host);
    if (notes === undefined) {
      notes = new Map();
      this.#notes.set(host, notes);
    }
    notes.set(what, (notes.get(what) ?? 0) + count);
  }

  #use(host: number, usage: Usage, what: Bounded, used: number): void {
    usage.used.set(what, used);
    if (used - (usage.stored.get(what) ?? 0) >= DAILY[what] * this.#storedShare) this.#changed.add(host);
  }

  #usage(host: number): Usage {
    const day = Math.floor(this.#nowUs() / DAY_US);
    const known = this.#usages.get(host);
    if (known?.day === day) return known;
    const row = this.#usageOf.get(host);
    const isToday = row !== undefined && Number(row['day']) === day;
    const stored: [Bounded, number][] = isToday
      ? (Object.entries(JSON.parse(String(row['used']))) as [Bounded, number][])
      : [];
    const usage: Usage = {
      day,
      used: new Map(stored),
      stored: new Map(stored),
      workloads: Number(this.#workloadsOf.get(host)!['count']),
    };
    if (known === undefined) deleteOldestEntries(this.#usages, MAX_CACHED - 1);
    this.#usages.set(host, usage);
    return usage;
  }

  /** Writes used amounts and gaps. Must be called before the end of every transaction. */
  flush(): void {
    for (const host of this.#changed) {
      const usage = this.#usages.get(host);
      if (usage === undefined) continue;
      this.#setUsage.run(host, usage.day, JSON.stringify(Object.fromEntries(usage.used)));
      usage.stored = new Map(usage.used);
    }
    this.#changed.clear();
    if (this.#notes.size === 0) return;
    const nowUs = this.#nowUs();
    const dayUs = Math.floor(nowUs / DAY_US) * DAY_US;
    for (const [host, notes] of this.#notes) {
      const before = this.#gapOf.get(host, dayUs, nowUs) as
        | { start_us: number; amounts: string | null }
        | undefined;
      const amounts = addAmounts(before?.amounts ?? null, JSON.stringify(Object.fromEntries(notes)));
      this.#setGap.run(host, before?.start_us ?? nowUs, nowUs, amounts);
    }
    this.#notes.clear();
  }

  /** Forgets what a host has used: its row was changed elsewhere. Must be called between transactions. */
  forgetHost(host: number): void {
    this.#usages.delete(host);
  }

  /** Forgets everything that is not stored. Required after a rollback or a deletion. */
  forget(): void {
    this.#usages.clear();
    this.#notes.clear();
    this.#changed.clear();
  }
}
