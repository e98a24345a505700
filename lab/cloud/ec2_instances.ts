/**
 * EC2's instances, images and account defaults. Source: EC2 API reference, ModifyInstanceMetadataOptions,
 * DescribeInstances, GetInstanceMetadataDefaults.
 */
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
import {
  type CloudState,
  type Defaults,
  type LabInstance,
  type LabRegion,
  OPTION_NAMES,
  type Options,
} from './state.ts';

export interface Ec2Context {
  state: CloudState;
  region: LabRegion;
  /** Called when an accepted change is to take effect. Resolves when the service answers by it. */
  applied: (instance: LabInstance) => Promise<void>;
}

const ALLOWED: Record<keyof Options, readonly string[] | null> = {
  HttpTokens: ['optional', 'required'],
  HttpEndpoint: ['enabled', 'disabled'],
  HttpPutResponseHopLimit: null,
  HttpProtocolIpv6: ['enabled', 'disabled'],
  InstanceMetadataTags: ['enabled', 'disabled'],
};

/** Reads the options that a request has. An option that it leaves out is not in the result. */
export function optionsIn(parameters: ApiRequest['parameters']): Partial<Options> {
  const given: Partial<Record<keyof Options, string | number>> = {};
  for (const name of OPTION_NAMES) {
    const value = textOf(parameters[name]);
    if (value === null) continue;
    const allowed = ALLOWED[name];
    const isValid =
      allowed === null ? /^\d+$/.test(value) && +value >= 1 && +value <= 64 : allowed.includes(value);
    if (!isValid) throw new ApiError('InvalidParameterValue', `${value} is not valid for ${name}.`);
    given[name] = allowed === null ? Number(value) : value;
  }
  return given as Partial<Options>;
}

