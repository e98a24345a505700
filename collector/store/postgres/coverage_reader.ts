/** Reads when hosts were watched, and what decides their verdicts. */
import type { GapReason } from '../../contract/host.ts';
import { DAY_US, type Window } from '../../contract/window.ts';
import type { HostChoice } from '../host_filter.ts';
import { addLosses, FORGOTTEN_UNTIL_US, GapMerger } from '../sqlite/coverage_reader.ts';
import type { HostBriefs, HostCoverage, StoredGap } from '../store.ts';
import type { Session } from './database_pool.ts';
import type { HostChoices } from './host_choice.ts';
import { all, bounded, type ChosenHosts, hostCondition, hostsOfNumbers, SqlParameters } from './question.ts';
import type { TotalsReader } from './totals_reader.ts';

const WATCHED_FIRST = `greatest(w.first_us,
  coalesce((SELECT value FROM sums WHERE name = '${FORGOTTEN_UNTIL_US}'), w.first_us))`;

interface GapRow {
  host: number;
  reason: GapReason;
  startUs: number;
  endUs: number;
  amounts: string | null;
  [column: string]: unknown;
}

export class CoverageReader {
  readonly #choices: HostChoices;
  readonly #totals: TotalsReader;

  constructor(choices: HostChoices, totals: TotalsReader) {
    this.#choices = choices;
    this.#totals = totals;
  }

  async coverage(
    session: Session,
    { sinceUs, untilUs }: Window,
    hosts: ChosenHosts,
  ): Promise<HostCoverage[]> {
    const window = { sinceUs: bounded(sinceUs), untilUs: bounded(untilUs) };
    const parameters = new SqlParameters();
    const rows = await session.query<{
      id: number;
      hostId: string;
      firstUs: number | null;
      lastUs: number | null;
    }>(
      `SELECT h.id, h.host_id AS "hostId", w.last_us AS "lastUs", CASE WHEN w.host IS NOT NULL THEN ${WATCHED_FIRST} END
         AS "firstUs"
       FROM hosts h LEFT JOIN watched w ON w.host = h.id WHERE ${all(hostCondition(parameters, 'h.id', hosts))} ORDER BY h.id`,
      parameters.values,
    );
    const coverage = new Map<number, HostCoverage>();
    for (const { id, hostId, firstUs, lastUs } of rows) {
      const nothing = { gaps: [], boots: [], kernelConnections: null, seenConnections: 0, losses: {} };
      coverage.set(id, { hostId, firstUs, lastUs, ...nothing });
    }
    const merger = new GapMerger({ sinceUs, untilUs });
    for (const { host, reason, startUs, endUs, amounts } of await this.#gaps(session, window, hosts)) {
      const found = coverage.get(host);
      if (found !== undefined) {
        merger.add(host, reason, startUs, endUs, amounts, (gap) => found.gaps.push(gap));
      }
    }
    for (const { host, id, firstUs, lastUs } of await this.#boots(session, window, hosts, 'last_us')) {
      coverage.get(host)?.boots.push({ id, firstUs, lastUs });
    }
    await this.#addDays(session, window, hosts, coverage);
    return [...coverage.values()];
  }

