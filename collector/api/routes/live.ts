import { z } from '@hono/zod-openapi';
import type { Sight } from '../../contract/host_scope.ts';
import { MAX_WATCHERS_OF_PERSON, type Refusal } from '../../live/live_feed.ts';
import type { LiveFilter } from '../../live/live_filter.ts';
import type { WatcherConnection } from '../../live/watcher.ts';
import { principalOfRequest } from '../authorization.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { route } from '../route.ts';
import { type CallQuery, callQuery, versionOf } from './calls.ts';

const EVENT_STREAM = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  // A proxy that buffers answers would delay the feed.
  'X-Accel-Buffering': 'no',
};

const REFUSALS: Record<Refusal, string> = {
  person: `You have ${MAX_WATCHERS_OF_PERSON} live feeds open, which is the limit. Close one of them.`,
  address: 'This address has too many live feeds open. Close one of them, or try again later.',
  all: 'Too many live feeds are open. Try again later.',
};

const liveRoute = route({
  method: 'get',
  path: '/api/v1/live',
  tags: ['calls'],
  summary: 'Live calls as server-sent events, sent when they are stored',
  description:
    'The data of an event `call` is one call, as in the list of calls. The data of an event `left_out` is `{"calls": n}`, the number of calls that were not sent because there were more than 500 a second, or more than the client read. With `topic=plans` the data of an event `plan` is `{"id", "phase", "reported"}` of a plan that was reported just now. Where collectors share a database, the data of an event `others` is `{"state", "reason"}`: with `joined` the feed has the calls of all collectors, with `joining` it will have them in a second or two, and with `lost` those of other collectors may be missing, for the reason. Each collector sends at most 500 calls a second to the others. A comment is sent every 15 s.',
  request: {
    query: z.strictObject({
      topic: z
        .enum(['calls', 'plans'])
        .default('calls')
        .describe('`plans`: events `plan` instead of calls. The other parameters are about calls.'),
      ...callQuery,
    }),
  },
  responses: {
    200: { description: 'The feed.', content: { 'text/event-stream': { schema: z.string() } } },
  },
});

export function liveRoutes(app: ApiApp, { live, access }: ApiParts): void {
  app.openapi(liveRoute, (c) => {
    const { topic, ...query } = c.req.valid('query');
    const principal = c.get('principal')!;
    if (topic === 'plans' && principal.scope !== null) throw new Problem(403, PLANS_OF_FLEET);
    const filter = topic === 'plans' ? topic : liveFilterOf(query, principal.scope);
    // The stream of a HEAD request would never be read or ended.
    if (c.env.incoming.method === 'HEAD') return c.body(null, 200, EVENT_STREAM);
    const { incoming, outgoing } = c.env;
    const connection: WatcherConnection = {
      person: principal.tokenId ?? `${principal.via} ${principal.name}`,
      address: c.get('address'),
      mayStay: async () => (await principalOfRequest(access, incoming)) !== null,
      cut: () => outgoing.destroy(),
    };
    const refusal = live.refusalOf(connection);
    const stream = live.watch(filter, connection);
    if (stream === null) {
      throw new Problem(refusal === 'all' ? 503 : 429, REFUSALS[refusal ?? 'all'], {
        headers: { 'Retry-After': '30' },
      });
    }
    return c.body(stream, 200, EVENT_STREAM);
  });
}

const PLANS_OF_FLEET =
  'A plan can change hosts of the whole fleet. Your role shows the hosts of a scope only. Ask an admin for a role without a scope.';

function liveFilterOf(query: CallQuery, scope: Sight): LiveFilter {
  return {
    hosts: query.host ?? null,
    offenders: query.offender ?? null,
    version: versionOf(query.version),
    categories: query.category ?? null,
    outcomes: query.outcome ?? null,
    path: query.path ?? null,
    scope,
  };
}
