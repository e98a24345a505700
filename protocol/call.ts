/**
 * One call: one HTTP request to a metadata endpoint with its answer, or the lack of one.
 *
 * This is the contract that `watch --json`, `read --json`, the uplink and the store share. Key names are the
 * literal JSON keys (flat and dotted, as OpenTelemetry attributes are); objects appear only where a field is
 * one (`process`, `container`, `k8s`, `systemd`, `host`).
 *
 * Never part of a call, by construction: a session token, a response body, secret keys.
 */
import * as z from 'zod';
import { argumentList, freeText, identifier, label } from './text.ts';
import {
  boundAncestors,
  firstOf,
  isIdentifier,
  MAX_PATH_CHARACTERS,
  MAX_TAGS,
  MAX_USER_AGENT_CHARACTERS,
} from './text_bounds.ts';

const path = freeText(MAX_PATH_CHARACTERS);
export const httpMethod = label(64);
export const urlPath = path;
export const userAgent = freeText(MAX_USER_AGENT_CHARACTERS);
const port = z.int().min(0).max(65535);
const pid = z.int().min(1);
/** In canonical text, as `address.ts` writes it. */
export const address = z.string().regex(/^[0-9A-Fa-f:.]{1,45}$/);
/**
 * RFC 3339 in UTC with three to six digits of fraction. Years are limited: microseconds of later ones are not
 * exact as a number, and one such record would spoil every sum that it is part of.
 */
export const timestamp = z
  .string()
  .regex(/^(19|20|21)\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{2,6}Z$/);
/** RFC 9562 UUID of version 7: sorts by time. */
export const uuidv7 = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);

/** One ancestor of the caller. Facts that could not be read in time are null. They are never guessed. */
export const ancestor = z.object({
  pid,
  name: label(),
  'executable.path': path.nullable(),
  /** Secrets masked. Null when the process had ended before its arguments could be read. */
  command_args: argumentList.nullable(),
  /**
   * The script that it runs, as in a process; null if it runs none. Absent when that is not known: its
   * arguments could not be read whole, or the agent is of an earlier release.
   */
  script: path.nullable().optional(),
});

export const processFacts = z.object({
  pid,
  /** When the process started; with `pid` it names one process of one boot. */
  start_time: timestamp,
  /** The kernel's `comm`, at most 15 bytes. */
  name: label(),
  'executable.path': path.nullable(),
  /** Secrets masked. Null when they could not be read. */
  command_args: argumentList.nullable(),
  working_directory: path.nullable(),
  'owner.uid': z.int().min(0),
  'owner.name': label().nullable(),
  /**
   * The script that an interpreter runs: its path, the name of `-m module`, or a jar. Null for other
   * programs.
   */
  script: path.nullable(),
  /** The text that a daemon has written over its arguments, secrets masked; absent where there is none. */
  title: label().optional(),
  /** Nearest first, to pid 1 where the chain reaches it. */
  ancestors: z.array(ancestor).overwrite((chain) => boundAncestors(chain)),
});

export const containerFacts = z.object({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  name: label().nullable(),
  'image.name': label().nullable(),
  runtime: label().nullable(),
});

export const k8sFacts = z.object({
  'pod.uid': label().nullable(),
  'pod.name': label().nullable(),
  'namespace.name': label().nullable(),
  'container.name': label().nullable(),
});

export const systemdFacts = z.object({ unit: label().nullable(), slice: label().nullable() });

/** Names that a cloud gives: account, region, type. */
const MAX_FACT_CHARACTERS = 128;

export const hostFacts = z.object({
  id: identifier(),
  name: label(256).min(1),
  'cloud.account.id': label(MAX_FACT_CHARACTERS).optional(),
  'cloud.region': label(MAX_FACT_CHARACTERS).optional(),
  'cloud.availability_zone': label(MAX_FACT_CHARACTERS).optional(),
  type: label(MAX_FACT_CHARACTERS).optional(),
  'image.id': label(MAX_FACT_CHARACTERS).optional(),
  /** Tags of the instance, or set by the operator. Hosts are grouped and filtered by them. */
  tags: z
    .record(z.string().max(128).refine(isIdentifier), label(256))
    .overwrite((tags) => Object.fromEntries(firstOf(Object.entries(tags), MAX_TAGS)))
    .optional(),
});

export const imdsKind = z.enum(['token', 'read', 'other']);
export const imdsCategory = z.enum([
  'token',
  'credentials',
  'role-list',
  'user-data',
  'identity-document',
  'metadata',
  /** A request that looks for another cloud: no use of EC2's service, with or without a token. */
  'other-cloud',
  'other',
]);
export const imdsVersion = z.union([z.literal(1), z.literal(2)]);
/**
 * `blocked` is an attempt whose SYN never left the host (a local firewall rule, no route). No request was
 * sent.
 */
export const outcome = z.enum(['answered', 'unanswered', 'reset', 'truncated', 'blocked']);
export const attributionMethod = z.enum(['ebpf', 'sock_diag', 'proc', 'none']);
export const attributionConfidence = z.enum(['exact', 'probable', 'none']);

/**
 * `service`: the instance's metadata service. `host`: something on this host, such as a credential proxy
 * behind address translation, or a mock. Such a call is no use of the instance's service.
 */
