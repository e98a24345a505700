/** Asks a collector on another machine what the commands that list findings read from its files here. */
import { type BurnDown, burnDown, type FixFirst, fixFirst } from '../collector/contract/fix_first.ts';
import { type Group, type GroupDetail, group, groupDetail } from '../collector/contract/group.ts';
import { type Host, host, hostReadiness, type Readiness } from '../collector/contract/host.ts';
import { type Offender, offender, severity } from '../collector/contract/offender.ts';
import { type Triage, type TriageChange, triage } from '../collector/contract/triage.ts';
import type { CollectorClient } from './collector_client/collector_client.ts';

const named = host.pick({ id: true, name: true });
/** The longest window of a question, for `--since all`. */
const ALL_DAYS = '3650';

/** Returns the hosts with their readiness: all, or the one with this id or name. Empty if there is no such host. */
export async function readinessOf(
  client: CollectorClient,
  idOrName: string | undefined,
): Promise<{ host: Host; readiness: Readiness }[]> {
  let query = '';
  if (idOrName !== undefined) {
    const found = await client.list(`/hosts?${new URLSearchParams({ text: idOrName })}`, named);
    const ids = found.filter(({ id, name }) => id === idOrName || name === idOrName).map(({ id }) => id);
    if (ids.length === 0) return [];
    query = `?${new URLSearchParams(ids.map((id): [string, string] => ['host', id]))}`;
  }
  const hosts = await client.list(`/readiness${query}`, hostReadiness);
  return hosts.map(({ readiness, ...host }) => ({ host, readiness }));
}

export function groupsOf(client: CollectorClient, by: string): Promise<Group[]> {
  return client.list(`/groups?${new URLSearchParams({ by })}`, group);
}

/** Returns null where no instance belonged to the group. */
export function groupOf(client: CollectorClient, id: string): Promise<GroupDetail | null> {
  return client.find(`/groups/${encodeURIComponent(id)}`, groupDetail);
}

/** Returns workloads. `since`: milliseconds, `all`, or null for the readiness window. */
export function offendersOf(
  client: CollectorClient,
  { since, withHarmless }: { since: number | 'all' | null; withHarmless: boolean },
): Promise<Offender[]> {
  const query = new URLSearchParams();
  if (since === 'all') query.set('days', ALL_DAYS);
  else if (since !== null) query.set('from', new Date(since).toISOString());
  if (withHarmless) for (const each of severity.options) query.append('severity', each);
  return client.list(`/offenders?${query}`, offender);
}

export function fixFirstOf(client: CollectorClient): Promise<FixFirst> {
  return client.get('/fix-first', fixFirst);
}

/** `days`: how far back it looks. */
export function burnDownOf(client: CollectorClient, days: number): Promise<BurnDown> {
  return client.get(`/burn-down?${new URLSearchParams({ days: String(days) })}`, burnDown);
}

export function changeTriage(client: CollectorClient, id: string, change: TriageChange): Promise<Triage> {
  return client.change('PATCH', `/offenders/${id}/triage`, change, triage);
}
