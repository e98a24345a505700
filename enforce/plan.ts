/**
 * A plan: the changes of metadata options that an operator has decided on, in their order, with the evidence of
 * the day on which it was made. A plan never changes after it was made; the journal has what became of it.
 *
 * Shapes, and the name of a target. Times are RFC 3339 in UTC.
 */
import * as z from 'zod';
import { verdict } from '../collector/contract/host.ts';

const time = z.iso.datetime();
const reason = z.string().trim().min(10).max(500);

/** EC2 user guide, "Resource IDs": 8 or 17 hexadecimal digits. */
export const instanceId = z.string().regex(/^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/);
export const accountId = z.string().regex(/^\d{12}$/);
export const region = z.string().regex(/^[a-z]{2,}(?:-[a-z0-9]+)+$/);

export const tokenSetting = z.enum(['optional', 'required']);
const onOff = z.enum(['enabled', 'disabled']);

/** All metadata options of an instance. `null`: the cloud did not say. */
export const metadataOptions = z.object({
  http_tokens: tokenSetting.nullable(),
  http_endpoint: onOff.nullable(),
  /** 1 to 64. */
  hop_limit: z.int().min(1).max(64).nullable(),
  http_protocol_ipv6: onOff.nullable(),
  instance_metadata_tags: onOff.nullable(),
});

/** The options that a step may change. No other field is ever sent. */
export const optionsChange = z.strictObject({
  http_tokens: tokenSetting.optional(),
  hop_limit: z.int().min(1).max(64).optional(),
});

/** A default of an account in a region. `null`: never set, or no preference. */
export const accountDefaults = metadataOptions.omit({ http_protocol_ipv6: true }).extend({
  http_tokens_enforced: onOff.nullable(),
  /** `declarative-policy`: the account itself cannot change them. */
  managed_by: z.enum(['account', 'declarative-policy']).nullable(),
});

/** The name that an Auto Scaling group gives to the version of its launch template. */
export const versionReference = z.union([z.literal('$Latest'), z.literal('$Default'), z.int().min(1)]);

const place = { account: accountId, region };
export const target = z.discriminatedUnion('type', [
  z.object({ type: z.literal('instance'), ...place, instance_id: instanceId, host_name: z.string() }),
  /** A new version of the template with one option changed. */
  z.object({
    type: z.literal('template'),
    ...place,
    template_id: z.string(),
    source_version: z.int().min(1),
    /** A group follows `$Latest`, so that making the version is the change itself. Otherwise it waits for a `go_live` step. */
    goes_live: z.boolean(),
    /** Groups that launch from the template, which the change concerns together. */
    groups: z.array(z.string()),
  }),
  /** The template's default version, moved to the version that the step `created_by` has made. */
  z.object({
    type: z.literal('template_default'),
    ...place,
    template_id: z.string(),
    created_by: z.string(),
  }),
  /** The number of the version that an Auto Scaling group names. */
  z.object({
    type: z.literal('group_version'),
    ...place,
    scaling_group: z.string(),
    template_id: z.string(),
    created_by: z.string(),
  }),
  z.object({ type: z.literal('account_default'), ...place }),
]);

/** Values of a target before or after a step. A launch template may contain secrets, so only its digest is kept. */
export const recorded = z.discriminatedUnion('type', [
  z.object({ type: z.literal('instance'), options: metadataOptions }),
  z.object({
    type: z.literal('template'),
    version: z.int().min(1),
    options: metadataOptions,
    /** SHA-256 of the version's other parameters, in a canonical order. */
    rest_sha256: z.string().regex(/^[0-9a-f]{64}$/),
    default_version: z.int().min(1),
    latest_version: z.int().min(1),
  }),
  z.object({ type: z.literal('template_default'), version: z.int().min(1) }),
  z.object({ type: z.literal('group_version'), reference: versionReference }),
  z.object({ type: z.literal('account_default'), defaults: accountDefaults }),
]);

/** The evidence about a host or a group when the plan was made. */
export const evidence = z.object({
  verdict,
  reason: z.string(),
  start_seen: z.boolean(),
  coverage_percent: z.number(),
  /** Routers between callers and the service, the largest number that was measured. Null: not measured. */
  hops: z.int().min(0).nullable(),
});

