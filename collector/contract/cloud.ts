/**
 * Schemas of the cloud's figures that an operator supplies, and of their comparison with the calls that were
 * seen.
 */
import * as z from 'zod';
import { HOUR_US, time } from './window.ts';

const MAX_SUPPLIED = 100_000;
/** An instance's id, as agents on EC2 name their host. */
const hostId = z.string().min(1).max(200);
const HOUR_MS = HOUR_US / 1000;
const wholeHour = z.iso
  .datetime({ offset: true })
  .refine((text) => Date.parse(text) % HOUR_MS === 0, 'must be a whole hour (UTC)');

/** Body of `POST /cloud/counts`: CloudWatch's sums for whole hours. */
export const cloudCount = z
  .object({
    instance_id: hostId,
    start: wholeHour,
    end: wholeHour,
    /** Sum of `MetadataNoToken` over the span. */
    metadata_no_token: z.int().min(0),
    /** Sum of `MetadataNoTokenRejected`, where it was supplied. */
    metadata_no_token_rejected: z.int().min(0).nullable().default(null),
  })
  .refine(({ start, end }) => Date.parse(end) > Date.parse(start), 'must end after it starts');
export const cloudCounts = z.array(cloudCount).min(1).max(MAX_SUPPLIED);

/** Body of `POST /cloud/instances`: an instance's metadata options. */
export const cloudInstance = z.object({
  instance_id: hostId,
  http_tokens: z.enum(['optional', 'required']).nullable(),
  hop_limit: z.int().min(1).max(64).nullable(),
  /** Tells whether the metadata service is on at all. Null: not known. */
  http_endpoint: z.enum(['enabled', 'disabled']).nullable().default(null),
});
export const cloudInstances = z.array(cloudInstance).min(1).max(MAX_SUPPLIED);

/** The longest names are those of parameters that stand for an image (`resolve:ssm:…`). */
const text = z.string().min(1).max(2048);
const moment = z.iso.datetime({ offset: true });
const place = { account: z.string().regex(/^\d{12}$/), region: z.string().min(1).max(64) };
const metadataOptions = {
  http_tokens: z.enum(['optional', 'required']).nullable().default(null),
  http_endpoint: z.enum(['enabled', 'disabled']).nullable().default(null),
  hop_limit: z.int().min(1).max(64).nullable().default(null),
};

/**
 * An instance as the cloud's inventory or an Auto Scaling activity knows it, also when it is gone. `null`: not
 * known, so that what was supplied before stays.
 */
export const cloudMember = z.object({
  instance_id: hostId,
  ...place,
  state: z
    .enum(['pending', 'running', 'shutting-down', 'terminated', 'stopping', 'stopped'])
    .nullable()
    .default(null),
  launched: moment.nullable().default(null),
  terminated: moment.nullable().default(null),
  image_id: text.nullable().default(null),
  /** Auto Scaling group. */
  scaling_group: text.nullable().default(null),
  template_id: text.nullable().default(null),
  /** The version that was used at its launch, also where the group says `$Latest`. */
  template_version: z.int().min(1).nullable().default(null),
  is_spot: z.boolean().nullable().default(null),
  /** The service that manages it (`Operator.Principal`), which alone may change it. */
  managed_by: text.nullable().default(null),
  tags: z.record(z.string().max(256), z.string().max(1024)).nullable().default(null),
});

/** Describes what instances are launched from, in an account and region. */
export const cloudResource = z.discriminatedUnion('kind', [
  /** Defaults of the account. `null`: never set, or no preference. */
  z.object({
    kind: z.literal('account_defaults'),
    ...place,
    id: z.literal('defaults'),
    ...metadataOptions,
    http_tokens_enforced: z.enum(['enabled', 'disabled']).nullable(),
    managed_by: z.enum(['account', 'declarative-policy']).nullable(),
  }),
  z.object({
    kind: z.literal('launch_template'),
    ...place,
    id: text,
    name: text,
    default_version: z.int().min(1),
    latest_version: z.int().min(1),
    /** The default, the latest, and every version that an instance or a group uses. `null`: not said. */
    versions: z.array(z.object({ version: z.int().min(1), image_id: text.nullable(), ...metadataOptions })),
  }),
  z.object({
    kind: z.literal('scaling_group'),
    ...place,
    id: text,
    template_id: text.nullable(),
    /** `$Latest`, `$Default` or a number. */
    template_reference: text.nullable(),
    /** The number that the reference stands for now. */
    template_version: z.int().min(1).nullable(),
    /** Image of that version, or of the launch configuration. `resolve:ssm:…` where the template says so. */
    image_id: text.nullable(),
    other_source: z.enum(['launch_configuration', 'mixed_instances']).nullable(),
    instances: z.int().min(0),
  }),
  /** A launch configuration that does not say `http_tokens` launches with `optional`. */
  z.object({
    kind: z.literal('launch_configuration'),
    ...place,
    id: text,
    image_id: text.nullable(),
    ...metadataOptions,
  }),
  /** Every instance and scaling activity of the place was read. Without it a group there cannot be `ready`. */
  z.object({ kind: z.literal('complete_read'), ...place, id: z.literal('inventory'), made: moment }),
  z.object({
    kind: z.literal('image'),
    ...place,
    id: text,
    /** `v2.0`: instances require tokens unless somebody says otherwise. Null: it does not say. */
    imds_support: z.literal('v2.0').nullable(),
  }),
]);

/** Body of `POST /cloud/inventory`. */
export const cloudInventory = z.object({
  instances: z.array(cloudMember).max(MAX_SUPPLIED),
  resources: z.array(cloudResource).max(MAX_SUPPLIED),
});

/** A file that `imdswatch cloud sync` writes and `imdswatch reconcile` reads. */
export const cloudDocument = z.object({
  imdswatch_cloud: z.literal(1),
  made: moment,
  /** Accounts and regions that were asked. `problems` has a sentence for each read that failed. */
  places: z.array(z.object({ ...place, problems: z.array(z.string()) })),
  counts: z.array(cloudCount),
  metadata_options: z.array(cloudInstance),
  inventory: cloudInventory,
});

/** One host, over exactly the hours that the cloud counted. */
export const reconciliation = z.object({
  id: z.string(),
  /** Null where no host of that id ever reported. */
  name: z.string().nullable(),
  /** `cloud_saw_more`: calls were made that nobody saw. `we_saw_more`: the cloud's figures are incomplete. */
  result: z.enum(['agrees', 'cloud_saw_more', 'we_saw_more']),
  metadata_no_token: z.int(),
  /** Calls without a token that were answered with 2xx. */
  seen_no_token: z.int(),
  /** Calls that the cloud counted and nobody saw. */
  unseen: z.int(),
  metadata_no_token_rejected: z.int().nullable(),
  hours: z.number(),
  from: time,
  to: time,
  /** The first 100 spans with unseen calls. */
  unseen_in: z.array(z.object({ from: time, to: time })),
});

export type CloudCountInput = z.infer<typeof cloudCount>;
export type CloudInstanceInput = z.infer<typeof cloudInstance>;
export type CloudMemberInput = z.infer<typeof cloudMember>;
export type CloudResourceInput = z.infer<typeof cloudResource>;
export type CloudInventoryInput = z.infer<typeof cloudInventory>;
export type CloudDocument = z.infer<typeof cloudDocument>;
export type Reconciliation = z.infer<typeof reconciliation>;
