/**
 * What admins manage: tokens, alert destinations and their rules, retention; and the log of what they did.
 */
import * as z from 'zod';
import { time } from './window.ts';

/** `viewer` sees findings; `admin` also manages what is on this page. */
export const role = z.enum(['viewer', 'admin']);

/**
 * `person`: signs in and uses the API. `enrolment`: lets an agent ask for a credential of its own. `agent`:
 * that credential, bound to one host; it speaks for no other.
 */
export const tokenKind = z.enum(['person', 'enrolment', 'agent']);

/** Never the token itself: that is shown once, when it is made, and only its hash is kept. */
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
]);

const address = z.string().min(1).max(2000);
/** Where alerts go. Secrets in it (a webhook's URL and secret, a password) are never given out again. */
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
    /** `starttls` is demanded, not merely tried; `none` is for a relay on this machine. */
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
 * What is left out stays as it is. Not `newDestination.partial()`: its defaults would switch a disabled
 * destination on. `config` is replaced as a whole, secrets with it.
 */
export const destinationChange = z.object({
  name: newDestination.shape.name.optional(),
  enabled: z.boolean().optional(),
  rules: newDestination.shape.rules.optional(),
  config: destinationConfig.optional(),
});

/** As it is given out: `target` says where without any secret. */
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

/** One thing that happened, told once to every destination that has its rule. */
export const alert = z.object({
  id: z.uuid(),
  rule: alertRule,
  /** What it is about: an offender's or a host's id. With `rule` it is what alerts are deduplicated by. */
  subject: z.string(),
  time,
  severity: z.enum(['critical', 'warning', 'info']),
  title: z.string(),
  text: z.string(),
  /** Deep link into the page, where the collector knows its own address. */
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
  /** Who: a token's or a proxy user's name; `command` for somebody with access to the store's files. */
  actor: z.string(),
  action: z.string(),
  /** What it was done to; never a secret. */
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
