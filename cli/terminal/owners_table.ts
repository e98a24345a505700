/** Prints owner rules, and the owner of one workload with what names it. */
import type { OwnerCatalogue, OwnerExplanation, OwnerRules } from '../../collector/contract/owner.ts';
import { visibleText } from './visible_text.ts';

export function ownerRulesTable({
  rules,
  setting_rules,
  unreadable,
  changed,
  changed_by,
  catalogue,
}: OwnerRules): string {
  const rows = [
    ...rules.map((rule) => (unreadable.includes(rule) ? `${rule}  (not known to this release)` : rule)),
    ...setting_rules.map((rule) => `${rule}  (setting owner_rules)`),
  ];
  const ofCatalogue = catalogue === null ? '' : catalogueText(catalogue);
  if (rows.length === 0) {
    return `There are no owner rules. Add one: "imdswatch owners add RULE".\n${ofCatalogue}`;
  }
  const width = String(rows.length).length;
  const lines = rows.map((row, index) => visibleText(`${String(index + 1).padStart(width)}  ${row}`));
  const last = changed === null ? [] : [visibleText(`Changed by ${changed_by} at ${changed}.`)];
  return `${[...lines, ...last].join('\n')}\n${ofCatalogue}`;
}

/** Describes the catalogue, which is asked after all rules, and each of its defects. */
export function catalogueText(catalogue: OwnerCatalogue): string {
  const { url, read, entities, rules, failed, error, failures } = catalogue;
  const others: [number, string][] = [
    [catalogue.without_owner, 'entities without an owner'],
    [catalogue.without_rule, 'entities without an annotation that names workloads'],
    [catalogue.unreadable, 'entities that cannot be read'],
    [catalogue.left_out, 'entities left out, beyond the limit'],
    [catalogue.rules_invalid, 'rules that cannot be used'],
    [catalogue.rules_ambiguous, 'rules with more than one owner, which name none'],
  ];
  const lines = [
    read === null
      ? `Catalogue ${url}: not read yet.`
      : `Catalogue ${url}: ${rules} rules of ${entities} entities, read at ${read}. It is asked after all rules above.`,
    ...(failures === 0 ? [] : [`  ${failures} failed attempts since then, the last at ${failed}: ${error}`]),
    ...others.flatMap(([number, text]) => (number === 0 ? [] : [`  ${number} ${text}`])),
    ...catalogue.invalid.map(({ entity, rule }) => `    not usable: ${rule} (${entity})`),
    ...catalogue.ambiguous.map(
      (each) => `    ${each.rule}: ${each.owners.join(', ')} (${each.entities.join(', ')})`,
    ),
  ];
  return `${lines.map(visibleText).join('\n')}\n`;
}

export function explanationText({ title, owner, owner_by, found, facts }: OwnerExplanation): string {
  const { accounts, tags, ...rest } = facts;
  const known = [
    ...Object.entries(rest).map(([name, value]) => [name, value ?? '-']),
    ['account', accounts.length === 0 ? '-' : accounts.join(', ')],
    ...Object.entries(tags).map(([key, values]) => [
      `tag ${key}`,
      values.map((value) => value ?? '(not set)').join(', ') || '-',
    ]),
  ];
  const width = Math.max(...known.map(([name]) => name!.length));
  const lines = [
    `${title}: ${ownerText(owner, owner_by)}`,
    ...(found === null
      ? ['No rule matches.']
      : [`Rule: ${found.rule} (${sourceText(found)}), owner ${found.owner}`]),
    ...known.map(([name, value]) => `  ${name!.padEnd(width)}  ${value}`),
  ];
  return `${lines.map(visibleText).join('\n')}\n`;
}

function ownerText(owner: string | null, by: OwnerExplanation['owner_by']): string {
  if (owner === null) return 'no owner';
  return by === 'person' ? `owner ${owner}, set by a person` : `owner ${owner}`;
}

function sourceText({ source, entity }: NonNullable<OwnerExplanation['found']>): string {
  switch (source) {
    case 'stored':
      return 'set by an admin';
    case 'setting':
      return 'of the setting owner_rules';
    case 'catalogue':
      return `of ${entity} in the catalogue`;
  }
}
