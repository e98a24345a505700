/** Adds up the hosts of each workload in the database. */
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import { tagValue } from '../host_filter.ts';
import { SUMS_DELETED_UNTIL_US } from '../sqlite/retention.ts';
import { KIND_CLASS } from '../sqlite/total_rows.ts';
import type { IdentityHost, WorkloadHosts, WorkloadHostsOptions } from '../store.ts';
import type { Session } from './database_pool.ts';
import type { HostChoices } from './host_choice.ts';
import { all, bounded, hostCondition, identityCondition, SqlParameters, spansOf } from './question.ts';
import type { ChosenScope } from './totals_reader.ts';

interface LatestRow extends IdentityHost {
  hosts: number;
  allFirstUs: number;
  allLastUs: number;
  allLastV1Us: number | null;
  [column: string]: unknown;
}

/** The workloads that are told apart. */
interface Named {
  joined: NonNullable<WorkloadHostsOptions['joined']>;
  /** Adds SQL of the table `placed`: the place of each host. A workload is one for each place then. */
  placed: ((parameters: SqlParameters) => string) | null;
}

/** `placed`: see `Named`. The workloads of the answer are `PLACE WORKLOAD` then. */
export async function readWorkloadHosts(
  session: Session,
  choices: HostChoices,
  scope: ChosenScope,
  { latest, tagKeys, joined = [] }: WorkloadHostsOptions,
  placed: Named['placed'] = null,
): Promise<WorkloadHosts[]> {
  const named = { joined, placed };
  const workloads = new Map<string, WorkloadHosts>();
  for (const row of await readLatest(session, scope, latest, named)) {
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
  for (const { workload, hosts } of await readFreed(session, scope, named)) {
    const found = workloads.get(workload);
    if (found !== undefined) found.freed = hosts;
  }
  await addProfiles(session, choices, scope, named, tagKeys, workloads);
  return [...workloads.values()];
}

/** Returns SQL of two tables: the workload of each identity, and its rows of `identity_hosts` added up by host. */
function workloadRows(parameters: SqlParameters, scope: ChosenScope, named: Named): string {
  const sinceUs = Math.floor(bounded(scope.window.sinceUs) / HOUR_US) * HOUR_US;
  const conditions = all(
    `t.last_us >= ${parameters.add(sinceUs)}`,
    `t.first_us < ${parameters.add(bounded(scope.window.untilUs))}`,
    identityCondition(parameters, 't.identity', scope.identities),
    hostCondition(parameters, 't.host', scope.hosts),
  );
  return `${workloadNames(parameters, named)},
    per_host AS (
      SELECT ${nameOfRow(named)} AS workload, t.host, min(t.first_us) AS first_us, max(t.last_us) AS last_us,
        max(t.last_v1_us) AS last_v1_us
      FROM ${rowsWithNames(named)} WHERE ${conditions} GROUP BY 1, t.host
    )`;
}

/** Returns SQL of the rows of `identity_hosts` (`t`) with their workloads (`n`). */
function rowsWithNames({ placed }: Named): string {
  const rows = 'identity_hosts t JOIN names n ON n.id = t.identity';
  return placed === null ? rows : `${rows} JOIN placed l ON l.host = t.host`;
}

function nameOfRow({ placed }: Named): string {
  return placed === null ? 'n.workload' : "l.place || ' ' || n.workload";
}

function workloadNames(parameters: SqlParameters, { joined, placed }: Named): string {
  const identities = parameters.add(joined.map(([identity]) => identity));
  const workloads = parameters.add(joined.map(([, workload]) => workload));
  return `${placed === null ? '' : `${placed(parameters)}, `}names AS (
      SELECT i.id, coalesce(j.workload, i.key) AS workload FROM identities i
      LEFT JOIN unnest(${identities}::text[], ${workloads}::text[]) AS j (key, workload) ON j.key = i.key
    )`;
}

/**
 * Returns a SELECT of the IMDSv1 sums of one host and some workloads; null where the window has no hour. `column` and the
 * SQL of `host` and `identities`, an array, are those of the statement around it.
 */
function sumsOfHost(
  parameters: SqlParameters,
  { window, identities: selected }: ChosenScope,
  column: string,
  host: string,
  identities: string,
): string | null {
  const spans = spansOf(window).map(
    ({ unit, from, to }) =>
      `SELECT ${column} FROM ${unit === 'hour' ? 'hourly' : 'daily'} s WHERE ${all(
        `s.host = ${host} AND s.class = ${KIND_CLASS.v1}`,
        `s.${unit} >= ${parameters.add(from)} AND s.${unit} < ${parameters.add(to)}`,
        // A sum keeps the server from the index by workload, which leads through all hosts of the workload: without
        // statistics both indexes look equal to it.
        `s.identity + 0 = ANY (${identities})`,
        identityCondition(parameters, 's.identity', selected),
      )}`,
  );
  return spans.length === 0 ? null : spans.join(' UNION ALL ');
}

/**
 * The calls of a host are summed only where it is listed: a fleet has hundred times as many pairs of a workload and a
 * host.
 */
function readLatest(
  session: Session,
  scope: ChosenScope,
  latest: number,
  named: Named,
): Promise<LatestRow[]> {
  const parameters = new SqlParameters();
  const rows = workloadRows(parameters, scope, named);
  const name = named.placed === null ? 'o.workload' : "substr(o.workload, strpos(o.workload, ' ') + 1)";
  const wanted = parameters.add(Math.max(1, latest));
  const sums = sumsOfHost(parameters, scope, 's.count', 'o.host', 'm.identities');
  const calls = sums === null ? '0::bigint' : `(SELECT coalesce(sum(c.count), 0)::bigint FROM (${sums}) c)`;
  return session.query<LatestRow>(
    `WITH ${rows}, members AS (SELECT workload, array_agg(id) AS identities FROM names GROUP BY workload),
     of_workload AS (
       SELECT workload, count(*) AS hosts, min(first_us) AS first_us, max(last_us) AS last_us, max(last_v1_us) AS last_v1_us
       FROM per_host GROUP BY workload
     ), recent AS (
       SELECT * FROM (SELECT p.*, rank() OVER (PARTITION BY workload ORDER BY last_us DESC) AS place FROM per_host p) r
       WHERE place <= ${wanted}
     ), ordered AS (
       SELECT r.workload, h.host_id, r.host, r.first_us, r.last_us, r.last_v1_us,
         row_number() OVER (PARTITION BY r.workload ORDER BY r.last_us DESC, h.host_id) AS place
       FROM recent r JOIN hosts h ON h.id = r.host
     )
     SELECT o.workload AS identity, o.host_id AS "hostId", o.first_us AS "firstUs", o.last_us AS "lastUs",
       o.last_v1_us AS "lastV1Us", ${calls} AS "callsV1", w.hosts, w.first_us AS "allFirstUs",
       w.last_us AS "allLastUs", w.last_v1_us AS "allLastV1Us"
     FROM ordered o JOIN of_workload w ON w.workload = o.workload JOIN members m ON m.workload = ${name}
     WHERE o.place <= ${wanted} ORDER BY o.workload, o.place`,
    parameters.values,
  );
}

/** A host is freed by a workload if no other one made an IMDSv1 call there. */
async function readFreed(
  session: Session,
  scope: ChosenScope,
  named: Named,
): Promise<{ workload: string; hosts: number }[]> {
  const parameters = new SqlParameters();
  const names = workloadNames(parameters, named);
  const name = nameOfRow(named);
  const called = await callersOfWindow(session, parameters, scope);
  if (called === null) return [];
  return session.query(
    `WITH ${names}
     SELECT workload, count(*) AS hosts FROM (
       SELECT min(${name}) AS workload FROM ${rowsWithNames(named)}
       WHERE ${called} GROUP BY t.host HAVING min(${name}) = max(${name})
     ) alone GROUP BY workload`,
    parameters.values,
  );
}

/**
 * Returns a condition on rows of `identity_hosts` (`t`): the workload made an IMDSv1 call on the host within the hours of the
 * window. Null where the window has no hour.
 */
async function callersOfWindow(
  session: Session,
  parameters: SqlParameters,
  scope: ChosenScope,
): Promise<string | null> {
  const { window, hosts, identities } = scope;
  const every = { ...scope, identities: null };
  const sums = sumsOfHost(parameters, every, '1', 't.host', 'ARRAY[t.identity]');
  if (sums === null) return null;
  const [deleted] = await session.query<{ untilUs: number }>(
    'SELECT value AS "untilUs" FROM sums WHERE name = $1',
    [SUMS_DELETED_UNTIL_US],
  );
  const since = parameters.add(Math.floor(bounded(window.sinceUs) / HOUR_US) * HOUR_US);
  const until = parameters.add(Math.ceil(bounded(window.untilUs) / HOUR_US) * HOUR_US);
  // Retention may have deleted a part of the sums of the day before this one, and none of later ones.
  const keptSince = parameters.add(Math.ceil((deleted?.untilUs ?? 0) / DAY_US) * DAY_US);
  // A last call within the window is such a call. Only where it came after the window, its sums must be looked at.
  return all(
    `t.last_v1_us >= ${since}`,
    `(t.last_v1_us < ${until} AND t.last_v1_us >= ${keptSince} OR EXISTS (${sums}))`,
    hostCondition(parameters, 't.host', hosts),
    identities === null
      ? null
      : `t.host IN (SELECT o.host FROM identity_hosts o WHERE o.last_v1_us >= ${since}
           AND ${identityCondition(parameters, 'o.identity', identities)})`,
  );
}

/** Adds the values that the hosts of each workload report now. */
async function addProfiles(
  session: Session,
  choices: HostChoices,
  scope: ChosenScope,
  named: Named,
  tagKeys: readonly string[],
  workloads: ReadonlyMap<string, WorkloadHosts>,
): Promise<void> {
  const parameters = new SqlParameters();
  const rows = await session.query<{ workload: string; profile: number }>(
    `WITH ${workloadRows(parameters, scope, named)}
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
