/** The owner of a workload by rules. Pure. The first rule that matches counts. */

import { type Pattern, patternOf } from '../../common/text_pattern.ts';
import type { Identity } from '../store/store.ts';

export const MAX_OWNER_CHARACTERS = 100;
export const OWNER_RULE_FORMS =
  'namespace:PATTERN=OWNER, unit:PATTERN=OWNER, image:PATTERN=OWNER, path:PATTERN=OWNER, account:PATTERN=OWNER, tag:KEY, tag:KEY=OWNER or tag:KEY:PATTERN=OWNER';

interface PatternRule {
  /** The rule as somebody wrote it. */
  text: string;
  kind: 'namespace' | 'unit' | 'image' | 'path' | 'account';
  pattern: Pattern;
  owner: string;
}
interface TagRule {
  text: string;
  kind: 'tag';
  key: string;
  /** Null: any value. */
  pattern: Pattern | null;
  /** Null: the owner is the value of the tag. */
  owner: string | null;
}
export type OwnerRule = PatternRule | TagRule;

/** The facts about the hosts of a workload that rules look at. Each value is enough once. */
export interface HostValues {
  /** Returns the values that a tag has on them, null for hosts without it. */
  tag: (key: string) => readonly (string | null)[];
  /** The accounts that are known. */
  accounts: readonly string[];
}

export type OwnedIdentity = Pick<Identity, 'executable' | 'script' | 'image' | 'unit' | 'k8sNamespace'>;

/**
 * Reads a rule: `namespace:PATTERN=OWNER`, and so for `unit`, `image`, `path` and `account`; `tag:KEY`, whose value is the owner;
 * `tag:KEY=OWNER`; `tag:KEY:PATTERN=OWNER`. A `*` in a pattern stands for any text. Throws `RangeError`.
 */
export function ownerRule(text: string): OwnerRule {
  const [, kind = '', rest = ''] = /^(namespace|unit|image|path|account|tag):(.+)$/su.exec(text) ?? [];
  const equals = rest.lastIndexOf('=');
  const left = equals === -1 ? rest : rest.slice(0, equals);
  const owner = equals === -1 ? null : rest.slice(equals + 1).trim();
  const isTag = kind === 'tag';
  const isValid =
    left !== '' && (owner === null ? isTag : owner !== '' && owner.length <= MAX_OWNER_CHARACTERS);
  if (kind === '' || !isValid) {
    throw new RangeError(`"${text}" is no owner rule. Write ${OWNER_RULE_FORMS}.`);
  }
  if (!isTag) return { text, kind: kind as PatternRule['kind'], pattern: patternOf(left), owner: owner! };
  if (owner === null) return { text, kind: 'tag', key: left, pattern: null, owner };
  // Keys of AWS have colons themselves, such as aws:autoscaling:groupName: the pattern begins after the last one.
  const colon = left.startsWith('aws:') && left.split(':').length < 4 ? -1 : left.lastIndexOf(':');
  if (colon < 1) return { text, kind: 'tag', key: left, pattern: null, owner };
  return { text, kind: 'tag', key: left.slice(0, colon), pattern: patternOf(left.slice(colon + 1)), owner };
}

/**
 * Returns the first rule that names the owner of a workload, or null where none does. A rule about tags or accounts matches
 * where all hosts of the workload agree: a workload of two teams belongs to neither.
 */
export function ruleFor(
  rules: readonly OwnerRule[],
  identity: OwnedIdentity,
  values: HostValues,
): { owner: string; rule: OwnerRule } | null {
  for (const rule of rules) {
    const owner =
      rule.kind === 'tag' ? tagOwner(rule, values.tag(rule.key)) : patternOwner(rule, identity, values);
    if (owner !== null) return { owner, rule };
  }
  return null;
}

function patternOwner(
  { kind, pattern, owner }: PatternRule,
  identity: OwnedIdentity,
  { accounts }: HostValues,
): string | null {
  if (kind === 'account')
    return accounts.length > 0 && accounts.every((account) => pattern.test(account)) ? owner : null;
  const texts: Record<Exclude<PatternRule['kind'], 'account'>, (string | null)[]> = {
    namespace: [identity.k8sNamespace],
    unit: [identity.unit],
    image: [identity.image],
    path: [identity.script, identity.executable],
  };
  return texts[kind].some((text) => text !== null && pattern.test(text)) ? owner : null;
}

function tagOwner({ pattern, owner }: TagRule, values: readonly (string | null)[]): string | null {
  const owners = new Set(
    values.map((stored) => {
      const value = stored?.trim() ?? '';
      if (value === '' || (pattern !== null && !pattern.test(value))) return null;
      return owner ?? value.slice(0, MAX_OWNER_CHARACTERS);
    }),
  );
  const [only] = owners;
  return owners.size === 1 ? (only ?? null) : null;
}
