/** Reads from entities of Backstage which workloads their owners have. Pure. */
import * as z from 'zod';
import { isIdentifier } from '../../protocol/text_bounds.ts';
import type { CatalogueEntity } from '../insight/catalogue_owners.ts';
import { MAX_OWNER_CHARACTERS, ownerRule } from '../insight/owner_rules.ts';

/** Kinds that are asked for. */
export const KINDS = ['component', 'system', 'resource'] as const;
export const RULES_ANNOTATION = 'imdswatch/owner-rules';
const NAMESPACE_ANNOTATION = 'backstage.io/kubernetes-namespace';
const ACCOUNT_ANNOTATION = 'amazonaws.com/account-id';
const DEFAULT_NAMESPACE = 'default';
const MAX_REF_CHARACTERS = 200;
const MAX_RULE_CHARACTERS = 300;
export const MAX_RULES_OF_ENTITY = 50;
/** Rules with a * or about a tag are tried one after the other, for each workload. */
export const MAX_PATTERN_RULES = 1_000;
export const MAX_INVALID_SHOWN = 10;

const name = z.string().min(1).max(MAX_REF_CHARACTERS).refine(isIdentifier);
const readEntity = z.object({
  kind: z.string().toLowerCase().pipe(z.enum(KINDS)),
  metadata: z.object({
    name,
    namespace: name.default(DEFAULT_NAMESPACE),
    annotations: z.record(z.string(), z.unknown()).default({}),
  }),
  spec: z.object({ owner: z.string().optional() }).optional(),
});

/** Counts of what the entities say, and examples of what cannot be used. */
export interface MappingCounts {
  /** Entities with an owner and a rule. */
  used: number;
  without_owner: number;
  /** Entities with an owner, but without an annotation that names workloads. */
  without_rule: number;
  /** Entities that are no components, systems or resources of the documented form. */
  unreadable: number;
  /** Rules that cannot be used, and those beyond the bounds. */
  rules_invalid: number;
  invalid: { entity: string; rule: string }[];
}

export interface Mapped {
  entities: CatalogueEntity[];
  counts: MappingCounts;
}

/** Maps all entities of a catalogue. Of two with one name the last counts: the catalogue changes while it is read. */
export function mapEntities(values: readonly unknown[]): Mapped {
  const counts: MappingCounts = {
    ...{ used: 0, without_owner: 0, without_rule: 0, unreadable: 0, rules_invalid: 0, invalid: [] },
  };
  const byRef = new Map<string, z.infer<typeof readEntity>>();
  for (const value of values) {
    const { success, data } = readEntity.safeParse(value);
    if (success) byRef.set(refOf(data), data);
    else counts.unreadable += 1;
  }
  let patterns = 0;
  const entities: CatalogueEntity[] = [];
  for (const [entity, { metadata, spec }] of [...byRef].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const owner = ownerName(spec?.owner ?? '', metadata.namespace);
    if (owner === null) {
      counts.without_owner += 1;
      continue;
    }
    const rules: string[] = [];
    for (const text of ruleTexts(metadata.annotations)) {
      const isPattern = text.includes('*') || text.startsWith('tag:');
      const fits = rules.length < MAX_RULES_OF_ENTITY && (!isPattern || patterns < MAX_PATTERN_RULES);
      if (fits && isUsable(text, owner)) {
        rules.push(text);
        patterns += isPattern ? 1 : 0;
      } else {
        counts.rules_invalid += 1;
        const rule = text.slice(0, MAX_RULE_CHARACTERS);
        if (counts.invalid.length < MAX_INVALID_SHOWN) counts.invalid.push({ entity, rule });
      }
    }
    if (rules.length > 0) entities.push({ entity, owner, rules });
    else counts.without_rule += 1;
  }
  counts.used = entities.length;
  return { entities, counts };
}

/**
 * Returns the name of an owner by its reference, null for none: a group by its name, with its namespace where that is not
 * `default`, and any other kind with its kind too. A reference without a namespace means that of the entity.
 */
export function ownerName(ref: string, entityNamespace: string): string | null {
  const [, kind = 'group', namespace = entityNamespace, ownName = ''] =
    /^(?:([^:/\s]+):)?(?:([^:/\s]+)\/)?([^:/\s]+)$/u.exec(ref.trim()) ?? [];
  if (ownName === '') return null;
  const inNamespace = namespace.toLowerCase() === DEFAULT_NAMESPACE ? ownName : `${namespace}/${ownName}`;
  const owner = kind.toLowerCase() === 'group' ? inNamespace : `${kind.toLowerCase()}:${inNamespace}`;
  const isGood = owner.length <= MAX_OWNER_CHARACTERS && isIdentifier(owner) && !owner.includes('=');
  return isGood ? owner : null;
}

function refOf({ kind, metadata }: z.infer<typeof readEntity>): string {
  return `${kind}:${metadata.namespace}/${metadata.name}`.toLowerCase();
}

function ruleTexts(annotations: Record<string, unknown>): string[] {
  const texts = (key: string, prefix: string): string[] => {
    const value = Object.hasOwn(annotations, key) ? annotations[key] : undefined;
    if (typeof value !== 'string') return [];
    const parts = prefix === '' ? value.split(/[,\n]/) : [value];
    return parts.map((part) => part.trim()).flatMap((part) => (part === '' ? [] : [prefix + part]));
  };
  return [
    ...new Set([
      ...texts(RULES_ANNOTATION, ''),
      ...texts(NAMESPACE_ANNOTATION, 'namespace:'),
      ...texts(ACCOUNT_ANNOTATION, 'account:'),
    ]),
  ];
}

/** A rule that matches everything would give all workloads without an owner to one entity. */
function isUsable(text: string, owner: string): boolean {
  if (text.length > MAX_RULE_CHARACTERS || !isIdentifier(text)) return false;
  if (/^[a-z]+:\*+$/.test(text)) return false;
  // An owner in the rule is a mistake: that of the entity counts.
  if (text.includes('=') && !text.startsWith('path:') && !text.startsWith('tag:')) return false;
  try {
    ownerRule(`${text}=${owner}`);
    return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}
