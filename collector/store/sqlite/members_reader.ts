/**
 * Reads all hosts and instances of a window with what decides if their groups are proven, as columns. A fleet
 * that scales has a hundred thousand of them within days, most of which are gone.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../contract/host.ts';
import type { Window } from '../../contract/window.ts';
import { CLOUD_STATES, type MemberColumns, type MembersPlace, type StoredMembers } from '../store.ts';
import { stateNumber, tokensNumber } from './cloud_briefs.ts';
import { FORGOTTEN_UNTIL_US } from './coverage_reader.ts';
import { missingOf } from './gap_rows.ts';
import type { PackedHostTotals } from './packed_totals.ts';
import type { Totals } from './totals.ts';

/** `StoredMembers` with totals in the form that the reader's thread sends. */
export interface PackedMembers extends Omit<StoredMembers, 'totals'> {
  totals: PackedHostTotals;
}

export type Row = (string | number | null)[];

/** Places of the columns of numbers in a row, in the order in which `MemberTable.columns` reads them. */
const NUMBER_COLUMNS = [2, 3, 5, 6, 7, 10, 11, 12] as const;

/** Statements about hosts of which the numbers are in a span or in a JSON list. */
interface Statements {
  hosts: StatementSync;
  profiles: StatementSync;
  gaps: StatementSync;
  reboots: StatementSync;
}

export class MembersReader {
  readonly #database: DatabaseSync;
  readonly #totals: Totals;
  readonly #ofAll: Statements;
  readonly #ofChosen: Statements;
  readonly #chosenHosts: StatementSync;
  readonly #agentless: StatementSync;
  readonly #counted: StatementSync;
  readonly #forgotten: StatementSync;

