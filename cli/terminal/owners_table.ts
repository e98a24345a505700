/** Prints owner rules, and the owner of one workload with what names it. */
import type { OwnerExplanation, OwnerRules } from '../../collector/contract/owner.ts';
import { visibleText } from './visible_text.ts';

export function ownerRulesTable({
  rules,
  setting_rules,
  unreadable,
  changed,
  changed_by,
}: OwnerRules): string {
  const rows = [
    ...rules.map((rule) => (unreadable.includes(rule) ? `${rule}  (not known to this release)` : rule)),
    ...setting_rules.map((rule) => `${rule}  (setting owner_rules)`),
  ];
  if (rows.length === 0) return 'There are no owner rules. Add one: "imdswatch owners add RULE".\n';
  const width = String(rows.length).length;
  const lines = rows.map((row, index) => visibleText(`${String(index + 1).padStart(width)}  ${row}`));
  const last = changed === null ? [] : [visibleText(`Changed by ${changed_by} at ${changed}.`)];
  return `${[...lines, ...last].join('\n')}\n`;
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

function sourceText({ source }: NonNullable<OwnerExplanation['found']>): string {
  switch (source) {
    case 'stored':
      return 'set by an admin';
    case 'setting':
      return 'of the setting owner_rules';
  }
}
