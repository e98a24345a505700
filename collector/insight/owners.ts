/** The owners of workloads and hosts, and the rule that names each. Pure. */
import type { FoundOwner, OwnerSource } from '../contract/owner.ts';
import { tagValue } from '../store/host_filter.ts';
import type { HostProfile } from '../store/store.ts';
import { type HostValues, type OwnedIdentity, type OwnerRule, ruleFor } from './owner_rules.ts';

/** Finds owners. */
export interface Owners {
  /** Keys of the tags that name owners. */
  readonly tagKeys: readonly string[];
  /** Returns the owner of a workload, and what names it; null where nothing does. */
  find(identity: OwnedIdentity, values: HostValues): FoundOwner | null;
}

const NO_WORKLOAD: OwnedIdentity = {
  executable: null,
  script: null,
  image: null,
  unit: null,
  k8sNamespace: null,
};

export const NO_OWNERS: Owners = { tagKeys: [], find: () => null };

/** Finds owners by rules, of which the first that matches counts. */
export function ownersByRules(
  rules: readonly OwnerRule[],
  source: Exclude<OwnerSource, 'catalogue'>,
): Owners {
  return {
    tagKeys: [...new Set(rules.flatMap((rule) => (rule.kind === 'tag' ? [rule.key] : [])))],
    find(identity, values) {
      const found = ruleFor(rules, identity, values);
      return found === null ? null : { owner: found.owner, rule: found.rule.text, source };
    },
  };
}

/** Asks each of several in turn, until one finds an owner. */
export function firstOwners(all: readonly Owners[]): Owners {
  return {
    tagKeys: [...new Set(all.flatMap(({ tagKeys }) => tagKeys))],
    find(identity, values) {
      for (const each of all) {
        const found = each.find(identity, values);
        if (found !== null) return found;
      }
      return null;
    },
  };
}

/** Returns the owner of a host, by its tags and its account. */
export function ownerOfHost(
  owners: Owners,
  { account, tags }: { account: string | null; tags: HostProfile['tags'] },
): string | null {
  const values = {
    tag: (key: string) => [tagValue(tags, key)],
    accounts: account === null ? [] : [account],
  };
  return owners.find(NO_WORKLOAD, values)?.owner ?? null;
}

/** Returns the owner of a group of hosts, of which only the accounts are known. */
export function ownerOfMembers(owners: Owners, accounts: readonly string[]): string | null {
  return owners.find(NO_WORKLOAD, { tag: () => [], accounts })?.owner ?? null;
}
