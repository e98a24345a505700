/** Reads what Terraform writes: plans as JSON (`terraform show -json`) and state files. */
import {
  type DocumentDeclaration,
  declareDocument,
  type SettingNames,
} from '../documents/declare_document.ts';
import { readDocuments } from '../documents/document_reader.ts';
import type { EditTarget } from '../documents/edit_documents.ts';
import { type DocumentNode, entriesOf, entryOf, get, getPath, itemsOf, textOf } from '../documents/node.ts';
import { plainValue } from '../documents/plain_values.ts';
import type { HostSelector } from '../finding.ts';
import type { Reader } from '../reader.ts';
import type { Declaration, ImageFact, TemplateLink } from '../rules/declaration.ts';
import { RESOURCE_KINDS, type ResourceKind } from './resource_kinds.ts';

export const terraformPlan: Reader = {
  name: 'terraform-plan',
  takes: ({ name, contains }) =>
    /\.(json|tfstate|tfstate\.backup|tfplan)$|^[^.]+$/.test(name) &&
    contains('"terraform_version"') &&
    contains('"aws_'),
  read: (files) =>
    readDocuments(files, (root, target) => {
      if (get(root, 'resource_changes') !== undefined) return declarePlan(root, target);
      if (get(root, 'planned_values') !== undefined)
        return declareValues(getPath(root, ['planned_values', 'root_module']), target, 0);
      if (get(root, 'values') !== undefined)
        return declareValues(getPath(root, ['values', 'root_module']), target, 0);
      return declareState(root, target);
    }),
};

/** One resource as Terraform wrote it. */
interface WrittenResource {
  address: string;
  type: string;
  node: DocumentNode;
  values: DocumentNode | undefined;
  /** The same shape, with `true` where the value is known only after the change. */
  unknowns: DocumentNode | undefined;
  /** Addresses that `launch_template` or `launch_configuration` refers to in the configuration. */
  references: string[];
}

function declarePlan(root: DocumentNode, target: EditTarget): Declaration[] {
  const configuration = new Map<string, string[]>();
  readConfiguration(getPath(root, ['configuration', 'root_module']), '', configuration, 0);
  return itemsOf(get(root, 'resource_changes')).flatMap((node) => {
    const actions = itemsOf(getPath(node, ['change', 'actions'])).map(textOf);
    if (textOf(get(node, 'mode')) === 'data' || (actions.length === 1 && actions[0] === 'delete')) return [];
    const address = textOf(get(node, 'address')) ?? '?';
    return declareWritten(
      {
        address,
        type: textOf(get(node, 'type')) ?? '',
        node,
        values: getPath(node, ['change', 'after']),
        unknowns: getPath(node, ['change', 'after_unknown']),
        references: configuration.get(withoutKeys(address)) ?? [],
      },
      target,
    );
  });
}

/** Collects the references of launch templates, since a plan does not know the id of one that it makes. */
function readConfiguration(
  module: DocumentNode | undefined,
  prefix: string,
  into: Map<string, string[]>,
  depth: number,
): void {
  if (depth > 16) return;
  for (const resource of itemsOf(get(module, 'resources'))) {
    const expressions = get(resource, 'expressions');
    const found: string[] = [];
    for (const name of [
      'launch_template',
      'launch_configuration',
      'mixed_instances_policy',
      'launch_template_config',
    ])
      collectReferences(get(expressions, name), found, 0);
    into.set(
      prefix + (textOf(get(resource, 'address')) ?? ''),
      found.map((reference) => prefix + reference),
    );
  }
  for (const { key, value } of entriesOf(get(module, 'module_calls')))
    readConfiguration(get(value, 'module'), `${prefix}module.${key}.`, into, depth + 1);
}

function collectReferences(node: DocumentNode | undefined, into: string[], depth: number): void {
  if (node === undefined || depth > 16) return;
  for (const item of itemsOf(node)) collectReferences(item, into, depth + 1);
  for (const { key, value } of entriesOf(node)) {
    if (key !== 'references') collectReferences(value, into, depth + 1);
    else
      for (const reference of itemsOf(value)) {
        const address = /^(aws_launch_(?:template|configuration)\.[\w-]+)/.exec(textOf(reference) ?? '')?.[1];
        if (address !== undefined && !into.includes(address)) into.push(address);
      }
  }
}

function withoutKeys(address: string): string {
  return address.replaceAll(/\[[^\]]*\]/g, '');
}

function declareValues(module: DocumentNode | undefined, target: EditTarget, depth: number): Declaration[] {
  if (module === undefined || depth > 16) return [];
  const own = itemsOf(get(module, 'resources')).flatMap((node) =>
    textOf(get(node, 'mode')) === 'data'
      ? []
      : declareWritten(
          {
            address: textOf(get(node, 'address')) ?? '?',
            type: textOf(get(node, 'type')) ?? '',
            node,
            values: get(node, 'values'),
            unknowns: undefined,
            references: [],
          },
          target,
        ),
  );
  const inner = itemsOf(get(module, 'child_modules')).flatMap((child) =>
    declareValues(child, target, depth + 1),
  );
  return [...own, ...inner];
}

/** Reads a state file of version 4. */
function declareState(root: DocumentNode, target: EditTarget): Declaration[] {
  return itemsOf(get(root, 'resources')).flatMap((resource) => {
    if (textOf(get(resource, 'mode')) === 'data') return [];
    const type = textOf(get(resource, 'type')) ?? '';
    const module = textOf(get(resource, 'module'));
    const base = `${module === null ? '' : `${module}.`}${type}.${textOf(get(resource, 'name')) ?? '?'}`;
    return itemsOf(get(resource, 'instances')).flatMap((instance) => {
      const key = get(instance, 'index_key');
      const index = key?.kind === 'scalar' && key.value !== null ? `[${JSON.stringify(key.value)}]` : '';
      return declareWritten(
        {
          address: base + index,
          type,
          node: instance,
          values: get(instance, 'attributes'),
          unknowns: undefined,
          references: [],
        },
        target,
      );
    });
  });
}

