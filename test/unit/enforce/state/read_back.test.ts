/** A roll-back that AWS has accepted is read soon, and not too often. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Plan } from '../../../../enforce/plan.ts';
import type { NewEvent, PlanEvent } from '../../../../enforce/state/events.ts';
import { agendaOf } from '../../../../enforce/state/intents.ts';
import { reduce } from '../../../../enforce/state/reduce.ts';
import { initialState, type PlanState } from '../../../../enforce/state/step_state.ts';
import { instanceStep, instanceValues, planOf } from '../../../support/enforce/plans.ts';

const before = instanceValues();
const after = instanceValues({ http_tokens: 'required' });
const PLAN: Plan = planOf([instanceStep(1)]);
const ACCEPTED_MS = 100_000;

function apply(state: PlanState, at: number, event: NewEvent): PlanState {
  return reduce(PLAN, state, { ...event, at } as PlanEvent);
}

/** Returns the state right after AWS has accepted the recorded value. */
function accepted(): PlanState {
  const step = 's1';
  const events: NewEvent[] = [
    { type: 'begun', by: 'tester' },
    { type: 'judged', step, result: 'pass', findings: [], before, after, way_back: 'proven' },
    { type: 'sending', step },
    { type: 'answered', step, outcome: 'accepted', message: '', after: null },
    { type: 'rollback_ordered', by: 'tester', reason: 'because', steps: [step] },
    { type: 'read', step, current: after, is_pending: false },
    { type: 'restoring', step },
    { type: 'restored', step, outcome: 'accepted', message: '' },
  ];
  const state = events.reduce((each, event) => apply(each, ACCEPTED_MS, event), initialState(PLAN));
  assert.equal(state.steps['s1']!.restore, 'reading');
  return state;
}

/** Answers every read that falls due, and returns the times since the acceptance at which there was one. */
function readsUntilStuck(answer: NewEvent): { times: number[]; last: PlanState } {
  const times: number[] = [];
  let last = accepted();
  while (last.steps['s1']!.status === 'rolling_back') {
    const at = Math.max(last.steps['s1']!.dueMs, ACCEPTED_MS);
    assert.deepEqual(
      agendaOf(PLAN, last, at).due.map((intent) => intent.do),
      ['read'],
    );
    times.push(at - ACCEPTED_MS);
    last = apply(last, at, answer);
  }
  return { times, last };
}

describe('a roll-back that was accepted', () => {
  it('is read at once, then after 250 ms, and every read later waits longer, up to 30 s', () => {
    const { times, last } = readsUntilStuck({ type: 'read', step: 's1', current: before, is_pending: true });
    const waits = times.slice(1).map((at, index) => at - times[index]!);
    assert.deepEqual(times.slice(0, 4), [0, 250, 625, 1188]);
    assert.ok(
      waits.every((ms, index) => ms >= (waits[index - 1] ?? 0) && ms <= 30_000),
      waits.join(),
    );
    // The cloud's limit of calls is for a whole account, so five minutes of waiting must stay cheap.
    assert.ok(times.length <= 25, `${times.length} reads`);
    assert.match(last.steps['s1']!.reason!, /not in force after five minutes/);
  });

  it('is read no sooner than after 2 s where the read before has failed', () => {
    let state = accepted();
    for (let failures = 0; state.steps['s1']!.status === 'rolling_back'; failures += 1) {
      const at = state.steps['s1']!.dueMs;
      state = apply(state, at, { type: 'read_failed', step: 's1', message: 'RequestLimitExceeded' });
      const own = state.steps['s1']!;
      if (own.status === 'rolling_back') assert.ok(own.dueMs - at >= 2000, `failure ${failures}`);
    }
    assert.match(state.steps['s1']!.reason!, /cannot be read: RequestLimitExceeded/);
  });
});
