/** Schemas of the destinations of alerts. */
import * as z from 'zod';
import { alertRule } from './alert.ts';
import { time } from './window.ts';

const address = z.string().min(1).max(2000);
/**
 * The configuration of an alert destination. Its secrets (a webhook's URL and secret, a password) are never
 * returned.
 */
export const destinationConfig = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('webhook'),
    url: z.url({ protocol: /^https?$/ }),
    /** Signs the body: header `X-Imdswatch-Signature: sha256=HMAC`. */
    secret: z.string().min(16).max(200).nullable().default(null),
  }),
  z.object({ kind: z.literal('slack'), url: z.url({ protocol: /^https?$/ }) }),
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

export const newDestination = z.object({
  name: z.string().min(1).max(100),
  enabled: z.boolean().default(true),
  rules: z.array(alertRule).min(1),
  /**
   * True: more than 10 alerts of one rule at a time come as one summary, for people. False: each comes for itself, for
   * machines. Default: true for email and chat.
   */
  digest: z.boolean().optional(),
  /** Also send alerts that say that something is over. */
  send_resolved: z.boolean().default(true),
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
  config: destinationConfig.optional(),
});

/** A destination as it is served. `target` names it without any secret. */
export const destination = z.object({
  id: z.uuid(),
  name: z.string(),
  enabled: z.boolean(),
  rules: z.array(alertRule),
  digest: z.boolean(),
  send_resolved: z.boolean(),
  kind: z.enum(['webhook', 'slack', 'syslog', 'email']),
  target: z.string(),
  created: time,
  last_delivered: time.nullable(),
  last_error: z.string().nullable(),
  waiting: z.int(),
  /** Alerts that were given up: refused by the receiver, not delivered within a day, or too many that waited. */
  given_up: z.int(),
  last_given_up: time.nullable(),
  given_up_reason: z.string().nullable(),
});

export type DestinationConfig = z.infer<typeof destinationConfig>;
export type NewDestination = z.infer<typeof newDestination>;
export type DestinationChange = z.infer<typeof destinationChange>;
export type Destination = z.infer<typeof destination>;
