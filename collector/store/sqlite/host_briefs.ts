/**
 * Reads what decides the verdicts of hosts, some thousand hosts at a time, as columns. All hosts are judged for
 * the counts and the order of lists, so that a host costs a few numbers here and no objects.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../contract/host.ts';
import type { Window } from '../../contract/window.ts';
import { type HostChoice, isIdList } from '../host_filter.ts';
import type { HostBriefs } from '../store.ts';
import { FILTERED_COLUMNS, FILTERED_HOSTS } from './chosen_hosts.ts';
import { FORGOTTEN_UNTIL_US, GapMerger } from './coverage_reader.ts';
import type { PackedHostTotals } from './packed_totals.ts';
import type { Rows } from './rows.ts';
import { bounded, type Totals } from './totals.ts';

/** `HostBriefs` with totals in the form that the reader's thread sends. */
export interface PackedHostBriefs extends Omit<HostBriefs, 'totals'> {
  totals: PackedHostTotals;
}

type HostRow = [
  id: number,
  hostId: string,
  name: string,
  firstUs: number,
  profile: number | null,
  lastUs: number,
  receivedUs: number | null,
  watchedFirstUs: number | null,
  watchedLastUs: number | null,
  tokens: number | null,
  tokensSuppliedUs: number | null,
];

interface Statements {
  gaps: StatementSync;
  boots: StatementSync;
}

export class HostBriefsReader {
  readonly #rows: Rows;
  readonly #totals: Totals;
  readonly #hosts: StatementSync;
  readonly #listedHosts: StatementSync;
  readonly #ofRange: Statements;
  readonly #ofList: Statements;
  readonly #counted: StatementSync;

  constructor(database: DatabaseSync, rows: Rows, totals: Totals) {
    this.#rows = rows;
    this.#totals = totals;
    const hosts = (among: string) =>
      prepareArrays(
        database,
        `SELECT h.id, ${FILTERED_COLUMNS}, h.last_us,
           (SELECT heard_us FROM last_heard b WHERE b.host_id = h.host_id),
           max(w.first_us, coalesce((SELECT value FROM sums WHERE name = '${FORGOTTEN_UNTIL_US}'), w.first_us)),
           w.last_us, c.tokens, c.tokens_supplied_us
         FROM ${FILTERED_HOSTS.replace(
           ' WHERE ',
           ' LEFT JOIN watched w ON w.host = h.id LEFT JOIN cloud_briefs c ON c.host = h.id WHERE ',
         )} AND h.id > ?1${among} ORDER BY h.id`,
      );
    this.#hosts = hosts('');
    this.#listedHosts = hosts(' AND h.host_id IN (SELECT value FROM json_each(?2))');
    this.#ofRange = prepareStatements(database, 'host > ?1 AND host <= ?2');
    this.#ofList = prepareStatements(database, 'host IN (SELECT value FROM json_each(?1)) AND ?2 = ?2');
    // Without the name of the index SQLite would read all counts in the order of hosts.
    this.#counted = database.prepare(
      `SELECT DISTINCT host_id FROM cloud_counts INDEXED BY cloud_counts_of_calls
       WHERE end_us > ? AND start_us < ? AND (no_token > 0 OR no_token_rejected > 0)`,
    );
  }

  read(choice: HostChoice, window: Window, after: number, limit: number): PackedHostBriefs {
    const { hosts, next } = this.#chosen(choice, after, limit);
    const index: number[] = [];
    for (const [at, [id]] of hosts.entries()) index[id] = at;
    const [sinceUs, untilUs] = [bounded(window.sinceUs), bounded(window.untilUs)];
    const to = hosts.at(-1)?.[0] ?? after;
    const ids = choice === null ? null : hosts.map(([id]) => id);
    const statements = ids === null ? this.#ofRange : this.#ofList;
    const places = ids === null ? ([after, to] as const) : ([JSON.stringify(ids), 0] as const);
    const gaps: HostBriefs['gaps'] = [];
    const merger = new GapMerger({ sinceUs, untilUs });
    for (const row of statements.gaps.iterate(...places, sinceUs, untilUs)) {
      const [host, reason, start, end, amounts] = row as unknown as [
        number,
        GapReason,
        number,
        number,
        string | null,
      ];
      const at = index[host];
      if (at === undefined) continue;
      merger.add(host, reason, start, end, amounts, (gap) =>
        gaps.push(Object.assign(gap, { host: at }) as never),
      );
    }
    const boots = { host: [] as number[], firstUs: [] as number[] };
    for (const row of statements.boots.iterate(...places, sinceUs, untilUs)) {
      const [host, firstUs] = row as unknown as [number, number];
      const at = index[host];
      if (at === undefined) continue;
      boots.host.push(at);
      boots.firstUs.push(firstUs);
    }
    const counted = new Set(this.#counted.all(sinceUs, untilUs).map((row) => String(row['host_id'])));
    const hostIds = hosts.map(([, hostId]) => hostId);
    const numbers = (of: (row: HostRow) => number | null) =>
      Float64Array.from(hosts, (row) => of(row) ?? Number.NaN);
    return {
      hostIds,
      names: hosts.map(([, , name]) => name),
      profiles: Uint32Array.from(hosts, (row) => row[4] ?? 0),
      firstUs: numbers((row) => row[3]),
      lastUs: numbers((row) => row[5]),
      receivedUs: numbers((row) => row[6]),
      watchedFirstUs: numbers((row) => row[7]),
      watchedLastUs: numbers((row) => row[8]),
      tokens: Uint8Array.from(hosts, (row) => row[9] ?? 0),
      tokensSuppliedUs: numbers((row) => row[10]),
      gaps: gaps.map(({ host, startUs, endUs, missingUs, reason }) => ({
        host,
        startUs,
        endUs,
        missingUs,
        reason,
      })),
      boots: { host: Uint32Array.from(boots.host), firstUs: Float64Array.from(boots.firstUs) },
      withCountedCalls: counted.size === 0 ? [] : hostIds.filter((id) => counted.has(id)),
      totals: this.#totals.briefTotals(window, ids ?? { from: after + 1, to }),
      next,
    };
  }

  #chosen(choice: HostChoice, after: number, limit: number): { hosts: HostRow[]; next: number | null } {
    const filter = choice === null ? null : isIdList(choice) ? { ids: choice } : choice;
    const matches = filter === null ? null : this.#rows.chosenHosts.matcher(filter);
    const rows =
      filter?.ids === undefined
        ? this.#hosts.iterate(after)
        : this.#listedHosts.iterate(after, JSON.stringify(filter.ids));
    const hosts: HostRow[] = [];
    for (const row of rows as unknown as Iterable<HostRow>) {
      if (matches !== null && !matches(row[1], row[2], row[3], row[4])) continue;
      // One more than wanted shows that there are more.
      if (hosts.length === limit) return { hosts, next: hosts.at(-1)![0] };
      hosts.push(row);
    }
    return { hosts, next: null };
  }
}

function prepareStatements(database: DatabaseSync, among: string): Statements {
  return {
    gaps: prepareArrays(
      database,
      `SELECT host, reason, start_us, end_us, amounts FROM gaps
       WHERE ${among} AND end_us > ?3 AND start_us < ?4 ORDER BY start_us`,
    ),
    boots: prepareArrays(
      database,
      `SELECT host, first_us FROM boots WHERE ${among} AND first_us >= ?3 AND first_us < ?4 ORDER BY first_us`,
    ),
  };
}

function prepareArrays(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}