  constructor(database: DatabaseSync, totals: Totals) {
    this.#database = database;
    this.#totals = totals;
    this.#ofAll = prepareStatements(database, '', 'BETWEEN ?3 AND ?4');
    this.#ofChosen = prepareStatements(
      database,
      'IN (SELECT value FROM json_each(?5))',
      'IN (SELECT value FROM json_each(?3))',
    );
    // An earlier profile counts while its time reaches into the window.
    this.#chosenHosts = prepareArrays(
      database,
      `SELECT host FROM host_profiles WHERE profile IN (SELECT value FROM json_each(?2)) AND (until_us IS NULL OR until_us >= ?1)
       UNION SELECT h.id FROM cloud_members m JOIN hosts h ON h.host_id = m.host_id WHERE m.profile IN (SELECT value FROM json_each(?2))`,
    );
    this.#agentless = prepareArrays(
      database,
      `SELECT -1, m.host_id, NULL, NULL, ${stateNumber('m.state')}, m.launched_us, m.terminated_us, m.supplied_us, m.profile,
         ${tokensNumber('i.http_tokens')}, i.supplied_us, NULL, NULL
       FROM agentless a CROSS JOIN cloud_members m ON m.host_id = a.host_id LEFT JOIN cloud_instances i ON i.host_id = a.host_id
       WHERE coalesce(m.terminated_us, CASE WHEN m.state IN ('pending', 'running') THEN ?1 ELSE m.supplied_us END) >= ?1
         AND (?2 IS NULL OR m.profile IN (SELECT value FROM json_each(?2))) AND a.host_id > ?3
       ORDER BY a.host_id LIMIT ?4`,
    );
    // Without the name of the index SQLite would read all counts in the order of hosts.
    this.#counted = database.prepare(
      `SELECT host_id FROM cloud_counts INDEXED BY cloud_counts_of_calls
       WHERE end_us > ? AND start_us < ? AND (no_token > 0 OR no_token_rejected > 0)`,
    );
    this.#forgotten = database.prepare(`SELECT value FROM sums WHERE name = '${FORGOTTEN_UNTIL_US}'`);
  }

  /** See `StoreQueries.members`. */
  read(
    window: Window,
    profiles: readonly number[] | null,
    after: MembersPlace,
    limit: number,
    withTotals = true,
  ): PackedMembers {
    const { sinceUs, untilUs } = window;
    const chosen = profiles === null ? null : JSON.stringify(profiles);
    const table = new MemberTable(limit);
    const hosts: number[] = [];
    let next: MembersPlace | null = null;
    if (typeof after === 'number') {
      const rows =
        chosen === null
          ? this.#ofAll.hosts.iterate(sinceUs, untilUs, after, limit)
          : this.#ofChosen.hosts.iterate(sinceUs, untilUs, after, limit, this.#chosen(sinceUs, chosen));
      for (const row of rows as unknown as Iterable<Row>) {
        table.add(row);
        hosts.push(row[0] as number);
      }
    }
    if (hosts.length === limit) next = hosts.at(-1)!;
    else {
      // The instances without an agent come after the hosts.
      const place = typeof after === 'number' ? '' : after;
      const left = limit - hosts.length;
      for (const row of this.#agentless.iterate(sinceUs, chosen, place, left) as unknown as Iterable<Row>)
        table.add(row);
      if (table.hostIds.length === limit) next = table.hostIds.at(-1)!;
    }
    const { index } = table;
    const [from, to] = [hosts[0] ?? 0, hosts.at(-1) ?? -1];
    const list = chosen === null ? null : JSON.stringify(hosts);
    const ask = (name: 'profiles' | 'gaps' | 'reboots'): Iterable<Row> =>
      (list === null
        ? this.#ofAll[name].iterate(sinceUs, untilUs, from, to)
        : this.#ofChosen[name].iterate(sinceUs, untilUs, list)) as unknown as Iterable<Row>;
    // The agent's profiles come first, because the cloud's has no zone and no type.
    const memberOf: number[] = [];
    const profileOf: number[] = [];
    for (const [host, profile] of ask('profiles')) {
      const at = index[host as number];
      if (at === undefined) continue;
      memberOf.push(at);
      profileOf.push(profile as number);
    }
    for (const [at, profile] of table.cloudProfiles.entries()) {
      if (profile === 0) continue;
      memberOf.push(at);
      profileOf.push(profile);
    }
    const gaps: StoredMembers['gaps'] = [];
    for (const row of ask('gaps')) {
      const at = index[row[0] as number];
      if (at === undefined) continue;
      const reason = row[1] as GapReason;
      const [start, end] = [Number(row[2]), Number(row[3])];
      const [startUs, endUs] = [Math.max(start, sinceUs), Math.min(end, untilUs)];
      const missing = missingOf(reason, start, end, row[4] as string | null);
      gaps.push({ member: at, startUs, endUs, missingUs: Math.min(missing, endUs - startUs), reason });
    }
    const reboots: StoredMembers['reboots'] = [];
    for (const [host, us] of ask('reboots')) {
      const at = index[host as number];
      if (at !== undefined) reboots.push({ member: at, firstUs: Number(us) });
    }
    const counted = new Set(this.#counted.all(sinceUs, untilUs).map((row) => String(row['host_id'])));
    return {
      hostIds: table.hostIds,
      columns: table.columns(),
      memberOf: Uint32Array.from(memberOf),
      profileOf: Uint32Array.from(profileOf),
      gaps,
      reboots,
      withCountedCalls: counted.size === 0 ? [] : table.hostIds.filter((id) => counted.has(id)),
      totals: this.#totals.briefTotals(window, withTotals ? (list === null ? { from, to } : hosts) : []),
      next,
      forgottenUntilUs: (this.#forgotten.get()?.['value'] as number | undefined) ?? null,
    };
  }

  #chosen(sinceUs: number, profiles: string): string {
    return JSON.stringify(this.#chosenHosts.all(sinceUs, profiles).map((row) => (row as unknown as Row)[0]));
  }

  /** Returns the names that hosts report, in the order of `hostIds`; the id where none has reported. */
  names(hostIds: readonly string[]): string[] {
    const name = this.#database.prepare('SELECT name FROM hosts WHERE host_id = ?');
    return hostIds.map((id) => String(name.get(id)?.['name'] ?? id));
  }
}

/**
 * Collects the rows of members as columns. Rows are read one by one, so that no more than one is in memory: a
 * hundred thousand of them cost more in garbage collection than in SQLite.
 */
export class MemberTable {
  readonly hostIds: string[] = [];
  /** Place of a host by its number. Numbers are dense: an array finds them faster than a map. */
  readonly index: number[] = [];
  /** Profile in the inventory, 0 where there is none. */
  readonly cloudProfiles: number[] = [];
  readonly #numbers: Float64Array[];
  readonly #small: Uint8Array[];

  constructor(capacity: number) {
    this.#numbers = Array.from({ length: NUMBER_COLUMNS.length }, () => new Float64Array(capacity));
    this.#small = [new Uint8Array(capacity), new Uint8Array(capacity)];
  }

  add(row: Row): void {
    const at = this.hostIds.length;
    const host = row[0] as number;
    if (host >= 0) this.index[host] = at;
    this.hostIds.push(row[1] as string);
    const profile = (row[8] as number | null) ?? 0;
    this.cloudProfiles.push(profile);
    this.#small[0]![at] = row[4] as number;
    this.#small[1]![at] = row[9] as number;
    for (let column = 0; column < NUMBER_COLUMNS.length; column += 1) {
      const value = row[NUMBER_COLUMNS[column]!] as number | null;
      this.#numbers[column]![at] = value ?? Number.NaN;
    }
  }

  columns(): MemberColumns {
    const { length } = this.hostIds;
    const numbers = this.#numbers.map((column) => column.slice(0, length));
    return {
      firstUs: numbers[0]!,
      lastUs: numbers[1]!,
      state: this.#small[0]!.slice(0, length),
      launchedUs: numbers[2]!,
      terminatedUs: numbers[3]!,
      suppliedUs: numbers[4]!,
      tokens: this.#small[1]!.slice(0, length),
      tokensSuppliedUs: numbers[5]!,
      launchCountedUs: numbers[6]!,
      endCountedUs: numbers[7]!,
    };
  }
}

/** `among`: condition on the numbers of hosts, or an empty text. `amongMembers`: condition on those that were found. */
function prepareStatements(database: DatabaseSync, among: string, amongMembers: string): Statements {
  return {
    // ?1 is the window's start, ?2 its end.
    hosts: prepareArrays(
      database,
      `SELECT h.id, h.host_id, w.first_us, w.last_us, coalesce(c.state, 0), c.launched_us, c.terminated_us,
         c.supplied_us, c.profile, coalesce(c.tokens, 0), c.tokens_supplied_us, c.launch_counted_us, c.end_counted_us
       FROM hosts h LEFT JOIN watched w ON w.host = h.id LEFT JOIN cloud_briefs c ON c.host = h.id
       WHERE (h.last_us >= ?1 OR w.last_us >= ?1
         OR (c.terminated_us IS NULL AND c.state IN (${numberOfState('pending')}, ${numberOfState('running')}))
         OR EXISTS (SELECT 1 FROM last_heard b WHERE b.host_id = h.host_id AND b.heard_us >= ?1))
         AND ?2 = ?2 AND h.id > ?3${among === '' ? '' : ` AND h.id ${among}`} ORDER BY h.id LIMIT ?4`,
    ),
    profiles: prepareArrays(
      database,
      `SELECT host, profile FROM host_profiles
       WHERE (until_us IS NULL OR until_us >= ?1) AND ?2 = ?2 AND host ${amongMembers}`,
    ),
    gaps: prepareArrays(
      database,
      `SELECT host, reason, start_us, end_us, amounts FROM gaps
       WHERE end_us > ?1 AND start_us < ?2 AND host ${amongMembers}`,
    ),
    reboots: prepareArrays(
      database,
      `SELECT host, first_us FROM boots WHERE first_us >= ?1 AND ?2 = ?2 AND host ${amongMembers}
         AND host IN (SELECT host FROM boots WHERE host ${amongMembers} GROUP BY host HAVING count(*) > 1)`,
    ),
  };
}

function numberOfState(state: (typeof CLOUD_STATES)[number]): number {
  return CLOUD_STATES.indexOf(state) + 1;
}

function prepareArrays(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}
