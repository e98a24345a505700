/** Reads CloudFormation and SAM templates, in YAML and JSON, and the templates that the CDK writes. */
import {
  type DocumentDeclaration,
  declareDocument,
  placesOf,
  type SettingNames,
} from '../documents/declare_document.ts';
import {
  type DocumentNode,
  entriesOf,
  get,
  getPath,
  itemsOf,
  type MapEntry,
  textOf,
} from '../documents/node.ts';
import { parseDocuments } from '../documents/parse_documents.ts';
import { asText, isUnknown, type Place, Reference } from '../evaluate/value.ts';
import type { ChangeEffect, Problem } from '../finding.ts';
import type { Candidate, Reader, ReaderContext, ReaderResult } from '../reader.ts';
import { containerSign } from '../rules/containers.ts';
import type { Declaration, DefaultSettings, ImageFact, TemplateLink } from '../rules/declaration.ts';
import { parseDisablesV1, parseMinimumVersion } from '../rules/parse_settings.ts';
import { findingsOf } from '../rules/report.ts';
import type { SourceFile } from '../source_file.ts';
import { TemplateScope } from './evaluate.ts';

export const cloudformation: Reader = {
  name: 'cloudformation',
  takes: ({ name, contains }: Candidate) =>
    /\.(ya?ml|json|template|cfn)$|^[^.]+$/.test(name) &&
    contains('Resources') &&
    contains('AWS::') &&
    // State files and plans of Terraform hold such words too.
    !contains('"terraform_version"'),
  read,
};

function read(files: readonly SourceFile[], context: ReaderContext): ReaderResult {
  const declarations: Declaration[] = [];
  const problems: Problem[] = [];
  const [file] = files;
  if (file === undefined) return { findings: [], problems, resources: 0 };
  const { path, text } = file;
  const { roots, errors, syntax } = parseDocuments(path, text);
  const first = errors[0];
  if (first !== undefined) {
    const range = file.range(first.start, first.end);
    problems.push({
      path,
      range,
      message: `Line ${range.start.line} cannot be parsed. The rest of the file was scanned.`,
    });
  }
  for (const root of roots) {
    if (root.kind !== 'map') continue;
    const scope = new TemplateScope(path, root, context.limits.evaluationSteps);
    for (const entry of resourceEntries(root)) {
      const type = textOf(get(entry.value, 'Type')) ?? '';
      const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
      const condition = textOf(get(entry.value, 'Condition'));
      if (kind === undefined || (condition !== null && scope.condition(condition) === false)) continue;
      declarations.push(declare(entry, type, kind, scope, { path, text, syntax }));
    }
  }
  return {
    findings: findingsOf(declarations, (other) => (other === path ? file : null)),
    problems,
    resources: declarations.length,
  };
}

/** Returns the resources, also those that `Fn::ForEach` makes. */
function resourceEntries(root: DocumentNode): MapEntry[] {
  return entriesOf(get(root, 'Resources')).flatMap((entry) =>
    entry.key.startsWith('Fn::ForEach') ? entriesOf(itemsOf(entry.value)[2]) : [entry],
  );
}

interface TemplateKind {
  kind: Declaration['kind'];
  /** Keys from Properties to the map that settings and image stand in. */
  data: readonly string[];
  names: SettingNames;
  image: boolean;
  links: (properties: DocumentNode | undefined) => DocumentNode[];
  effect: ChangeEffect;
  elsewhere: readonly string[];
  defaults?: (properties: DocumentNode | undefined, scope: TemplateScope) => DefaultSettings;
}

const OPTIONS: SettingNames = {
  path: ['MetadataOptions'],
  tokens: 'HttpTokens',
  endpoint: 'HttpEndpoint',
  hopLimit: 'HttpPutResponseHopLimit',
};
const NO_OPTIONS: SettingNames = { path: ['-'], tokens: 'HttpTokens', endpoint: null, hopLimit: null };

const REFERENCE = 'https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference';
const KICS = 'KICS:a4f5f706-80fd-4c96-9a24-6ab317d33d24';

