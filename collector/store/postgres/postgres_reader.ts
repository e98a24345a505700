/** Answers the questions of the store from PostgreSQL, each from one consistent view. */
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import { type HostChoice, isIdList } from '../host_filter.ts';
import { type PackedHost, unpackHost } from '../sqlite/packed_hosts.ts';
import type {
  CloudCount,
  CloudInstance,
  CloudInventory,
  CloudMember,
  HostProfile,
  Identity,
  Scope,
  StoredHost,
  StoredProfiles,
  StoreQueries,
} from '../store.ts';
import type { CallerFacts } from '../workload_identity.ts';
import { readCalls } from './calls_reader.ts';
import { CoverageReader } from './coverage_reader.ts';
import type { Session } from './database_pool.ts';
import { HostChoices } from './host_choice.ts';
import { readMembers } from './members_reader.ts';
import { readPlaceSums } from './place_sums.ts';
import { all, bounded, hostCondition, identityCondition, SqlParameters } from './question.ts';
import { identityOf, StoredValues } from './stored_values.ts';
import { type ChosenScope, TotalsReader } from './totals_reader.ts';
import type { Views } from './views.ts';
import { readWorkloadHosts } from './workload_hosts.ts';

export class PostgresReader implements Omit<StoreQueries, 'close'> {
  readonly #views: Views;
  readonly #choices = new HostChoices();
  readonly #values = new StoredValues();
  readonly #totals: TotalsReader;
  readonly #coverage: CoverageReader;

  constructor(views: Views) {
    this.#views = views;
    this.#totals = new TotalsReader(this.#values);
    this.#coverage = new CoverageReader(this.#choices, this.#totals);
  }

