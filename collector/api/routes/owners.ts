import { z } from '@hono/zod-openapi';
import { OperatorError } from '../../../common/operator_error.ts';
import { ownerSummary } from '../../contract/owner.ts';
import { ownerSummaries } from '../../insight/owner_summaries.ts';
import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import { asOf, formatOf, formatQuery, listContent } from '../export.ts';
import { listAnswer } from '../list_answer.ts';
import { listRequestOf, listSource } from '../list_request.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import { hostFilterOf, hostQuery, pageQuery, windowQuery, workloadId } from '../question.ts';
import { jsonAnswer, jsonBody, problemAnswer, route } from '../route.ts';
import { OwnerExplanation, OwnerRules, OwnerRulesChange, OwnerSummary } from '../schemas.ts';

const listRoute = route({
  method: 'get',
  path: '/api/v1/owners',
  tags: ['findings'],
  summary: 'Workloads that call IMDSv1, added up by owner',
  description:
    'The owner with most workloads comes first, and the workloads without an owner last. `/api/v1/offenders?owner=OWNER` lists them.',
  request: {
    query: z.strictObject({ ...windowQuery, ...hostQuery, ...pageQuery, ...formatQuery }),
  },
  responses: {
    200: {
      description: 'A page of owners, or all of them.',
      content: listContent(OwnerSummary, {
        as_of: asOf.describe(
          'When the calls were added up. Everything that was stored before counts. Owners are always those of now.',
        ),
      }),
    },
  },
});

const rulesRoute = route({
  method: 'get',
  path: '/api/v1/owner-rules',
  tags: ['administration'],
  summary: 'Rules that name the owners of workloads',
  responses: { 200: jsonAnswer(OwnerRules, 'The rules in the order in which they are asked.') },
});

const changeRoute = route({
  method: 'put',
  path: '/api/v1/owner-rules',
  tags: ['administration'],
  summary: 'Replace the rules that admins set',
  description:
    'Every collector of the store follows within some seconds. Rules of the setting `owner_rules` stay, behind these. A rule is `namespace:PATTERN=OWNER`, and so for `unit`, `image`, `path` (script or executable) and `account`; `tag:KEY`, whose value is the owner; `tag:KEY=OWNER`; or `tag:KEY:PATTERN=OWNER`. A `*` stands for any text.',
  request: { body: jsonBody(OwnerRulesChange) },
  responses: {
    200: jsonAnswer(OwnerRules, 'The rules as they are now.'),
    409: problemAnswer('Somebody has changed the rules since the version that the request names.'),
  },
});

const explainRoute = route({
  method: 'get',
  path: '/api/v1/owner-rules/explanations/{id}',
  tags: ['administration'],
  summary: 'The owner of one workload, and the rule that names it',
  request: { params: z.object({ id: workloadId }) },
  responses: { 200: jsonAnswer(OwnerExplanation, 'The owner, the rule, and what rules look at.') },
});

export function ownerRoutes(
  app: ApiApp,
  { views, deciding, owners, defaultWindowDays, log, metrics }: ApiParts,
): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const format = formatOf(c, query.format);
    const { insight } = views.for(c);
    const { source, window } = listSource(insight, { query, list, format, defaultWindowDays });
    const all = await source.offenders({ window }, hostFilterOf(query));
    return listAnswer(c, {
      format,
      name: 'owners',
      schema: ownerSummary,
      items: ownerSummaries(all),
      list,
      limit: query.limit,
      asOfUs: insight.asOfUs(all),
      log,
      metrics,
    });
  });

  app.openapi(rulesRoute, async (c) => {
    await owners.look();
    return c.json(owners.rules(), 200);
  });

  app.openapi(changeRoute, async (c) => {
    try {
      return c.json(await owners.change(c.req.valid('json'), actorOf(c)), 200);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      if (error.exitCode === 1) throw new Problem(409, error.message);
      throw badField('body', 'rules', error.message);
    }
  });

  app.openapi(explainRoute, async (c) => {
    const { id } = c.req.valid('param');
    const found = await deciding.explainOwner(id);
    if (found === null) {
      throw new Problem(
        404,
        `There is no workload ${id}. It never called, or retention has deleted its calls.`,
      );
    }
    return c.json(found, 200);
  });
}
