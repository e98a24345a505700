/** When a policy that closes the way back is too early. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BegunPlan, nextStepText, quietPlaces, quietText } from '../../../enforce/prevent/quiet.ts';
import { initialState, type StepState } from '../../../enforce/state/step_state.ts';
import { readyHost } from '../../support/enforce/fake_findings.ts';
import { instanceId, instanceStep, PLACE, planOf } from '../../support/enforce/plans.ts';

const DAY_MS = 86_400_000;
const CONFIRMED_MS = Date.UTC(2026, 2, 1);
const ENFORCED = readyHost(instanceId(1), { verdict: 'enforced' });

function begun(created: string, ...statuses: StepState['status'][]): BegunPlan {
  const plan = { ...planOf(statuses.map((_, index) => instanceStep(index + 1))), created };
  const state = initialState(plan);
  const steps = Object.entries(state.steps).map(([id, own], index) => {
    return [id, { ...own, status: statuses[index]!, sinceMs: CONFIRMED_MS + index * DAY_MS }];
  });
  return { plan, state: { ...state, phase: 'running', steps: Object.fromEntries(steps) } };
}

const FIRST = '2026-01-01T00:00:00.000Z';
const SECOND = '2026-02-01T00:00:00.000Z';

test('an account is quiet when its last change was confirmed 14 days ago and every host is enforced', () => {
  const plans = [begun(FIRST, 'confirmed', 'skipped', 'confirmed')];
  const at = (days: number, hosts = [ENFORCED]) =>
    quietPlaces(plans, hosts, CONFIRMED_MS + days * DAY_MS)[0]!;
  assert.deepEqual(at(16), { ...PLACE, days: 14, obstacles: [] });
  // The last change was confirmed on the third day.
  assert.deepEqual(at(15.9).obstacles, ['13 of 14 days have passed since the last change was confirmed.']);
  const loud = readyHost(instanceId(9), { verdict: 'blocked', reason: 'cron calls.', name: 'web-9' });
  assert.deepEqual(at(16, [ENFORCED, loud]).obstacles, ['web-9 is blocked: cron calls.']);
  const elsewhere = readyHost(instanceId(9), { verdict: 'blocked', region: 'us-east-1' });
  assert.deepEqual(at(16, [ENFORCED, elsewhere]).obstacles, []);
  assert.match(quietPlaces(plans, null, CONFIRMED_MS + 16 * DAY_MS)[0]!.obstacles[0]!, /was not asked/);
});

test('what is not confirmed makes it too early, unless a newer plan has confirmed it', () => {
  const nowMs = CONFIRMED_MS + 60 * DAY_MS;
  const undone = begun(FIRST, 'rolled_back');
  const [place] = quietPlaces([undone], [], nowMs);
  assert.deepEqual(place!.obstacles, [
    '1 change is not confirmed: one of the plan p-0123456789ab is rolled_back.',
    '0 of 14 days have passed since the last change was confirmed.',
  ]);
  assert.match(
    quietText([place!])[0]!,
    /^Too early for 123456789012 in eu-central-1: 0 of 14 days\. 1 change/,
  );
  assert.deepEqual(quietPlaces([begun(SECOND, 'confirmed'), undone], [], nowMs)[0]!.obstacles, []);
  assert.match(quietText([])[0]!, /^Too early: 0 of 14 days\. No plan/);
});

test('the status of a plan names the policy as the next step after 14 days, and says that there is no way back', () => {
  const plan = begun(FIRST, 'confirmed');
  assert.equal(nextStepText(begun(FIRST, 'confirmed', 'soaking'), CONFIRMED_MS), null);
  assert.match(nextStepText(plan, CONFIRMED_MS + 3.5 * DAY_MS)!, /After 14 quiet days \(3 by now\)/);
  const later = nextStepText(plan, CONFIRMED_MS + 14 * DAY_MS)!;
  assert.match(later, /confirmed for 14 days.*enforce prevent scp.*no way back.*detach it/);
});
