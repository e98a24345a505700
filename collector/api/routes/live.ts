import { z } from '@hono/zod-openapi';
import { principalOfRequest } from '../authorization.ts';
import type { ApiApp } from '../env.ts';
import {
  type LiveFilter,
  MAX_WATCHERS_OF_PERSON,
  type Refusal,
  type WatcherConnection,
} from '../live_feed.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { route } from '../route.ts';
import { type CallQuery, callQuery, versionOf } from './calls.ts';

const EVENT_STREAM = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  // Proxies that collect an answer before they pass it on would hold the feed back.
  'X-Accel-Buffering': 'no',
};

const REFUSALS: Record<Refusal, string> = {
  person: `You watch the live feed ${MAX_WATCHERS_OF_PERSON} times already. Close one of them.`,
  address: 'Too many live feeds go to this address already.',
  all: 'Too many people watch the live feed already.',
};

const liveRoute = route({
  method: 'get',
  path: '/api/v1/live',
  tags: ['calls'],
  summary: 'Calls as they are stored, as server-sent events',
  description:
    'Event `call`: its data is one call as in the list of calls. Event `left_out`: its data is `{"calls": n}`, how many were not sent because they came faster than 500 a second or than they were read. A comment comes every 15 s.',
  request: { query: z.strictObject(callQuery) },
  responses: {
    200: { description: 'The feed.', content: { 'text/event-stream': { schema: z.string() } } },
  },
});

export function liveRoutes(app: ApiApp, { live, access }: ApiParts): void {
  app.openapi(liveRoute, (c) => {
    const filter = liveFilterOf(c.req.valid('query'));
    // Nobody would ever read, or end, the stream of a HEAD request.
    if (c.env.incoming.method === 'HEAD') return c.body(null, 200, EVENT_STREAM);
    const { incoming, outgoing } = c.env;
    const principal = c.get('principal')!;
    const connection: WatcherConnection = {
      person: principal.tokenId ?? `${principal.via} ${principal.name}`,
      address: c.get('address'),
      mayStay: () => principalOfRequest(access, incoming) !== null,
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

function liveFilterOf(query: CallQuery): LiveFilter {
  return {
    hosts: query.host ?? null,
    offenders: query.offender ?? null,
    version: versionOf(query.version),
    categories: query.category ?? null,
    outcomes: query.outcome ?? null,
    path: query.path ?? null,
  };
}