  #gaps(session: Session, { sinceUs, untilUs }: Window, hosts: ChosenHosts): Promise<GapRow[]> {
    const parameters = new SqlParameters();
    const conditions = all(
      `end_us > ${parameters.add(sinceUs)}`,
      `start_us < ${parameters.add(untilUs)}`,
      hostCondition(parameters, 'host', hosts),
    );
    return session.query<GapRow>(
      `SELECT host, reason, start_us AS "startUs", end_us AS "endUs", amounts FROM gaps WHERE ${conditions}
       ORDER BY start_us, reason`,
      parameters.values,
    );
  }

  /** `since`: the time of a boot that must not be before the window. */
  #boots(
    session: Session,
    { sinceUs, untilUs }: Window,
    hosts: ChosenHosts,
    since: 'first_us' | 'last_us',
  ): Promise<{ host: number; id: string; firstUs: number; lastUs: number }[]> {
    const parameters = new SqlParameters();
    const conditions = all(
      `${since} >= ${parameters.add(sinceUs)}`,
      `first_us < ${parameters.add(untilUs)}`,
      hostCondition(parameters, 'host', hosts),
    );
    return session.query(
      `SELECT host, boot_id AS id, first_us AS "firstUs", last_us AS "lastUs" FROM boots WHERE ${conditions}
       ORDER BY first_us, boot_id`,
      parameters.values,
    );
  }

  async #addDays(
    session: Session,
    { sinceUs, untilUs }: Window,
    hosts: ChosenHosts,
    coverage: ReadonlyMap<number, HostCoverage>,
  ): Promise<void> {
    const among = (parameters: SqlParameters) =>
      all(
        `day >= ${parameters.add(Math.floor(sinceUs / DAY_US))}`,
        `day < ${parameters.add(Math.ceil(untilUs / DAY_US))}`,
        hostCondition(parameters, 'host', hosts),
      );
    const ofSums = new SqlParameters();
    const sums = await session.query<{ host: number; kernel: number | null; seen: number }>(
      `SELECT host, sum(kernel_connections)::bigint AS kernel, sum(seen_connections)::bigint AS seen FROM coverage_days
       WHERE ${among(ofSums)} GROUP BY host`,
      ofSums.values,
    );
    for (const { host, kernel, seen } of sums) {
      const found = coverage.get(host);
      if (found === undefined) continue;
      found.kernelConnections = kernel;
      found.seenConnections = seen;
    }
    const ofLosses = new SqlParameters();
    const losses = await session.query<{ host: number; losses: string }>(
      `SELECT host, losses FROM coverage_days WHERE ${among(ofLosses)} AND losses IS NOT NULL ORDER BY host, day`,
      ofLosses.values,
    );
    for (const { host, losses: json } of losses) {
      const found = coverage.get(host);
      if (found !== undefined) addLosses(found.losses, json);
    }
  }

  async hostBriefs(
    session: Session,
    choice: HostChoice,
    window: Window,
    after: number,
    limit: number,
  ): Promise<HostBriefs> {
    // One more than wanted shows that there are more.
    const page = await this.#choices.page(session, choice, 'id', after, limit + 1);
    const hosts = page.slice(0, limit);
    const ids = hosts.map(({ id }) => id);
    const chosen = hostsOfNumbers(ids);
    const parameters = new SqlParameters();
    // The condition stands at each table: the database does not conclude it from the joins.
    const isChosen = (column: string) => all(hostCondition(parameters, column, chosen));
    const rows = await session.query<BriefRow>(
      `SELECT h.id, p.profile, h.last_us AS "lastUs", b.heard_us AS "receivedUs",
         CASE WHEN w.host IS NOT NULL THEN ${WATCHED_FIRST} END AS "watchedFirstUs", w.last_us AS "watchedLastUs",
         c.tokens, c.tokens_supplied_us AS "tokensSuppliedUs"
       FROM hosts h LEFT JOIN host_profiles p ON p.host = h.id AND p.until_us IS NULL AND ${isChosen('p.host')}
         LEFT JOIN last_heard b ON b.host_id = h.host_id LEFT JOIN watched w ON w.host = h.id AND ${isChosen('w.host')}
         LEFT JOIN cloud_briefs c ON c.host = h.id AND ${isChosen('c.host')}
       WHERE ${isChosen('h.id')} ORDER BY h.id`,
      parameters.values,
    );
    const cut = { sinceUs: bounded(window.sinceUs), untilUs: bounded(window.untilUs) };
    const placeOf = new Map(ids.map((id, place) => [id, place]));
    const gaps: HostBriefs['gaps'] = [];
    const merger = new GapMerger(cut);
    const places: number[] = [];
    const found: StoredGap[] = [];
    for (const { host, reason, startUs, endUs, amounts } of await this.#gaps(session, cut, chosen)) {
      merger.add(host, reason, startUs, endUs, amounts, (gap) => {
        places.push(placeOf.get(host)!);
        found.push(gap);
      });
    }
    found.forEach(({ startUs, endUs, missingUs, reason }, at) => {
      gaps.push({ host: places[at]!, startUs, endUs, missingUs: missingUs!, reason });
    });
    const boots = await this.#boots(session, cut, chosen, 'first_us');
    const counted = await session.query<{ hostId: string }>(
      `SELECT DISTINCT host_id AS "hostId" FROM cloud_counts
       WHERE end_us > $1 AND start_us < $2 AND (no_token > 0 OR no_token_rejected > 0) AND host_id = ANY ($3)`,
      [cut.sinceUs, cut.untilUs, hosts.map(({ hostId }) => hostId)],
    );
    const withCounted = new Set(counted.map(({ hostId }) => hostId));
    const numbers = (of: (row: BriefRow) => number | null) =>
      Float64Array.from(rows, (row) => of(row) ?? Number.NaN);
    const scope = { window, hosts: chosen, identities: null };
    return {
      hostIds: hosts.map(({ hostId }) => hostId),
      names: hosts.map(({ name }) => name),
      profiles: Uint32Array.from(rows, ({ profile }) => profile ?? 0),
      firstUs: Float64Array.from(hosts, ({ firstUs }) => firstUs),
      lastUs: numbers(({ lastUs }) => lastUs),
      receivedUs: numbers(({ receivedUs }) => receivedUs),
      watchedFirstUs: numbers(({ watchedFirstUs }) => watchedFirstUs),
      watchedLastUs: numbers(({ watchedLastUs }) => watchedLastUs),
      tokens: Uint8Array.from(rows, ({ tokens }) => tokens ?? 0),
      tokensSuppliedUs: numbers(({ tokensSuppliedUs }) => tokensSuppliedUs),
      gaps,
      boots: {
        host: Uint32Array.from(boots, ({ host }) => placeOf.get(host)!),
        firstUs: Float64Array.from(boots, ({ firstUs }) => firstUs),
      },
      withCountedCalls: hosts.map(({ hostId }) => hostId).filter((hostId) => withCounted.has(hostId)),
      totals: ids.length === 0 ? [] : await this.#totals.hostTotals(session, scope, false),
      next: page.length > limit ? ids.at(-1)! : null,
    };
  }
}

interface BriefRow {
  profile: number | null;
  lastUs: number | null;
  receivedUs: number | null;
  watchedFirstUs: number | null;
  watchedLastUs: number | null;
  tokens: number | null;
  tokensSuppliedUs: number | null;
  [column: string]: unknown;
}