export const step = z.object({
  /** Unique in the plan: `s1`, `s2`, … in the order of the plan. */
  id: z.string().regex(/^s\d+$/),
  target,
  change: optionsChange,
  /** Group whose canary, waves and share count: `asg:NAME`, `none:ACCOUNT/REGION` and the like. */
  group: z.string(),
  /** A wave begins when all lower waves of its group are confirmed. */
  wave: z.int().min(0),
  role: z.enum(['hop_limit', 'canary', 'wave', 'template', 'go_live', 'account']),
  evidence: evidence.nullable(),
});

export const group = z.object({
  id: z.string(),
  /** Instances of the group that run, whether they have an agent or not. */
  size: z.int().min(0),
  /** Its hosts with an agent when the plan was made: they watch what follows. */
  hosts: z.array(z.string()),
  /** The collector's verdict about it when the plan was made. Null: it had none. */
  evidence: evidence.pick({ verdict: true, reason: true, start_seen: true }).nullable(),
});

/** Minutes since midnight, UTC. A window may cross midnight. Days: 0 is Sunday. */
export const maintenanceWindow = z.object({
  days: z.array(z.int().min(0).max(6)).min(1),
  from_minute: z.int().min(0).max(1439),
  to_minute: z.int().min(0).max(1439),
});

export const policy = z.object({
  /** Largest share of a group that may be changed and not confirmed yet, above 0 to 1. One instance is always allowed. */
  max_share: z.number().gt(0).max(1),
  /** Watched time before a change counts as confirmed. Tokens and credentials live 6 hours. */
  soak_seconds: z.int().min(1),
  /** The same for the first host of a group. */
  canary_soak_seconds: z.int().min(1),
  maintenance_windows: z.array(maintenanceWindow),
  /** Instances with this tag are left out: `KEY` or `KEY=VALUE`. */
  exclude_tags: z.array(z.string().min(1)),
  /** A program that must exit with 0 before each step and at the end of a soak. It gets no shell. */
  probe: z.array(z.string()).min(1).nullable(),
  /** CloudWatch alarms that must not be in the state ALARM. */
  alarms: z.array(z.string().min(1)),
  /** Why the operator goes on without a proven way back. Null: a step without one is refused. */
  no_way_back_reason: reason.nullable(),
  /** Why one host is changed although its verdict does not allow it. Only for a plan of one host. */
  unproven_host_reason: reason.nullable(),
  /** Why a host whose owner (CloudFormation and the like) would undo the change is changed nevertheless. */
  owned_reason: reason.nullable(),
});

export const plan = z.object({
  format: z.literal(1),
  id: z.string().regex(/^p-[0-9a-f]{12}$/),
  created: time,
  created_by: z.string(),
  policy,
  groups: z.array(group),
  steps: z.array(step),
  /** Hosts that were asked for and are not changed, with the reason. */
  left_out: z.array(z.object({ host: z.string(), reason: z.string() })),
});

export type MetadataOptions = z.infer<typeof metadataOptions>;
export type OptionsChange = z.infer<typeof optionsChange>;
export type AccountDefaults = z.infer<typeof accountDefaults>;
export type VersionReference = z.infer<typeof versionReference>;
export type Target = z.infer<typeof target>;
export type Recorded = z.infer<typeof recorded>;
export type Evidence = z.infer<typeof evidence>;
export type PlanStep = z.infer<typeof step>;
export type PlanGroup = z.infer<typeof group>;
export type Policy = z.infer<typeof policy>;
export type MaintenanceWindow = z.infer<typeof maintenanceWindow>;
export type Plan = z.infer<typeof plan>;

/** Returns the name of what a step changes in the cloud: equal for the same thing, whatever a plan notes beside it. */
export function targetName(target: Target): string {
  const place = `${target.account}/${target.region}`;
  switch (target.type) {
    case 'instance':
      return `${place}/${target.instance_id}`;
    case 'template':
    case 'template_default':
      return `${place}/${target.template_id}`;
    case 'group_version':
      return `${place}/${target.scaling_group}`;
    case 'account_default':
      return place;
  }
}
