/** Keeps the figures of the cloud that decide about groups, one narrow row for each host, as the embedded store does. */
import { countedSpans, stateNumber, tokensNumber } from '../sqlite/cloud_briefs.ts';
import { type Column, insertRows, replacing, type Value } from './bulk.ts';
import type { Session } from './database_pool.ts';

const BRIEFS: readonly Column[] = [
  ['host', 'bigint'],
  ['state', 'smallint'],
  ['launched_us', 'bigint'],
  ['terminated_us', 'bigint'],
  ['supplied_us', 'bigint'],
  ['profile', 'bigint'],
  ['tokens', 'smallint'],
  ['tokens_supplied_us', 'bigint'],
  ['launch_counted_us', 'bigint'],
  ['end_counted_us', 'bigint'],
];
/**
 * Writers of new hosts hold this advisory lock together, and who stores facts of the cloud holds it alone: else neither
 * would see the other's rows.
 */
const BRIEFS_LOCK = '7596838593530786919';

export async function lockBriefs(session: Session, alone: boolean): Promise<void> {
  await session.query(`SELECT pg_advisory_xact_lock${alone ? '' : '_shared'}(${BRIEFS_LOCK})`);
}

interface Figures {
  hostId: string;
  host: number | null;
  isMember: boolean;
  isKnown: boolean;
  state: number;
  launchedUs: number | null;
  terminatedUs: number | null;
  suppliedUs: number | null;
  profile: number | null;
  tokens: number;
  tokensUs: number | null;
}

/** Follows a change of the rows of instances, or of their hosts. The caller holds the lock of `lockBriefs`. */
export async function refreshBriefs(session: Session, hostIds: readonly string[]): Promise<void> {
  const figures = await session.query<Figures & Record<string, Value>>(
    `SELECT w.host_id AS "hostId", h.id AS host, m.host_id IS NOT NULL AS "isMember",
       m.host_id IS NOT NULL OR i.host_id IS NOT NULL AS "isKnown", ${stateNumber('m.state')} AS state,
       m.launched_us AS "launchedUs", m.terminated_us AS "terminatedUs", m.supplied_us AS "suppliedUs", m.profile,
       ${tokensNumber('i.http_tokens')} AS tokens, i.supplied_us AS "tokensUs"
     FROM (SELECT DISTINCT unnest($1::text[]) AS host_id) w LEFT JOIN hosts h ON h.host_id = w.host_id
       LEFT JOIN cloud_members m ON m.host_id = w.host_id LEFT JOIN cloud_instances i ON i.host_id = w.host_id`,
    [hostIds],
  );
  const agentless = figures
    .filter(({ host, isMember }) => host === null && isMember)
    .map(({ hostId }) => hostId);
  await insertRows(
    session,
    'agentless',
    [['host_id', 'text']],
    ['host_id'],
    agentless.map((hostId) => [hostId]),
    '(host_id) DO NOTHING',
  );
  await session.execute('DELETE FROM agentless WHERE host_id = ANY ($1) AND host_id <> ALL ($2)', [
    hostIds,
    agentless,
  ]);
  const known = figures.filter(({ host, isKnown }) => host !== null && isKnown);
  const unknown = figures.filter(({ host, isKnown }) => host !== null && !isKnown).map(({ host }) => host);
  if (unknown.length > 0) {
    await session.execute('DELETE FROM cloud_briefs WHERE host = ANY ($1::bigint[])', [unknown]);
  }
  const counts = await readCounts(session, known);
  const rows = known.map((each) => {
    const { hostId, launchedUs, terminatedUs } = each;
    const spans = countedSpans(counts.get(hostId) ?? [], launchedUs, terminatedUs);
    return [
      each.host,
      each.state,
      launchedUs,
      terminatedUs,
      each.suppliedUs,
      each.profile,
      each.tokens,
      each.tokensUs,
      spans.launchCountedUs,
      spans.endCountedUs,
    ];
  });
  await insertRows(session, 'cloud_briefs', BRIEFS, ['host'], rows, replacing(BRIEFS, ['host']));
}

async function readCounts(
  session: Session,
  figures: readonly Figures[],
): Promise<Map<string, { startUs: number; endUs: number }[]>> {
  const wanted = figures
    .filter(({ launchedUs, terminatedUs }) => launchedUs !== null || terminatedUs !== null)
    .map(({ hostId }) => hostId);
  const counts = new Map<string, { startUs: number; endUs: number }[]>();
  if (wanted.length === 0) return counts;
  const rows = await session.query<{ hostId: string; startUs: number; endUs: number }>(
    `SELECT host_id AS "hostId", start_us AS "startUs", end_us AS "endUs" FROM cloud_counts
     WHERE host_id = ANY ($1) ORDER BY host_id, start_us`,
    [wanted],
  );
  for (const { hostId, startUs, endUs } of rows) {
    const spans = counts.get(hostId) ?? [];
    spans.push({ startUs, endUs });
    counts.set(hostId, spans);
  }
  return counts;
}
