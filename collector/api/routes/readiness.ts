/** Lists hosts with the evidence of their verdicts. `imdswatch readiness` prints the same. */
import { z } from '@hono/zod-openapi';
import { hostReadiness } from '../../contract/host.ts';
import type { ApiApp } from '../env.ts';
import { formatOf, formatQuery, listContent } from '../export.ts';
import { listAnswer } from '../list_answer.ts';
import { listRequestOf } from '../list_request.ts';
import type { ApiParts } from '../parts.ts';
import { hostFilterOf, hostQuery, pageQuery, windowQuery } from '../question.ts';
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

export function readinessRoutes(app: ApiApp, { insight, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const found = await insight.fresh.readiness({ window: list.window }, hostFilterOf(query));
    const items = found.map(({ host, readiness }) => ({ ...host, readiness }));
    const format = formatOf(c, query.format);
    const { limit } = query;
    return listAnswer(c, {
      ...{ format, name: 'readiness', schema: hostReadiness, items, list, limit, log, metrics },
    });
  });
}
