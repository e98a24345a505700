/** Answers `imdswatch enforce` on another machine, never from a cache. */
import { z } from '@hono/zod-openapi';
import { VERSION } from '../../../common/version.ts';
import { enforcementPlansQuestion, MAX_QUESTIONED } from '../../contract/enforcement.ts';
import { toTimestamp } from '../../store/time.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { questionOf, shortText } from '../question.ts';
import { jsonAnswer, jsonBody, route } from '../route.ts';
import {
  EnforcementCallerHosts,
  EnforcementCalls,
  EnforcementCallsQuestion,
  EnforcementCollector,
  EnforcementGroup,
  EnforcementHosts,
  EnforcementHostsQuestion,
  EnforcementNewHosts,
  EnforcementPlans,
  EnforcementWatched,
  EnforcementWatchedQuestion,
} from '../schemas.ts';

const collectorRoute = route({
  method: 'get',
  path: '/api/v1/enforcement',
  tags: ['enforcement'],
  summary: "The collector's clock, release and readiness window",
  responses: { 200: jsonAnswer(EnforcementCollector, 'The collector.') },
});
const hostsRoute = route({
  method: 'post',
  path: '/api/v1/enforcement/hosts',
  tags: ['enforcement'],
  summary: 'Judge hosts now, with what a change depends on',
  description: 'Changes nothing. With `hosts: null`, a page of all hosts by their ids.',
  request: { body: jsonBody(EnforcementHostsQuestion) },
  responses: { 200: jsonAnswer(EnforcementHosts, 'The hosts that are known.') },
});
const groupRoute = route({
  method: 'get',
  path: '/api/v1/enforcement/group',
  tags: ['enforcement'],
  summary: 'Judge a group of an account and region now',
  request: {
    query: z.strictObject({
      id: shortText.min(1).describe('`asg:NAME`, `tag:KEY=VALUE`, `image:ID` …'),
      account: shortText,
      region: shortText,
    }),
  },
  responses: { 200: jsonAnswer(EnforcementGroup, 'The verdict.') },
});
const callsRoute = route({
  method: 'post',
  path: '/api/v1/enforcement/calls',
  tags: ['enforcement'],
  summary: 'Calls without a token that were refused, or accepted',
  description:
    'Changes nothing. In any order; at most the latest 10 calls of one workload on one host. Calls that broke nothing are left out.',
  request: { body: jsonBody(EnforcementCallsQuestion) },
  responses: { 200: jsonAnswer(EnforcementCalls, 'The calls.') },
});
const callerHostsRoute = route({
  method: 'get',
  path: '/api/v1/enforcement/caller-hosts',
  tags: ['enforcement'],
  summary: 'Hosts on which a workload called in the readiness window',
  request: { query: z.strictObject({ offender: shortText.min(1).describe('Id of the workload.') }) },
  responses: { 200: jsonAnswer(EnforcementCallerHosts, 'Ids of hosts.') },
});
const newHostsRoute = route({
  method: 'get',
  path: '/api/v1/enforcement/new-hosts',
  tags: ['enforcement'],
  summary: 'Hosts of an account and region that are new since a time',
  request: {
    query: z.strictObject({
      account: shortText,
      region: shortText,
      since: z.iso.datetime({ offset: true }).describe('Of their first record, by the clock of the host.'),
    }),
  },
  responses: { 200: jsonAnswer(EnforcementNewHosts, 'The hosts, in any order.') },
});
const watchedRoute = route({
  method: 'post',
  path: '/api/v1/enforcement/watched',
  tags: ['enforcement'],
  summary: 'Time of a span that hosts were watched',
  description:
    "Changes nothing. Time after a host's last report counts as not watched until the next report vouches for it.",
  request: { body: jsonBody(EnforcementWatchedQuestion) },
  responses: { 200: jsonAnswer(EnforcementWatched, 'Milliseconds by host.') },
});

const plansRoute = route({
  method: 'get',
  path: '/api/v1/enforcement/plans',
  tags: ['enforcement'],
  summary: 'Other plans that are carried out now for the same target',
  request: { query: z.strictObject(enforcementPlansQuestion) },
  responses: { 200: jsonAnswer(EnforcementPlans, 'Ids of plans.') },
});

export function enforcementRoutes(
  app: ApiApp,
  { enforcement, views, plans, defaultWindowDays }: ApiParts,
): void {
  const now = () => toTimestamp(Date.now() * 1000);

  app.openapi(collectorRoute, (c) =>
    c.json({ now: now(), version: VERSION, readiness_window_days: defaultWindowDays }, 200),
  );

  app.openapi(hostsRoute, async (c) => {
    const { hosts, after } = c.req.valid('json');
    if (hosts !== null) {
      return c.json({ items: await enforcement.hosts(hosts), next: null, now: now() }, 200);
    }
    return c.json({ ...(await enforcement.hostsAfter(after, MAX_QUESTIONED)), now: now() }, 200);
  });

  app.openapi(groupRoute, async (c) => {
    const { id, account, region } = c.req.valid('query');
    const question = questionOf({}, defaultWindowDays);
    const { insight } = views.for(c);
    const found = await insight.fresh.group(id, question, { accounts: [account], regions: [region] });
    const group =
      found === null
        ? null
        : { id, verdict: found.verdict, reason: found.reason, start_seen: found.start_seen };
    return c.json({ group, now: now() }, 200);
  });

  app.openapi(callsRoute, async (c) => {
    const { result, since, hosts, scaling_groups: scalingGroups } = c.req.valid('json');
    const sinceMs = Date.parse(since);
    const items =
      result === 'refused'
        ? await enforcement.refusedCalls(sinceMs, { hostIds: hosts, scalingGroups })
        : await enforcement.acceptedCalls(hosts, sinceMs);
    return c.json({ items, now: now() }, 200);
  });

  app.openapi(callerHostsRoute, async (c) => {
    const hosts = await enforcement.hostsOfCaller(c.req.valid('query').offender);
    return c.json({ hosts, now: now() }, 200);
  });

  app.openapi(newHostsRoute, async (c) => {
    const { account, region, since } = c.req.valid('query');
    const found = await enforcement.newHosts({ account, region }, Date.parse(since));
    return c.json({ items: found.map(({ hostId, tags }) => ({ host: hostId, tags })), now: now() }, 200);
  });

  app.openapi(plansRoute, async (c) => {
    const { except, id = null, ...place } = c.req.valid('query');
    const found = await plans.underWayFor({ ...place, id }, except, Date.now());
    return c.json({ plans: found, now: now() }, 200);
  });

  app.openapi(watchedRoute, async (c) => {
    const { hosts, since, until } = c.req.valid('json');
    const span = { sinceMs: Date.parse(since), untilMs: Date.parse(until) };
    const watched = await enforcement.watched(hosts, span);
    const items = [...watched].map(([host, ms]) => ({ host, watched_ms: ms }));
    return c.json({ items, now: now() }, 200);
  });
}
