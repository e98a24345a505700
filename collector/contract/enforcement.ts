/**
 * Schemas of what `imdswatch enforce` asks a collector: verdicts with what a change depends on, refused calls, and
 * watched time. Every answer has the collector's clock (`now`), because the asking machine's may differ.
 */
import * as z from 'zod';
import { planId, planTarget } from '../../protocol/plan_report.ts';
import { verdict } from './host.ts';
import { time } from './window.ts';

/** Hosts of one question or answer. A longer list is asked for in parts. */
export const MAX_QUESTIONED = 1000;
/** Hosts whose calls are asked for at once: those of the largest plan, with all members of its groups. */
export const MAX_WATCHED_HOSTS = 20_000;

/** Each step of a plan may have a group of its own. */
const MAX_SCALING_GROUPS = 2000;

const hostId = z.string().min(1).max(200);
const moment = z.iso.datetime({ offset: true });
const workloadId = z.string();

/** Answer of `GET /enforcement`. A collector without it is too old for `imdswatch enforce`. */
export const enforcementCollector = z.object({
  now: time,
  version: z.string(),
  readiness_window_days: z.number(),
});

export const enforcementHost = z.object({
  id: hostId,
  name: z.string(),
  account: z.string().nullable(),
  region: z.string().nullable(),
  image_id: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  verdict,
  /** Why this verdict. */
  reason: z.string(),
  start_seen: z.boolean(),
  coverage_percent: z.number(),
  /** Routers between callers and the service, the largest number that was measured. Null: none was. */
  hops: z.int().nullable(),
  /** The hop limit that fallbacks need. Null: no higher one, or not known. */
  advised_hop_limit: z.int().nullable(),
  /** The agent sends heartbeats. */
  is_online: z.boolean(),
  /** The agent's captures are live, as its last heartbeat says. */
  is_live: z.boolean(),
});

/** Body of `POST /enforcement/hosts`: these hosts, or all of them in pages, for null. */
export const enforcementHostsQuestion = z.strictObject({
  hosts: z.array(hostId).max(MAX_QUESTIONED).nullable(),
  /** With `hosts: null`: the `next` of the page before. */
  after: hostId.nullable().default(null),
});
export const enforcementHosts = z.object({
  now: time,
  items: z.array(enforcementHost),
  next: hostId.nullable(),
});

/** Answer of `GET /enforcement/group`. `group` is null where the collector has no verdict about it. */
export const enforcementGroup = z.object({
  now: time,
  group: z.object({ id: z.string(), verdict, reason: z.string(), start_seen: z.boolean() }).nullable(),
});

/**
 * Body of `POST /enforcement/calls`. `refused`: calls without a token that were answered with 401, and that their
 * client did not repeat with a token. `accepted`: calls without a token that were answered with success.
 */
export const enforcementCallsQuestion = z.strictObject({
  result: z.enum(['refused', 'accepted']),
  /** Calls since this time, by the clock of their host. */
  since: moment,
  hosts: z.array(hostId).max(MAX_WATCHED_HOSTS),
  /** Names of Auto Scaling groups: their present members count as named in `hosts`. For `refused` only. */
  scaling_groups: z.array(z.string().min(1).max(255)).max(MAX_SCALING_GROUPS).default([]),
});
export const enforcementCall = z.object({
  id: z.string(),
  host: hostId,
  tags: z.record(z.string(), z.string()),
  /** By the clock of its host. */
  time,
  caller: z.object({ id: workloadId, title: z.string() }),
});
export const enforcementCalls = z.object({ now: time, items: z.array(enforcementCall) });

/** Answer of `GET /enforcement/caller-hosts`: hosts on which a workload called in the readiness window. */
export const enforcementCallerHosts = z.object({ now: time, hosts: z.array(hostId) });

/**
 * Answer of `GET /enforcement/new-hosts`: hosts of an account and region of which the first record is not older than a
 * time, by the clock of the host.
 */
export const enforcementNewHosts = z.object({
  now: time,
  items: z.array(z.object({ host: hostId, tags: z.record(z.string(), z.string()) })),
});

/** Body of `POST /enforcement/watched`. */
export const enforcementWatchedQuestion = z.strictObject({
  hosts: z.array(hostId).max(MAX_QUESTIONED),
  since: moment,
  until: moment,
});
/** Milliseconds of the span that each host was watched. A host that never reported is absent. */
export const enforcementWatched = z.object({
  now: time,
  items: z.array(z.object({ host: hostId, watched_ms: z.number() })),
});

/** Query of `GET /enforcement/plans`: a target as reports name it. */
export const enforcementPlansQuestion = {
  type: planTarget.shape.type,
  account: planTarget.shape.account,
  region: planTarget.shape.region,
  /** Left out for the account's default. */
  id: planTarget.shape.id.unwrap().optional(),
  except: planId,
};
/** Ids of other plans that processes carry out now, and whose step for the target is not at its end. */
export const enforcementPlans = z.object({ now: time, plans: z.array(planId) });

export type PlanTargetQuestion = Pick<z.infer<typeof planTarget>, 'type' | 'account' | 'region' | 'id'>;
export type EnforcementHost = z.infer<typeof enforcementHost>;
export type EnforcementCall = z.infer<typeof enforcementCall>;
