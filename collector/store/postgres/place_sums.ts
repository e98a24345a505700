/** Adds up the workloads of each account and region in the database, in one pass over the sums of all hosts. */
import { DAY_US, HOUR_US, type Window } from '../../contract/window.ts';
import { keyOfPlace, type Place, placeOf } from '../place_sums.ts';
import { KIND_CLASS } from '../sqlite/total_rows.ts';
import type { IdentityTotals, PlaceSums, PlaceSumsOptions } from '../store.ts';
import type { Session } from './database_pool.ts';
import type { HostChoices } from './host_choice.ts';
import { SqlParameters, spansOf } from './question.ts';
import type { StoredValues } from './stored_values.ts';
import { union } from './totals_reader.ts';
import { readWorkloadHosts } from './workload_hosts.ts';

const { v1: V1, v2: V2, neither: NEITHER } = KIND_CLASS;

interface Places {
  list: readonly Place[];
  /** Returns SQL of the table `placed`, which has the number of the place of each host. */
  placed: (parameters: SqlParameters) => string;
}

interface TotalRow {
  place: number;
  identity: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
  [column: string]: unknown;
}

export async function readPlaceSums(
  session: Session,
  choices: HostChoices,
  values: StoredValues,
  window: Window,
  { bucket, ...options }: PlaceSumsOptions,
): Promise<PlaceSums[]> {
  const places = await placesOfHosts(session, choices);
  const sums = places.list.map((place): PlaceSums => ({ ...place, totals: [], hosts: [], trend: [] }));
  // The database takes the groups for almost as many as the rows, and would sort millions of rows on its disk. Both are
  // settings of this transaction only.
  await session.query("SET LOCAL enable_sort = off; SET LOCAL work_mem = '64MB'");
  await addTotals(session, values, window, places, sums);
  await addTrends(session, values, window, bucket, places, sums);
  await session.query('SET LOCAL enable_sort = on');
  const scope = { window, hosts: null, identities: null };
  for (const workload of await readWorkloadHosts(session, choices, scope, options, places.placed)) {
    const space = workload.identity.indexOf(' ');
    const identity = workload.identity.slice(space + 1);
    const latest = workload.latest.map((host) => ({ ...host, identity }));
    sums[Number(workload.identity.slice(0, space))]!.hosts.push({ ...workload, identity, latest });
  }
  return sums.filter(({ totals, hosts }) => totals.length > 0 || hosts.length > 0);
}

async function placesOfHosts(session: Session, choices: HostChoices): Promise<Places> {
  const rows = await session.query<{ id: number }>(
    'SELECT DISTINCT profile AS id FROM host_profiles WHERE until_us IS NULL',
  );
  const profiles = [0, ...rows.map(({ id }) => id)];
  await choices.loadProfiles(session, profiles);
  const list: Place[] = [];
  const known = new Map<string, number>();
  const numbers = profiles.map((profile) => {
    const place = placeOf(choices.profile(profile));
    const key = keyOfPlace(place);
    const number = known.get(key) ?? list.push(place) - 1;
    known.set(key, number);
    return number;
  });
  return {
    list,
    // The first place is that of hosts that report none.
    placed: (parameters) => `placed AS (
      SELECT h.id AS host, coalesce(u.place, 0) AS place FROM hosts h
      LEFT JOIN host_profiles p ON p.host = h.id AND p.until_us IS NULL
      LEFT JOIN unnest(${parameters.add(profiles)}::bigint[], ${parameters.add(numbers)}::integer[]) AS u (profile, place)
        ON u.profile = p.profile WHERE h.first_us IS NOT NULL
    )`,
  };
}

async function addTotals(
  session: Session,
  values: StoredValues,
  window: Window,
  { placed }: Places,
  sums: readonly PlaceSums[],
): Promise<void> {
  const parameters = new SqlParameters();
  const scope = { window, hosts: null, identities: null };
  const from = union({ scope, classes: [V1, V2, NEITHER] }, spansOf(window), true, parameters, (unit) => {
    const start = unit === 'hour' ? `hour::bigint * ${HOUR_US}` : `day::bigint * ${DAY_US}`;
    return `host, identity, kind, count, ${start} + first_us AS first_us, ${start} + last_us AS last_us`;
  });
  if (from === null) return;
  const rows = await session.query<TotalRow>(
    `WITH ${placed(parameters)}
     SELECT h.place, t.identity, t.kind, sum(t.count)::bigint AS count, min(t.first_us) AS "firstUs", max(t.last_us) AS "lastUs"
     FROM (${from}) t JOIN placed h ON h.host = t.host GROUP BY h.place, t.identity, t.kind`,
    parameters.values,
  );
  rows.sort((a, b) => a.place - b.place || a.identity - b.identity || a.kind - b.kind);
  await values.loadIdentities(
    session,
    rows.map(({ identity }) => identity),
  );
  await values.loadKinds(
    session,
    rows.map(({ kind }) => kind),
  );
  let last: { place: number; identity: number; totals: IdentityTotals } | null = null;
  for (const { place, identity, kind, count, firstUs, lastUs } of rows) {
    if (last === null || last.place !== place || last.identity !== identity) {
      last = { place, identity, totals: { identity: values.identity(identity), kinds: [] } };
      sums[place]!.totals.push(last.totals);
    }
    last.totals.kinds.push({ ...values.kind(kind), count, firstUs, lastUs });
  }
}

async function addTrends(
  session: Session,
  values: StoredValues,
  window: Window,
  bucket: 'hour' | 'day',
  { placed }: Places,
  sums: readonly PlaceSums[],
): Promise<void> {
  const parameters = new SqlParameters();
  const scope = { window, hosts: null, identities: null };
  const spans = spansOf(window, bucket === 'hour');
  const from = union({ scope, classes: [V1] }, spans, true, parameters, (unit) => {
    // A division of integers cuts towards zero, and days before 1970 are negative.
    const at = bucket === unit ? unit : 'floor(hour / 24.0)::integer';
    return `${at} AS bucket, host, identity, count`;
  });
  if (from === null) return;
  const rows = await session.query<{ place: number; bucket: number; identity: number; count: number }>(
    `WITH ${placed(parameters)}
     SELECT h.place, t.bucket, t.identity, sum(t.count)::bigint AS count
     FROM (${from}) t JOIN placed h ON h.host = t.host GROUP BY h.place, t.bucket, t.identity`,
    parameters.values,
  );
  rows.sort((a, b) => a.bucket - b.bucket || a.identity - b.identity);
  await values.loadIdentities(
    session,
    rows.map(({ identity }) => identity),
  );
  const bucketUs = bucket === 'hour' ? HOUR_US : DAY_US;
  for (const { place, bucket: at, identity, count } of rows) {
    const { id } = values.identity(identity);
    sums[place]!.trend.push({ identity: id, startUs: at * bucketUs, v1: count });
  }
}
