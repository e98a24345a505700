/** Schemas of owners: the rules that name them, what a rule found, and the workloads of each owner. */
import * as z from 'zod';
import { isIdentifier } from '../../protocol/text_bounds.ts';
import { time } from './window.ts';

export const MAX_OWNER_RULES = 500;
const MAX_RULE_CHARACTERS = 300;

/** `stored`: an admin set the rule. `setting`: the setting `owner_rules` has it. `catalogue`: Backstage's catalogue has it. */
export const ownerSource = z.enum(['stored', 'setting', 'catalogue']);

export const foundOwner = z.object({
  owner: z.string(),
  /** The rule that names the owner. */
  rule: z.string(),
  source: ownerSource,
  /** The entity of the catalogue, such as `component:default/shop`; absent for the other sources. */
  entity: z.string().optional(),
});

/** Describes what was read of Backstage's catalogue, which is asked after all rules. */
export const ownerCatalogue = z.object({
  url: z.string(),
  /** When the catalogue was read last; null where it never was. Its rules stay when it cannot be read. */
  read: time.nullable(),
  /** Entities with an owner and a rule. */
  entities: z.int(),
  /** Different rules of these entities. */
  rules: z.int(),
  /** Entities without an owner. */
  without_owner: z.int(),
  /** Entities with an owner, but without an annotation that names workloads. */
  without_rule: z.int(),
  /** Entities that have not the documented form. */
  unreadable: z.int(),
  /** Entities beyond the limit, which were not read. */
  left_out: z.int(),
  /** Rules that cannot be used, and the first of them. */
  rules_invalid: z.int(),
  invalid: z.array(z.object({ entity: z.string(), rule: z.string() })),
  /** Rules for which entities name different owners, and the first of them. They name no owner. */
  rules_ambiguous: z.int(),
  ambiguous: z.array(
    z.object({ rule: z.string(), owners: z.array(z.string()), entities: z.array(z.string()) }),
  ),
  /** Attempts to read it that failed, since the last that succeeded. */
  failures: z.int(),
  /** When the last of these failed, and why; null where none did. */
  failed: time.nullable(),
  error: z.string().nullable(),
});

/** The rules in the order in which they are asked: those that admins set, those of the setting, then the catalogue. */
export const ownerRules = z.object({
  /** Grows with each change of the stored rules. */
  version: z.int(),
  rules: z.array(z.string()),
  /** When somebody changed the stored rules last, and who; null where nobody did. */
  changed: time.nullable(),
  changed_by: z.string().nullable(),
  /** Stored rules that this release cannot read. They name no owner. */
  unreadable: z.array(z.string()),
  /** Rules of the setting `owner_rules` of the collector that answers. */
  setting_rules: z.array(z.string()),
  /** Null where the setting `backstage_url` is not set. */
  catalogue: ownerCatalogue.nullable(),
});

export const ownerRulesChange = z.strictObject({
  /** The rules in their order. The first that matches a workload counts. They replace all stored ones. */
  rules: z
    .array(
      z
        .string()
        .trim()
        .min(1)
        .max(MAX_RULE_CHARACTERS)
        .refine(isIdentifier, 'must be one line of text without control characters'),
    )
    .max(MAX_OWNER_RULES),
  /** The version that was changed. Another one is refused with 409, so that nobody undoes the change of another person. */
  version: z.int().optional(),
});

/** The owner of one workload, what names it, and what rules look at. */
export const ownerExplanation = z.object({
  id: z.string(),
  title: z.string(),
  owner: z.string().nullable(),
  /** `person`: somebody set the owner of this workload, which goes before all rules. `rule`: see `found`. */
  owner_by: z.enum(['person', 'rule']).nullable(),
  /** The rule that names an owner, also where a person has set another one; null where no rule matches. */
  found: foundOwner.nullable(),
  /** Each rule is about one of these. */
  facts: z.object({
    namespace: z.string().nullable(),
    unit: z.string().nullable(),
    image: z.string().nullable(),
    script: z.string().nullable(),
    executable: z.string().nullable(),
    accounts: z.array(z.string()),
    /** Values of the tags that rules name, on the hosts of the workload; null for hosts without the tag. */
    tags: z.record(z.string(), z.array(z.string().nullable())),
  }),
});

/** The workloads of one owner in a window. */
export const ownerSummary = z.object({
  /** `owner:` and the owner, or `none`. */
  id: z.string(),
  /** Null for the workloads without an owner. */
  owner: z.string().nullable(),
  /** Workloads that call IMDSv1. */
  offenders: z.int(),
  /** Those of them that fetch role credentials over IMDSv1. */
  credentials: z.int(),
  calls_v1: z.int(),
  /** Hosts that a fix of one workload of this owner would free, added up. */
  hosts_freed: z.int(),
  /** The last IMDSv1 call. */
  last_v1: time.nullable(),
});

export type OwnerSource = z.infer<typeof ownerSource>;
export type OwnerCatalogue = z.infer<typeof ownerCatalogue>;
export type FoundOwner = z.infer<typeof foundOwner>;
export type OwnerRules = z.infer<typeof ownerRules>;
export type OwnerRulesChange = z.infer<typeof ownerRulesChange>;
export type OwnerExplanation = z.infer<typeof ownerExplanation>;
export type OwnerSummary = z.infer<typeof ownerSummary>;