/** A dry run of a permitted call answers with this error (EC2 API reference, common parameters). */
export function answerDryRun(request: ApiRequest): void {
  if (request.parameters['DryRun'] !== 'true') return;
  throw new ApiError('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
}

export function modifyInstance({ state, region, applied }: Ec2Context, request: ApiRequest): ElementParts {
  const { parameters } = request;
  refuseOthers(parameters, ['InstanceId', 'DryRun', ...OPTION_NAMES]);
  const id = textOf(parameters['InstanceId']) ?? '';
  const given = optionsIn(parameters);
  const instance = instanceWith(region, id);
  if (instance.operator !== null) {
    throw new ApiError(
      'OperationNotPermitted',
      `The instance ${id} is managed by ${instance.operator.principal}.`,
    );
  }
  answerDryRun(request);
  if (instance.state === 'terminated' || instance.state === 'shutting-down') {
    throw new ApiError('IncorrectInstanceState', `The instance ${id} is ${instance.state}.`);
  }
  if (region.defaults.HttpTokensEnforced === 'enabled' && given.HttpTokens === 'optional') {
    // AWS speaks of launching, also where an existing instance is modified.
    throw new ApiError(
      'UnsupportedOperation',
      "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account.",
    );
  }
  const before = instance.options;
  instance.options = { ...before, ...given };
  const change = { before, acceptedMs: Date.now(), isApplied: false };
  instance.change = change;
  // The service of a running instance answers by the former options until then.
  setTimeout(async () => {
    if (instance.change !== change) return;
    if (instance.state === 'running') await applied(instance);
    change.isApplied = true;
  }, state.pendingMs).unref();
  return {
    instanceId: id,
    instanceMetadataOptions: optionsElement(instance.options, 'pending'),
  };
}

function instanceWith(region: LabRegion, id: string): LabInstance {
  if (!/^i-[0-9a-f]{8,17}$/.test(id)) {
    throw new ApiError('InvalidInstanceID.Malformed', `Invalid id: "${id}"`);
  }
  const instance = region.instances.get(id);
  if (instance === undefined) {
    throw new ApiError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`);
  }
  return instance;
}

function optionsElement(options: Options, state: 'pending' | 'applied'): ElementParts {
  return {
    state,
    httpTokens: options.HttpTokens,
    httpPutResponseHopLimit: options.HttpPutResponseHopLimit,
    httpEndpoint: options.HttpEndpoint,
    httpProtocolIpv6: options.HttpProtocolIpv6,
    instanceMetadataTags: options.InstanceMetadataTags,
  };
}

const FILTERS: Record<string, (instance: LabInstance) => string> = {
  'instance-id': ({ id }) => id,
  'instance-state-name': ({ state }) => state,
  'metadata-options.http-tokens': ({ options }) => options.HttpTokens,
};

export function describeInstances({ state, region }: Ec2Context, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['InstanceId', 'Filter', 'MaxResults', 'NextToken', 'IncludeManagedResources']);
  const ids = listOf(parameters['InstanceId']).map((id) => textOf(id)!);
  for (const id of ids) instanceWith(region, id);
  const filters = listOf(parameters['Filter']).map((filter) => {
    const { Name, Value } = partsOf(filter);
    const name = textOf(Name) ?? '';
    const values = listOf(Value).map((value) => textOf(value)!);
    if (values.length > 200) throw new ApiError('FilterLimitExceeded', 'A filter takes at most 200 values.');
    const tag = /^tag:(.+)$/.exec(name)?.[1];
    const read = tag === undefined ? FILTERS[name] : ({ tags }: LabInstance) => tags[tag] ?? '';
    if (read === undefined) throw new ApiError('InvalidParameterValue', `The filter '${name}' is invalid`);
    return (instance: LabInstance) => values.includes(read(instance));
  });
  const showsHidden = parameters['IncludeManagedResources'] === 'true';
  const found = [...region.instances.values()].filter(
    (instance) =>
      (ids.length === 0 || ids.includes(instance.id)) &&
      (showsHidden || instance.operator?.isHidden !== true) &&
      filters.every((matches) => matches(instance)),
  );
  const size = Math.min(state.pageSize, Number(textOf(parameters['MaxResults']) ?? state.pageSize));
  const { page, next } = pageOf(found, textOf(parameters['NextToken']), size);
  return {
    reservationSet: page.map((instance) => ({
      reservationId: `r-${instance.id.slice(2)}`,
      ownerId: region.account,
      instancesSet: [instanceElement(state, region, instance)],
    })),
    nextToken: next,
  };
}

function instanceElement(state: CloudState, region: LabRegion, instance: LabInstance): ElementParts {
  const { change } = instance;
  const nowMs = Date.now();
  const isStale = change !== null && nowMs < change.acceptedMs + state.staleReadMs;
  const isPending = change !== null && !change.isApplied;
  return {
    instanceId: instance.id,
    imageId: instance.imageId,
    instanceState: { name: instance.state },
    launchTime: new Date(instance.launchedMs),
    placement: { availabilityZone: `${region.region}a` },
    instanceLifecycle: instance.isSpot ? 'spot' : null,
    tagSet: Object.entries(instance.tags).map(([key, value]) => ({ key, value })),
    metadataOptions: isStale
      ? optionsElement(change.before, 'applied')
      : optionsElement(instance.options, isPending ? 'pending' : 'applied'),
    operator:
      instance.operator === null
        ? { managed: false }
        : {
            managed: true,
            principal: instance.operator.principal,
            hiddenByDefault: instance.operator.isHidden,
          },
  };
}

export function describeImages({ region }: Ec2Context, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['ImageId', 'Filter', 'MaxResults', 'NextToken', 'IncludeDeprecated']);
  const ids = listOf(parameters['ImageId']).map((id) => textOf(id)!);
  const filtered = listOf(parameters['Filter']).flatMap((filter) => {
    const { Name, Value } = partsOf(filter);
    if (Name !== 'image-id') throw new ApiError('InvalidParameterValue', 'Only image-id is known here.');
    return listOf(Value).map((value) => textOf(value)!);
  });
  const wanted = [...ids, ...filtered];
  return {
    imagesSet: [...region.images]
      .filter(([id]) => wanted.includes(id))
      .map(([imageId, { imdsSupport }]) => ({ imageId, imdsSupport })),
  };
}

export function getDefaults({ region }: Ec2Context, { parameters }: ApiRequest): ElementParts {
  refuseOthers(parameters, ['DryRun']);
  const { defaults } = region;
  // A default that was never set is absent.
  return {
    accountLevel: {
      httpTokens: defaults.HttpTokens,
      httpPutResponseHopLimit: defaults.HttpPutResponseHopLimit,
      httpEndpoint: defaults.HttpEndpoint,
      instanceMetadataTags: defaults.InstanceMetadataTags,
      httpTokensEnforced: defaults.HttpTokensEnforced,
      managedBy: defaults.ManagedBy,
    },
  };
}

const DEFAULT_NAMES = ['HttpTokens', 'HttpEndpoint', 'InstanceMetadataTags', 'HttpTokensEnforced'] as const;

export function modifyDefaults({ region }: Ec2Context, request: ApiRequest): ElementParts {
  const { parameters } = request;
  refuseOthers(parameters, ['DryRun', 'HttpPutResponseHopLimit', ...DEFAULT_NAMES]);
  if (region.defaults.ManagedBy === 'declarative-policy') {
    throw new ApiError('UnauthorizedOperation', 'A declarative policy manages these defaults.', 403);
  }
  answerDryRun(request);
  const changed: Record<string, unknown> = { ...region.defaults };
  for (const name of DEFAULT_NAMES) {
    const value = textOf(parameters[name]);
    if (value === 'no-preference') delete changed[name];
    else if (value !== null) changed[name] = value;
  }
  const hopLimit = textOf(parameters['HttpPutResponseHopLimit']);
  if (hopLimit === '-1') delete changed['HttpPutResponseHopLimit'];
  else if (hopLimit !== null) changed['HttpPutResponseHopLimit'] = Number(hopLimit);
  region.defaults = changed as unknown as Defaults;
  return { return: true };
}
