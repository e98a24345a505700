import { z } from '@hono/zod-openapi';
import { OperatorError } from '../../../common/operator_error.ts';
import {
  planId,
  planPhase,
  planReportAnswer,
  planStepState,
  type PlanReport as Report,
} from '../../../protocol/plan_report.ts';
import type { StepPlace, StepQuestion } from '../../admin/plans.ts';
import type { ReportResult } from '../../admin/reported_plan.ts';
import { plan as planShape, type PlanStep as Step, planStep as stepShape } from '../../contract/plan.ts';
import { actorOf } from '../actor.ts';
import { cutRow } from '../cut_row.ts';
import type { ApiApp } from '../env.ts';
import { exportAnswer, formatOf, formatQuery, listContent } from '../export.ts';
import { listAnswer } from '../list_answer.ts';
import { listRequestOf } from '../list_request.ts';
import { queryHash } from '../paging.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import { DEFAULT_LIMIT, pageQuery, repeatable, shortText } from '../question.ts';
import { jsonAnswer, jsonBody, problemAnswer, route } from '../route.ts';
import { Plan, PlanDetail, PlanReport, PlanStep } from '../schemas.ts';

const PATH = '/api/v1/plans';
const params = z.object({ id: planId });
/** Changes of steps that one entry of the audit log names. */
const AUDITED_CHANGES = 20;
const EXPORTED_AT_ONCE = 1000;

const listRoute = route({
  method: 'get',
  path: PATH,
  tags: ['findings'],
  summary: 'Plans of `imdswatch enforce`, newest first',
  description: 'A plan is as its process has reported it. The process runs on the machine of the operator.',
  request: {
    query: z.strictObject({
      phase: repeatable(planPhase).describe('Phases.'),
      ...pageQuery,
      ...formatQuery,
    }),
  },
  responses: { 200: { description: 'A page of plans, or all of them.', content: listContent(Plan) } },
});

const oneRoute = route({
  method: 'get',
  path: `${PATH}/{id}`,
  tags: ['findings'],
  summary: 'One plan: its waves, and the refused calls that rolled steps back',
  request: { params },
  responses: { 200: jsonAnswer(PlanDetail, 'The plan.') },
});

const stepsRoute = route({
  method: 'get',
  path: `${PATH}/{id}/steps`,
  tags: ['findings'],
  summary: 'The steps of a plan, by wave and group',
  request: {
    params,
    query: z.strictObject({
      state: repeatable(planStepState).describe('States.'),
      group: shortText.optional().describe('Only the steps of this group.'),
      wave: z.coerce.number<string>().int().min(0).optional().describe('Only the steps of this wave.'),
      ...pageQuery,
      ...formatQuery,
    }),
  },
  responses: { 200: { description: 'A page of steps, or all of them.', content: listContent(PlanStep) } },
});

const reportRoute = route({
  method: 'post',
  path: `${PATH}/{id}`,
  tags: ['enforcement'],
  summary: 'Report the progress of a plan',
  description:
    'The process that carries the plan out sends it. Steps that are not in the body stay as they are. A report that is older than what is known is refused.',
  request: { params, body: jsonBody(PlanReport) },
  responses: {
    200: jsonAnswer(
      planReportAnswer,
      'The report is stored. `steps`: how many of its steps are known. `sequence_before`: the sequence that was known before, null for a new plan.',
    ),
    409: problemAnswer('The report is out of date, does not fit the plan, or there is no room for it.'),
  },
});

