/** Answers the questions of the store on one connection, each from one consistent view. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Call } from '../../../protocol/call.ts';
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import type { ArrivedCalls, WaitingArrivals } from '../arrivals.ts';
import { type HostChoice, isIdList } from '../host_filter.ts';
import { sumsByQuestions } from '../place_sums.ts';
import type {
  CallFilter,
  CallingDays,
  CloudCount,
  CloudInstance,
  CloudInventory,
  HostBriefs,
  HostCoverage,
  HostsScope,
  Identity,
  IdentityTotals,
  MeasuredHops,
  ReportedDays,
  Scope,
  SeriesPoint,
  StoredHost,
  StoreQueries,
  StoreStatistics,
  WorkloadHosts,
  WorkloadHostsOptions,
} from '../store.ts';
import type { CallerFacts, WorkloadIdentity } from '../workload_identity.ts';
import { ArrivalsReader } from './arrivals_reader.ts';
import { CallsReader } from './calls_reader.ts';
import { CloudInventoryReader } from './cloud_inventory_rows.ts';
import { CoverageReader } from './coverage_reader.ts';
import { bytesBeside, usedBytes } from './database.ts';
import { HostBriefsReader, type PackedHostBriefs } from './host_briefs.ts';
import { MembersReader, type PackedMembers } from './members_reader.ts';
import { type PackedHost, unpackHost } from './packed_hosts.ts';
import { type PackedProfiles, ProfilesReader, ProfilesUnpacker } from './packed_profiles.ts';
import { type PackedHostTotals, unpackHostTotals } from './packed_totals.ts';
import { Rows } from './rows.ts';
import { hostColumn, isAmong } from './total_queries.ts';
import { bounded, Totals } from './totals.ts';
import { WorkloadHostsReader } from './workload_hosts.ts';

export class FindingsReader implements StoreQueries {
  readonly #database: DatabaseSync;
  readonly #rows: Rows;
  readonly #totals: Totals;
  readonly #workloadHosts: WorkloadHostsReader;
  readonly #hostBriefs: HostBriefsReader;
  readonly #coverage: CoverageReader;
  readonly #calls: CallsReader;
  readonly #arrivals: ArrivalsReader;
  readonly #members: MembersReader;
  readonly #profiles: ProfilesReader;
  readonly #profilesUnpacker = new ProfilesUnpacker();
  readonly #cloudInventory: CloudInventoryReader;
  readonly #statements: ReturnType<typeof prepareAll>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#rows = new Rows(database);
    this.#totals = new Totals(database, this.#rows);
    this.#workloadHosts = new WorkloadHostsReader(this.#rows, this.#totals);
    this.#hostBriefs = new HostBriefsReader(database, this.#rows, this.#totals);
    this.#coverage = new CoverageReader(database);
    this.#calls = new CallsReader(database, this.#rows);
    this.#arrivals = new ArrivalsReader(database);
    this.#members = new MembersReader(database, this.#totals);
    this.#profiles = new ProfilesReader(database);
    this.#cloudInventory = new CloudInventoryReader(database);
    this.#statements = prepareAll(database);
  }

  /** Runs a question in a transaction. Without it, an answer could contain half of a commit. */
  async #view<T>(ask: () => T): Promise<T> {
    this.#database.exec('BEGIN');
    this.#rows.chosenHosts.forget();
    try {
      return ask();
    } finally {
      this.#database.exec('COMMIT');
    }
  }

  identityTotals(scope: Scope): Promise<IdentityTotals[]> {
    return this.#view(() => this.#totals.identityTotals(scope));
  }
  measuredHops(scope: HostsScope): Promise<MeasuredHops[]> {
    return this.#view(() => this.#totals.measuredHops(scope));
  }
  async hostTotals(scope: HostsScope, withV2 = true): ReturnType<StoreQueries['hostTotals']> {
    return unpackHostTotals(await this.packedHostTotals(scope, withV2));
  }
  packedHostTotals(scope: HostsScope, withV2: boolean): Promise<PackedHostTotals> {
    return this.#view(() => this.#totals.hostTotals(scope, withV2));
  }
  callTotals(scope: Scope): ReturnType<StoreQueries['callTotals']> {
    return this.#view(() => this.#totals.callTotals(scope));
  }
  sumsByPlace(...question: Parameters<StoreQueries['sumsByPlace']>): ReturnType<StoreQueries['sumsByPlace']> {
    return sumsByQuestions(this, ...question);
  }
  workloadHosts(scope: Scope, options: WorkloadHostsOptions): Promise<WorkloadHosts[]> {
    return this.#view(() => this.#workloadHosts.read(scope, options));
  }
  async hostBriefs(...question: Parameters<StoreQueries['hostBriefs']>): Promise<HostBriefs> {
    const { totals, ...briefs } = await this.packedHostBriefs(...question);
    return { ...briefs, totals: unpackHostTotals(totals) };
  }
  packedHostBriefs(...question: Parameters<StoreQueries['hostBriefs']>): Promise<PackedHostBriefs> {
    return this.#view(() => this.#hostBriefs.read(...question));
  }

  callerHosts(scope: Scope, after: string | null, limit: number): Promise<string[]> {
    return this.#view(() => {
      const { window, identities } = scope;
      const hosts = scope.hosts === null ? null : this.#rows.hostRows(scope.hosts);
      const lists = [
        { column: 'identity', rows: identities === null ? null : this.#rows.identityRows(identities) },
        { column: hostColumn(hosts ?? []), rows: hosts },
      ].filter(({ rows }) => rows !== null);
      return this.#totals
        .prepare(
          `SELECT DISTINCT host_id AS id FROM identity_hosts JOIN hosts ON hosts.id = host
           WHERE identity_hosts.last_us >= ? AND identity_hosts.first_us < ? AND host_id > ?
             ${lists.map(({ column }) => isAmong(column)).join('')} ORDER BY host_id LIMIT ?`,
        )
        .all(
          bounded(Math.floor(window.sinceUs / HOUR_US) * HOUR_US),
          bounded(window.untilUs),
          after ?? '',
          ...lists.map(({ rows }) => JSON.stringify(rows)),
          limit,
        )
        .map(({ id }) => String(id));
    });
  }

  hostIds(choice: HostChoice, after: string | null, limit: number): Promise<string[]> {
    return this.#view(() => this.#rows.chosenHosts.idsAfter(choice, after, limit));
  }
  async hostPage(choice: HostChoice, after: string | null, limit: number): Promise<StoredHost[]> {
    return (await this.packedHostPage(choice, after, limit)).map(unpackHost);
  }
  packedHostPage(choice: HostChoice, after: string | null, limit: number): Promise<PackedHost[]> {
    return this.#view(() => {
      const ids = this.#rows.chosenHosts.idsAfter(choice, after, limit);
      const found = this.#statements.hosts.all(JSON.stringify(ids)) as unknown as (PackedHost & {
        id: string;
      })[];
      const byId = new Map(found.map(({ id, ...host }) => [id, host]));
      return ids.map((id) => byId.get(id)!);
    });
  }

  /** See `ArrivalStore`. */
  arrivals(after: number, limit: number): Promise<ArrivedCalls> {
    return this.#view(() => this.#arrivals.arrivals(after, limit));
  }
  /** See `ArrivalStore`. */
  arrivalsBehind(after: number): Promise<WaitingArrivals> {
    return this.#view(() => this.#arrivals.arrivalsBehind(after));
  }

  reportedSpan(): ReturnType<StoreQueries['reportedSpan']> {
    return this.#view(() => {
      const { firstUs, lastUs } = this.#totals
        .prepare('SELECT min(first_us) AS firstUs, max(last_us) AS lastUs FROM hosts')
        .get() as { firstUs: number | null; lastUs: number | null };
      return firstUs === null || lastUs === null ? null : { firstUs, lastUs };
    });
  }

  reportedDays(choice: HostChoice): Promise<ReportedDays[]> {
    return this.#view(() => {
      const rows = choice === null ? null : this.#rows.hostRows(choice);
      return this.#totals
        .prepare(
          `SELECT first_us / ${DAY_US} AS firstDay, last_us / ${DAY_US} AS lastDay, count(*) AS hosts FROM hosts
           WHERE first_us IS NOT NULL${rows === null ? '' : isAmong('id')} GROUP BY 1, 2 ORDER BY 1, 2`,
        )
        .all(...(rows === null ? [] : [JSON.stringify(rows)]))
        .map((row) => ({ ...row })) as never;
    });
  }

  countedHosts(
    { sinceUs, untilUs }: Window,
    choice: HostChoice,
    after: string | null,
    limit: number,
  ): Promise<string[]> {
    return this.#view(() => {
      const listed =
        choice === null
          ? null
          : new Set(
              isIdList(choice) ? choice : this.#rows.hostRows(choice).map((row) => this.#rows.hostId(row)),
            );
      const found: string[] = [];
      const rows = this.#totals
        .prepare(
          `SELECT DISTINCT host_id AS id FROM cloud_counts WHERE end_us > ? AND start_us < ? AND host_id > ?
           ORDER BY host_id`,
        )
        .iterate(sinceUs, untilUs, after ?? '');
      for (const { id } of rows as unknown as Iterable<{ id: string }>) {
        if (listed !== null && !listed.has(id)) continue;
        found.push(id);
        if (found.length === limit) break;
      }
      return found;
    });
  }

  async profiles(): ReturnType<StoreQueries['profiles']> {
    return this.#profilesUnpacker.unpack(await this.packedProfiles(this.#profilesUnpacker.lastId));
  }
  packedProfiles(afterId: number): Promise<PackedProfiles> {
    return this.#view(() => this.#profiles.read(afterId));
  }
  async members(...question: Parameters<StoreQueries['members']>): ReturnType<StoreQueries['members']> {
    const { totals, ...members } = await this.packedMembers(...question);
    return { ...members, totals: unpackHostTotals(totals) };
  }
  packedMembers(...question: Parameters<StoreQueries['members']>): Promise<PackedMembers> {
    return this.#view(() => this.#members.read(...question));
  }
  hostNames(hostIds: readonly string[]): Promise<string[]> {
    return this.#view(() => this.#members.names(hostIds));
  }
  identities(ids: string[]): Promise<Identity[]> {
    return this.#view(() => this.#rows.identityRows(ids).map((row) => this.#rows.identity(row)));
  }
  identitiesAfter(row: number, limit: number): Promise<{ row: number; identity: Identity }[]> {
    return this.#view(() =>
      this.#statements.identitiesAfter.all(row, limit).map(({ id, key, facts }) => ({
        row: Number(id),
        identity: { id: String(key), ...(JSON.parse(String(facts)) as WorkloadIdentity) },
      })),
    );
  }
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): Promise<SeriesPoint[]> {
    return this.#view(() => this.#totals.series(scope, bucket, byIdentity));
  }
  callingDays(fromDay: number, toDay: number, hosts: HostChoice): Promise<CallingDays> {
    return this.#view(() => this.#totals.callingDays(fromDay, toDay, hosts));
  }
  coverage(window: Window, hosts: readonly string[]): Promise<HostCoverage[]> {
    return this.#view(() => this.#coverage.coverage(window, hosts));
  }
  calls(
    filter: CallFilter,
    limit: number,
    cursor: string | null,
  ): Promise<{ calls: Call[]; next: string | null }> {
    return this.#view(() => this.#calls.calls(filter, limit, cursor));
  }
  answeredV1(hostId: string, spans: Window[]): Promise<number[]> {
    return this.#view(() => this.#totals.answeredV1(hostId, spans));
  }

  refusedV1(hostId: string, spans: Window[]): Promise<number[]> {
    return this.#view(() => this.#totals.refusedV1(hostId, spans));
  }

  pathsV1(
    identity: string,
    limit: number,
  ): Promise<{ path: string | null; count: number; lastUs: number }[]> {
    return this.#view(() =>
      this.#statements.paths.all(identity, limit).map(({ listed, path, count, lastUs }) => ({
        path: listed === 1 ? String(path) : null,
        count: Number(count),
        lastUs: Number(lastUs),
      })),
    );
  }

  callers(
    identity: string,
    limit: number,
    choice: HostChoice,
  ): Promise<{ facts: CallerFacts; hostId: string; lastUs: number }[]> {
    return this.#view(() => {
      const hosts = choice === null ? null : JSON.stringify(this.#rows.hostRows(choice));
      return this.#statements.callers.all(identity, hosts, limit).map(({ facts, hostId, lastUs }) => ({
        facts: withoutOpener(JSON.parse(String(facts))),
        hostId: String(hostId),
        lastUs: Number(lastUs),
      }));
    });
  }

  async hosts(ids: readonly string[]): Promise<StoredHost[]> {
    return (await this.packedHosts(ids)).map(unpackHost);
  }
  packedHosts(ids: readonly string[]): Promise<PackedHost[]> {
    return this.#view(() => this.#statements.hosts.all(JSON.stringify(ids)) as unknown as PackedHost[]);
  }

  cloudCounts({ sinceUs, untilUs }: Window, hosts: readonly string[]): Promise<CloudCount[]> {
    return this.#view(
      () =>
        this.#statements.cloudCounts
          .all(sinceUs, untilUs, JSON.stringify(hosts))
          .map((row) => ({ ...row })) as never,
    );
  }

  cloudInstances(ids: readonly string[]): Promise<CloudInstance[]> {
    return this.#view(
      () => this.#statements.cloudInstances.all(JSON.stringify(ids)).map((row) => ({ ...row })) as never,
    );
  }

  cloudResources(): ReturnType<StoreQueries['cloudResources']> {
    return this.#view(() => this.#cloudInventory.resources());
  }
  cloudInventory(): Promise<CloudInventory> {
    return this.#view(() => this.#cloudInventory.read());
  }

  async heardHosts(sinceUs: number): Promise<number> {
    return Number(this.#statements.heardHosts.get(sinceUs)!['hosts']);
  }

  statistics(): Promise<StoreStatistics> {
    return this.#view(() => {
      const row = this.#statements.statistics.get()!;
      return {
        bytes: usedBytes(this.#database) + bytesBeside(this.#database),
        calls: Number(row['calls']),
        oldestCallUs: row['oldestCallUs'] as number | null,
        identities: Number(row['identities']),
        hosts: Number(row['hosts']),
      };
    });
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }
}

