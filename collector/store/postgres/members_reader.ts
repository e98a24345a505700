/** Reads hosts and instances of a window, page by page, with what decides if their groups are proven, as columns. */
import type { GapReason } from '../../contract/host.ts';
import type { Window } from '../../contract/window.ts';
import { stateNumber, tokensNumber } from '../sqlite/cloud_briefs.ts';
import { FORGOTTEN_UNTIL_US } from '../sqlite/coverage_reader.ts';
import { missingOf } from '../sqlite/gap_rows.ts';
import { MemberTable, type Row } from '../sqlite/members_reader.ts';
import { CLOUD_STATES, type MembersPlace, type StoredMembers } from '../store.ts';
import type { Session } from './database_pool.ts';
import { all, bounded, hostCondition, hostsOfNumbers, SqlParameters } from './question.ts';
import type { TotalsReader } from './totals_reader.ts';

const RUNNING = (['pending', 'running'] as const).map((state) => CLOUD_STATES.indexOf(state) + 1);

/** See `StoreQueries.members`. */
export async function readMembers(
  session: Session,
  totals: TotalsReader,
  window: Window,
  profiles: readonly number[] | null,
  after: MembersPlace,
  limit: number,
  withTotals = true,
): Promise<StoredMembers> {
  const [sinceUs, untilUs] = [bounded(window.sinceUs), bounded(window.untilUs)];
  const table = new MemberTable(limit);
  const hosts: number[] = [];
  let next: MembersPlace | null = null;
  if (typeof after === 'number') {
    for (const row of await readHosts(session, sinceUs, profiles, after, limit)) {
      table.add(row);
      hosts.push(row[0] as number);
    }
  }
  if (hosts.length === limit) next = hosts.at(-1)!;
  else {
    // The instances without an agent come after the hosts.
    const place = typeof after === 'number' ? '' : after;
    const rows = await readAgentless(session, sinceUs, profiles, place, limit - hosts.length);
    for (const row of rows) table.add(row);
    if (table.hostIds.length === limit) next = table.hostIds.at(-1)!;
  }
  const { index } = table;
  const memberOf: number[] = [];
  const profileOf: number[] = [];
  const add = (member: number | undefined, profile: number) => {
    if (member === undefined || profile === 0) return;
    memberOf.push(member);
    profileOf.push(profile);
  };
  const chosen = hostsOfNumbers(hosts);
  const ask = (sql: (parameters: SqlParameters) => string) => {
    const parameters = new SqlParameters();
    return rowsOf(session, sql(parameters), parameters.values);
  };
  // The agent's profiles come first, because the cloud's has no zone and no type.
  const reported = await ask(
    (parameters) =>
      `SELECT host, profile FROM host_profiles WHERE ${all(
        `(until_us IS NULL OR until_us >= ${parameters.add(sinceUs)})`,
        hostCondition(parameters, 'host', chosen),
      )} ORDER BY host, profile`,
  );
  for (const [host, profile] of reported) add(index[host as number], profile as number);
  for (const [at, profile] of table.cloudProfiles.entries()) add(at, profile);
  const gaps: StoredMembers['gaps'] = [];
  const gapRows = await ask(
    (parameters) =>
      `SELECT host, reason, start_us, end_us, amounts FROM gaps WHERE ${all(
        `end_us > ${parameters.add(sinceUs)}`,
        `start_us < ${parameters.add(untilUs)}`,
        hostCondition(parameters, 'host', chosen),
      )} ORDER BY host, reason, start_us`,
  );
  for (const [host, reason, start, end, amounts] of gapRows) {
    const member = index[host as number];
    if (member === undefined) continue;
    const [startUs, endUs] = [Math.max(Number(start), sinceUs), Math.min(Number(end), untilUs)];
    const missing = missingOf(reason as GapReason, Number(start), Number(end), amounts as string | null);
    gaps.push({
      member,
      startUs,
      endUs,
      missingUs: Math.min(missing, endUs - startUs),
      reason: reason as GapReason,
    });
  }
  const reboots: StoredMembers['reboots'] = [];
  const bootRows = await ask((parameters) => {
    const isChosen = hostCondition(parameters, 'host', chosen);
    return `SELECT host, first_us FROM boots WHERE ${all(
      `first_us >= ${parameters.add(sinceUs)}`,
      isChosen,
      `host IN (SELECT host FROM boots WHERE ${all(isChosen)} GROUP BY host HAVING count(*) > 1)`,
    )} ORDER BY host, boot_id`;
  });
  for (const [host, firstUs] of bootRows) {
    const member = index[host as number];
    if (member !== undefined) reboots.push({ member, firstUs: Number(firstUs) });
  }
  const counted = await rowsOf(
    session,
    `SELECT DISTINCT host_id FROM cloud_counts
     WHERE end_us > $1 AND start_us < $2 AND (no_token > 0 OR no_token_rejected > 0)
       AND host_id = ANY ($3)`,
    [sinceUs, untilUs, table.hostIds],
  );
  const withCalls = new Set(counted.map(([hostId]) => hostId));
  const [forgotten] = await session.query<{ value: number }>('SELECT value FROM sums WHERE name = $1', [
    FORGOTTEN_UNTIL_US,
  ]);
  return {
    hostIds: table.hostIds,
    columns: table.columns(),
    memberOf: Uint32Array.from(memberOf),
    profileOf: Uint32Array.from(profileOf),
    gaps,
    reboots,
    withCountedCalls: table.hostIds.filter((id) => withCalls.has(id)),
    totals:
      hosts.length === 0 || !withTotals
        ? []
        : await totals.hostTotals(session, { window, hosts: chosen, identities: null }, false),
    next,
    forgottenUntilUs: forgotten?.value ?? null,
  };
}