  #view<T>(ask: (session: Session) => Promise<T>): Promise<T> {
    return this.#views.view(ask);
  }

  #inScope<T>(scope: Scope, ask: (session: Session, scope: ChosenScope) => Promise<T>): Promise<T> {
    return this.#view(async (session) =>
      ask(session, { ...scope, hosts: await this.#choices.choose(session, scope.hosts) }),
    );
  }

  identityTotals(scope: Scope): ReturnType<StoreQueries['identityTotals']> {
    return this.#inScope(scope, (session, chosen) => this.#totals.identityTotals(session, chosen));
  }
  measuredHops(scope: Scope): ReturnType<StoreQueries['measuredHops']> {
    return this.#inScope(scope, (session, chosen) => this.#totals.measuredHops(session, chosen));
  }
  hostTotals(scope: Scope, withV2 = true): ReturnType<StoreQueries['hostTotals']> {
    return this.#inScope(scope, (session, chosen) => this.#totals.hostTotals(session, chosen, withV2));
  }
  callTotals(scope: Scope): ReturnType<StoreQueries['callTotals']> {
    return this.#inScope(scope, (session, chosen) => this.#totals.callTotals(session, chosen));
  }
  workloadHosts(
    scope: Scope,
    options: Parameters<StoreQueries['workloadHosts']>[1],
  ): ReturnType<StoreQueries['workloadHosts']> {
    return this.#inScope(scope, (session, chosen) =>
      readWorkloadHosts(session, this.#choices, chosen, options),
    );
  }
  sumsByPlace(...question: Parameters<StoreQueries['sumsByPlace']>): ReturnType<StoreQueries['sumsByPlace']> {
    return this.#view((session) => readPlaceSums(session, this.#choices, this.#values, ...question));
  }
  series(scope: Scope, bucket: 'hour' | 'day', byIdentity: boolean): ReturnType<StoreQueries['series']> {
    return this.#inScope(scope, (session, chosen) =>
      this.#totals.series(session, chosen, bucket, byIdentity),
    );
  }
  callingDays(fromDay: number, toDay: number, hosts: HostChoice): ReturnType<StoreQueries['callingDays']> {
    return this.#view(async (session) =>
      this.#totals.callingDays(session, fromDay, toDay, await this.#choices.choose(session, hosts)),
    );
  }
  answeredV1(hostId: string, spans: Window[]): Promise<number[]> {
    return this.#countV1(hostId, spans, (status) => status >= 200 && status < 300);
  }
  refusedV1(hostId: string, spans: Window[]): Promise<number[]> {
    return this.#countV1(hostId, spans, (status) => status === 401);
  }
  #countV1(hostId: string, spans: Window[], isCounted: (status: number) => boolean): Promise<number[]> {
    return this.#view(async (session) => {
      const hosts = await this.#choices.choose(session, [hostId]);
      return this.#totals.countV1(session, hosts, spans, isCounted);
    });
  }

  callerHosts(scope: Scope, after: string | null, limit: number): Promise<string[]> {
    return this.#inScope(scope, async (session, { window, identities, hosts }) => {
      const parameters = new SqlParameters();
      const sinceUs = Math.floor(bounded(window.sinceUs) / HOUR_US) * HOUR_US;
      const conditions = all(
        `t.last_us >= ${parameters.add(sinceUs)}`,
        `t.first_us < ${parameters.add(bounded(window.untilUs))}`,
        `h.host_id > ${parameters.add(after ?? '')}`,
        identityCondition(parameters, 't.identity', identities),
        hostCondition(parameters, 't.host', hosts),
      );
      const rows = await session.query<{ id: string }>(
        `SELECT DISTINCT h.host_id AS id FROM identity_hosts t JOIN hosts h ON h.id = t.host WHERE ${conditions}
         ORDER BY h.host_id LIMIT ${parameters.add(limit)}`,
        parameters.values,
      );
      return rows.map(({ id }) => id);
    });
  }

  hosts(ids: readonly string[]): Promise<StoredHost[]> {
    return this.#view((session) => readHosts(session, ids));
  }
  hostIds(choice: HostChoice, after: string | null, limit: number): Promise<string[]> {
    return this.#view((session) => this.#choices.idsAfter(session, choice, after, limit));
  }
  hostPage(choice: HostChoice, after: string | null, limit: number): Promise<StoredHost[]> {
    return this.#view(async (session) =>
      readHosts(session, await this.#choices.idsAfter(session, choice, after, limit)),
    );
  }
  hostBriefs(...question: Parameters<StoreQueries['hostBriefs']>): ReturnType<StoreQueries['hostBriefs']> {
    return this.#view((session) => this.#coverage.hostBriefs(session, ...question));
  }
  coverage(window: Window, hosts: readonly string[]): ReturnType<StoreQueries['coverage']> {
    return this.#view(async (session) =>
      this.#coverage.coverage(session, window, await this.#choices.choose(session, hosts)),
    );
  }
  reportedSpan(): ReturnType<StoreQueries['reportedSpan']> {
    return this.#view(async (session) => {
      const [row] = await session.query<{ firstUs: number | null; lastUs: number | null }>(
        'SELECT min(first_us) AS "firstUs", max(last_us) AS "lastUs" FROM hosts',
      );
      const { firstUs, lastUs } = row!;
      return firstUs === null || lastUs === null ? null : { firstUs, lastUs };
    });
  }
  reportedDays(choice: HostChoice): ReturnType<StoreQueries['reportedDays']> {
    return this.#view(async (session) => {
      const parameters = new SqlParameters();
      const hosts = await this.#choices.choose(session, choice);
      const dayOf = (column: string) => `trunc(${column} / ${DAY_US}.0)::integer`;
      return session.query(
        `SELECT ${dayOf('first_us')} AS "firstDay", ${dayOf('last_us')} AS "lastDay", count(*) AS hosts FROM hosts
         WHERE ${all('first_us IS NOT NULL', hostCondition(parameters, 'id', hosts))} GROUP BY 1, 2 ORDER BY 1, 2`,
        parameters.values,
      );
    });
  }
  countedHosts(window: Window, choice: HostChoice, after: string | null, limit: number): Promise<string[]> {
    return this.#view(async (session) => {
      const parameters = new SqlParameters();
      const conditions = all(
        `end_us > ${parameters.add(bounded(window.sinceUs))}`,
        `start_us < ${parameters.add(bounded(window.untilUs))}`,
        `host_id > ${parameters.add(after ?? '')}`,
        await this.#namedHosts(session, parameters, choice),
      );
      const rows = await session.query<{ id: string }>(
        `SELECT DISTINCT host_id AS id FROM cloud_counts WHERE ${conditions}
         ORDER BY host_id LIMIT ${parameters.add(limit)}`,
        parameters.values,
      );
      return rows.map(({ id }) => id);
    });
  }

  /** Instances of the cloud can be named that are no host. */
  async #namedHosts(session: Session, parameters: SqlParameters, choice: HostChoice): Promise<string | null> {
    if (choice === null) return null;
    if (isIdList(choice)) return `host_id = ANY (${parameters.add(choice)})`;
    const hosts = await this.#choices.choose(session, choice);
    return `host_id IN (SELECT host_id FROM hosts WHERE ${all(hostCondition(parameters, 'id', hosts))})`;
  }

  profiles(): Promise<StoredProfiles> {
    return this.#view(async (session) => {
      const rows = await session.query<{ id: number; facts: string; firstUs: number | null }>(
        'SELECT id, facts, first_us AS "firstUs" FROM profiles ORDER BY id',
      );
      return new Map(
        rows.map(({ id, facts, firstUs }) => [id, { facts: JSON.parse(facts) as HostProfile, firstUs }]),
      );
    });
  }
  members(...question: Parameters<StoreQueries['members']>): ReturnType<StoreQueries['members']> {
    return this.#view((session) => readMembers(session, this.#totals, ...question));
  }
  hostNames(hostIds: readonly string[]): Promise<string[]> {
    return this.#view(async (session) => {
      const rows = await session.query<{ id: string; name: string }>(
        'SELECT host_id AS id, name FROM hosts WHERE host_id = ANY ($1)',
        [hostIds],
      );
      const names = new Map(rows.map(({ id, name }) => [id, name]));
      return hostIds.map((id) => names.get(id) ?? id);
    });
  }
  identities(ids: string[]): Promise<Identity[]> {
    return this.#view(async (session) =>
      (
        await session.query<{ key: string; facts: string }>(
          'SELECT key, facts FROM identities WHERE key = ANY ($1)',
          [ids],
        )
      ).map(identityOf),
    );
  }
  identitiesAfter(row: number, limit: number): ReturnType<StoreQueries['identitiesAfter']> {
    return this.#view(async (session) =>
      (
        await session.query<{ id: number; key: string; facts: string }>(
          'SELECT id, key, facts FROM identities WHERE id > $1 ORDER BY id LIMIT $2',
          [row, limit],
        )
      ).map((each) => ({ row: each.id, identity: identityOf(each) })),
    );
  }
  pathsV1(identity: string, limit: number): ReturnType<StoreQueries['pathsV1']> {
    return this.#view(async (session) => {
      const rows = await session.query<{ listed: number; path: string; count: number; lastUs: number }>(
        `SELECT listed, path, sum(count)::bigint AS count, max(last_us) AS "lastUs" FROM paths_v1
         WHERE identity = (SELECT id FROM identities WHERE key = $1)
         GROUP BY listed, path ORDER BY listed DESC, count DESC, path LIMIT $2`,
        [identity, limit],
      );
      return rows.map(({ listed, path, count, lastUs }) => ({
        path: listed === 1 ? path : null,
        count,
        lastUs,
      }));
    });
  }
  callers(identity: string, limit: number, choice: HostChoice): ReturnType<StoreQueries['callers']> {
    return this.#view(async (session) => {
      const hosts = await this.#choices.choose(session, choice);
      const parameters = new SqlParameters();
      const conditions = all(
        `c.identity = (SELECT id FROM identities WHERE key = ${parameters.add(identity)})`,
        hostCondition(parameters, 'c.host', hosts),
      );
      const rows = await session.query<{ facts: string; hostId: string; lastUs: number }>(
        `SELECT f.facts, h.host_id AS "hostId", c.last_us AS "lastUs" FROM callers c
         JOIN caller_facts f ON f.caller = c.id JOIN hosts h ON h.id = c.host
         WHERE ${conditions} ORDER BY c.last_us DESC, c.hash LIMIT ${parameters.add(limit)}`,
        parameters.values,
      );
      return rows.map(({ facts, ...row }) => ({ facts: JSON.parse(facts) as CallerFacts, ...row }));
    });
  }
  calls(...question: Parameters<StoreQueries['calls']>): ReturnType<StoreQueries['calls']> {
    return this.#view((session) => readCalls(session, ...question, this.#choices));
  }

  cloudCounts(window: Window, hosts: readonly string[]): Promise<CloudCount[]> {
    return this.#view((session) =>
      session.query<CloudCount & Record<string, unknown>>(
        `SELECT host_id AS "hostId", start_us AS "startUs", end_us AS "endUs", no_token AS "noToken",
           no_token_rejected AS "noTokenRejected" FROM cloud_counts
         WHERE end_us > $1 AND start_us < $2 AND host_id = ANY ($3) ORDER BY host_id, start_us`,
        [bounded(window.sinceUs), bounded(window.untilUs), hosts],
      ),
    );
  }
  cloudInstances(ids: readonly string[]): Promise<CloudInstance[]> {
    return this.#view((session) =>
      session.query<CloudInstance & Record<string, unknown>>(
        `SELECT host_id AS "hostId", http_tokens AS "httpTokens", hop_limit AS "hopLimit", http_endpoint AS "httpEndpoint",
           supplied_us AS "suppliedUs" FROM cloud_instances WHERE host_id = ANY ($1) ORDER BY host_id`,
        [ids],
      ),
    );
  }
  cloudResources(): ReturnType<StoreQueries['cloudResources']> {
    return this.#view(readResources);
  }
  cloudInventory(): Promise<CloudInventory> {
    return this.#view(async (session) => {
      type Row = Omit<CloudMember, 'isSpot' | 'tags'> & { isSpot: number | null; tags: string | null };
      const instances = await session.query<Row & Record<string, unknown>>(
        `SELECT host_id AS "hostId", account, region, state, launched_us AS "launchedUs", terminated_us AS "terminatedUs",
           image_id AS "imageId", scaling_group AS "scalingGroup", template_id AS "templateId",
           template_version AS "templateVersion", is_spot AS "isSpot", managed_by AS "managedBy", tags,
           supplied_us AS "suppliedUs"
         FROM cloud_members ORDER BY host_id`,
      );
      return {
        instances: instances.map((row) => ({
          ...row,
          isSpot: row.isSpot === null ? null : row.isSpot === 1,
          tags: row.tags === null ? null : JSON.parse(row.tags),
        })),
        resources: await readResources(session),
      };
    });
  }

  heardHosts(sinceUs: number): Promise<number> {
    return this.#view(async (session) => {
      const [row] = await session.query<{ hosts: number }>(
        'SELECT count(*) AS hosts FROM last_heard WHERE heard_us >= $1',
        [sinceUs],
      );
      return row!.hosts;
    });
  }

  statistics(): ReturnType<StoreQueries['statistics']> {
    return this.#view(async (session) => {
      const [row] = await session.query<
        Awaited<ReturnType<StoreQueries['statistics']>> & Record<string, unknown>
      >(
        `SELECT pg_database_size(current_database()) AS bytes, coalesce((SELECT sum(calls) FROM call_counts), 0)::bigint AS calls,
           (SELECT min(time_us) FROM calls) AS "oldestCallUs", (SELECT count(*) FROM identities) AS identities,
           (SELECT count(*) FROM hosts) AS hosts`,
      );
      return row!;
    });
  }
}

/** A host without a record or heartbeat has no times yet, and is left out. */
async function readHosts(session: Session, ids: readonly string[]): Promise<StoredHost[]> {
  const rows = await session.query<PackedHost & Record<string, unknown>>(
    `SELECT h.facts, h.first_us AS "firstUs", h.last_us AS "lastUs", l.heard_us AS "heardUs", b.body,
       b.received_us AS "receivedUs"
     FROM hosts h LEFT JOIN last_heard l ON l.host_id = h.host_id LEFT JOIN heartbeats b ON b.host_id = h.host_id
     WHERE h.first_us IS NOT NULL AND h.host_id = ANY ($1) ORDER BY h.host_id`,
    [ids],
  );
  return rows.map(unpackHost);
}

async function readResources(session: Session): Promise<CloudInventory['resources']> {
  const rows = await session.query<{ facts: string; suppliedUs: number }>(
    'SELECT facts, supplied_us AS "suppliedUs" FROM cloud_resources ORDER BY kind, account, region, id',
  );
  return rows.map(({ facts, suppliedUs }) => ({ facts: JSON.parse(facts), suppliedUs }));
}
