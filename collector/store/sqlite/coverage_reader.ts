/** Reads when hosts were watched, from the gaps that were stored as reports arrived. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../contract/host.ts';
import { DAY_US, type Window } from '../../contract/window.ts';
import type { HostCoverage, StoredGap } from '../store.ts';
import { addAmounts } from './amounts.ts';
import { MISSING_US, missingOf } from './gap_rows.ts';

/** Row of `sums`: retention has deleted IMDSv1 calls or gaps up to this time. */
export const FORGOTTEN_UNTIL_US = 'forgotten_until_us';

export class CoverageReader {
  readonly #hosts: StatementSync;
  readonly #gaps: StatementSync;
  readonly #boots: StatementSync;
  readonly #days: StatementSync;
  readonly #losses: StatementSync;

  constructor(database: DatabaseSync) {
    // ?1 is a JSON list of host ids.
    const chosen = 'host IN (SELECT id FROM hosts WHERE host_id IN (SELECT value FROM json_each(?1)))';
    this.#hosts = database.prepare(
      `SELECT hosts.id, host_id, w.last_us AS lastUs,
         max(w.first_us, coalesce((SELECT value FROM sums WHERE name = '${FORGOTTEN_UNTIL_US}'), w.first_us)) AS firstUs
       FROM hosts LEFT JOIN watched w ON w.host = hosts.id
       WHERE host_id IN (SELECT value FROM json_each(?1))`,
    );
    this.#gaps = database.prepare(
      `SELECT host, reason, start_us AS startUs, end_us AS endUs, amounts FROM gaps
       WHERE end_us > ?2 AND start_us < ?3 AND ${chosen} ORDER BY start_us`,
    );
    this.#boots = database.prepare(
      `SELECT host, boot_id AS id, first_us AS firstUs, last_us AS lastUs FROM boots
       WHERE last_us >= ?2 AND first_us < ?3 AND ${chosen} ORDER BY first_us`,
    );
    const inDays = `FROM coverage_days WHERE day >= ?2 AND day < ?3 AND ${chosen}`;
    this.#days = database.prepare(
      `SELECT host, sum(kernel_connections) AS kernel, sum(seen_connections) AS seen ${inDays} GROUP BY host`,
    );
    this.#losses = database.prepare(`SELECT host, losses ${inDays} AND losses IS NOT NULL`);
  }

  coverage({ sinceUs, untilUs }: Window, hostIds: readonly string[]): HostCoverage[] {
    const chosen = JSON.stringify(hostIds);
    const coverage = new Map<number, HostCoverage>();
    for (const { id, host_id: hostId, firstUs, lastUs } of this.#hosts.all(chosen)) {
      coverage.set(Number(id), {
        hostId: String(hostId),
        firstUs: firstUs as number | null,
        lastUs: lastUs as number | null,
        gaps: [],
        boots: [],
        kernelConnections: null,
        seenConnections: 0,
        losses: {},
      });
    }
    const merger = new GapMerger({ sinceUs, untilUs });
    for (const row of this.#gaps.all(chosen, sinceUs, untilUs)) {
      const host = coverage.get(Number(row['host']));
      if (host === undefined) continue;
      const reason = row['reason'] as GapReason;
      const [startUs, endUs] = [Number(row['startUs']), Number(row['endUs'])];
      merger.add(Number(row['host']), reason, startUs, endUs, row['amounts'] as string | null, (gap) =>
        host.gaps.push(gap),
      );
    }
    for (const { host, id, firstUs, lastUs } of this.#boots.all(chosen, sinceUs, untilUs)) {
      coverage
        .get(Number(host))
        ?.boots.push({ id: String(id), firstUs: Number(firstUs), lastUs: Number(lastUs) });
    }
    const days = [Math.floor(sinceUs / DAY_US), Math.ceil(untilUs / DAY_US)] as const;
    for (const { host, kernel, seen } of this.#days.all(chosen, ...days)) {
      const found = coverage.get(Number(host));
      if (found === undefined) continue;
      found.kernelConnections = kernel as number | null;
      found.seenConnections = Number(seen);
    }
    for (const { host, losses } of this.#losses.all(chosen, ...days)) {
      const found = coverage.get(Number(host));
      if (found !== undefined) addLosses(found.losses, String(losses));
    }
    return [...coverage.values()];
  }
}

/**
 * Cuts gaps to a window and merges touching ones of one host and reason. They come in the order of their
 * starts.
 */
export class GapMerger {
  readonly #sinceUs: number;
  readonly #untilUs: number;
  readonly #latest = new Map<string, { gap: StoredGap; amounts: string | null }>();

  constructor({ sinceUs, untilUs }: Window) {
    this.#sinceUs = sinceUs;
    this.#untilUs = untilUs;
  }

  /** Calls `found` with a new gap. A gap that is merged changes the one before. */
  add(
    host: number,
    reason: GapReason,
    storedStartUs: number,
    storedEndUs: number,
    amounts: string | null,
    found: (gap: StoredGap) => void,
  ): void {
    const startUs = Math.max(storedStartUs, this.#sinceUs);
    const endUs = Math.min(storedEndUs, this.#untilUs);
    // A later gap can reach into an earlier one where a clock was set back.
    const missingUs = Math.min(endUs - startUs, missingOf(reason, storedStartUs, storedEndUs, amounts));
    const key = `${host} ${reason}`;
    const before = this.#latest.get(key);
    if (before !== undefined && before.gap.endUs >= startUs) {
      before.gap.endUs = Math.max(before.gap.endUs, endUs);
      const lengthUs = before.gap.endUs - before.gap.startUs;
      before.gap.missingUs = Math.min(lengthUs, (before.gap.missingUs ?? 0) + missingUs);
      before.amounts = addAmounts(before.amounts, amounts);
      before.gap.detail = describe(reason, before.amounts);
      return;
    }
    const gap: StoredGap = { startUs, endUs, missingUs, reason, detail: describe(reason, amounts) };
    found(gap);
    this.#latest.set(key, { gap, amounts });
  }
}

export function addLosses(sums: Record<string, number>, json: string): void {
  for (const [name, count] of Object.entries(JSON.parse(json) as Record<string, number>)) {
    sums[name] = (sums[name] ?? 0) + count;
  }
}

/** Describes the amounts of a gap: `dropped 12, evicted 3`, or how long capture was off. */
function describe(reason: GapReason, amounts: string | null): string | null {
  if (amounts === null) return null;
  const entries = Object.entries(JSON.parse(amounts) as Record<string, number>);
  if (reason === 'capture_not_live') {
    const { [MISSING_US]: us, missing_ms: ms } = Object.fromEntries(entries) as Record<string, number>;
    return `capture was off for ${((us ?? 0) / 1e6 + (ms ?? 0) / 1e3).toFixed(1)} s of it`;
  }
  if (reason === 'agent_not_running' || reason === 'boot') return null;
  return entries
    .sort((a, b) => b[1] - a[1])
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
