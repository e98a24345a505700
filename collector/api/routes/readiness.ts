/** Lists hosts with the evidence of their verdicts. `imdswatch readiness` prints the same. */
import { z } from '@hono/zod-openapi';
import { type Host, hostReadiness, type Readiness } from '../../contract/host.ts';
import type { ApiApp } from '../env.ts';
import { formatOf, formatQuery, listContent } from '../export.ts';
import { pageAnswer } from '../list_answer.ts';
import { listRequestOf } from '../list_request.ts';
import { placeOf } from '../paging.ts';
import type { ApiParts } from '../parts.ts';
import { DEFAULT_LIMIT, hostFilterOf, hostQuery, pageQuery, windowQuery } from '../question.ts';
import { route } from '../route.ts';
import { HostReadiness } from '../schemas.ts';

const listRoute = route({
  method: 'get',
  path: '/api/v1/readiness',
  tags: ['findings'],
  summary: 'Hosts with their readiness and its evidence',
  description: 'Not answered from a cache. `/hosts` is the short list.',
  request: {
    query: z.strictObject({ ...windowQuery, ...hostQuery, ...pageQuery, ...formatQuery }),
  },
  responses: {
    200: { description: 'A page of hosts, or all of them.', content: listContent(HostReadiness) },
  },
});

export function readinessRoutes(app: ApiApp, { views, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const question = { window: list.window };
    const filter = hostFilterOf(query);
    const { limit = DEFAULT_LIMIT } = query;
    const { insight } = views.for(c);
    return pageAnswer(c, {
      ...{ format: formatOf(c, query.format), name: 'readiness', schema: hostReadiness, list, log, metrics },
      page: async () => {
        const page = { limit, place: placeOf(list.cursor) };
        const { items, next } = await insight.fresh.readinessPage(question, filter, page);
        return { items: items.map(rowOf), next };
      },
      all: () => allRows(insight.fresh.allReadiness(question, filter)),
    });
  });
}

interface Found {
  host: Host;
  readiness: Readiness;
}

function rowOf({ host, readiness }: Found) {
  return { ...host, readiness };
}

async function* allRows(groups: AsyncIterable<Found[]>) {
  for await (const group of groups) yield group.map(rowOf);
}
