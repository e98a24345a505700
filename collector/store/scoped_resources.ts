/** Leaves out the resources of the cloud that a viewer may not see. Pure. */
import { SCALING_GROUP_TAG, TEMPLATE_TAG } from '../../common/instance_tags.ts';
import type { ViewScope } from '../contract/host_scope.ts';
import type { CloudInventory, StoredProfiles } from './store.ts';

type Resource = CloudInventory['resources'][number];

/**
 * Keeps the resources of accounts that belong to the scope without a condition about tags. A resource has no tags itself:
 * of other accounts, those are kept that an instance of the scope names, and what is about the whole account of one.
 *
 * `profiles`: those in the scope.
 */
export function keepResources(
  resources: readonly Resource[],
  profiles: StoredProfiles,
  scope: ViewScope,
): Resource[] {
  const wholeAccounts = new Set(
    scope.flatMap(({ accounts, tags }) => (Object.keys(tags ?? {}).length === 0 ? (accounts ?? []) : [])),
  );
  const accounts = new Set<string>();
  const named = new Set<string>();
  for (const { facts } of profiles.values()) {
    const account = facts['cloud.account.id'];
    if (account === undefined) continue;
    accounts.add(account);
    const place = { account, region: facts['cloud.region'] ?? '' };
    const names = [
      ['scaling_group', facts.tags?.[SCALING_GROUP_TAG]],
      ['launch_template', facts.tags?.[TEMPLATE_TAG]],
      ['image', facts['image.id']],
    ] as const;
    for (const [kind, id] of names) if (id !== undefined) named.add(keyOf({ kind, ...place, id }));
  }
  return resources.filter(({ facts }) => {
    if (wholeAccounts.has(facts.account)) return true;
    const isOfAccount = facts.kind === 'complete_read' || facts.kind === 'account_defaults';
    return isOfAccount ? accounts.has(facts.account) : named.has(keyOf(facts));
  });
}

function keyOf({ kind, account, region, id }: Record<'kind' | 'account' | 'region' | 'id', string>): string {
  return JSON.stringify([kind, account, region, id]);
}
