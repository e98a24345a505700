/** Reads Ansible playbooks and task files for tasks that launch instances. */
import { declareDocument, placesOf } from '../documents/declare_document.ts';
import { readDocuments } from '../documents/document_reader.ts';
import type { EditTarget } from '../documents/edit_documents.ts';
import { type DocumentNode, entriesOf, get, type MapEntry, textOf } from '../documents/node.ts';
import { plainValue } from '../documents/plain_values.ts';
import { makeValue, unknown, type Value, withStep } from '../evaluate/value.ts';
import type { ChangeEffect } from '../finding.ts';
import type { Reader } from '../reader.ts';
import type { Declaration, DefaultSettings } from '../rules/declaration.ts';

const MODULES =
  /^(?:(?:amazon|community)\.aws\.)?(ec2_instance|ec2_launch_template|autoscaling_launch_config|ec2_lc)$/;

export const ansible: Reader = {
  name: 'ansible',
  takes: ({ name, contains }) =>
    /\.ya?ml$/.test(name) &&
    (contains('ec2_instance') ||
      contains('ec2_launch_template') ||
      contains('autoscaling_launch_config') ||
      contains('ec2_lc')),
  read: (files) => readDocuments(files, (root, target) => tasksIn(root, target, new Map(), 0)),
};

/** Variables in reach of a task, by name. */
type Variables = ReadonlyMap<string, { node: DocumentNode; start: number }>;

const MAX_DEPTH = 40;

/** A task is an item of a list; the same key elsewhere holds variables or defaults. */
function tasksIn(
  node: DocumentNode,
  target: EditTarget,
  outer: Variables,
  depth: number,
  isItem = false,
): Declaration[] {
  if (depth > MAX_DEPTH || node.kind === 'scalar') return [];
  if (node.kind === 'list')
    return node.items.flatMap((item) => tasksIn(item, target, outer, depth + 1, true));
  const variables = new Map(outer);
  for (const { key, keyStart, value } of entriesOf(get(node, 'vars')))
    variables.set(key, { node: value, start: keyStart });
  return node.entries.flatMap((entry) => {
    if (entry.key === 'vars' || entry.key === 'module_defaults') return [];
    const module = isItem ? MODULES.exec(entry.key)?.[1] : undefined;
    return module === undefined
      ? tasksIn(entry.value, target, variables, depth + 1)
      : declareTask(node, entry, module, target, variables);
  });
}

const DOCS = 'https://docs.ansible.com/ansible/latest/collections/amazon/aws';

const EFFECTS: Readonly<Record<string, ChangeEffect>> = {
  ec2_instance: {
    how: 'new_launches_only',
    text: 'The module uses the options for instances that it launches. Not every release of the collection changes running ones.',
    source: `${DOCS}/ec2_instance_module.html`,
  },
  ec2_launch_template: {
    how: 'new_launches_only',
    text: 'The module makes a new version of the template. Running instances keep their setting until they are replaced.',
    source: `${DOCS}/ec2_launch_template_module.html`,
  },
};
const CONFIGURATION_EFFECT: ChangeEffect = {
  how: 'replaces',
  text: 'Launch configurations cannot be changed: give the new one another name. Running instances keep their setting.',
  source:
    'https://docs.ansible.com/ansible/latest/collections/community/aws/autoscaling_launch_config_module.html',
};

function declareTask(
  task: DocumentNode,
  entry: MapEntry,
  module: string,
  target: EditTarget,
  variables: Variables,
): Declaration[] {
  const { value: parameters } = entry;
  const evaluate = (node: DocumentNode) =>
    plainValue(target.path, node, (text) => jinja(text, target.path, variables, 0));
  const state = textOf(get(parameters, 'state'));
  if (state !== null && /^(absent|terminated)$/.test(state)) return [];
  const template = get(parameters, 'launch_template');
  const options = get(parameters, 'metadata_options');
  const name = textOf(get(task, 'name')) ?? textOf(get(parameters, 'name')) ?? entry.key;
  return [
    declareDocument({
      target,
      owner: parameters,
      names: {
        path: ['metadata_options'],
        tokens: 'http_tokens',
        endpoint: 'http_endpoint',
        hopLimit: 'http_put_response_hop_limit',
      },
      evaluate,
      type: entry.key,
      address: name,
      ...placesOf(target.path, entry.keyStart, entry.key.length, parameters),
      templates:
        template === undefined
          ? []
          : [
              {
                is: 'outside',
                reason: 'its launch template is not in the scanned code',
                place: { path: target.path, start: template.start, end: template.end },
              },
            ],
      defaults: options === undefined ? null : partialDefault(entry.key, module),
      effect: EFFECTS[module] ?? CONFIGURATION_EFFECT,
      elsewhere: [
        'KICS:b9ef8c0e-1392-4df4-aa84-2e0f95681c75',
        module === 'ec2_instance' ? 'EC2.8' : module === 'ec2_launch_template' ? 'EC2.170' : 'AutoScaling.3',
      ],
    }),
  ];
}

/** The modules send `optional` when options are given without tokens. */
function partialDefault(key: string, module: string): DefaultSettings {
  return {
    tokens: 'optional',
    hopLimit: 1,
    subject: `${key} default`,
    says: 'is http_tokens: optional where metadata_options are given',
    source: (EFFECTS[module] ?? CONFIGURATION_EFFECT).source,
  };
}

/** Computes `{{ name }}` and `{{ name | default('text') }}` from variables of the same file. */
function jinja(text: string, path: string, variables: Variables, depth: number): Value | null {
  if (!/\{[{%]/.test(text)) return null;
  const match =
    /^\s*\{\{\s*([A-Za-z_]\w*)\s*(?:\|\s*default\(\s*(['"])([^'"]*)\2\s*(?:,\s*true\s*)?\)\s*)?\}\}\s*$/.exec(
      text,
    );
  if (match === null || depth > 8)
    return unknown(`${text.trim().slice(0, 60)} is computed when the playbook runs`);
  const [, name = '', quote, fallback] = match;
  const variable = variables.get(name);
  if (variable === undefined) {
    // Inventories and the command line can set it, so a default is only what applies without them.
    return quote === undefined
      ? unknown(`the variable ${name} is not set in this file`)
      : makeValue(fallback ?? '');
  }
  const value = plainValue(path, variable.node, (inner) => jinja(inner, path, variables, depth + 1));
  const place = { path, start: variable.start, end: variable.node.end };
  return withStep(value, { subject: `variable ${name}`, says: 'is set here', place });
}
