/** Makes the objects of alerts from findings. */
import type { HostFacts } from '../../protocol/call.ts';
import type { AlertObject } from '../contract/alert.ts';
import type { Group } from '../contract/group.ts';
import type { Host } from '../contract/host.ts';
import type { HostRef, Offender } from '../contract/offender.ts';
import type { Plan } from '../contract/plan.ts';

export function offenderObject({ id, title, accounts, regions, triage }: Offender): AlertObject {
  return { ...placesOf(accounts, regions), type: 'offender', id, name: title, tags: {}, owner: triage.owner };
}

export function hostObject({
  id,
  name,
  account,
  region,
  tags,
}: Pick<Host, 'id' | 'name' | 'account' | 'region' | 'tags'>): AlertObject {
  const list = (value: string | null) => (value === null ? [] : [value]);
  return { ...placesOf(list(account), list(region)), type: 'host', id, name, tags, owner: null };
}

/** A host of which the store has the facts, and nobody has judged it. */
export function factsObject(facts: HostFacts): AlertObject {
  const { id, name, tags = {}, 'cloud.account.id': account = null, 'cloud.region': region = null } = facts;
  return hostObject({ id, name, account, region, tags });
}

export function groupObject({ id, value, accounts, regions }: Group): AlertObject {
  return { ...placesOf(accounts, regions), type: 'group', id, name: value, tags: {}, owner: null };
}

export function planObject({ id }: Pick<Plan, 'id'>): AlertObject {
  return { ...placesOf([], []), type: 'plan', id, name: id, tags: {}, owner: null };
}

/** A host or a workload of which only this is known where the alert is made. */
export function namedObject(
  type: 'host' | 'offender',
  { id, name }: HostRef,
  owner: string | null = null,
): AlertObject {
  return { ...placesOf([], []), type, id, name, tags: {}, owner };
}

function placesOf(accounts: readonly string[], regions: readonly string[]) {
  const only = (values: readonly string[]) => (values.length === 1 ? values[0]! : null);
  return {
    account: only(accounts),
    region: only(regions),
    accounts: [...accounts],
    regions: [...regions],
  };
}
