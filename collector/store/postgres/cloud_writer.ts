/** Stores what operators supply of the cloud. */
import { hash } from 'node:crypto';
import { memberValues } from '../sqlite/cloud_inventory_rows.ts';
import { profileOfMember, profileText, type StoredMember } from '../sqlite/profiles.ts';
import type { CloudCount, CloudInstance, CloudInventory } from '../store.ts';
import { type Column, insertRows, replacing, transposed, unnested, type Value } from './bulk.ts';
import { lockBriefs, refreshBriefs } from './cloud_briefs.ts';
import type { Session } from './database_pool.ts';

const HOST_ID: Column = ['host_id', 'text'];
const COUNTS: readonly Column[] = [
  HOST_ID,
  ['start_us', 'bigint'],
  ['end_us', 'bigint'],
  ['no_token', 'bigint'],
  ['no_token_rejected', 'bigint'],
];
const INSTANCES: readonly Column[] = [
  HOST_ID,
  ['http_tokens', 'text'],
  ['hop_limit', 'integer'],
  ['supplied_us', 'bigint'],
  ['http_endpoint', 'text'],
];
/** Columns that keep their value where nothing is known of them now. */
const KEPT: readonly Column[] = [
  ['state', 'text'],
  ['launched_us', 'bigint'],
  ['terminated_us', 'bigint'],
  ['image_id', 'text'],
  ['scaling_group', 'text'],
  ['template_id', 'text'],
  ['template_version', 'bigint'],
  ['is_spot', 'smallint'],
  ['managed_by', 'text'],
  ['tags', 'text'],
];
const MEMBERS: readonly Column[] = [
  HOST_ID,
  ['account', 'text'],
  ['region', 'text'],
  ...KEPT,
  ['supplied_us', 'bigint'],
];
const RESOURCES: readonly Column[] = [
  ['kind', 'text'],
  ['account', 'text'],
  ['region', 'text'],
  ['id', 'text'],
  ['facts', 'text'],
  ['supplied_us', 'bigint'],
];

/** Returns the last of the items with the same key: one statement cannot change a row twice. */
function lastOfEach<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [keyOf(item), item])).values()];
}

/** Stores counts in order: one that comes later replaces an earlier one for the same host and start. */
export async function putCloudCounts(session: Session, counts: readonly CloudCount[]): Promise<void> {
  await lockBriefs(session, true);
  // The sum of a quiet day replaces the hours of the day that were supplied while it was not over.
  const quiet = counts.filter(
    ({ noToken, noTokenRejected }) => noToken === 0 && (noTokenRejected ?? 0) === 0,
  );
  const spans: Column[] = [HOST_ID, ['start_us', 'bigint'], ['end_us', 'bigint']];
  await session.execute(
    `DELETE FROM cloud_counts c USING ${unnested(spans)}
     WHERE c.host_id = v.host_id AND c.start_us >= v.start_us AND c.end_us <= v.end_us
       AND c.no_token = 0 AND coalesce(c.no_token_rejected, 0) = 0`,
    transposed(
      spans,
      quiet.map(({ hostId, startUs, endUs }) => [hostId, startUs, endUs]),
    ),
  );
  const rows = withoutReplaced(counts).map(({ hostId, startUs, endUs, noToken, noTokenRejected }) => [
    hostId,
    startUs,
    endUs,
    noToken,
    noTokenRejected,
  ]);
  const keys = ['host_id', 'start_us'];
  await insertRows(session, 'cloud_counts', COUNTS, keys, rows, replacing(COUNTS, keys));
  await refreshBriefs(
    session,
    counts.map(({ hostId }) => hostId),
  );
}

/** Leaves out quiet counts that a later quiet count of the same list covers, and earlier ones of the same start. */
function withoutReplaced(counts: readonly CloudCount[]): CloudCount[] {
  const isQuiet = ({ noToken, noTokenRejected }: CloudCount) => noToken === 0 && (noTokenRejected ?? 0) === 0;
  const kept = new Map<string, Map<number, CloudCount>>();
  for (const count of counts) {
    const ofHost = kept.get(count.hostId) ?? new Map<number, CloudCount>();
    kept.set(count.hostId, ofHost);
    if (isQuiet(count)) {
      for (const [startUs, before] of ofHost) {
        if (startUs >= count.startUs && before.endUs <= count.endUs && isQuiet(before))
          ofHost.delete(startUs);
      }
    }
    ofHost.set(count.startUs, count);
  }
  return [...kept.values()].flatMap((ofHost) => [...ofHost.values()]);
}

