/** EC2's launch templates. Source: EC2 API reference, CreateLaunchTemplateVersion and ModifyLaunchTemplate. */
import { answerDryRun, type Ec2Context, optionsIn } from './ec2_instances.ts';
import {
  ApiError,
  type ApiRequest,
  type ElementParts,
  listOf,
  pageOf,
  partsOf,
  refuseOthers,
  textOf,
} from './request.ts';
import { type LabRegion, type LabTemplate, OPTION_NAMES, type TemplateData } from './state.ts';

export function describeTemplates({ state, region }: Ec2Context, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['LaunchTemplateId', 'NextToken', 'MaxResults']);
  const ids = listOf(parameters['LaunchTemplateId']).map((id) => textOf(id)!);
  for (const id of ids) templateWith(region, id);
  const found = [...region.templates.values()].filter(({ id }) => ids.length === 0 || ids.includes(id));
  const { page, next } = pageOf(found, textOf(parameters['NextToken']), state.pageSize);
  return { launchTemplates: page.map(templateElement), nextToken: next };
}

export function describeVersions({ state, region }: Ec2Context, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['LaunchTemplateId', 'LaunchTemplateVersion', 'NextToken', 'MaxResults']);
  const template = templateWith(region, textOf(parameters['LaunchTemplateId']) ?? '');
  const wanted = listOf(parameters['LaunchTemplateVersion']).map((version) =>
    numberOf(template, textOf(version)!),
  );
  for (const number of wanted) versionWith(template, number);
  const found = template.versions.filter(({ number }) => wanted.length === 0 || wanted.includes(number));
  const { page, next } = pageOf(found, textOf(parameters['NextToken']), state.pageSize);
  return {
    launchTemplateVersionSet: page.map(({ number }) => versionElement(template, number)),
    nextToken: next,
  };
}

export function createVersion({ region }: Ec2Context, request: ApiRequest): ElementParts {
  const { parameters } = request;
  refuseOthers(parameters, [
    'LaunchTemplateId',
    'SourceVersion',
    'VersionDescription',
    'ClientToken',
    'DryRun',
    'LaunchTemplateData',
  ]);
  const template = templateWith(region, textOf(parameters['LaunchTemplateId']) ?? '');
  const source = textOf(parameters['SourceVersion']);
  const inherited = source === null ? {} : versionWith(template, numberOf(template, source)).data;
  const given = partsOf(parameters['LaunchTemplateData']);
  refuseOthers(given, ['MetadataOptions', 'BlockDeviceMapping', 'ImageId']);
  answerDryRun(request);
  const clientToken = textOf(parameters['ClientToken']);
  const repeated = template.versions.find((version) => version.clientToken === clientToken);
  if (clientToken !== null && repeated !== undefined) {
    return { launchTemplateVersion: versionElement(template, repeated.number) };
  }
  const data: TemplateData = withoutSnapshots(structuredClone(inherited));
  if (given['MetadataOptions'] !== undefined) {
    refuseOthers(partsOf(given['MetadataOptions']), OPTION_NAMES);
    data.MetadataOptions = { ...data.MetadataOptions, ...optionsIn(partsOf(given['MetadataOptions'])) };
  }
  if (given['ImageId'] !== undefined) data['ImageId'] = textOf(given['ImageId']);
  if (given['BlockDeviceMapping'] !== undefined) {
    data['BlockDeviceMappings'] = listOf(given['BlockDeviceMapping']).map((mapping) => partsOf(mapping));
  }
  const number = Math.max(...template.versions.map((version) => version.number)) + 1;
  const description = textOf(parameters['VersionDescription']) ?? '';
  template.versions.push({ number, data, description, clientToken });
  return { launchTemplateVersion: versionElement(template, number) };
}

/** Snapshots in block devices are not inherited. */
function withoutSnapshots(data: TemplateData): TemplateData {
  const mappings = data['BlockDeviceMappings'] as { Ebs?: { SnapshotId?: string } }[] | undefined;
  for (const mapping of mappings ?? []) delete mapping.Ebs?.SnapshotId;
  return data;
}

export function modifyTemplate({ region }: Ec2Context, request: ApiRequest): ElementParts {
  const { parameters } = request;
  refuseOthers(parameters, ['LaunchTemplateId', 'SetDefaultVersion', 'DryRun', 'ClientToken']);
  const template = templateWith(region, textOf(parameters['LaunchTemplateId']) ?? '');
  const number = numberOf(template, textOf(parameters['SetDefaultVersion']) ?? '');
  versionWith(template, number);
  answerDryRun(request);
  template.defaultVersion = number;
  return { launchTemplate: templateElement(template) };
}

function templateWith(region: LabRegion, id: string): LabTemplate {
  const template = region.templates.get(id);
  if (template !== undefined) return template;
  throw new ApiError(
    'InvalidLaunchTemplateId.NotFound',
    `The specified launch template, ${id}, does not exist.`,
  );
}

function versionWith(template: LabTemplate, number: number): LabTemplate['versions'][number] {
  const version = template.versions.find((candidate) => candidate.number === number);
  if (version !== undefined) return version;
  throw new ApiError(
    'InvalidLaunchTemplateId.VersionNotFound',
    `Version ${number} of ${template.id} does not exist.`,
  );
}

/** `$Latest` and `$Default` stand for numbers. */
function numberOf(template: LabTemplate, reference: string): number {
  if (reference === '$Latest') return Math.max(...template.versions.map(({ number }) => number));
  return reference === '$Default' ? template.defaultVersion : Number(reference);
}

function templateElement(template: LabTemplate): ElementParts {
  return {
    launchTemplateId: template.id,
    launchTemplateName: template.name,
    defaultVersionNumber: template.defaultVersion,
    latestVersionNumber: numberOf(template, '$Latest'),
  };
}

function versionElement(template: LabTemplate, number: number): ElementParts {
  const { data, description } = versionWith(template, number);
  return {
    launchTemplateId: template.id,
    launchTemplateName: template.name,
    versionNumber: number,
    versionDescription: description,
    defaultVersion: template.defaultVersion === number,
    launchTemplateData: lowerCamel(data) as ElementParts,
  };
}

/** Answers of EC2 have names that begin with a small letter, and lists whose name ends in `Set`. */
function lowerCamel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerCamel);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key === 'BlockDeviceMappings' ? 'blockDeviceMappingSet' : key[0]!.toLowerCase() + key.slice(1),
      lowerCamel(entry),
    ]),
  );
}