function declareWritten(resource: WrittenResource, target: EditTarget): Declaration[] {
  const { type, address, node, values, unknowns } = resource;
  const kind = Object.hasOwn(RESOURCE_KINDS, type) ? RESOURCE_KINDS[type] : undefined;
  if (kind === undefined || values === undefined) return [];
  // Blocks are lists in Terraform's output; the first one counts.
  const owner = kind.block === null ? values : (itemsOf(get(values, kind.block))[0] ?? undefined);
  const unknownBlock = kind.block === null ? unknowns : get(unknowns, kind.block);
  const isBlockUnknown = unknownBlock?.kind === 'scalar' && unknownBlock.value === true;
  const unknownOwner = kind.block === null ? unknowns : itemsOf(unknownBlock)[0];
  const names: SettingNames = {
    path: [],
    tokens: kind.tokens,
    endpoint: kind.endpoint,
    hopLimit: kind.hopLimit,
    parseTokens: kind.parseTokens,
  };
  const at = entryOf(node, 'address') ?? entriesOf(node)[0];
  const places: Pick<DocumentDeclaration, 'whole' | 'head'> = {
    whole: { path: target.path, start: node.start, end: node.end },
    head: { path: target.path, start: at?.keyStart ?? node.start, end: at?.value.end ?? node.end },
  };
  const declared = declareDocument({
    target,
    owner,
    names,
    evaluate: (inner) => plainValue(target.path, inner),
    kind: kind.kind,
    type,
    address,
    ...places,
    templates: linksOf(resource, kind, target),
    aliases: aliasesOf(address, values),
    image: imageOf(type, values),
    effect: kind.effect,
    elsewhere: kind.elsewhere,
    hosts: hostsOf(type, values),
    isEditable: false,
  });
  const { settings } = declared;
  const late = (name: string | null): boolean => {
    const flag = name === null ? undefined : get(unknownOwner, name);
    return flag?.kind === 'scalar' && flag.value === true;
  };
  const place = places.head;
  const pending = `${kind.tokens} is known only after apply`;
  if (isBlockUnknown || late(kind.tokens))
    settings.tokens = { is: 'unknown', reason: pending, place, steps: [] };
  if (late(kind.endpoint))
    settings.endpoint = {
      is: 'unknown',
      reason: `${kind.endpoint} is known only after apply`,
      place,
      steps: [],
    };
  return [declared];
}

function linksOf(
  { values, references }: WrittenResource,
  kind: ResourceKind,
  { path }: EditTarget,
): TemplateLink[] {
  if (kind.templates === 'none' || values === undefined) return [];
  if (references.length > 0) {
    const place = { path, start: values.start, end: values.start };
    return references.map((address) => ({ is: 'in_code', address, place }));
  }
  const found: TemplateLink[] = [];
  const visit = (node: DocumentNode | undefined, depth: number): void => {
    if (node === undefined || depth > 8) return;
    for (const item of itemsOf(node)) visit(item, depth + 1);
    for (const { key, value } of entriesOf(node)) {
      const text = textOf(value);
      const place = { path, start: value.start, end: value.end };
      if ((key === 'id' || key === 'launch_template_id') && text !== null && text !== '')
        found.push({ is: 'in_code', address: `id:${text}`, place });
      else if (value.kind !== 'scalar') visit(value, depth + 1);
    }
  };
  for (const name of ['launch_template', 'mixed_instances_policy', 'launch_template_config'])
    visit(get(values, name), 0);
  const configuration = get(values, 'launch_configuration');
  const text = textOf(configuration);
  if (configuration !== undefined && text !== null && text !== '')
    found.push({
      is: 'in_code',
      address: `name:${text}`,
      place: { path, start: configuration.start, end: configuration.end },
    });
  return found;
}

function aliasesOf(address: string, values: DocumentNode): string[] {
  const id = textOf(get(values, 'id'));
  const name = textOf(get(values, 'name'));
  return [
    withoutKeys(address),
    ...(id === null ? [] : [`id:${id}`]),
    ...(name === null ? [] : [`name:${name}`]),
  ];
}

function imageOf(type: string, values: DocumentNode): ImageFact {
  if (type !== 'aws_ami') return { is: 'silent' };
  return textOf(get(values, 'imds_support')) === 'v2.0'
    ? { is: 'v2.0', says: 'has ImdsSupport v2.0', place: null, source: '' }
    : { is: 'plain', says: 'has no ImdsSupport v2.0', place: null };
}

function hostsOf(type: string, values: DocumentNode): HostSelector | null {
  const id = textOf(get(values, 'id'));
  const selector: HostSelector = { instanceIds: [], autoScalingGroups: [], launchTemplateIds: [], tags: {} };
  if (type === 'aws_instance' && id !== null) selector.instanceIds.push(id);
  else if (type === 'aws_launch_template' && id !== null) selector.launchTemplateIds.push(id);
  else if (type === 'aws_autoscaling_group') {
    const name = textOf(get(values, 'name')) ?? id;
    if (name !== null) selector.autoScalingGroups.push(name);
  }
  const isEmpty = [selector.instanceIds, selector.launchTemplateIds, selector.autoScalingGroups].every(
    (list) => list.length === 0,
  );
  return isEmpty ? null : selector;
}
