import { z } from '@hono/zod-openapi';
import { OperatorError } from '../../../common/operator_error.ts';
import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { questionOf, workloadId } from '../question.ts';
import { jsonAnswer, jsonBody, route } from '../route.ts';
import { Triage, TriageChange } from '../schemas.ts';

const changeRoute = route({
  method: 'patch',
  path: '/api/v1/offenders/{id}/triage',
  tags: ['administration'],
  summary: 'Change the triage of a workload: state, owner, ticket, notes',
  description:
    'Fields that are left out stay. The state belongs to the workload with all its releases. `fixed` ends by itself when the workload calls IMDSv1 again, and `exception` at its date. No state changes a verdict.',
  request: {
    params: z.object({ id: workloadId }),
    body: jsonBody(TriageChange),
  },
  responses: { 200: jsonAnswer(Triage, 'The triage as it is now.') },
});

export function triageRoutes(app: ApiApp, { views, deciding, triage, defaultWindowDays }: ApiParts): void {
  app.openapi(changeRoute, async (c) => {
    const { id } = c.req.valid('param');
    const question = questionOf({}, defaultWindowDays);
    const found = await deciding.offender(id, question);
    if (found === null) throw unknown(id);
    const records = await deciding.triageRecords(found.id);
    try {
      await triage.change(
        { workload: found.id, title: found.title, joined: records.filter((each) => each !== found.id) },
        c.req.valid('json'),
        actorOf(c),
        Date.now(),
      );
    } catch (error) {
      if (error instanceof OperatorError) throw new Problem(400, error.message);
      throw error;
    }
    views.forget();
    const changed = await deciding.offender(found.id, questionOf({}, defaultWindowDays));
    if (changed === null) throw unknown(id);
    return c.json(changed.triage, 200);
  });
}

function unknown(id: string): Problem {
  return new Problem(404, `There is no workload ${id}. It never called, or retention has deleted its calls.`);
}
