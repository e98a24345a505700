/** Reads Pulumi programs in YAML. */
import { declareDocument, placesOf, type SettingNames } from '../documents/declare_document.ts';
import { readDocuments } from '../documents/document_reader.ts';
import type { EditTarget } from '../documents/edit_documents.ts';
import {
  type DocumentNode,
  entriesOf,
  entryOf,
  get,
  getPath,
  type MapEntry,
  textOf,
} from '../documents/node.ts';
import { plainValue } from '../documents/plain_values.ts';
import { asText, isUnknown, makeValue, Reference, unknown, type Value, withStep } from '../evaluate/value.ts';
import type { Reader } from '../reader.ts';
import type { Declaration, TemplateLink } from '../rules/declaration.ts';
import { RESOURCE_KINDS } from '../terraform/resource_kinds.ts';

export const pulumi: Reader = {
  name: 'pulumi',
  takes: ({ name, contains }) =>
    /\.ya?ml$/.test(name) && contains('resources:') && (contains('aws:ec2') || contains('aws:autoscaling')),
  read: (files) => readDocuments(files, declareProgram),
};

/** Pulumi's AWS provider is made from Terraform's, so the resources behave alike. */
const TYPES: Readonly<Record<string, string>> = {
  Instance: 'aws_instance',
  LaunchTemplate: 'aws_launch_template',
  LaunchConfiguration: 'aws_launch_configuration',
  SpotInstanceRequest: 'aws_spot_instance_request',
  Group: 'aws_autoscaling_group',
};

const OPTIONS: SettingNames = {
  path: ['metadataOptions'],
  tokens: 'httpTokens',
  endpoint: 'httpEndpoint',
  hopLimit: 'httpPutResponseHopLimit',
};

function declareProgram(root: DocumentNode, target: EditTarget): Declaration[] {
  return entriesOf(get(root, 'resources')).flatMap((entry) => {
    const type = textOf(get(entry.value, 'type')) ?? '';
    const match = /^aws:(?:ec2|autoscaling)(?:\/\w+)?:(\w+)$/.exec(type);
    const like = match === null ? undefined : TYPES[match[1]!];
    return like === undefined ? [] : [declareResource(entry, type, like, root, target)];
  });
}

function declareResource(
  entry: MapEntry,
  type: string,
  like: string,
  root: DocumentNode,
  target: EditTarget,
): Declaration {
  const kind = RESOURCE_KINDS[like]!;
  const properties = get(entry.value, 'properties');
  const evaluate = (node: DocumentNode) =>
    plainValue(target.path, node, (text) => interpolate(text, root, target.path));
  return declareDocument({
    target,
    owner: properties,
    missingOwner: { map: entry.value, key: 'properties' },
    names: OPTIONS,
    evaluate,
    kind: kind.kind,
    type,
    address: entry.key,
    ...placesOf(target.path, entry.keyStart, entry.key.length, entry.value),
    templates: [
      getPath(properties, ['launchTemplate', 'id']),
      getPath(properties, ['launchTemplate', 'name']),
      get(properties, 'launchConfiguration'),
    ].flatMap((node) => (node === undefined ? [] : linkOf(node, evaluate(node), target.path))),
    effect: { ...kind.effect, text: kind.effect.text.replaceAll('Terraform', 'Pulumi') },
    elsewhere: kind.elsewhere,
  });
}

function linkOf(node: DocumentNode, { data }: Value, path: string): TemplateLink[] {
  const place = { path, start: node.start, end: node.end };
  if (data instanceof Reference) return [{ is: 'in_code', address: data.address, place }];
  const reason = isUnknown(data)
    ? `its launch template is not known: ${data.reason}`
    : `launch template ${asText(data) ?? ''} is not in the scanned code`;
  return [{ is: 'outside', reason, place }];
}

/** Computes a text that is one reference; other interpolations are known when the program runs. */
function interpolate(text: string, root: DocumentNode, path: string): Value | null {
  if (!text.includes('${')) return null;
  const [, name = '', rest = ''] = /^\$\{([\w-]+)((?:\.[\w-]+|\[[^\]]*\])*)\}$/.exec(text) ?? [];
  if (name === '') return unknown(`${text.slice(0, 60)} is known only when the program runs`);
  if (entryOf(get(root, 'resources'), name) !== undefined)
    return makeValue(new Reference(name, rest.replace(/^\./, '')));
  const setting = entryOf(get(root, 'config'), name) ?? entryOf(get(root, 'configuration'), name);
  const fallback = setting === undefined ? undefined : entryOf(setting.value, 'default');
  if (fallback !== undefined) {
    const place = { path, start: fallback.keyStart, end: fallback.value.end };
    return withStep(plainValue(path, fallback.value), {
      subject: `config ${name}`,
      says: 'has a default',
      place,
    });
  }
  if (setting !== undefined) return unknown(`config ${name} has no default`);
  const variable = entryOf(get(root, 'variables'), name);
  if (variable === undefined) return unknown(`${name} is not declared`);
  const place = { path, start: variable.keyStart, end: variable.value.end };
  return withStep(plainValue(path, variable.value), {
    subject: `variable ${name}`,
    says: 'is defined here',
    place,
  });
}
