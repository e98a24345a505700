import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { hostFilterOf, hostQuery, questionOf, windowQuery } from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { BurnDown, FixFirst } from '../schemas.ts';

const DEFAULT_FIXES = 10;
const MAX_FIXES = 100;

const fixFirstRoute = route({
  method: 'get',
  path: '/api/v1/fix-first',
  tags: ['findings'],
  summary: 'The few workloads whose fix frees the most hosts',
  description:
    'A host is free when every workload that calls IMDSv1 there is fixed. The hosts are those whose verdict is `blocked` or `fallback`. Workloads that are marked as fixed count as fixed. Workloads with an exception, and callers whose program is not known, are not listed, and their hosts are not freed.',
  request: {
    query: z.strictObject({
      ...windowQuery,
      ...hostQuery,
      limit: z.coerce
        .number<string>()
        .int()
        .min(1)
        .max(MAX_FIXES)
        .optional()
        .describe(`Largest number of workloads. Default: ${DEFAULT_FIXES}.`),
    }),
  },
  responses: { 200: jsonAnswer(FixFirst, 'Workloads in the order in which to fix them.') },
});

const burnDownRoute = route({
  method: 'get',
  path: '/api/v1/burn-down',
  tags: ['findings'],
  summary: 'Held hosts and offenders by day, with a forecast',
  description:
    'The forecast is a straight line through whole weeks that do not overlap. It has the span in which the line reaches zero with a probability of 80 %, or the reason why there is none.',
  request: { query: z.strictObject({ ...windowQuery, ...hostQuery }) },
  responses: { 200: jsonAnswer(BurnDown, 'Numbers by day and by week.') },
});

export function progressRoutes(app: ApiApp, { views, defaultWindowDays }: ApiParts): void {
  app.openapi(fixFirstRoute, async (c) => {
    const query = c.req.valid('query');
    const question = questionOf(query, defaultWindowDays);
    const { insight } = views.for(c);
    return c.json(await insight.fixFirst(question, hostFilterOf(query), query.limit ?? DEFAULT_FIXES), 200);
  });

  app.openapi(burnDownRoute, async (c) => {
    const query = c.req.valid('query');
    const { insight } = views.for(c);
    return c.json(await insight.burnDown(questionOf(query, defaultWindowDays), hostFilterOf(query)), 200);
  });
}