export const answeredBy = z.enum(['service', 'host']);
/** The facts that show who answered; see `agent/attribution/answerer.ts`. */
export const answererEvidence = z.enum(['translation', 'socket', 'loopback', 'departure', 'none']);
/** The way in which a relay gets what it sends on. */
export const relayKind = z.enum(['redirect', 'translation', 'user_network']);
/** The program that sent the call on for the caller: a sidecar, a proxy, a user-mode network. */
export const relay = z.object({
  kind: relayKind,
  pid,
  /** The kernel's `comm`, at most 15 bytes. */
  name: label(),
  'executable.path': path.nullable(),
  script: path.nullable(),
  'owner.uid': z.int().min(0),
});
/**
 * `own`: the caller opened its connection. `handed`: another process opened it. `shared`: several processes have it, and
 * which of them sent the request is not known.
 */
export const connectionUse = z.enum(['own', 'handed', 'shared']);
/** The process that opened the connection of a caller. */
export const opener = z.object({
  pid,
  /** The kernel's `comm`, at most 15 bytes. */
  name: label(),
  'executable.path': path.nullable(),
  script: path.nullable(),
  'owner.uid': z.int().min(0),
});
/** `relay`: the caller sends on what other programs ask for. */
export const callerRole = z.enum(['relay']);

/** The fields that describe the caller. */
export const callerFacts = z.object({
  process: processFacts.nullable(),
  container: containerFacts.nullable(),
  k8s: k8sFacts.nullable(),
  systemd: systemdFacts.nullable(),
  'attribution.method': attributionMethod,
  'attribution.confidence': attributionConfidence,
});

/** The fields that describe caller and host. A call and a roll-up share them. */
export const callerShape = { ...callerFacts.shape, host: hostFacts };
/** The same fields as a mask that leaves them out. */
export const callerKeys = {
  process: true,
  container: true,
  k8s: true,
  systemd: true,
  'attribution.method': true,
  'attribution.confidence': true,
  host: true,
} as const;

export const call = z.object({
  id: uuidv7,
  time: timestamp,
  /**
   * Null where no request was sent (`outcome` is `blocked`), and for endpoints without versions (`ecs`,
   * `eks`).
   */
  'imds.version': imdsVersion.nullable(),
  'imds.kind': imdsKind,
  'imds.category': imdsCategory,
  'imds.role': label().nullable(),
  /** `ipv4`, `ipv6`: the instance metadata service. `ecs`, `eks`: credentials of a task, of a pod. */
  'imds.endpoint': z.enum(['ipv4', 'ipv6', 'ecs', 'eks']),
  'imds.server_version': imdsVersion.nullable(),
  'imds.fallback': z.enum(['token_unanswered', 'token_refused', 'adapted']).nullable(),
  /**
   * Routers of this host between the caller and the service, measured from hop limits. Null where that cannot be told,
   * and from older agents.
   */
  'imds.hops': z.int().min(0).max(255).nullable().optional(),
  /**
   * The hop limit with which the answer to a fallback's token request reached this host, which is the setting of the
   * instance. Null for other calls, and where no such answer was seen.
   */
  'imds.token_hop_limit': z.int().min(0).max(255).nullable().optional(),
  'http.request.method': httpMethod.nullable(),
  'url.path': path.nullable(),
  'url.query': path.nullable(),
  'user_agent.original': userAgent.nullable(),
  'http.response.status_code': z.int().min(100).max(999).nullable(),
  outcome,
  /** Milliseconds from the request's first byte to the answer's first byte. */
  duration_ms: z.number().min(0).nullable(),
  'source.address': address,
  'source.port': port,
  'destination.address': address,
  'destination.port': port,
  /** Absent from older agents, like the next fields. Null for endpoints other than the metadata service. */
  answered_by: answeredBy.nullable().optional(),
  'answered_by.evidence': answererEvidence.nullable().optional(),
  'answered_by.confidence': attributionConfidence.nullable().optional(),
  /** Null if the caller opened the connection to the service itself, as far as is known. */
  via: relay.nullable().optional(),
  'caller.role': callerRole.nullable().optional(),
  /** Null where nobody reports who sends on a connection; absent from older agents, like the next one. */
  'caller.connection': connectionUse.nullable().optional(),
  /** Null if the caller opened its connection itself, or where another opener is not known. */
  opener: opener.nullable().optional(),
  ...callerShape,
});

export type Ancestor = z.infer<typeof ancestor>;
export type ProcessFacts = z.infer<typeof processFacts>;
export type ContainerFacts = z.infer<typeof containerFacts>;
export type K8sFacts = z.infer<typeof k8sFacts>;
export type SystemdFacts = z.infer<typeof systemdFacts>;
export type CallerFacts = z.infer<typeof callerFacts>;
export type HostFacts = z.infer<typeof hostFacts>;
export type ImdsCategory = z.infer<typeof imdsCategory>;
export type ImdsKind = z.infer<typeof imdsKind>;
export type Outcome = z.infer<typeof outcome>;
export type AnsweredBy = z.infer<typeof answeredBy>;
export type Relay = z.infer<typeof relay>;
export type ConnectionUse = z.infer<typeof connectionUse>;
export type Opener = z.infer<typeof opener>;
export type CallerRole = z.infer<typeof callerRole>;
export type Call = z.infer<typeof call>;
