import { z } from '@hono/zod-openapi';
import { offender as offenderShape, severity } from '../../contract/offender.ts';
import type { ApiApp } from '../env.ts';
import { asOf, formatOf, formatQuery, listContent } from '../export.ts';
import { listAnswer } from '../list_answer.ts';
import { listRequestOf, listSource } from '../list_request.ts';
import {
  type OffenderFilter,
  offenderFilterQuery,
  offenderSorts,
  selectOffenders,
} from '../offender_list.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { hostFilterOf, hostQuery, pageQuery, questionOf, windowQuery, workloadId } from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { Offender, OffenderDetail } from '../schemas.ts';

const AS_OF = asOf.describe(
  'When the calls were added up. Everything that was stored before counts. Triage is always that of now.',
);
const listRoute = route({
  method: 'get',
  path: '/api/v1/offenders',
  tags: ['findings'],
  summary: 'Workloads that called, worst first',
  description: `Without \`severity\`, workloads of severity \`none\` are left out: they use IMDSv2 only. Severities: ${severity.options.join(', ')}.`,
  request: {
    query: z.strictObject({
      ...windowQuery,
      ...hostQuery,
      ...offenderFilterQuery,
      sort: z
        .enum(offenderSorts)
        .optional()
        .describe(
          'Sort key. A leading `-` reverses the order. Default: worst first. `priority`: credentials first, then by the number of hosts that one fix would free.',
        ),
      ...pageQuery,
      ...formatQuery,
    }),
  },
  responses: {
    200: {
      description: 'A page of workloads, or all of them.',
      content: listContent(Offender, { as_of: AS_OF }),
    },
  },
});

const oneRoute = route({
  method: 'get',
  path: '/api/v1/offenders/{id}',
  tags: ['findings'],
  summary: 'One workload: processes, hosts, paths, timeline, advice',
  request: {
    params: z.object({ id: workloadId }),
    query: z.strictObject(windowQuery),
  },
  responses: { 200: jsonAnswer(OffenderDetail, 'The workload.') },
});

export function offenderRoutes(app: ApiApp, { views, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const format = formatOf(c, query.format);
    const { insight } = views.for(c);
    const { source, window } = listSource(insight, { query, list, format, defaultWindowDays });
    const all = await source.offenders({ window }, hostFilterOf(query));
    const items = selectOffenders(all, query satisfies OffenderFilter);
    const { limit } = query;
    return listAnswer(c, {
      format,
      name: 'offenders',
      schema: offenderShape,
      items,
      list,
      limit,
      asOfUs: insight.asOfUs(all),
      log,
      metrics,
    });
  });

  app.openapi(oneRoute, async (c) => {
    const { id } = c.req.valid('param');
    const question = questionOf(c.req.valid('query'), defaultWindowDays);
    const found = await views.for(c).insight.offender(id, question);
    if (found === null)
      throw new Problem(
        404,
        `There is no workload ${id}. It never called, or retention has deleted its calls.`,
      );
    return c.json(found, 200);
  });
}