const none = () => [];

/** Returns template specifications in a list of configurations. */
function specifications(list: DocumentNode | undefined): DocumentNode[] {
  return itemsOf(list).flatMap((item) => get(item, 'LaunchTemplateSpecification') ?? []);
}

const KINDS: Readonly<Record<string, TemplateKind>> = {
  'AWS::EC2::Instance': {
    kind: 'launcher',
    data: [],
    names: OPTIONS,
    image: true,
    links: (properties) => present(get(properties, 'LaunchTemplate')),
    effect: {
      how: 'in_place',
      text: 'CloudFormation changes the running instance without interruption. Moving the setting to a launch template would replace it.',
      source: `${REFERENCE}/aws-properties-ec2-instance-metadataoptions.html`,
    },
    elsewhere: [KICS, 'AWS-0028', 'CKV_AWS_79', 'EC2.8'],
  },
  'AWS::EC2::LaunchTemplate': {
    kind: 'launcher',
    data: ['LaunchTemplateData'],
    names: OPTIONS,
    image: true,
    links: none,
    effect: {
      how: 'new_launches_only',
      text: 'CloudFormation makes a new version of the template. Running instances keep their setting until they are replaced.',
      source: `${REFERENCE}/aws-properties-ec2-launchtemplate-metadataoptions.html`,
    },
    elsewhere: [KICS, 'AWS-0130', 'CKV_AWS_79', 'EC2.170'],
  },
  'AWS::AutoScaling::LaunchConfiguration': {
    kind: 'launcher',
    data: [],
    names: OPTIONS,
    image: true,
    links: none,
    effect: {
      how: 'replaces',
      text: 'CloudFormation replaces the launch configuration. Running instances keep their setting.',
      source: `${REFERENCE}/aws-properties-autoscaling-launchconfiguration-metadataoptions.html`,
    },
    elsewhere: ['AWS-0130', 'CKV_AWS_79', 'AutoScaling.3'],
  },
  'AWS::AutoScaling::AutoScalingGroup': {
    kind: 'group',
    data: [],
    names: NO_OPTIONS,
    image: false,
    links: (properties) => {
      const mixed = getPath(properties, ['MixedInstancesPolicy', 'LaunchTemplate']);
      return [
        ...present(get(properties, 'LaunchTemplate')),
        ...present(get(properties, 'LaunchConfigurationName')),
        ...present(get(mixed, 'LaunchTemplateSpecification')),
        ...specifications(get(mixed, 'Overrides')),
      ];
    },
    effect: {
      how: 'new_launches_only',
      text: 'The group uses the setting for instances that it launches from then on.',
      source: `${REFERENCE}/aws-resource-autoscaling-autoscalinggroup.html`,
    },
    elsewhere: ['AWS-0130', 'EC2.170'],
  },
  'AWS::EC2::EC2Fleet': {
    kind: 'group',
    data: [],
    names: NO_OPTIONS,
    image: false,
    links: (properties) => specifications(get(properties, 'LaunchTemplateConfigs')),
    effect: {
      how: 'new_launches_only',
      text: 'The fleet uses the setting for instances that it launches from then on.',
      source: `${REFERENCE}/aws-resource-ec2-ec2fleet.html`,
    },
    elsewhere: ['EC2.170'],
  },
  'AWS::EKS::Nodegroup': {
    kind: 'group',
    data: [],
    names: NO_OPTIONS,
    image: false,
    links: (properties) => present(get(properties, 'LaunchTemplate')),
    effect: {
      how: 'new_launches_only',
      text: 'Amazon EKS replaces the nodes one after another when the template version changes.',
      source: `${REFERENCE}/aws-resource-eks-nodegroup.html`,
    },
    elsewhere: ['EC2.170'],
  },
  'AWS::ImageBuilder::InfrastructureConfiguration': {
    kind: 'launcher',
    data: [],
    names: {
      path: ['InstanceMetadataOptions'],
      tokens: 'HttpTokens',
      endpoint: null,
      hopLimit: 'HttpPutResponseHopLimit',
    },
    image: false,
    links: none,
    effect: {
      how: 'in_place',
      text: 'CloudFormation changes the configuration without interruption. The next build uses it.',
      source: `${REFERENCE}/aws-resource-imagebuilder-infrastructureconfiguration.html`,
    },
    elsewhere: [],
  },
  'AWS::SageMaker::NotebookInstance': {
    kind: 'launcher',
    data: [],
    names: {
      path: ['InstanceMetadataServiceConfiguration'],
      tokens: 'MinimumInstanceMetadataServiceVersion',
      endpoint: null,
      hopLimit: null,
      parseTokens: parseMinimumVersion,
      required: '2',
    },
    image: false,
    links: none,
    effect: {
      how: 'in_place',
      text: 'CloudFormation changes the notebook instance in place, without interruption.',
      source: `${REFERENCE}/aws-properties-sagemaker-notebookinstance-instancemetadataserviceconfiguration.html`,
    },
    elsewhere: ['CKV_AWS_371'],
  },
  'AWS::ElasticBeanstalk::Environment': {
    kind: 'launcher',
    data: [],
    names: {
      path: [],
      tokens: 'Value',
      endpoint: null,
      hopLimit: null,
      parseTokens: parseDisablesV1,
      required: 'true',
    },
    image: false,
    links: none,
    effect: {
      how: 'replaces',
      text: 'Elastic Beanstalk updates the environment and replaces its instances by its update policy.',
      source: 'https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/environments-cfg-ec2-imds.html',
    },
    elsewhere: [],
    defaults: beanstalkDefault,
  },
};

