/**
 * Reads all hosts and instances of a window with what decides if their groups are proven, as columns. A fleet
 * that scales has a hundred thousand of them within days, most of which are gone.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { GapReason } from '../../contract/host.ts';
import { HOUR_US, type Window } from '../../contract/window.ts';
import { CLOUD_STATES, type HostProfile, type MemberColumns, type StoredMembers } from '../store.ts';
import { FORGOTTEN_UNTIL_US } from './coverage_reader.ts';
import { missingOf } from './gap_rows.ts';

/** Columns whose numbers are null where nothing is known; `NaN` stands for null. */
export interface PackedMembers extends Omit<StoredMembers, 'profiles'> {
  profiles: { id: number; facts: string; firstUs: number | null }[];
}

type Row = (string | number | null)[];

/** Places of the columns of numbers in a row, in the order in which `MemberTable.columns` reads them. */
const NUMBER_COLUMNS = [2, 3, 5, 6, 7, 10, 11, 12] as const;

export class MembersReader {
  readonly #database: DatabaseSync;
  readonly #hosts: StatementSync;
  readonly #without: StatementSync;
  readonly #counts: StatementSync;
  readonly #hostProfiles: StatementSync;
  readonly #profiles: StatementSync;
  readonly #gaps: StatementSync;
  readonly #reboots: StatementSync;
  readonly #counted: StatementSync;
  readonly #forgotten: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    const hours = (us: string) => `(${us}) / ${HOUR_US} * ${HOUR_US}`;
    const countedWithin = (from: string, to: string) =>
      `(SELECT sum(min(c.end_us, ${hours(`${to} + ${HOUR_US - 1}`)}) - max(c.start_us, ${hours(from)})) FROM cloud_counts c
        WHERE c.host_id = h.host_id AND c.start_us < ${to} AND c.end_us > ${hours(from)})`;
    // ?1 is the window's start.
    this.#hosts = prepareArrays(
      database,
      `SELECT h.id, h.host_id, w.first_us, w.last_us, ${stateOf('m.state')}, m.launched_us, m.terminated_us,
         m.supplied_us, m.profile,
         CASE i.http_tokens WHEN 'required' THEN 2 WHEN 'optional' THEN 1 ELSE 0 END, i.supplied_us,
         CASE WHEN w.first_us > ?1 AND m.launched_us >= ?1 AND m.launched_us <= w.first_us
           THEN ${countedWithin('m.launched_us', 'w.first_us')} END,
         CASE WHEN m.terminated_us > w.last_us THEN ${countedWithin('w.last_us', 'm.terminated_us')} END
       FROM hosts h LEFT JOIN watched w ON w.host = h.id LEFT JOIN cloud_members m ON m.host_id = h.host_id
         LEFT JOIN cloud_instances i ON i.host_id = h.host_id
       WHERE h.last_us >= ?1 OR w.last_us >= ?1
         OR (m.terminated_us IS NULL AND m.state IN ('pending', 'running'))
         OR EXISTS (SELECT 1 FROM heartbeats b WHERE b.host_id = h.host_id AND b.received_us >= ?1)`,
    );
    this.#without = prepareArrays(
      database,
      `SELECT -1, m.host_id, NULL, NULL, ${stateOf('m.state')}, m.launched_us, m.terminated_us, m.supplied_us, m.profile,
         CASE i.http_tokens WHEN 'required' THEN 2 WHEN 'optional' THEN 1 ELSE 0 END, i.supplied_us, NULL, NULL
       FROM cloud_members m LEFT JOIN cloud_instances i ON i.host_id = m.host_id
       WHERE coalesce(m.terminated_us, CASE WHEN m.state IN ('pending', 'running') THEN ?1 ELSE m.supplied_us END) >= ?1
         AND NOT EXISTS (SELECT 1 FROM hosts h WHERE h.host_id = m.host_id)`,
    );
    this.#counts = database.prepare(
      'SELECT (SELECT count(*) FROM hosts) AS hosts, (SELECT count(*) FROM cloud_members) AS instances',
    );
    this.#hostProfiles = prepareArrays(
      database,
      'SELECT host, profile FROM host_profiles WHERE until_us IS NULL OR until_us >= ?',
    );
    this.#profiles = database.prepare('SELECT id, facts, first_us AS firstUs FROM profiles');
    this.#gaps = prepareArrays(
      database,
      'SELECT host, reason, start_us, end_us, amounts FROM gaps WHERE end_us > ? AND start_us < ?',
    );
    this.#reboots = prepareArrays(
      database,
      `SELECT host, first_us FROM boots WHERE first_us >= ?
         AND host IN (SELECT host FROM boots GROUP BY host HAVING count(*) > 1)`,
    );
    this.#counted = database.prepare(
      `SELECT DISTINCT host_id FROM cloud_counts
       WHERE end_us > ? AND start_us < ? AND (no_token > 0 OR no_token_rejected > 0)`,
    );
    this.#forgotten = database.prepare(`SELECT value FROM sums WHERE name = '${FORGOTTEN_UNTIL_US}'`);
  }

  read({ sinceUs, untilUs }: Window): PackedMembers {
    const { hosts, instances } = this.#counts.get() as { hosts: number; instances: number };
    const table = new MemberTable(hosts + instances);
    for (const row of this.#hosts.iterate(sinceUs)) table.add(row as unknown as Row);
    // Looking for instances without a host is slow, and often each has one.
    if (table.withInventory !== instances) {
      for (const row of this.#without.iterate(sinceUs)) table.add(row as unknown as Row);
    }
    const { index } = table;
    // The agent's profiles come first, because the cloud's has no zone and no type.
    const memberOf: number[] = [];
    const profileOf: number[] = [];
    for (const row of this.#hostProfiles.iterate(sinceUs)) {
      const [host, profile] = row as unknown as [number, number];
      const at = index[host];
      if (at === undefined) continue;
      memberOf.push(at);
      profileOf.push(profile);
    }
    for (const [at, profile] of table.cloudProfiles.entries()) {
      if (profile === 0) continue;
      memberOf.push(at);
      profileOf.push(profile);
    }
    const gaps: StoredMembers['gaps'] = [];
    for (const row of this.#gaps.all(sinceUs, untilUs) as unknown as Row[]) {
      const at = index[row[0] as number];
      if (at === undefined) continue;
      const reason = row[1] as GapReason;
      const [start, end] = [Number(row[2]), Number(row[3])];
      const [startUs, endUs] = [Math.max(start, sinceUs), Math.min(end, untilUs)];
      const missing = missingOf(reason, start, end, row[4] as string | null);
      gaps.push({ member: at, startUs, endUs, missingUs: Math.min(missing, endUs - startUs), reason });
    }
    const reboots: StoredMembers['reboots'] = [];
    for (const [host, us] of this.#reboots.all(sinceUs) as unknown as Row[]) {
      const at = index[host as number];
      if (at !== undefined) reboots.push({ member: at, firstUs: Number(us) });
    }
    return {
      hostIds: table.hostIds,
      columns: table.columns(),
      memberOf: Uint32Array.from(memberOf),
      profileOf: Uint32Array.from(profileOf),
      profiles: this.#profiles.all() as unknown as PackedMembers['profiles'],
      gaps,
      reboots,
      withCountedCalls: this.#counted.all(sinceUs, untilUs).map((row) => String(row['host_id'])),
      forgottenUntilUs: (this.#forgotten.get()?.['value'] as number | undefined) ?? null,
    };
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
class MemberTable {
  readonly hostIds: string[] = [];
  /** Place of a host by its number. Numbers are dense: an array finds them faster than a map. */
  readonly index: number[] = [];
  /** Profile in the inventory, 0 where there is none. */
  readonly cloudProfiles: number[] = [];
  withInventory = 0;
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
    if (profile !== 0) this.withInventory += 1;
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
      countedAtStartUs: numbers[6]!,
      countedAtEndUs: numbers[7]!,
    };
  }
}

/** Reads the JSON of profiles once: a profile never changes, and its number is never given again. */
export class MembersUnpacker {
  #known = new Map<number, HostProfile>();

  unpack({ profiles, ...rest }: PackedMembers): StoredMembers {
    const known = new Map<number, HostProfile>();
    for (const { id, facts } of profiles) {
      known.set(id, this.#known.get(id) ?? (JSON.parse(facts) as HostProfile));
    }
    this.#known = known;
    return {
      ...rest,
      profiles: new Map(profiles.map(({ id, firstUs }) => [id, { facts: known.get(id)!, firstUs }])),
    };
  }
}

/**
 * Returns SQL for the place of a state in `CLOUD_STATES`, counted from 1; 0 for a state that is not known.
 */
function stateOf(column: string): string {
  return `CASE ${column} ${CLOUD_STATES.map((state, at) => `WHEN '${state}' THEN ${at + 1}`).join(' ')} ELSE 0 END`;
}

function prepareArrays(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  return statement;
}
