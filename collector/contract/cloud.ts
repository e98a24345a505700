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
});
export const cloudInstances = z.array(cloudInstance).min(1).max(MAX_SUPPLIED);

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
export type Reconciliation = z.infer<typeof reconciliation>;
