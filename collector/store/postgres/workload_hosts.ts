/** Adds up the hosts of each workload in the database. */
import { HOUR_US } from '../../contract/window.ts';
import { tagValue } from '../host_filter.ts';
import { KIND_CLASS } from '../sqlite/total_rows.ts';
import type { IdentityHost, WorkloadHosts, WorkloadHostsOptions } from '../store.ts';
import type { Session } from './database_pool.ts';
import type { HostChoices } from './host_choice.ts';
import { all, bounded, hostCondition, identityCondition, SqlParameters } from './question.ts';
import { type ChosenScope, sumSql } from './totals_reader.ts';

interface LatestRow extends IdentityHost {
  hosts: number;
  allFirstUs: number;
  allLastUs: number;
  allLastV1Us: number | null;
  [column: string]: unknown;
}

export async function readWorkloadHosts(
  session: Session,
  choices: HostChoices,
  scope: ChosenScope,
  { latest, tagKeys, joined = [] }: WorkloadHostsOptions,
): Promise<WorkloadHosts[]> {
  const workloads = new Map<string, WorkloadHosts>();
  for (const row of await readLatest(session, scope, latest, joined)) {
    const { identity, hostId, firstUs, lastUs, lastV1Us, callsV1 } = row;
    let workload = workloads.get(identity);
    if (workload === undefined) {
      workload = {
        identity,
        hosts: row.hosts,
        firstUs: row.allFirstUs,
        lastUs: row.allLastUs,
        lastV1Us: row.allLastV1Us,
        freed: 0,
        latest: [],
        accounts: [],
        regions: [],
        tags: Object.fromEntries(tagKeys.map((key) => [key, []])),
      };
      workloads.set(identity, workload);
    }
    // The first row of a workload is there also where no host is to be listed.
    if (workload.latest.length < latest) {
      workload.latest.push({ identity, hostId, firstUs, lastUs, lastV1Us, callsV1 });
    }
  }
  for (const { workload, hosts } of await readFreed(session, scope, joined)) {
    const found = workloads.get(workload);
    if (found !== undefined) found.freed = hosts;
  }
  await addProfiles(session, choices, scope, joined, tagKeys, workloads);
  return [...workloads.values()];
}

/** Returns SQL of two tables: the workload of each identity, and its rows of `identity_hosts` added up by host. */
function workloadRows(
  parameters: SqlParameters,
  scope: ChosenScope,
  joined: NonNullable<WorkloadHostsOptions['joined']>,
): string {
  const sinceUs = Math.floor(bounded(scope.window.sinceUs) / HOUR_US) * HOUR_US;
  const conditions = all(
    `t.last_us >= ${parameters.add(sinceUs)}`,
    `t.first_us < ${parameters.add(bounded(scope.window.untilUs))}`,
    identityCondition(parameters, 't.identity', scope.identities),
    hostCondition(parameters, 't.host', scope.hosts),
  );
  return `${workloadNames(parameters, joined)},
    per_host AS (
      SELECT n.workload, t.host, min(t.first_us) AS first_us, max(t.last_us) AS last_us, max(t.last_v1_us) AS last_v1_us
      FROM identity_hosts t JOIN names n ON n.id = t.identity WHERE ${conditions} GROUP BY n.workload, t.host
    )`;
}

function workloadNames(
  parameters: SqlParameters,
  joined: NonNullable<WorkloadHostsOptions['joined']>,
): string {
  const identities = parameters.add(joined.map(([identity]) => identity));
  const workloads = parameters.add(joined.map(([, workload]) => workload));
  return `names AS (
      SELECT i.id, coalesce(j.workload, i.key) AS workload FROM identities i
      LEFT JOIN unnest(${identities}::text[], ${workloads}::text[]) AS j (key, workload) ON j.key = i.key
    )`;
}

