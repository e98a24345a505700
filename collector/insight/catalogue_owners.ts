/**
 * The owners that a catalogue of software names. Pure. Rules without a * are found by their text, so that a catalogue of
 * 10,000 entities takes no longer than one of ten.
 */
import type { FoundOwner } from '../contract/owner.ts';
import { type HostValues, type OwnedIdentity, type OwnerRule, ownerRule, ruleFor } from './owner_rules.ts';
import type { Owners } from './owners.ts';

/** An entity of the catalogue, and what belongs to its owner. */
export interface CatalogueEntity {
  /** Kind, namespace and name, such as `component:default/shop`. */
  entity: string;
  owner: string;
  /** Rules without the owner, such as `namespace:shop`. */
  rules: string[];
}

/** A rule for which entities name different owners. It names nobody. */
export interface AmbiguousRule {
  rule: string;
  owners: string[];
  entities: string[];
}

export interface CatalogueOwners {
  owners: Owners;
  /** Different rules, without those that are ambiguous. */
  rules: number;
  ambiguous: AmbiguousRule[];
}

interface Claim {
  rule: OwnerRule;
  found: FoundOwner;
}
interface Claims {
  exact: Map<string, Claim>;
  withPattern: Map<OwnerRule['kind'], Claim[]>;
}

/** Kinds in the order in which they are asked: that which is nearest to the program comes first. */
const KINDS = ['path', 'unit', 'image', 'namespace'] as const;

/** Makes owners of entities whose rules `ownerRule` can read. Names of owners differ only if they do without regard to case. */
export function catalogueOwners(entities: readonly CatalogueEntity[]): CatalogueOwners {
  const byRule = new Map<string, CatalogueEntity[]>();
  for (const entity of entities) {
    for (const rule of new Set(entity.rules)) {
      const known = byRule.get(rule);
      if (known === undefined) byRule.set(rule, [entity]);
      else known.push(entity);
    }
  }
  const claims: Claims = { exact: new Map(), withPattern: new Map() };
  const ambiguous: AmbiguousRule[] = [];
  for (const [text, claimants] of byRule) {
    const names = new Map(claimants.map(({ owner }) => [owner.toLowerCase(), owner]));
    if (names.size > 1) {
      const owners = [...names.values()];
      ambiguous.push({ rule: text, owners, entities: claimants.map(({ entity }) => entity) });
    } else addClaim(claims, text, claimants[0]!);
  }
  const tags = claims.withPattern.get('tag') ?? [];
  return {
    rules: byRule.size - ambiguous.length,
    ambiguous,
    owners: {
      tagKeys: [...new Set(tags.flatMap(({ rule }) => (rule.kind === 'tag' ? [rule.key] : [])))],
      find: (identity, values) => find(claims, identity, values),
    },
  };
}

function addClaim({ exact, withPattern }: Claims, text: string, { entity, owner }: CatalogueEntity): void {
  const rule = ownerRule(`${text}=${owner}`);
  const claim: Claim = { rule, found: { owner, rule: rule.text, source: 'catalogue', entity } };
  if (rule.kind !== 'tag' && !text.includes('*')) {
    exact.set(text, claim);
    return;
  }
  const known = withPattern.get(rule.kind);
  if (known === undefined) withPattern.set(rule.kind, [claim]);
  else known.push(claim);
}

function find(claims: Claims, identity: OwnedIdentity, values: HostValues): FoundOwner | null {
  const texts: Record<(typeof KINDS)[number], (string | null)[]> = {
    path: [identity.script, identity.executable],
    unit: [identity.unit],
    image: [identity.image],
    namespace: [identity.k8sNamespace],
  };
  for (const kind of KINDS) {
    for (const text of texts[kind]) {
      const found = text === null ? undefined : claims.exact.get(`${kind}:${text}`)?.found;
      if (found !== undefined) return found;
    }
    const found = agreed(matching(claims, kind, identity, values));
    if (found !== null) return found;
  }
  return agreed(matching(claims, 'tag', identity, values)) ?? accountOwner(claims, identity, values);
}

/** All accounts of a workload must have the same owner. */
function accountOwner(claims: Claims, identity: OwnedIdentity, values: HostValues): FoundOwner | null {
  const found = [...new Set(values.accounts)].map(
    (account) =>
      claims.exact.get(`account:${account}`)?.found ??
      agreed(matching(claims, 'account', identity, { ...values, accounts: [account] })),
  );
  return found.includes(null) ? null : agreed(found as FoundOwner[]);
}

function matching(
  { withPattern }: Claims,
  kind: OwnerRule['kind'],
  identity: OwnedIdentity,
  values: HostValues,
): FoundOwner[] {
  const claims = withPattern.get(kind) ?? [];
  return claims.filter(({ rule }) => ruleFor([rule], identity, values) !== null).map(({ found }) => found);
}

/** Returns the first of them where all name the same owner: a workload of two teams belongs to neither. */
function agreed(found: readonly FoundOwner[]): FoundOwner | null {
  const [first] = found;
  if (first === undefined) return null;
  const name = first.owner.toLowerCase();
  return found.every(({ owner }) => owner.toLowerCase() === name) ? first : null;
}
