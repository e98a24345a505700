import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextActionText } from '../../../../enforce/state/next_step.ts';
import { initialState, type PlanState, type StepState } from '../../../../enforce/state/step_state.ts';
import { instanceStep, planOf } from '../../../support/enforce/plans.ts';

const PLAN = planOf([
  instanceStep(1, { role: 'canary' }),
  instanceStep(2, { wave: 2 }),
  instanceStep(3, { role: 'canary', group: 'asg:db' }),
]);

function begun(steps: Record<string, Partial<StepState>>): PlanState {
  const state = initialState(PLAN);
  const changed = Object.entries(state.steps).map(([id, each]) => [id, { ...each, ...steps[id] }] as const);
  return { ...state, phase: 'paused', steps: Object.fromEntries(changed) };
}

describe('what to do next about a plan', () => {
  it('that was made is to check it, then to begin it', () => {
    const text = nextActionText(PLAN, initialState(PLAN))!;
    assert.match(text, /enforce check p-0123456789ab".*enforce apply p-0123456789ab --yes"/);
  });

  it('that has open steps is to resume it', () => {
    const text = nextActionText(PLAN, begun({ s1: { status: 'soaking' } }));
    assert.equal(text, 'To go on: imdswatch enforce resume p-0123456789ab');
  });

  it('that has rolled a group back is a new plan for that group, and to resume for the others', () => {
    const rolledBack = nextActionText(PLAN, begun({ s1: { status: 'rolled_back' } }))!;
    assert.match(
      rolledBack,
      /^To go on: imdswatch enforce resume .*\n1 step has ended without being confirmed\./,
    );
    assert.match(rolledBack, /goes no further in its group\. Remove the reason, then make a new plan\.$/);
    // The second wave of the group is never reached, so nothing is left to resume.
    const ended = begun({ s1: { status: 'rolled_back' }, s3: { status: 'confirmed' } });
    assert.doesNotMatch(nextActionText(PLAN, ended)!, /resume/);
  });

  it('whose roll-back has failed is to order it again', () => {
    const state = begun({ s1: { status: 'held', isStuck: true }, s3: { status: 'refused' } });
    assert.match(
      nextActionText(PLAN, state)!,
      /2 steps have .* still required there\. Try it again: imdswatch enforce rollback p-/,
    );
  });

  it('is nothing where all steps are confirmed', () => {
    const done = { status: 'confirmed' } as const;
    assert.equal(nextActionText(PLAN, begun({ s1: done, s2: done, s3: { status: 'skipped' } })), null);
  });
});
