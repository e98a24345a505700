/** The owner of a workload by the rules of the setting `owner_rules`. Pure. The first rule that matches counts. */
import type { Identity } from '../store/store.ts';

const MAX_OWNER_CHARACTERS = 100;

interface WorkloadRule {
  kind: 'namespace' | 'unit' | 'image' | 'path';
  pattern: RegExp;
  owner: string;
}
interface TagRule {
  kind: 'tag';
  key: string;
  /** Null: any value. */
  pattern: RegExp | null;
  /** Null: the owner is the value of the tag. */
  owner: string | null;
}
export type OwnerRule = WorkloadRule | TagRule;

/** Returns the values that a tag has on the hosts of a workload, null for hosts without it. Each is enough once. */
export type TagValues = (key: string) => readonly (string | null)[];

type OwnedIdentity = Pick<Identity, 'executable' | 'script' | 'image' | 'unit' | 'k8sNamespace'>;

/**
 * Reads a rule: `namespace:PATTERN=OWNER`, and so for `unit`, `image` and `path`; `tag:KEY`, whose value is the owner;
 * `tag:KEY=OWNER`; `tag:KEY:PATTERN=OWNER`. A `*` in a pattern stands for any text. Throws `RangeError`.
 */
export function ownerRule(text: string): OwnerRule {
  const [, kind = '', rest = ''] = /^(namespace|unit|image|path|tag):(.+)$/su.exec(text) ?? [];
  const equals = rest.lastIndexOf('=');
  const left = equals === -1 ? rest : rest.slice(0, equals);
  const owner = equals === -1 ? null : rest.slice(equals + 1).trim();
  const isTag = kind === 'tag';
  const isValid =
    left !== '' && (owner === null ? isTag : owner !== '' && owner.length <= MAX_OWNER_CHARACTERS);
  if (kind === '' || !isValid) {
    throw new RangeError(
      `"${text}" is no owner rule. Write namespace:PATTERN=OWNER, unit:PATTERN=OWNER, image:PATTERN=OWNER, path:PATTERN=OWNER, tag:KEY, tag:KEY=OWNER or tag:KEY:PATTERN=OWNER.`,
    );
  }
  if (!isTag) return { kind: kind as WorkloadRule['kind'], pattern: patternOf(left), owner: owner! };
  if (owner === null) return { kind: 'tag', key: left, pattern: null, owner };
  // Keys of AWS have colons themselves, such as aws:autoscaling:groupName: the pattern begins after the last one.
  const colon = left.startsWith('aws:') && left.split(':').length < 4 ? -1 : left.lastIndexOf(':');
  if (colon < 1) return { kind: 'tag', key: left, pattern: null, owner };
  return { kind: 'tag', key: left.slice(0, colon), pattern: patternOf(left.slice(colon + 1)), owner };
}

/**
 * Returns the owner of a workload, or null where no rule matches. A rule about a tag matches where all hosts of the
 * workload have it, with one owner: a workload of two teams belongs to neither.
 */
export function ownerOf(
  rules: readonly OwnerRule[],
  identity: OwnedIdentity,
  valuesOf: TagValues,
): string | null {
  for (const rule of rules) {
    const owner = rule.kind === 'tag' ? tagOwner(rule, valuesOf(rule.key)) : workloadOwner(rule, identity);
    if (owner !== null) return owner;
  }
  return null;
}

function workloadOwner({ kind, pattern, owner }: WorkloadRule, identity: OwnedIdentity): string | null {
  const texts: Record<WorkloadRule['kind'], (string | null)[]> = {
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

function patternOf(text: string): RegExp {
  const parts = text.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}
