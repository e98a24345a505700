/** Finds the launch templates and configurations that a Terraform resource uses. */
import { evaluate, type Scope } from '../evaluate/expression.ts';
import { asText, isUnknown, type Place, Reference } from '../evaluate/value.ts';
import { attributeOf, type Block } from '../hcl/tree.ts';
import type { TemplateLink } from '../rules/declaration.ts';
import { nestedBlocks } from './nested.ts';
import type { ResourceInstance } from './resource_instance.ts';
import type { ResourceKind } from './resource_kinds.ts';

export function templateLinks(
  block: Block,
  kind: ResourceKind,
  { expanded: { scope } }: ResourceInstance,
): TemplateLink[] {
  switch (kind.templates) {
    case 'none':
      return [];
    case 'block':
      return inBlocks(block, 'launch_template', scope, linkOf);
    case 'group':
      return [
        ...configurationLink(block, scope),
        ...inBlocks(block, 'launch_template', scope, linkOf),
        ...inBlocks(block, 'mixed_instances_policy', scope, (policy, inner) =>
          inBlocks(policy, 'launch_template', inner, (template, innermost) => [
            ...inBlocks(template, 'launch_template_specification', innermost, linkOf),
            ...inBlocks(template, 'override', innermost, (override, last) =>
              inBlocks(override, 'launch_template_specification', last, linkOf),
            ),
          ]),
        ),
      ];
    case 'fleet':
    case 'spot_fleet':
      return inBlocks(block, 'launch_template_config', scope, (config, inner) =>
        inBlocks(config, 'launch_template_specification', inner, linkOf),
      );
  }
}

function inBlocks(
  block: Block,
  type: string,
  scope: Scope,
  read: (block: Block, scope: Scope) => TemplateLink[],
): TemplateLink[] {
  const answer = nestedBlocks(block, type, scope);
  if (answer.is === 'absent') return [];
  if (answer.is === 'unknown') return [{ is: 'outside', reason: answer.reason, place: answer.place }];
  return answer.nested.flatMap((nested) => read(nested.block, nested.scope));
}

function linkOf(block: Block, scope: Scope): TemplateLink[] {
  const written =
    attributeOf(block, 'id') ??
    attributeOf(block, 'launch_template_id') ??
    attributeOf(block, 'name') ??
    attributeOf(block, 'launch_template_name');
  if (written === undefined) return [];
  const place = { path: scope.path, start: written.start, end: written.end };
  const { data } = evaluate(written.value, scope);
  if (data === null) return [];
  if (data instanceof Reference) return [fromReference(data, place)];
  if (isUnknown(data))
    return [{ is: 'outside', reason: `its launch template is not known: ${data.reason}`, place }];
  const text = asText(data) ?? '';
  if (/name$/.test(written.name)) return [{ is: 'in_code', address: `name:${text}`, place }];
  return [{ is: 'outside', reason: `launch template ${text} is not in the scanned code`, place }];
}

function fromReference({ address }: Reference, place: Place): TemplateLink {
  return address.includes('data.')
    ? { is: 'outside', reason: `${address} is looked up when Terraform runs`, place }
    : { is: 'in_code', address, place };
}

function configurationLink(block: Block, scope: Scope): TemplateLink[] {
  const written = attributeOf(block, 'launch_configuration');
  if (written === undefined) return [];
  const place = { path: scope.path, start: written.start, end: written.end };
  const { data } = evaluate(written.value, scope);
  if (data === null) return [];
  if (data instanceof Reference) return [fromReference(data, place)];
  if (isUnknown(data))
    return [{ is: 'outside', reason: `its launch configuration is not known: ${data.reason}`, place }];
  return [{ is: 'in_code', address: `name:${asText(data) ?? ''}`, place }];
}