async function readHosts(
  session: Session,
  sinceUs: number,
  profiles: readonly number[] | null,
  after: number,
  limit: number,
): Promise<Row[]> {
  const chosen = profiles === null ? null : await chosenHosts(session, sinceUs, profiles);
  return rowsOf(
    session,
    `SELECT h.id, h.host_id, w.first_us, w.last_us, coalesce(c.state, 0), c.launched_us, c.terminated_us,
       c.supplied_us, c.profile, coalesce(c.tokens, 0), c.tokens_supplied_us, c.launch_counted_us, c.end_counted_us
     FROM hosts h LEFT JOIN watched w ON w.host = h.id LEFT JOIN cloud_briefs c ON c.host = h.id
     WHERE (h.last_us >= $1 OR w.last_us >= $1
       OR (c.terminated_us IS NULL AND c.state IN (${RUNNING.join(', ')}))
       OR EXISTS (SELECT 1 FROM last_heard b WHERE b.host_id = h.host_id AND b.heard_us >= $1))
       AND h.id > $2 AND ($4::bigint[] IS NULL OR h.id = ANY ($4)) ORDER BY h.id LIMIT $3`,
    [sinceUs, after, limit, chosen],
  );
}

function readAgentless(
  session: Session,
  sinceUs: number,
  profiles: readonly number[] | null,
  after: string,
  limit: number,
): Promise<Row[]> {
  return rowsOf(
    session,
    `SELECT -1, m.host_id, NULL, NULL, ${stateNumber('m.state')}, m.launched_us, m.terminated_us, m.supplied_us, m.profile,
       ${tokensNumber('i.http_tokens')}, i.supplied_us, NULL, NULL
     FROM agentless a JOIN cloud_members m ON m.host_id = a.host_id LEFT JOIN cloud_instances i ON i.host_id = a.host_id
     WHERE coalesce(m.terminated_us, CASE WHEN m.state IN ('pending', 'running') THEN $1::bigint ELSE m.supplied_us END) >= $1
       AND ($2::bigint[] IS NULL OR m.profile = ANY ($2)) AND a.host_id > $3 ORDER BY a.host_id LIMIT $4`,
    [sinceUs, profiles, after, limit],
  );
}

/** An earlier profile counts while its time reaches into the window. */
async function chosenHosts(
  session: Session,
  sinceUs: number,
  profiles: readonly number[],
): Promise<number[]> {
  const rows = await session.query<{ host: number }>(
    `SELECT host FROM host_profiles WHERE profile = ANY ($2) AND (until_us IS NULL OR until_us >= $1)
     UNION SELECT h.id FROM cloud_members m JOIN hosts h ON h.host_id = m.host_id WHERE m.profile = ANY ($2)`,
    [sinceUs, profiles],
  );
  return rows.map(({ host }) => host);
}

async function rowsOf(session: Session, text: string, values: unknown[]): Promise<Row[]> {
  const rows = await session.arrays(text, values);
  return rows as Row[];
}
