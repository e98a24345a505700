/** Reads the manifests that make nodes: eksctl, Karpenter and Cluster API. */
import { declareDocument, placesOf, type SettingNames } from '../documents/declare_document.ts';
import { readDocuments } from '../documents/document_reader.ts';
import type { EditTarget } from '../documents/edit_documents.ts';
import {
  type DocumentNode,
  entriesOf,
  entryOf,
  get,
  getPath,
  itemsOf,
  type MapEntry,
  textOf,
} from '../documents/node.ts';
import { plainValue } from '../documents/plain_values.ts';
import type { ChangeEffect } from '../finding.ts';
import type { Reader } from '../reader.ts';
import type { Declaration, DefaultSettings } from '../rules/declaration.ts';
import { parseDisablesV1 } from '../rules/parse_settings.ts';

export const kubernetes: Reader = {
  name: 'kubernetes',
  takes: ({ name, contains }) =>
    /\.(ya?ml|json)$|^[^.]+$/.test(name) &&
    contains('apiVersion') &&
    (contains('eksctl.io/') || contains('karpenter') || contains('infrastructure.cluster.x-k8s.io')),
  read: (files) =>
    readDocuments(files, (root, target) => [
      ...declareManifest(root, target),
      ...itemsOf(get(root, 'items')).flatMap((item) => declareManifest(item, target)),
    ]),
};

const OPTIONS: SettingNames = {
  path: ['metadataOptions'],
  tokens: 'httpTokens',
  endpoint: 'httpEndpoint',
  hopLimit: 'httpPutResponseHopLimit',
};

function declareManifest(root: DocumentNode, target: EditTarget): Declaration[] {
  const version = textOf(get(root, 'apiVersion')) ?? '';
  const kind = textOf(get(root, 'kind')) ?? '';
  if (version.startsWith('eksctl.io/') && kind === 'ClusterConfig') return declareEksctl(root, target);
  if (/^karpenter\.(k8s\.aws|sh)\//.test(version) && (kind === 'EC2NodeClass' || kind === 'AWSNodeTemplate'))
    return [declareKarpenter(root, target, version, kind)];
  const machine = Object.hasOwn(MACHINES, kind) ? MACHINES[kind] : undefined;
  if (version.startsWith('infrastructure.cluster.x-k8s.io/') && machine !== undefined)
    return [declareMachine(root, target, kind, machine)];
  return [];
}

function nameOf(root: DocumentNode): string {
  return (
    textOf(getPath(root, ['metadata', 'name'])) ?? textOf(getPath(root, ['metadata', 'generateName'])) ?? '?'
  );
}

function manifestPlaces(root: DocumentNode, { path }: EditTarget) {
  const kind = entryOf(root, 'kind');
  const head = kind === undefined ? root : { start: kind.keyStart, end: kind.value.end };
  return {
    whole: { path, start: root.start, end: root.end },
    head: { path, start: head.start, end: head.end },
  };
}

const EKSCTL_SOURCE = 'https://schema.eksctl.io/#NodeGroup-disableIMDSv1';
const EKSCTL_DEFAULT: DefaultSettings = {
  tokens: 'required',
  hopLimit: 2,
  subject: 'eksctl default',
  says: 'is disableIMDSv1: true',
  source: EKSCTL_SOURCE,
};
const EKSCTL_EFFECT: ChangeEffect = {
  how: 'replaces',
  text: 'A node group cannot be changed: make a new one with eksctl and delete the old one.',
  source: 'https://docs.aws.amazon.com/eks/latest/eksctl/nodegroups.html',
};

function declareEksctl(root: DocumentNode, target: EditTarget): Declaration[] {
  return ['nodeGroups', 'managedNodeGroups'].flatMap((list) =>
    itemsOf(get(root, list)).map((group) => {
      const name = textOf(get(group, 'name')) ?? '?';
      const template = get(group, 'launchTemplate');
      const first: MapEntry | undefined = entriesOf(group)[0];
      const start = first?.keyStart ?? group.start;
      const place = { path: target.path, start: template?.start ?? start, end: template?.end ?? group.end };
      return declareDocument({
        target,
        owner: group,
        names: {
          path: [],
          tokens: 'disableIMDSv1',
          endpoint: null,
          hopLimit: null,
          parseTokens: parseDisablesV1,
          required: true,
        },
        evaluate: (node) => plainValue(target.path, node),
        type: `eksctl ${list}`,
        address: `${list}.${name}`,
        ...placesOf(target.path, start, first === undefined ? 1 : headLength(first), group),
        templates:
          template === undefined
            ? []
            : [{ is: 'outside', reason: 'its launch template is not in the scanned code', place }],
        defaults: EKSCTL_DEFAULT,
        effect: EKSCTL_EFFECT,
      });
    }),
  );
}

function headLength({ keyStart, key, value }: MapEntry): number {
  return value.kind === 'scalar' ? Math.max(value.end - keyStart, key.length) : key.length;
}

function declareKarpenter(
  root: DocumentNode,
  target: EditTarget,
  version: string,
  kind: string,
): Declaration {
  const isV1 = version.endsWith('/v1');
  return declareDocument({
    target,
    owner: get(root, 'spec'),
    missingOwner: { map: root, key: 'spec' },
    names: OPTIONS,
    evaluate: (node) => plainValue(target.path, node),
    type: `Karpenter ${kind}`,
    address: `${kind}/${nameOf(root)}`,
    ...manifestPlaces(root, target),
    defaults: {
      tokens: 'required',
      hopLimit: isV1 ? 1 : 2,
      subject: `Karpenter ${version} default`,
      says: `is httpTokens: required with a hop limit of ${isV1 ? 1 : 2}`,
      source: 'https://karpenter.sh/docs/concepts/nodeclasses/#specmetadataoptions',
    },
    effect: {
      how: 'replaces',
      text: 'Karpenter sees a drift and replaces the nodes one after another, within their disruption budget.',
      source: 'https://karpenter.sh/docs/concepts/disruption/#drift',
    },
  });
}

/** Keys from the manifest to the machine's own fields. */
const MACHINES: Readonly<Record<string, readonly string[]>> = {
  AWSMachineTemplate: ['spec', 'template', 'spec'],
  AWSMachine: ['spec'],
  AWSMachinePool: ['spec', 'awsLaunchTemplate'],
};

function declareMachine(
  root: DocumentNode,
  target: EditTarget,
  kind: string,
  path: readonly string[],
): Declaration {
  return declareDocument({
    target,
    owner: getPath(root, path),
    names: { ...OPTIONS, path: ['instanceMetadataOptions'] },
    evaluate: (node) => plainValue(target.path, node),
    type: `Cluster API ${kind}`,
    address: `${kind}/${nameOf(root)}`,
    ...manifestPlaces(root, target),
    defaults: {
      tokens: 'unknown',
      hopLimit: null,
      subject: 'Cluster API provider AWS default',
      says: 'the default depends on the release of the provider: some require tokens, some do not',
      source: 'https://cluster-api-aws.sigs.k8s.io/topics/instance-metadata',
    },
    effect: {
      how: 'replaces',
      text:
        kind === 'AWSMachineTemplate'
          ? 'A machine template cannot be changed: make a new one under another name and let the machines roll over.'
          : 'The machines are replaced.',
      source: 'https://cluster-api.sigs.k8s.io/tasks/updating-machine-templates',
    },
  });
}
