import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { hostFilterOf, hostQuery, questionOf, windowQuery } from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { Overview } from '../schemas.ts';

const overviewRoute = route({
  method: 'get',
  path: '/api/v1/overview',
  tags: ['findings'],
  summary: 'Hosts by readiness, calls over time, and silent hosts',
  request: { query: z.strictObject({ ...windowQuery, ...hostQuery }) },
  responses: { 200: jsonAnswer(Overview, 'Overview of all hosts.') },
});

export function overviewRoutes(app: ApiApp, { views, defaultWindowDays }: ApiParts): void {
  app.openapi(overviewRoute, async (c) => {
    const query = c.req.valid('query');
    const question = questionOf(query, defaultWindowDays);
    return c.json(await views.for(c).insight.overview(question, hostFilterOf(query)), 200);
  });
}