/** The opener of a connection is stored with the caller, and says nothing about the caller's other calls. */
function withoutOpener({ opener: _, ...facts }: CallerFacts & Pick<Call, 'opener'>): CallerFacts {
  return facts;
}

function prepareAll(
  database: DatabaseSync,
): Record<
  | 'paths'
  | 'callers'
  | 'identitiesAfter'
  | 'statistics'
  | 'heardHosts'
  | 'hosts'
  | 'cloudCounts'
  | 'cloudInstances',
  StatementSync
> {
  const among = (column: string) => `AND ${column} IN (SELECT value FROM json_each(?))`;
  const identity = '(SELECT id FROM identities WHERE key = ?)';
  return {
    paths: database.prepare(
      `SELECT listed, path, count, last_us AS lastUs FROM paths_v1 WHERE identity = ${identity}
       ORDER BY listed DESC, count DESC, path LIMIT ?`,
    ),
    callers: database.prepare(
      `SELECT caller_facts.facts, host_id AS hostId, callers.last_us AS lastUs FROM callers
       JOIN caller_facts ON caller_facts.caller = callers.id JOIN hosts ON hosts.id = callers.host WHERE identity = (SELECT id FROM identities WHERE key = ?1)
         AND (?2 IS NULL OR callers.host IN (SELECT value FROM json_each(?2))) ORDER BY callers.last_us DESC, callers.hash LIMIT ?3`,
    ),
    // A host without a record or heartbeat has no times yet, and is left out.
    hosts: database.prepare(
      `SELECT hosts.host_id AS id, facts, first_us AS firstUs, last_us AS lastUs, heard_us AS heardUs, body,
           received_us AS receivedUs
         FROM hosts LEFT JOIN last_heard ON last_heard.host_id = hosts.host_id
           LEFT JOIN heartbeats ON heartbeats.host_id = hosts.host_id
         WHERE first_us IS NOT NULL ${among('hosts.host_id')}`,
    ),
    identitiesAfter: database.prepare(
      'SELECT id, key, facts FROM identities WHERE id > ? ORDER BY id LIMIT ?',
    ),
    cloudCounts: database.prepare(
      `SELECT host_id AS hostId, start_us AS startUs, end_us AS endUs, no_token AS noToken,
           no_token_rejected AS noTokenRejected FROM cloud_counts
         WHERE end_us > ? AND start_us < ? ${among('host_id')} ORDER BY host_id, start_us`,
    ),
    cloudInstances: database.prepare(
      `SELECT host_id AS hostId, http_tokens AS httpTokens, hop_limit AS hopLimit, http_endpoint AS httpEndpoint,
           supplied_us AS suppliedUs FROM cloud_instances WHERE TRUE ${among('host_id')} ORDER BY host_id`,
    ),
    heardHosts: database.prepare('SELECT count(*) AS hosts FROM last_heard WHERE heard_us >= ?'),
    statistics: database.prepare(
      `SELECT (SELECT value FROM sums WHERE name = 'calls') AS calls, (SELECT min(time_us) FROM calls) AS oldestCallUs,
         (SELECT count(*) FROM identities) AS identities, (SELECT count(*) FROM hosts) AS hosts`,
    ),
  };
}
