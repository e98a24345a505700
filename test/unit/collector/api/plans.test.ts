/** Tests the routes of plans: reports over HTTP, their audit, pages of steps, and exports. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AuditEntry } from '../../../../collector/contract/administration.ts';
import type { PlanStep } from '../../../../collector/contract/plan.ts';
import type { PlanReport } from '../../../../protocol/plan_report.ts';
import { MAX_REASON_CHARACTERS } from '../../../../protocol/plan_report.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { planReport, stepReport } from '../../../support/enforce/reports.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

const post = (id: string, json: PlanReport | object) =>
  api.ask(`/api/v1/plans/${id}`, { as: 'admin', method: 'POST', json });
const get = async <T>(path: string) => (await (await api.ask(path)).json()) as T;

async function audited(subject: string): Promise<(string | null)[]> {
  const answer = await api.ask('/api/v1/audit?limit=100', { as: 'admin' });
  const { items } = (await answer.json()) as { items: AuditEntry[] };
  return items
    .filter((entry) => entry.action === 'plan.report' && entry.subject === subject && entry.actor === 'ada')
    .map(({ detail }) => detail)
    .reverse();
}

test('a report over HTTP is stored and audited, but not where nothing has changed', async () => {
  const id = 'p-000000000001';
  const steps = [1, 2].map((number) => stepReport(number));
  assert.deepEqual(await (await post(id, planReport(steps))).json(), {
    steps: 2,
    sequence_before: null,
  });
  await post(id, planReport([]));
  const sent = stepReport(2, { state: 'sent', since: '2026-03-01T00:05:00.000Z' });
  await post(id, planReport([sent], { step_count: 2, sequence: 2, phase: 'paused', phase_reason: 'lunch' }));
  assert.deepEqual(await audited(id), ['2 steps', 'paused, s2 sent']);
  const { detail } = await problemOf(await post(id, planReport([], { step_count: 2, sequence: 1 })), 409);
  assert.match(detail, /covers 1 events .*, and 2 are known already/);
  await problemOf(await post('p-1', planReport([])), 400);
  await problemOf(await post(id, { ...planReport([]), phase: 'perhaps' }), 400);
  await problemOf(await api.ask('/api/v1/plans/p-ffffffffffff'), 404);
  await problemOf(await api.ask('/api/v1/plans/p-ffffffffffff/steps'), 404);
});

test('the longest report fits into a body', async () => {
  const long = '\u{1f4a5}'.repeat(MAX_REASON_CHARACTERS / 2);
  const steps = Array.from({ length: 100 }, (_, index) =>
    stepReport(index + 1, {
      reason: long,
      group: '\u00e9'.repeat(300),
      refusal: {
        host: 'h'.repeat(200),
        caller_id: 'c'.repeat(200),
        caller: long,
        at: '2026-03-01T00:05:00.000Z',
      },
    }),
  );
  assert.equal((await post('p-000000000002', planReport(steps))).status, 200);
  await problemOf(await post('p-000000000003', planReport([...steps, stepReport(101)])), 400);
});

test('steps come page by page, filtered by state, group and wave; exports have all of them', async () => {
  const id = 'p-000000000004';
  const steps = Array.from({ length: 5 }, (_, index) =>
    stepReport(index + 1, { state: index === 3 ? 'held' : 'planned' }),
  );
  await post(id, planReport(steps));
  const names: string[] = [];
  let cursor: string | null = null;
  do {
    const query: string = `?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`;
    const page: { items: PlanStep[]; next: string | null } = await get(`/api/v1/plans/${id}/steps${query}`);
    names.push(...page.items.map((step) => step.id));
    cursor = page.next;
    if (cursor !== null)
      await problemOf(await api.ask(`/api/v1/plans/${id}/steps?state=held&cursor=${cursor}`), 400);
  } while (cursor !== null);
  assert.deepEqual(names, ['s1', 's2', 's3', 's4', 's5']);
  const held = await get<{ items: PlanStep[] }>(`/api/v1/plans/${id}/steps?state=held&group=asg:web&wave=2`);
  assert.deepEqual(
    held.items.map((step) => step.id),
    ['s4'],
  );

  const csv = await (await api.ask(`/api/v1/plans/${id}/steps?format=csv`)).text();
  const [head, ...lines] = csv.trimEnd().split('\r\n');
  assert.match(head!, /^id,position,.*state.*target\.id/);
  assert.equal(lines.length, 5);
  const plans = (await (await api.ask('/api/v1/plans?format=ndjson&phase=running')).text())
    .trimEnd()
    .split('\n');
  assert.ok(plans.some((line) => (JSON.parse(line) as { id: string }).id === id));
});