export function planRoutes(app: ApiApp, { plans, access, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    // Plans are few and belong to no window, so that of the cursor is any.
    const list = listRequestOf(c.req.path, query, 1);
    const format = formatOf(c, query.format);
    const all = await plans.all();
    const items = all.filter(({ phase }) => query.phase === undefined || query.phase.includes(phase));
    const { limit } = query;
    return listAnswer(c, { format, name: 'plans', schema: planShape, items, list, limit, log, metrics });
  });

  app.openapi(oneRoute, async (c) => {
    const { id } = c.req.valid('param');
    const found = await plans.one(id);
    if (found === null) throw unknown(id);
    return c.json(found, 200);
  });

  app.openapi(stepsRoute, async (c) => {
    const { id } = c.req.valid('param');
    const { cursor, limit = DEFAULT_LIMIT, format: wanted, ...query } = c.req.valid('query');
    if ((await plans.one(id)) === null) throw unknown(id);
    const hash = queryHash(c.req.path, query);
    const question: Omit<StepQuestion, 'after' | 'limit'> = {
      states: query.state ?? null,
      group: query.group ?? null,
      wave: query.wave ?? null,
    };
    const format = formatOf(c, wanted);
    if (format !== 'json') {
      const items = everyStep((after) => plans.steps(id, { ...question, after, limit: EXPORTED_AT_ONCE }));
      return exportAnswer(c, { format, name: `plan-${id}`, schema: stepShape, items, log, metrics });
    }
    const after = cursor === undefined ? null : placeOf(cursor, hash);
    // One step more than asked for shows if there is a next page.
    const found = await plans.steps(id, { ...question, after, limit: limit + 1 });
    const items = found.slice(0, limit);
    const next = found.length > limit ? cursorOf(items.at(-1)!, hash) : null;
    return c.json({ items: items.map(cutRow), next }, 200, { Vary: 'Accept' });
  });

  app.openapi(reportRoute, async (c) => {
    const { id } = c.req.valid('param');
    const { name: actor, sourceAddress: source_address } = actorOf(c);
    const result = await reported(() => plans.report(id, c.req.valid('json'), actor, Date.now()));
    const detail = auditDetail(result, c.req.valid('json'));
    if (detail !== null)
      await access.audit({ actor, action: 'plan.report', subject: id, detail, source_address });
    return c.json({ steps: result.steps, sequence_before: result.sequence_before }, 200);
  });
}

/** Reports of a process that is only alive are in no log. */
function auditDetail({ phase, changes }: ReportResult, report: Report): string | null {
  const parts = [
    ...(phase === null ? [] : [phase.before === null ? `${report.step_count} steps` : phase.after]),
    ...changes
      .filter(({ before, after }) => before !== null || after !== 'planned')
      .map(({ step, after }) => `${step} ${after}`),
  ];
  const more = parts.length - AUDITED_CHANGES;
  const named = parts.slice(0, AUDITED_CHANGES).join(', ');
  return parts.length === 0 ? null : `${named}${more > 0 ? ` and ${more} more` : ''}`;
}

async function reported<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OperatorError) throw new Problem(409, error.message);
    throw error;
  }
}

async function* everyStep(pageAfter: (after: StepPlace | null) => Promise<Step[]>): AsyncGenerator<Step[]> {
  let after: StepPlace | null = null;
  for (;;) {
    const page: Step[] = await pageAfter(after);
    if (page.length === 0) return;
    yield page;
    after = page.at(-1)!;
  }
}

const cursorShape = z.tuple([z.string(), z.int(), z.string(), z.int()]);

function cursorOf({ wave, group, position }: StepPlace, of: string): string {
  return Buffer.from(JSON.stringify([of, wave, group, position])).toString('base64url');
}

function placeOf(cursor: string, hash: string): StepPlace {
  try {
    const [of, wave, group, position] = cursorShape.parse(
      JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')),
    );
    if (of === hash) return { wave, group, position };
  } catch {
    // The answer is the same as for the cursor of another query.
  }
  throw badField('query', 'cursor', 'is not a cursor of this query');
}

function unknown(id: string): Problem {
  return new Problem(
    404,
    `No process has reported a plan ${id} to this collector, or it was deleted to make room. "imdswatch enforce show" lists the plans of a machine.`,
  );
}
