/** Chooses the hosts of a plan and says of each whether its verdict allows a change. Pure. */
import type { Verdict } from '../../collector/contract/host.ts';
import type { GroupFinding, HostFinding } from '../findings.ts';
import { belongsTo, ownGroup } from '../groups.ts';
import { accountId, instanceId, type OptionsChange, type Policy, region } from '../plan.ts';

export interface HostChoice {
  /** Ids or names. Null: not chosen by host. */
  hosts: readonly string[] | null;
  /** `asg:NAME` and the like: see `belongsTo`. Null: not chosen by group. */
  groups: readonly string[] | null;
  accounts: readonly string[] | null;
  regions: readonly string[] | null;
}

export interface ChosenHost {
  finding: HostFinding;
  place: { account: string; region: string };
  group: string;
  change: OptionsChange;
}

export interface LeftOut {
  host: string;
  reason: string;
}

/** Returns whether the host was asked for. All conditions that are given must hold. */
export function isChosen(finding: HostFinding, { hosts, groups, accounts, regions }: HostChoice): boolean {
  return (
    (hosts === null || hosts.includes(finding.hostId) || hosts.includes(finding.name)) &&
    (groups === null || groups.some((group) => belongsTo(group, finding) === true)) &&
    (accounts === null || accounts.includes(finding.account ?? '')) &&
    (regions === null || regions.includes(finding.region ?? ''))
  );
}

/** Says that no host was chosen, and of which hosts it could not be known. */
export function noHostText(all: readonly HostFinding[], choice: HostChoice): string {
  const unknown = all.filter(
    ({ account, region }) =>
      (choice.accounts !== null && account === null) || (choice.regions !== null && region === null),
  );
  const hidden =
    unknown.length === 0
      ? ''
      : `The account or region of ${unknown.length} host${unknown.length === 1 ? '' : 's'} is not known yet, for example of ${unknown[0]!.name}: choose them by --host, which says what to do. `;
  return `No host that has reported to this collector matches. ${hidden}"imdswatch readiness" lists the hosts.`;
}

/**
 * Says which change each chosen host gets. `all`: every host that the collector knows, because a blocked member stops its
 * whole Auto Scaling group, also where it was not chosen itself. `verdicts`: those of the groups, which know members that
 * are gone. A plan of one host depends on that host alone.
 */
export function allowedChanges(
  chosen: readonly HostFinding[],
  all: readonly HostFinding[],
  verdicts: ReadonlyMap<string, GroupFinding>,
  policy: Pick<Policy, 'unproven_host_reason'>,
): { changed: ChosenHost[]; leftOut: LeftOut[] } {
  const isSingle = chosen.length === 1;
  const blockers = isSingle ? new Map<string, HostFinding>() : blockersOf(all);
  const changed: ChosenHost[] = [];
  const leftOut: LeftOut[] = [];
  for (const finding of chosen.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
    const leave = (reason: string) => leftOut.push({ host: finding.name, reason });
    const place = placeOf(finding);
    if (typeof place === 'string') {
      leave(place);
      continue;
    }
    const group = ownGroup(finding.tags, place);
    const blocker = blockers.get(group);
    const verdict = isSingle ? undefined : verdicts.get(group);
    const change = changeFor(finding, policy, isSingle);
    if (typeof change === 'string') leave(change);
    else if (change.http_tokens === undefined) changed.push({ finding, place, group, change });
    else if (blocker !== undefined) {
      leave(`${blocker.name} of its group ${group} is ${blocker.verdict}. ${blocker.reason}`);
    } else if (verdict !== undefined && isBlocking(verdict.verdict)) {
      leave(`Its group ${group} is ${verdict.verdict}. ${verdict.reason}`);
    } else changed.push({ finding, place, group, change });
  }
  return { changed, leftOut };
}

/** Returns whether a member stands in the way of its whole group, which runs the same software. */
export function isBlocking(verdict: Verdict): boolean {
  return verdict === 'blocked' || verdict === 'rejected' || verdict === 'fallback';
}

/** Returns the change that the verdict allows, or why it allows none. */
function changeFor(
  { verdict, reason, advisedHopLimit }: HostFinding,
  { unproven_host_reason }: Pick<Policy, 'unproven_host_reason'>,
  isSingle: boolean,
): OptionsChange | string {
  switch (verdict) {
    case 'ready':
      return { http_tokens: 'required' };
    case 'fallback':
      return advisedHopLimit === null
        ? `The hop limit that it needs is not known. ${reason}`
        : { hop_limit: advisedHopLimit };
    case 'enforced':
      return 'Tokens are required already.';
    case 'rejected':
      return `Tokens are required already, and calls are refused. ${reason}`;
    case 'blocked':
    case 'unproven':
      if (unproven_host_reason === null) return `It is ${verdict}. ${reason}`;
      return isSingle
        ? { http_tokens: 'required' }
        : `It is ${verdict}. Only a plan of one host may go on regardless.`;
  }
}

/** Returns for each Auto Scaling group a member that stands in the way of all: they run the same software. */
function blockersOf(all: readonly HostFinding[]): Map<string, HostFinding> {
  const blockers = new Map<string, HostFinding>();
  for (const finding of all) {
    const { verdict } = finding;
    const place = placeOf(finding);
    if (
      typeof place === 'string' ||
      (verdict !== 'blocked' && verdict !== 'rejected' && verdict !== 'fallback')
    )
      continue;
    const group = ownGroup(finding.tags, place);
    if (group.startsWith('asg:') && !blockers.has(group)) blockers.set(group, finding);
  }
  return blockers;
}

/** Returns where the instance is, or why that is not known and what to do about it. */
function placeOf({ hostId, account, region: named }: HostFinding): ChosenHost['place'] | string {
  if (!instanceId.safeParse(hostId).success) {
    return `It is no EC2 instance: its id is ${hostId}. If it is one, set host_id in its agent's configuration to the instance id.`;
  }
  if (account === null || named === null) {
    const missing = [account === null ? ['account'] : [], named === null ? ['region'] : []].flat();
    return (
      `Its ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} not known yet. Its agent reports facts like this with ` +
      'its first calls or its first coverage report, about a minute after its start. Make the plan again then. If that does ' +
      `not help, set ${missing.map((fact) => `host_${fact}`).join(' and ')} in the agent's configuration.`
    );
  }
  const place = { account: accountId.safeParse(account), region: region.safeParse(named) };
  return place.account.success && place.region.success
    ? { account: place.account.data, region: place.region.data }
    : `Its account ${account} or its region ${named} is none of AWS. Correct host_account and host_region in its agent's configuration.`;
}