function present(node: DocumentNode | undefined): DocumentNode[] {
  return node === undefined ? [] : [node];
}

function declare(
  entry: MapEntry,
  type: string,
  kind: TemplateKind,
  scope: TemplateScope,
  target: DocumentDeclaration['target'],
): Declaration {
  const { path } = target;
  const resource = entry.value;
  const properties = get(resource, 'Properties');
  const isBeanstalk = type === 'AWS::ElasticBeanstalk::Environment';
  const owner = isBeanstalk ? beanstalkOption(properties, scope) : getPath(properties, kind.data);
  const base = isBeanstalk ? properties : owner;
  return declareDocument({
    target,
    owner: isBeanstalk ? owner : properties,
    ...(isBeanstalk ? {} : { missingOwner: { map: resource, key: 'Properties' } }),
    names: { ...kind.names, path: [...kind.data, ...kind.names.path] },
    evaluate: (node) => scope.evaluate(node),
    kind: kind.kind,
    type,
    address: entry.key,
    ...placesOf(path, entry.keyStart, entry.key.length, resource),
    templates: kind.links(properties).flatMap((node) => linkOf(node, scope)),
    aliases: aliasesOf(properties, scope),
    image: kind.image ? imageOf(base, scope) : { is: 'silent' },
    defaults: kind.defaults?.(properties, scope) ?? null,
    effect: kind.effect,
    elsewhere: kind.elsewhere,
    containers: containerSign(userDataOf(base, scope), type === 'AWS::EKS::Nodegroup'),
    hosts: hostsOf(type, properties, scope),
    // A template that the CDK writes is overwritten by its next run.
    isEditable:
      !/(^|\/)cdk\.out\//.test(path) && getPath(resource, ['Metadata', 'aws:cdk:path']) === undefined,
  });
}

function hostsOf(
  type: string,
  properties: DocumentNode | undefined,
  scope: TemplateScope,
): Declaration['hosts'] {
  if (type !== 'AWS::AutoScaling::AutoScalingGroup') return null;
  const name = get(properties, 'AutoScalingGroupName');
  const text = name === undefined ? null : asText(scope.evaluate(name).data);
  return text === null
    ? null
    : { instanceIds: [], autoScalingGroups: [text], launchTemplateIds: [], tags: {} };
}

function aliasesOf(properties: DocumentNode | undefined, scope: TemplateScope): string[] {
  const name = get(properties, 'LaunchTemplateName');
  const text = name === undefined ? null : asText(scope.evaluate(name).data);
  return text === null ? [] : [`name:${text}`];
}

