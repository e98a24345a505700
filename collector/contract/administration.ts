/**
 * Schemas of what admins manage: tokens, alert destinations and their rules, retention, and the audit log.
 */
import * as z from 'zod';
import { time } from './window.ts';

/** `viewer` reads findings; `admin` also manages everything below. */
export const role = z.enum(['viewer', 'admin']);

/**
 * `person` signs in and uses the API. `enrolment` lets an agent request a credential. `agent` is such a
 * credential, valid for one host only.
 */
export const tokenKind = z.enum(['person', 'enrolment', 'agent']);

/** A token without its secret, which is shown once when it is created. Only its hash is stored. */
export const token = z.object({
  id: z.uuid(),
  kind: tokenKind,
  name: z.string(),
  role: role.nullable(),
  host_id: z.string().nullable(),
  created: time,
  created_by: z.string(),
  expires: time.nullable(),
  last_used: time.nullable(),
  revoked: time.nullable(),
});

export const newToken = z.object({
  kind: z.enum(['person', 'enrolment', 'agent']),
  name: z.string().min(1).max(100),
  /** For a person. */
  role: role.optional(),
  /** For an agent. */
  host_id: z.string().min(1).max(200).optional(),
  expires_days: z.int().min(1).max(3650).optional(),
});

export const alertRule = z.enum([
  'new_offender',
  'credentials_over_v1',
  'host_not_ready',
  'host_silent',
  'coverage_lost',
  'group_ready',
  'group_not_ready',
  'offender_reopened',
  'exception_ended',
  'enforcement_undone',
  'plan_rolled_back',
  'plan_held',
  'plan_ended',
  'plan_unattended',
]);

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
  config: destinationConfig.optional(),
});

/** A destination as it is served. `target` names it without any secret. */
export const destination = z.object({
  id: z.uuid(),
  name: z.string(),
  enabled: z.boolean(),
  rules: z.array(alertRule),
  kind: z.enum(['webhook', 'slack', 'syslog', 'email']),
  target: z.string(),
  created: time,
  last_delivered: time.nullable(),
  last_error: z.string().nullable(),
  waiting: z.int(),
});

/** One event, which is sent once to every destination that has its rule. */
export const alert = z.object({
  id: z.uuid(),
  rule: alertRule,
  /** Id of the offender, host or plan that the alert is about. Alerts are deduplicated by it and `rule`. */
  subject: z.string(),
  time,
  severity: z.enum(['critical', 'warning', 'info']),
  title: z.string(),
  text: z.string(),
  /** Link to the page; null where the collector does not know its own address. */
  link: z.string().nullable(),
});

export const retention = z.object({
  raw_days: z.int().min(1).max(3650),
  rollup_days: z.int().min(1).max(3650),
  max_bytes: z.int().min(64 * 1024 * 1024),
});

export const auditEntry = z.object({
  id: z.int(),
  time,
  /** Name of a token or of a proxy's user, or `command:USER` for a command on the collector's machine. */
  actor: z.string(),
  action: z.string(),
  /** Id of the thing that was changed. It is never a secret. */
  subject: z.string(),
  detail: z.string().nullable(),
  source_address: z.string().nullable(),
});

export type Role = z.infer<typeof role>;
export type TokenKind = z.infer<typeof tokenKind>;
export type Token = z.infer<typeof token>;
export type NewToken = z.infer<typeof newToken>;
export type AlertRule = z.infer<typeof alertRule>;
export type DestinationConfig = z.infer<typeof destinationConfig>;
export type NewDestination = z.infer<typeof newDestination>;
export type DestinationChange = z.infer<typeof destinationChange>;
export type Destination = z.infer<typeof destination>;
export type Alert = z.infer<typeof alert>;
export type AuditEntry = z.infer<typeof auditEntry>;
