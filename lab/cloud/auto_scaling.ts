/** Auto Scaling groups and their activities, and the account's identity (STS). Source: their API references. */
import {
  ApiError,
  type ApiRequest,
  type ElementParts,
  listOf,
  type Parameter,
  pageOf,
  partsOf,
  refuseOthers,
  textOf,
} from './request.ts';
import type { CloudState, LabGroup, LabRegion } from './state.ts';

export interface QueryContext {
  state: CloudState;
  region: LabRegion;
}

export function describeGroups({ state, region }: QueryContext, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['AutoScalingGroupNames', 'NextToken', 'MaxRecords']);
  const names = listOf(parameters['AutoScalingGroupNames']).map((name) => textOf(name)!);
  const found = [...region.groups.values()].filter(({ name }) => names.length === 0 || names.includes(name));
  const { page, next } = pageOf(found, textOf(parameters['NextToken']), state.pageSize);
  return { AutoScalingGroups: page.map((group) => groupElement(region, group)), NextToken: next };
}

function groupElement(region: LabRegion, group: LabGroup): ElementParts {
  return {
    AutoScalingGroupName: group.name,
    MinSize: 0,
    MaxSize: 100,
    DesiredCapacity: group.instances.length,
    DefaultCooldown: 300,
    HealthCheckType: 'EC2',
    CreatedTime: new Date(Date.UTC(2026, 0, 1)),
    AvailabilityZones: [`${region.region}a`],
    LaunchConfigurationName: group.launchConfiguration,
    LaunchTemplate:
      group.template === null
        ? null
        : { LaunchTemplateId: group.template.id, Version: group.template.version },
    MixedInstancesPolicy: group.mixed as ElementParts | null,
    Instances: group.instances.map((id) => ({
      InstanceId: id,
      AvailabilityZone: `${region.region}a`,
      LifecycleState: 'InService',
      HealthStatus: 'Healthy',
      ProtectedFromScaleIn: false,
    })),
  };
}

export function updateGroup({ region }: QueryContext, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['AutoScalingGroupName', 'LaunchTemplate', 'MixedInstancesPolicy']);
  const group = region.groups.get(textOf(parameters['AutoScalingGroupName']) ?? '');
  if (group === undefined) throw new ApiError('ValidationError', 'AutoScalingGroup name not found');
  if (parameters['LaunchTemplate'] !== undefined) {
    const { LaunchTemplateId, Version } = partsOf(parameters['LaunchTemplate']);
    group.template = { id: textOf(LaunchTemplateId)!, version: textOf(Version ?? undefined) };
    group.mixed = null;
  }
  // The policy is replaced as a whole.
  if (parameters['MixedInstancesPolicy'] !== undefined) {
    group.mixed = lists(parameters['MixedInstancesPolicy']) as Record<string, unknown>;
  }
  return {};
}

function lists(parameter: Parameter): unknown {
  if (typeof parameter === 'string') return parameter;
  if ('member' in parameter) return listOf(parameter).map(lists);
  return Object.fromEntries(Object.entries(parameter).map(([key, value]) => [key, lists(value)]));
}

export function describeActivities(
  { state, region }: QueryContext,
  { parameters }: ApiRequest,
): ElementParts {
  refuseOthers(parameters, ['AutoScalingGroupName', 'NextToken', 'MaxRecords', 'IncludeDeletedGroups']);
  const name = textOf(parameters['AutoScalingGroupName']);
  const withDeleted = parameters['IncludeDeletedGroups'] === 'true';
  const found = region.activities.filter(
    ({ group }) => (name === null || group === name) && (withDeleted || region.groups.has(group)),
  );
  const { page, next } = pageOf(found, textOf(parameters['NextToken']), Math.min(100, state.pageSize));
  return {
    Activities: page.map(({ group, description, status, startMs, endMs }, index) => ({
      ActivityId: `${group}-${startMs}-${index}`,
      AutoScalingGroupName: group,
      Description: description,
      Cause: 'The lab said so.',
      StartTime: new Date(startMs),
      EndTime: endMs === null ? null : new Date(endMs),
      StatusCode: status,
      Progress: 100,
    })),
    NextToken: next,
  };
}

export function describeRefreshes({ region }: QueryContext, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['AutoScalingGroupName', 'InstanceRefreshIds', 'NextToken', 'MaxRecords']);
  const group = region.groups.get(textOf(parameters['AutoScalingGroupName']) ?? '');
  if (group === undefined) throw new ApiError('ValidationError', 'AutoScalingGroup name not found');
  return {
    InstanceRefreshes: (group.refreshes ?? []).map((status, index) => ({
      InstanceRefreshId: `refresh-${index}`,
      AutoScalingGroupName: group.name,
      Status: status,
      StartTime: new Date(Date.UTC(2026, 0, 1)),
      PercentageComplete: 0,
    })),
  };
}

export function describeLaunchConfigurations(
  { region }: QueryContext,
  { parameters }: ApiRequest,
): ElementParts {
  refuseOthers(parameters, ['LaunchConfigurationNames', 'NextToken', 'MaxRecords']);
  const names = listOf(parameters['LaunchConfigurationNames']).map((name) => textOf(name)!);
  return {
    LaunchConfigurations: [...region.launchConfigurations]
      .filter(([name]) => names.length === 0 || names.includes(name))
      .map(([name, options]) => ({
        LaunchConfigurationName: name,
        ImageId: 'ami-0123456789abcdef0',
        InstanceType: 't3.micro',
        CreatedTime: new Date(Date.UTC(2020, 0, 1)),
        MetadataOptions: {
          HttpTokens: options.HttpTokens,
          HttpEndpoint: options.HttpEndpoint,
          HttpPutResponseHopLimit: options.HttpPutResponseHopLimit,
        },
      })),
  };
}

export function callerIdentity(_context: QueryContext, { account }: ApiRequest): ElementParts {
  return { Account: account, UserId: 'AIDALAB', Arn: `arn:aws:iam::${account}:user/lab` };
}

export function assumeRole({ state }: QueryContext, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['RoleArn', 'RoleSessionName', 'ExternalId', 'DurationSeconds']);
  const arn = textOf(parameters['RoleArn']) ?? '';
  const account = /^arn:aws:iam::(\d{12}):role\//.exec(arn)?.[1];
  if (account === undefined || !state.roles.has(arn)) {
    throw new ApiError('AccessDenied', `The operator is not authorized to assume ${arn}.`, 403);
  }
  return {
    Credentials: {
      AccessKeyId: `ASIALAB${account}`,
      SecretAccessKey: 'lab-secret',
      SessionToken: 'lab-session',
      Expiration: new Date(Date.now() + 3_600_000),
    },
    AssumedRoleUser: { AssumedRoleId: 'AROALAB:lab', Arn: arn },
  };
}