function linkOf(node: DocumentNode, scope: TemplateScope): TemplateLink[] {
  const place: Place = { path: scope.path, start: node.start, end: node.end };
  const isSpecification =
    node.kind === 'map' &&
    ['LaunchTemplateId', 'LaunchTemplateName', 'Id', 'Name'].some((key) => get(node, key) !== undefined);
  const named = isSpecification
    ? (get(node, 'LaunchTemplateId') ??
      get(node, 'Id') ??
      get(node, 'LaunchTemplateName') ??
      get(node, 'Name'))
    : node;
  const { data } = scope.evaluate(named);
  if (data === null) return [];
  if (data instanceof Reference) return [{ is: 'in_code', address: data.address, place }];
  if (isUnknown(data))
    return [{ is: 'outside', reason: `its launch template is not known: ${data.reason}`, place }];
  const text = asText(data);
  if (text === null) return [{ is: 'outside', reason: 'its launch template is not known', place }];
  const isName =
    isSpecification && get(node, 'LaunchTemplateId') === undefined && get(node, 'Id') === undefined;
  return isName
    ? [{ is: 'in_code', address: `name:${text}`, place }]
    : [{ is: 'outside', reason: `launch template ${text} is not in the scanned code`, place }];
}

function imageOf(data: DocumentNode | undefined, scope: TemplateScope): ImageFact {
  const node = get(data, 'ImageId');
  if (node === undefined) return { is: 'silent' };
  const text = asText(scope.evaluate(node).data) ?? '';
  if (/^resolve:ssm:.*\/al2023-ami-/.test(text)) {
    return {
      is: 'v2.0',
      says: 'is Amazon Linux 2023, which has ImdsSupport v2.0',
      place: { path: scope.path, start: node.start, end: node.end },
      source: 'https://docs.aws.amazon.com/linux/al2023/ug/imdsv2.html',
    };
  }
  return { is: 'unknown', reason: 'the image is not known' };
}

function userDataOf(data: DocumentNode | undefined, scope: TemplateScope): string | null {
  const node = get(data, 'UserData');
  if (node === undefined) return '';
  const text = textsIn(node, scope);
  return text === '' ? null : text;
}

/** Returns the literal texts inside user data, which `Fn::Sub` and `Fn::Join` mix with references. */
function textsIn(node: DocumentNode, scope: TemplateScope, depth = 0): string {
  if (depth > 12) return '';
  if (node.kind === 'scalar') return textOf(node) ?? '';
  const inner = node.kind === 'list' ? node.items : node.entries.map(({ value }) => value);
  return inner.map((item) => textsIn(item, scope, depth + 1)).join('\n');
}

function beanstalkOption(
  properties: DocumentNode | undefined,
  scope: TemplateScope,
): DocumentNode | undefined {
  return itemsOf(get(properties, 'OptionSettings')).find(
    (option) =>
      asText(scope.evaluate(get(option, 'Namespace')).data) === 'aws:autoscaling:launchconfiguration' &&
      asText(scope.evaluate(get(option, 'OptionName')).data) === 'DisableIMDSv1',
  );
}

function beanstalkDefault(properties: DocumentNode | undefined, scope: TemplateScope): DefaultSettings {
  const name = asText(scope.evaluate(get(properties, 'SolutionStackName')).data);
  const tokens =
    name === null
      ? 'unknown'
      : /Amazon Linux 2023/.test(name)
        ? 'required'
        : /Amazon Linux 2\b|Windows/.test(name)
          ? 'optional'
          : 'unknown';
  return {
    tokens,
    hopLimit: null,
    subject: name ?? 'Elastic Beanstalk default',
    says:
      tokens === 'unknown'
        ? 'the default of DisableIMDSv1 depends on the platform, which the code does not name'
        : `has the default DisableIMDSv1 = ${tokens === 'required'}`,
    source: 'https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/environments-cfg-ec2-imds.html',
  };
}
