/** Holds the state of the lab's cloud: accounts, regions, instances, launch templates, groups, metrics. */

export interface Options {
  HttpTokens: 'optional' | 'required';
  HttpEndpoint: 'enabled' | 'disabled';
  HttpPutResponseHopLimit: number;
  HttpProtocolIpv6: 'enabled' | 'disabled';
  InstanceMetadataTags: 'enabled' | 'disabled';
}

export const OPTION_NAMES = [
  'HttpTokens',
  'HttpEndpoint',
  'HttpPutResponseHopLimit',
  'HttpProtocolIpv6',
  'InstanceMetadataTags',
] as const satisfies (keyof Options)[];

export interface LabInstance {
  id: string;
  state: 'pending' | 'running' | 'shutting-down' | 'terminated' | 'stopping' | 'stopped';
  imageId: string;
  launchedMs: number;
  tags: Record<string, string>;
  isSpot: boolean;
  operator: { principal: string; isHidden: boolean } | null;
  options: Options;
  /** The last change: the options before it, when it was accepted, and if the service answers by it. */
  change: { before: Options; acceptedMs: number; isApplied: boolean } | null;
}

/** A launch template's parameters with the names of the API. A field that is not there is not said. */
export type TemplateData = Record<string, unknown> & { MetadataOptions?: Partial<Options> };

export interface LabTemplate {
  id: string;
  name: string;
  defaultVersion: number;
  versions: { number: number; data: TemplateData; description: string; clientToken: string | null }[];
}

export interface LabGroup {
  name: string;
  template: { id: string; version: string | null } | null;
  launchConfiguration: string | null;
  mixed: Record<string, unknown> | null;
  instances: string[];
  /** Statuses of its instance refreshes, the newest first. */
  refreshes?: string[];
}

export interface LabActivity {
  group: string;
  description: string;
  status: 'Successful' | 'Failed' | 'InProgress' | 'Cancelled';
  startMs: number;
  endMs: number | null;
}

export interface Defaults {
  HttpTokens?: 'optional' | 'required';
  HttpPutResponseHopLimit?: number;
  HttpEndpoint?: 'enabled' | 'disabled';
  InstanceMetadataTags?: 'enabled' | 'disabled';
  HttpTokensEnforced?: 'enabled' | 'disabled';
  ManagedBy: 'account' | 'declarative-policy';
}

export type MetricName = 'MetadataNoToken' | 'MetadataNoTokenRejected';

export interface LabRegion {
  account: string;
  region: string;
  instances: Map<string, LabInstance>;
  templates: Map<string, LabTemplate>;
  groups: Map<string, LabGroup>;
  activities: LabActivity[];
  images: Map<string, { imdsSupport: 'v2.0' | null }>;
  launchConfigurations: Map<string, Partial<Options>>;
  defaults: Defaults;
  /** Points of five minutes: start in milliseconds to sum, by metric and instance. */
  metrics: Record<MetricName, Map<string, Map<number, number>>>;
  alarms: Map<string, 'OK' | 'ALARM' | 'INSUFFICIENT_DATA'>;
}

/** A deny of a service control policy or of IAM: the action, and values of parameters that it names. */
export interface Denied {
  action: string;
  parameters: Readonly<Record<string, string>>;
}

export const POINT_MS = 300_000;

/** EC2's own values, where neither template, account nor image says anything. */
const ORDINARY: Options = {
  HttpTokens: 'optional',
  HttpEndpoint: 'enabled',
  HttpPutResponseHopLimit: 1,
  HttpProtocolIpv6: 'disabled',
  InstanceMetadataTags: 'disabled',
};

export class CloudState {
  readonly #regions = new Map<string, LabRegion>();
  /** Time from an accepted change until the metadata service answers by it. */
  pendingMs = 0;
  /** Time for which descriptions still show the values before a change. */
  staleReadMs = 0;
  /** Time that every call takes. */
  latencyMs = 0;
  /** By this much the cloud's clock is ahead of this machine's, as the header `Date` of answers says. */
  clockAheadMs = 0;
  /** Token bucket of ModifyInstanceMetadataOptions, dry runs included; null: no limit. */
  changes: { left: number; perSecond: number } | null = null;
  #filledMs = Number.NaN;
  /** Entries on a page. */
  pageSize = 1000;
  /** Points of an answer of GetMetricData. */
  pointsPerAnswer = 100_800;
  readonly denied: Denied[] = [];
  /** Roles that the operator may assume. */
  readonly roles = new Set<string>();

  /** Takes a token for a change. Returns false where none is left. */
  mayChange(nowMs: number): boolean {
    if (this.changes === null) return true;
    const seconds = Number.isNaN(this.#filledMs) ? 0 : (nowMs - this.#filledMs) / 1000;
    this.#filledMs = nowMs;
    this.changes.left += seconds * this.changes.perSecond;
    if (this.changes.left < 1) return false;
    this.changes.left -= 1;
    return true;
  }

  region(account: string, region: string): LabRegion {
    const key = `${account}/${region}`;
    const known = this.#regions.get(key);
    if (known !== undefined) return known;
    const made: LabRegion = {
      account,
      region,
      instances: new Map(),
      templates: new Map(),
      groups: new Map(),
      activities: [],
      images: new Map(),
      launchConfigurations: new Map(),
      defaults: { ManagedBy: 'account' },
      metrics: { MetadataNoToken: new Map(), MetadataNoTokenRejected: new Map() },
      alarms: new Map(),
    };
    this.#regions.set(key, made);
    return made;
  }
}

export interface NewInstance extends Partial<Omit<LabInstance, 'id' | 'options' | 'change'>> {
  options?: Partial<Options>;
}

export function addInstance(region: LabRegion, id: string, given: NewInstance = {}): LabInstance {
  const instance: LabInstance = {
    id,
    state: 'running',
    imageId: 'ami-0123456789abcdef0',
    launchedMs: Date.UTC(2026, 0, 1),
    tags: {},
    isSpot: false,
    operator: null,
    ...given,
    options: { ...ORDINARY, ...given.options },
    change: null,
  };
  region.instances.set(id, instance);
  return instance;
}

export function addTemplate(region: LabRegion, id: string, data: TemplateData): LabTemplate {
  const template: LabTemplate = {
    id,
    name: `template-${id}`,
    defaultVersion: 1,
    versions: [{ number: 1, data, description: 'first', clientToken: null }],
  };
  region.templates.set(id, template);
  return template;
}

/** Adds to the count of the five minutes that `timeMs` is in. */
export function countCalls(
  region: LabRegion,
  metric: MetricName,
  instanceId: string,
  timeMs: number,
  count: number,
): void {
  const points = region.metrics[metric].get(instanceId) ?? new Map<number, number>();
  region.metrics[metric].set(instanceId, points);
  const start = Math.floor(timeMs / POINT_MS) * POINT_MS;
  points.set(start, (points.get(start) ?? 0) + count);
}
