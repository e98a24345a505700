/** Tests the alert rules about plans and about changes that were undone, on values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfirmedHost } from '../../../../collector/admin/confirmed_hosts.ts';
import { planEnded } from '../../../../collector/alert/plan_alert_text.ts';
import {
  evaluateHost,
  evaluatePlan,
  evaluateUnattended,
  type HostEvidence,
  NOTHING_TOLD,
  type UndoneState,
} from '../../../../collector/alert/plan_rules.ts';
import type { Plan, PlanStep } from '../../../../collector/contract/plan.ts';
import { PLAN_STEP_STATES } from '../../../../protocol/plan_report.ts';
import { PLAN_ID, stepReport } from '../../../support/enforce/reports.ts';

const AT = '2026-03-01T00:09:00.000000Z';
const states = Object.fromEntries(PLAN_STEP_STATES.map((state) => [state, 0])) as Plan['states'];

function planOf(given: Partial<Plan> = {}): Plan {
  return {
    ...{ id: PLAN_ID, created: AT, created_by: 'ada', begun: AT, begun_by: 'ada', phase: 'running' },
    ...{ phase_since: AT, phase_reason: null, is_carried_out: true, reported: AT, reported_by: 'ada' },
    ...{ step_count: 3, left_out_count: 0, states },
    ...given,
  } as Plan;
}

const step = (number: number, given: Partial<PlanStep> = {}) =>
  ({ ...stepReport(number), ...given }) as PlanStep;
const refusal = { host: 'i-1', caller_id: 'ab', caller: '/opt/old', at: AT };

test('a roll-back and held steps are told once, with the caller, and later ones again', () => {
  const plan = planOf();
  const undone = [1, 2].map((number) => ({
    atUs: 100 + number,
    wasUndone: true,
    step: step(number, { refusal }),
  }));
  const held = [{ atUs: 100, wasUndone: false, step: step(3, { reason: 'It runs here too.' }) }];
  const first = evaluatePlan({ plan, endedUs: null, undone, held }, NOTHING_TOLD);
  assert.deepEqual(
    first.alerts.map(({ rule, severity, title }) => [rule, severity, title]),
    [
      ['plan_rolled_back', 'critical', `Plan ${PLAN_ID} rolls back 2 changes: /opt/old was refused`],
      ['plan_held', 'warning', `Plan ${PLAN_ID} holds one change`],
    ],
  );
  assert.match(first.alerts[0]!.text, /^\/opt\/old called without a token on i-1 at .* and was refused\./);
  assert.match(first.alerts[0]!.text, /host-1 \(i-0+1\), host-2 \(i-0+2\)\. One step is held\./);
  assert.deepEqual(first.after, { undoneUs: 102, heldUs: 100, endedUs: 0, isHeld: true });
  const holding = planOf({ states: { ...states, held: 1 } });
  const again = evaluatePlan({ plan: holding, endedUs: null, undone: [], held: [] }, first.after);
  assert.deepEqual([again.alerts, again.after === first.after], [[], true]);
  const over = evaluatePlan({ plan, endedUs: null, undone: [], held: [] }, first.after);
  assert.deepEqual(
    over.alerts.map(({ rule, state }) => [rule, state]),
    [['plan_held', 'resolved']],
  );
  assert.deepEqual(over.after, { undoneUs: 102, heldUs: 100, endedUs: 0 });
  const ordered = [{ atUs: 200, wasUndone: true, step: step(1, { reason: 'The operator has ordered it.' }) }];
  const later = evaluatePlan({ plan, endedUs: null, undone: ordered, held: [] }, first.after);
  assert.match(later.alerts[0]!.text, /^The operator has ordered it\./);
});

test('a roll-back that has failed is told as such, also of a step that was held before', () => {
  const held = [
    { atUs: 200, wasUndone: false, step: step(1, { reason: 'It runs here too.' }) },
    {
      atUs: 200,
      wasUndone: true,
      step: step(2, { reason: 'The way back is closed: UnauthorizedOperation.' }),
    },
  ];
  const { alerts } = evaluatePlan({ plan: planOf(), endedUs: null, undone: [], held }, NOTHING_TOLD);
  assert.deepEqual(
    alerts.map(({ rule, severity, title }) => [rule, severity, title]),
    [['plan_held', 'critical', `Plan ${PLAN_ID} could not roll back one change`]],
  );
  assert.match(alerts[0]!.text, /^host-2 .*, host-1 .* The way back is closed/);
});

test('a plan whose process is missed is told once, until it has reported and is missed again', () => {
  const soaking = planOf({ states: { ...states, soaking: 2, planned: 1 } });
  const first = evaluateUnattended(soaking, NOTHING_TOLD)!;
  assert.deepEqual(
    [first.alert.rule, first.alert.severity, first.alert.title],
    ['plan_unattended', 'warning', `Nobody carries out the plan ${PLAN_ID}: 2 changes unconfirmed`],
  );
  assert.match(first.alert.text, /2 changes are not confirmed, and no refused call rolls anything back/);
  assert.equal(evaluateUnattended(soaking, first.after), null);
  const later = { ...soaking, reported: '2026-03-01T00:19:00.000000Z' };
  assert.notEqual(evaluateUnattended(later, first.after), null);
  const attended = evaluatePlan({ plan: later, endedUs: null, undone: [], held: [] }, first.after);
  assert.deepEqual(
    attended.alerts.map(({ rule, state }) => [rule, state]),
    [['plan_unattended', 'resolved']],
  );
  assert.equal(attended.after.isUnattended, undefined);
  const undoing = planOf({ is_carried_out: false, states: { ...states, rolling_back: 1 } });
  const { alert } = evaluateUnattended(undoing, NOTHING_TOLD)!;
  assert.deepEqual(
    [alert.severity, alert.title],
    ['critical', `Plan ${PLAN_ID} was left while it rolled back`],
  );
  const safe = planOf({ states: { ...states, confirmed: 1, waiting: 2 } });
  assert.equal(evaluateUnattended(safe, NOTHING_TOLD), null);
  const undone = [{ atUs: 5, wasUndone: true, step: step(1) }];
  const { after } = evaluatePlan({ plan: soaking, endedUs: null, undone, held: [] }, first.after);
  assert.equal(after.unattendedUs, first.after.unattendedUs, 'another alert forgets nothing');
});

test('the end of a plan is told once, and is good only where everything is confirmed or skipped', () => {
  const counts = { ...states, confirmed: 2, skipped: 1 };
  const ended = { plan: planOf({ phase: 'ended', states: counts }), endedUs: 50, undone: [], held: [] };
  const { alerts, after } = evaluatePlan(ended, NOTHING_TOLD);
  assert.deepEqual(
    alerts.map(({ rule, severity }) => [rule, severity]),
    [['plan_ended', 'info']],
  );
  assert.deepEqual(evaluatePlan(ended, after).alerts, []);
  assert.equal(
    evaluatePlan({ ...ended, endedUs: 60 }, after).alerts.length,
    1,
    'it was resumed, and ended again',
  );
  for (const state of PLAN_STEP_STATES) {
    const of = planOf({ states: { ...states, confirmed: 2, [state]: state === 'confirmed' ? 3 : 1 } });
    const isGood = state === 'confirmed' || state === 'skipped';
    assert.equal(planEnded(of).severity, isGood ? 'info' : 'warning', state);
  }
});

const HOST: ConfirmedHost = { hostId: 'i-1', plan: PLAN_ID, step: 's1', confirmedUs: 1000, driftedUs: null };
const NONE: HostEvidence = { accepted: null, refusedUs: null, cloud: null };
const accepted = (us: number) => ({ ...NONE, accepted: { us, caller: '/opt/old' } });

/** Runs through pieces of evidence, and returns the severity of each alert. */
function history(...pieces: [HostEvidence, Partial<ConfirmedHost>?][]): (string | null)[] {
  let state: UndoneState | null = null;
  return pieces.map(([evidence, host = {}]) => {
    const { alert, after } = evaluateHost({ ...HOST, ...host }, evidence, state);
    state = after;
    return alert === null ? null : alert.state;
  });
}