function readLatest(
  session: Session,
  scope: ChosenScope,
  latest: number,
  joined: NonNullable<WorkloadHostsOptions['joined']>,
): Promise<LatestRow[]> {
  const parameters = new SqlParameters();
  const rows = workloadRows(parameters, scope, joined);
  const sums = sumSql({ scope, classes: [KIND_CLASS.v1], by: ['identity', 'host'] }, parameters);
  const calls =
    sums === null
      ? 'SELECT NULL::text AS workload, NULL::bigint AS host, 0::bigint AS calls WHERE FALSE'
      : `SELECT n.workload, s.host, sum(s.count)::bigint AS calls FROM (${sums}) s JOIN names n ON n.id = s.identity
         GROUP BY n.workload, s.host`;
  return session.query<LatestRow>(
    `WITH ${rows}, calls_v1 AS (${calls}), ordered AS (
       SELECT p.workload, h.host_id, p.host, p.first_us, p.last_us, p.last_v1_us,
         row_number() OVER (PARTITION BY p.workload ORDER BY p.last_us DESC, h.host_id) AS place,
         count(*) OVER of_workload AS hosts, min(p.first_us) OVER of_workload AS all_first_us,
         max(p.last_us) OVER of_workload AS all_last_us, max(p.last_v1_us) OVER of_workload AS all_last_v1_us
       FROM per_host p JOIN hosts h ON h.id = p.host WINDOW of_workload AS (PARTITION BY p.workload)
     )
     SELECT o.workload AS identity, o.host_id AS "hostId", o.first_us AS "firstUs", o.last_us AS "lastUs",
       o.last_v1_us AS "lastV1Us", coalesce(c.calls, 0) AS "callsV1", o.hosts, o.all_first_us AS "allFirstUs",
       o.all_last_us AS "allLastUs", o.all_last_v1_us AS "allLastV1Us"
     FROM ordered o LEFT JOIN calls_v1 c ON c.workload = o.workload AND c.host = o.host
     WHERE o.place <= ${parameters.add(Math.max(1, latest))} ORDER BY o.workload, o.place`,
    parameters.values,
  );
}

/** A host is freed by a workload if no other one made an IMDSv1 call there. */
async function readFreed(
  session: Session,
  scope: ChosenScope,
  joined: NonNullable<WorkloadHostsOptions['joined']>,
): Promise<{ workload: string; hosts: number }[]> {
  const parameters = new SqlParameters();
  const names = workloadNames(parameters, joined);
  const every = { ...scope, identities: null };
  const sums = sumSql({ scope: every, classes: [KIND_CLASS.v1], by: ['identity', 'host'] }, parameters);
  if (sums === null) return [];
  return session.query(
    `WITH ${names}
     SELECT workload, count(*) AS hosts FROM (
       SELECT min(n.workload) AS workload FROM (${sums}) s JOIN names n ON n.id = s.identity
       GROUP BY s.host HAVING count(DISTINCT n.workload) = 1
     ) alone GROUP BY workload`,
    parameters.values,
  );
}

/** Adds the values that the hosts of each workload report now. */
async function addProfiles(
  session: Session,
  choices: HostChoices,
  scope: ChosenScope,
  joined: NonNullable<WorkloadHostsOptions['joined']>,
  tagKeys: readonly string[],
  workloads: ReadonlyMap<string, WorkloadHosts>,
): Promise<void> {
  const parameters = new SqlParameters();
  const rows = await session.query<{ workload: string; profile: number }>(
    `WITH ${workloadRows(parameters, scope, joined)}
     SELECT DISTINCT p.workload, coalesce(hp.profile, 0) AS profile FROM per_host p
     LEFT JOIN host_profiles hp ON hp.host = p.host AND hp.until_us IS NULL`,
    parameters.values,
  );
  await choices.loadProfiles(session, [...new Set(rows.map(({ profile }) => profile))]);
  const numbers = Map.groupBy(rows, ({ workload }) => workload);
  for (const [id, workload] of workloads) {
    const facts = (numbers.get(id) ?? []).map(({ profile }) => choices.profile(profile));
    const valuesOf = (key: 'cloud.account.id' | 'cloud.region') =>
      [...new Set(facts.flatMap((profile) => profile[key] ?? []))].sort();
    workload.accounts = valuesOf('cloud.account.id');
    workload.regions = valuesOf('cloud.region');
    for (const key of tagKeys)
      workload.tags[key] = [...new Set(facts.map(({ tags }) => tagValue(tags, key)))];
  }
}
