/**
 * Schemas of what admins manage: tokens, retention, and the audit log. Destinations of alerts are in `destination.ts`.
 */
import * as z from 'zod';
import { viewScope } from './host_scope.ts';
import { ROLES } from './roles.ts';
import { time } from './window.ts';

/**
 * `viewer` reads findings. `auditor` also reads the audit log. `admin` also manages everything below. Each may do what
 * those before it may.
 */
export const role = z.enum(ROLES);

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
  /** The hosts that a viewer may see; null for the whole fleet. */
  scope: viewScope.nullable(),
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
  /** For a viewer: the hosts that it may see. Default: the whole fleet. */
  scope: viewScope.optional(),
  /** For an agent. */
  host_id: z.string().min(1).max(200).optional(),
  expires_days: z.int().min(1).max(3650).optional(),
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

export type { Role } from './roles.ts';
export type TokenKind = z.infer<typeof tokenKind>;
export type Token = z.infer<typeof token>;
export type NewToken = z.infer<typeof newToken>;
export type AuditEntry = z.infer<typeof auditEntry>;