export async function putCloudInstances(
  session: Session,
  instances: readonly CloudInstance[],
): Promise<void> {
  await lockBriefs(session, true);
  const rows = lastOfEach(instances, ({ hostId }) => hostId).map(
    ({ hostId, httpTokens, hopLimit, httpEndpoint, suppliedUs }) => [
      hostId,
      httpTokens,
      hopLimit,
      suppliedUs,
      httpEndpoint,
    ],
  );
  await insertRows(
    session,
    'cloud_instances',
    INSTANCES,
    ['host_id'],
    rows,
    replacing(INSTANCES, ['host_id']),
  );
  await refreshBriefs(
    session,
    instances.map(({ hostId }) => hostId),
  );
}

export async function putCloudInventory(
  session: Session,
  { instances, resources }: CloudInventory,
): Promise<void> {
  await lockBriefs(session, true);
  const kept = KEPT.map(([name]) => `${name} = coalesce(excluded.${name}, cloud_members.${name})`).join(', ');
  const upsert = `(host_id) DO UPDATE SET account = excluded.account, region = excluded.region, ${kept},
    supplied_us = excluded.supplied_us`;
  for (const round of roundsOf(instances, ({ hostId }) => hostId)) {
    const rows = round.map(memberValues);
    await insertRows(session, 'cloud_members', MEMBERS, ['host_id'], rows, upsert);
  }
  const hostIds = [...new Set(instances.map(({ hostId }) => hostId))];
  await setCloudProfiles(session, hostIds);
  const keys = ['kind', 'account', 'region', 'id'];
  const rows = lastOfEach(resources, ({ facts: { kind, account, region, id } }) =>
    JSON.stringify([kind, account, region, id]),
  ).map(({ facts, suppliedUs }) => {
    const { kind, account, region, id } = facts;
    return [kind, account, region, id, JSON.stringify(facts), suppliedUs];
  });
  await insertRows(session, 'cloud_resources', RESOURCES, keys, rows, replacing(RESOURCES, keys));
  await refreshBriefs(session, hostIds);
}

/** Splits items so that no key occurs twice in a part, in order. */
function roundsOf<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const seen = new Map<string, number>();
  const rounds: T[][] = [];
  for (const item of items) {
    const round = seen.get(keyOf(item)) ?? 0;
    seen.set(keyOf(item), round + 1);
    rounds[round] ??= [];
    rounds[round].push(item);
  }
  return rounds;
}

/** Sets the profiles of instances whose rows of the inventory have changed. */
async function setCloudProfiles(session: Session, hostIds: readonly string[]): Promise<void> {
  const members = await session.query<StoredMember & { hostId: string }>(
    `SELECT host_id AS "hostId", account, region, image_id AS "imageId", scaling_group AS "scalingGroup",
       template_id AS "templateId", template_version AS "templateVersion", tags
     FROM cloud_members WHERE host_id = ANY ($1)`,
    [hostIds],
  );
  const texts = members.map((member) => profileText(profileOfMember(member)));
  const hashes = texts.map((text) => hash('sha256', text, 'buffer'));
  const columns: Column[] = [
    ['hash', 'bytea'],
    ['facts', 'text'],
  ];
  const profiles = new Map(texts.map((text, at) => [text, hashes[at]!]));
  const rows: Value[][] = [...profiles].map(([text, hashed]) => [hashed, text]);
  await insertRows(session, 'profiles', columns, ['hash'], rows, '(hash) DO NOTHING');
  await session.execute(
    `UPDATE cloud_members SET profile = p.id FROM unnest($1::text[], $2::bytea[]) AS v (host_id, hash)
     JOIN profiles p ON p.hash = v.hash WHERE cloud_members.host_id = v.host_id`,
    [members.map(({ hostId }) => hostId), hashes],
  );
}