test('an answered call after the confirmation raises the alert once, and one before it none', () => {
  assert.deepEqual(history([NONE], [accepted(1000)], [accepted(1001)], [accepted(1002)]), [
    null,
    null,
    'firing',
    null,
  ]);
});

test('a refused call, the cloud, or another confirmation resolve it; the next call raises it again', () => {
  const refused = (us: number, call: number): HostEvidence => ({ ...accepted(call), refusedUs: us });
  assert.deepEqual(
    history(
      [accepted(1001)],
      [refused(1001, 1001)],
      [refused(1005, 1001)],
      [refused(1005, 1001)],
      [refused(1005, 1009)],
    ),
    ['firing', null, 'resolved', null, 'firing'],
  );
  const cloud = (httpTokens: 'optional' | 'required', us: number): HostEvidence => ({
    ...NONE,
    cloud: { httpTokens, us },
  });
  assert.deepEqual(
    history(
      [cloud('required', 1001)],
      [cloud('optional', 1002)],
      [cloud('optional', 1003)],
      [cloud('required', 1004)],
    ),
    [null, 'firing', null, 'resolved'],
  );
  assert.deepEqual(
    history(
      [accepted(1001)],
      [accepted(1001), { confirmedUs: 2000 }],
      [accepted(2001), { confirmedUs: 2000 }],
    ),
    ['firing', 'resolved', 'firing'],
  );
  assert.deepEqual(history([NONE, { driftedUs: 1500 }], [NONE, { driftedUs: 1500 }]), ['firing', null]);
});
