import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Plan, PlanStep } from '../../../../enforce/plan.ts';
import { compare } from '../../../../enforce/state/compare.ts';
import { isUnderWay } from '../../../../enforce/state/intents.ts';
import { reduce } from '../../../../enforce/state/reduce.ts';
import { initialState } from '../../../../enforce/state/step_state.ts';
import { PLAN_STEP_STATES } from '../../../../protocol/plan_report.ts';
import { instanceStep, PLACE, planOf } from '../../../support/enforce/plans.ts';
import { keyOf, SimulatedPlan } from '../../../support/enforce/simulated_plan.ts';

const HISTORIES = 10_000;
/** More steps of a history than any plan here takes when nothing more goes wrong. */
const MAX_STEPS = 3000;

/** Two groups, with a template that one of them follows, and the account's default. */
function planWith(goesLive: boolean, isWaived: boolean): Plan {
  const other = { group: 'asg:db' };
  const template: PlanStep = {
    ...instanceStep(7, { wave: 3, role: 'template' }),
    target: {
      type: 'template',
      ...PLACE,
      template_id: 'lt-1',
      source_version: 6,
      goes_live: goesLive,
      groups: ['asg:web'],
    },
  };
  const goLive: PlanStep = {
    ...instanceStep(8, { wave: 4, role: 'go_live' }),
    target: { type: 'template_default', ...PLACE, template_id: 'lt-1', created_by: 's7' },
  };
  const account: PlanStep = {
    ...instanceStep(9, { wave: 5, role: 'account', group: 'place' }),
    target: { type: 'account_default', ...PLACE },
  };
  const steps = [
    instanceStep(1, { instance: 2, wave: 0, role: 'hop_limit', change: { hop_limit: 2 } }),
    instanceStep(2, { instance: 1, role: 'canary' }),
    instanceStep(3, { instance: 2, wave: 2 }),
    instanceStep(4, { instance: 3, wave: 2 }),
    instanceStep(5, { instance: 4, role: 'canary', ...other }),
    instanceStep(6, { instance: 5, wave: 2, ...other }),
    template,
    ...(goesLive ? [] : [goLive]),
    account,
    // More hosts of one wave than its group's share allows at once.
    ...[10, 11, 12, 13].map((id) => instanceStep(id, { wave: 1, group: 'asg:many' })),
  ];
  return planOf(steps, { no_way_back_reason: isWaived ? 'The account is a sandbox.' : null }, 8);
}

test(`in ${HISTORIES} random histories every step ends well, and no rule is broken on the way`, () => {
  const reached = new Map<string, number>();
  const decisions = fc.array(fc.nat({ max: 999 }), { maxLength: 160, size: 'max' });
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), decisions, (goesLive, isWaived, numbers) => {
      const plan = planWith(goesLive, isWaived);
      const run = new SimulatedPlan(plan, numbers);
      let left = MAX_STEPS;
      while (run.advance() || !run.isExhausted) {
        left -= 1;
        assert.ok(left > 0, 'the plan does not end');
      }
      checkEnd(plan, run);
      for (const status of run.reached) reached.set(status, (reached.get(status) ?? 0) + 1);
    }),
    { numRuns: HISTORIES, seed: 20_260_301 },
  );
  // The histories prove nothing about a status that hardly any of them reaches.
  for (const status of PLAN_STEP_STATES)
    assert.ok((reached.get(status) ?? 0) > 20, `${status}: ${reached.get(status)}`);
});

function checkEnd(plan: Plan, run: SimulatedPlan): void {
  for (const step of plan.steps) {
    const state = run.state.steps[step.id]!;
    assert.ok(!isUnderWay(state), `${step.id} stays ${state.status}`);
    if (state.isWritten) {
      assert.ok(['confirmed', 'held'].includes(state.status), `${step.id} is changed and ${state.status}`);
    }
    if (run.disturbed.has(keyOf(step.target)) || state.before === null || state.after === null) continue;
    const current = run.world.get(keyOf(step.target))!;
    const { result } = compare(step, state.before, state.after, current);
    switch (state.status) {
      case 'confirmed':
        assert.ok(result === 'after', `${step.id} is confirmed and not in force`);
        break;
      case 'rolled_back':
      case 'failed':
      case 'refused':
      case 'planned':
      case 'waiting':
      case 'checked': {
        const isUnused = step.target.type === 'template' && !step.target.goes_live;
        assert.ok(isUnused || result === 'before', `${step.id} is ${state.status} and in force`);
        break;
      }
      default:
    }
  }
}

test('a journal that is read again gives the same state, wherever the runner was killed', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 999 }), { maxLength: 100, size: 'max' }), fc.nat(), (numbers, at) => {
      const plan = planWith(false, false);
      const run = new SimulatedPlan(plan, numbers);
      while (run.advance() || !run.isExhausted);
      const cut = at % (run.events.length + 1);
      const fold = (events: typeof run.events, from = initialState(plan)) =>
        events.reduce((state, event) => reduce(plan, state, event), from);
      assert.deepEqual(fold(run.events), run.state);
      assert.deepEqual(fold(run.events.slice(cut), fold(run.events.slice(0, cut))), run.state);
    }),
    { numRuns: 300, seed: 20_260_302 },
  );
});
