/** Schemas of the destinations of alerts. */
import * as z from 'zod';
import { isIdentifier } from '../../protocol/text_bounds.ts';
import { alertRule } from './alert.ts';
import { shapeName, streamName } from './export.ts';
import { requestDefinition } from './http_request.ts';
import { time } from './window.ts';

const MAX_OWNER_CHARACTERS = 100;
const address = z.string().min(1).max(2000);
/**
 * The configuration of an alert destination. Its secrets (a URL, a token, a password) are never returned.
 */
export const destinationConfig = z.discriminatedUnion('kind', [
  /** Requests as the preset makes them, with the destination's own values, and with parts of its own in their place. */
  z.object({
    kind: z.literal('http'),
    preset: z.string().default('webhook'),
    values: z.record(z.string(), z.string().max(20_000)).default({}),
    request: requestDefinition.optional(),
  }),
  z.object({
    kind: z.literal('syslog'),
    host: address,
    port: z.int().min(1).max(65535).default(514),
    transport: z.enum(['udp', 'tcp', 'tls']).default('udp'),
    facility: z.int().min(0).max(23).default(16),
  }),
  z.object({
    kind: z.literal('email'),
    host: address,
    port: z.int().min(1).max(65535).default(587),
    /** `starttls` is required, not merely tried. `none` is for a relay on this machine. */
    security: z.enum(['starttls', 'tls', 'none']).default('starttls'),
    username: z.string().nullable().default(null),
    password: z.string().nullable().default(null),
    from: z.email(),
    to: z.array(z.email()).min(1).max(20),
  }),
]);

/** The owners whose alerts a destination gets. Alerts about everything else go to other destinations. */
export const destinationOwners = z.object({
  /** Owners, in which a `*` stands for any text. */
  patterns: z
    .array(
      z
        .string()
        .trim()
        .min(1)
        .max(MAX_OWNER_CHARACTERS)
        .refine(isIdentifier, 'must be one line of text without control characters'),
    )
    .max(100),
  /** Alerts about something without an owner: offenders, hosts and groups that no rule names an owner of, and plans. */
  unowned: z.boolean(),
});

const newOwners = destinationOwners
  .refine(
    ({ patterns, unowned }) => patterns.length > 0 || unowned,
    'must name an owner, or have unowned: true',
  )
  .nullable();

export const newDestination = z.object({
  name: z.string().min(1).max(100),
  enabled: z.boolean().default(true),
  /** Every record of the stream is sent, in its order. Default: alerts. */
  stream: streamName.default('alerts'),
  /** Default: that of the preset. */
  shape: shapeName.optional(),
  /** For alerts. Default: all. */
  rules: z.array(alertRule).min(1).optional(),
  /**
   * True: more than 10 alerts of one rule at a time come as one summary, for people. False: each comes for itself, for
   * machines. Default: true for email, and as the preset says.
   */
  digest: z.boolean().optional(),
  /** Also send alerts that say that something is over. */
  send_resolved: z.boolean().default(true),
  /** For alerts: only those of some owners. Null, the default: all. */
  owners: newOwners.optional(),
  config: destinationConfig,
});

/**
 * A change of a destination. Fields that are left out do not change. The schema is not
 * `newDestination.partial()`, whose defaults would enable a disabled destination. `config` is replaced as a
 * whole, with its secrets.
 */
export const destinationChange = z.object({
  name: newDestination.shape.name.optional(),
  enabled: z.boolean().optional(),
  rules: newDestination.shape.rules.optional(),
  digest: z.boolean().optional(),
  send_resolved: z.boolean().optional(),
  owners: newOwners.optional(),
  config: destinationConfig.optional(),
});

/** The place up to which a stream was sent. */
export const streamProgress = z.object({
  /** Records that were stored before are not sent; null: it begins within some seconds. */
  since: time.nullable(),
  sent: z.int(),
  /** Records that wait, as of `checked`, and when the first of them was stored. */
  behind: z.int(),
  oldest: time.nullable(),
  checked: time.nullable(),
  /** Records that retention deleted before they could be sent. */
  deleted: z.int(),
  /** Records that the shape cannot express. */
  unfit: z.int(),
  /** Says that records will be deleted before they are sent; null where that is not near. */
  warning: z.string().nullable(),
});

/** A destination as it is served. `target` names it without any secret. */
export const destination = z.object({
  id: z.uuid(),
  name: z.string(),
  enabled: z.boolean(),
  stream: streamName,
  /** Null where the channel has its own. */
  shape: shapeName.nullable(),
  /** Empty for other streams than alerts. */
  rules: z.array(alertRule),
  digest: z.boolean(),
  send_resolved: z.boolean(),
  /** Null: it gets alerts of all owners, and those without one. */
  owners: destinationOwners.nullable(),
  kind: z.enum(['http', 'syslog', 'email']),
  /** Name of the preset of an `http` destination, else null. */
  preset: z.string().nullable(),
  target: z.string(),
  created: time,
  last_delivered: time.nullable(),
  last_error: z.string().nullable(),
  waiting: z.int(),
  /** Alerts that were given up: refused by the receiver, not delivered within a day, or too many that waited. */
  given_up: z.int(),
  last_given_up: time.nullable(),
  given_up_reason: z.string().nullable(),
  /** Null for alerts. */
  progress: streamProgress.nullable(),
});

/**
 * Alerts that no destination got, because every destination that wants such an alert is limited to other owners. They are in
 * the list of alerts like all others.
 */
export const unroutedAlerts = z.object({
  count: z.int(),
  /** When that happened last; null for never. */
  last: time.nullable(),
  /** Title of that alert, and the owner of what it is about. */
  title: z.string().nullable(),
  owner: z.string().nullable(),
});

export type DestinationOwners = z.infer<typeof destinationOwners>;
export type UnroutedAlerts = z.infer<typeof unroutedAlerts>;
export type HttpConfig = Extract<DestinationConfig, { kind: 'http' }>;
export type DestinationConfig = z.infer<typeof destinationConfig>;
export type NewDestination = z.input<typeof newDestination> &
  Pick<z.output<typeof newDestination>, 'config' | 'enabled' | 'send_resolved'>;
export type StreamProgress = z.infer<typeof streamProgress>;
export type DestinationChange = z.infer<typeof destinationChange>;
export type Destination = z.infer<typeof destination>;
