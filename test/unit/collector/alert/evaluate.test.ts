import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { changedSubjects, EMPTY_STATE, stateOf } from '../../../../collector/alert/alert_state.ts';
import { evaluate, MAX_ALERTS_OF_ONE_RULE } from '../../../../collector/alert/evaluate.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import type { EndedTriage } from '../../../../collector/insight/triage_reader.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import {
  hostOf,
  lossOf,
  MINUTE_US,
  NOON_US,
  offenderOf,
  thiefOf,
} from '../../../support/collector/alert/findings.ts';
import { hostRules, Rules } from '../../../support/collector/alert/rules.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

const kinds = (alerts: AlertDraft[]) =>
  alerts.map(({ rule, subject, state }) => `${state === 'resolved' ? 'over: ' : ''}${rule} ${subject}`);

test('a new offender is reported once, is over when its calls have left the window, and is back later', () => {
  const rules = new Rules();
  const [alert, ...others] = rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US);
  assert.deepEqual(others, []);
  assert.equal(alert?.rule, 'new_offender');
  assert.equal(alert.severity, 'warning');
  assert.match(alert.text, /\/usr\/bin\/tool-1 .*on host web-1: 3 calls.*Ask for a token first\./);
  assert.deepEqual(rules.evaluateAt({ offenders: [offenderOf(1, { calls_v1: 9 })] }, NOON_US + DAY_US), []);
  assert.deepEqual(
    [alert.state, alert.object?.type, alert.object?.name],
    ['firing', 'offender', '/usr/bin/tool-1'],
  );
  const over = rules.evaluateAt({ offenders: [offenderOf(1, { calls_v1: 0 })] }, NOON_US + 30 * DAY_US);
  assert.deepEqual(kinds(over), [`over: new_offender ${offenderOf(1).id}`]);
  assert.match(over[0]!.text, /for 14 days.*not watched/);
  assert.deepEqual(rules.evaluateAt({}, NOON_US + 30 * DAY_US), []);
  const [back] = rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US + 31 * DAY_US);
  assert.match(back!.title, /^IMDSv1 caller is back: /);
  assert.deepEqual(rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US + 32 * DAY_US), []);
});

test('an offender that an earlier release has reported is neither reported again nor resolved', () => {
  const rules = new Rules();
  const { id } = offenderOf(1);
  rules.state = { ...rules.state, offenders: new Map([[id, { credentials: { lastUs: 1, toldUs: 1 } }]]) };
  assert.deepEqual(rules.evaluateAt({}, NOON_US), []);
  assert.deepEqual(rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US + MINUTE_US), []);
  assert.deepEqual(kinds(rules.evaluateAt({}, NOON_US + 2 * MINUTE_US)), [`over: new_offender ${id}`]);
});

test('an offender that is known by its releases is not over while one of them calls', () => {
  const rules = new Rules();
  rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US);
  const [release] = [{ id: offenderOf(1).id, release: '2' }] as never[];
  const joined = offenderOf(2, { releases: [release!] });
  assert.deepEqual(rules.evaluateAt({ offenders: [joined] }, NOON_US + MINUTE_US), []);
});

test('role credentials are over when none were fetched in the window, also while the workload calls on', () => {
  const rules = new Rules();
  rules.evaluateAt({ offenders: [thiefOf(1, NOON_US)] }, NOON_US);
  const { id } = offenderOf(1);
  const over = rules.evaluateAt({ offenders: [offenderOf(1)] }, NOON_US + 15 * DAY_US);
  assert.deepEqual(kinds(over), [`over: credentials_over_v1 ${id}`]);
  const all = rules.evaluateAt({}, NOON_US + 30 * DAY_US);
  assert.deepEqual(kinds(all), [`over: new_offender ${id}`]);
});

test('a workload without IMDSv1 calls is not an offender', () => {
  assert.deepEqual(
    new Rules().evaluateAt({ offenders: [offenderOf(1, { calls_v1: 0, calls_v2: 5 })] }, NOON_US),
    [],
  );
});

test('credentials over IMDSv1 are critical, and reported again only after 24 hours of silence', () => {
  const rules = new Rules();
  const first = rules.evaluateAt({ offenders: [thiefOf(1, NOON_US)] }, NOON_US);
  assert.deepEqual(
    first.map(({ rule, severity }) => [rule, severity]),
    [
      ['new_offender', 'warning'],
      ['credentials_over_v1', 'critical'],
    ],
  );
  assert.match(first[1]!.text, /role credentials of app without a token/);
  let lastUs = NOON_US;
  for (let hour = 1; hour <= 72; hour++) {
    lastUs = NOON_US + hour * HOUR_US;
    assert.deepEqual(rules.evaluateAt({ offenders: [thiefOf(1, lastUs)] }, lastUs), [], `hour ${hour}`);
  }
  assert.deepEqual(rules.evaluateAt({ offenders: [thiefOf(1, lastUs)] }, lastUs + 2 * DAY_US), []);
  const againUs = lastUs + DAY_US;
  const again = rules.evaluateAt({ offenders: [thiefOf(1, againUs)] }, lastUs + 2 * DAY_US);
  assert.deepEqual(kinds(again), [`credentials_over_v1 ${thiefOf(1, 0).id}`]);
  assert.match(again[0]!.title, /again/);
});

test('a host whose clock is a year ahead does not hide what comes after', () => {
  const rules = new Rules();
  rules.evaluateAt({ offenders: [thiefOf(1, NOON_US + 365 * DAY_US)] }, NOON_US);
  const laterUs = NOON_US + 2 * DAY_US;
  assert.equal(rules.evaluateAt({ offenders: [thiefOf(1, laterUs)] }, laterUs).length, 1);
});

test('credentials again within a day of the last alert are reported at the end of that day', () => {
  const rules = new Rules();
  // These calls come from an agent that was offline for a month.
  assert.equal(rules.evaluateAt({ offenders: [thiefOf(1, NOON_US - 30 * DAY_US)] }, NOON_US).length, 2);
  const now = [thiefOf(1, NOON_US + HOUR_US)];
  assert.deepEqual(rules.evaluateAt({ offenders: now }, NOON_US + HOUR_US), []);
  assert.deepEqual(rules.evaluateAt({ offenders: now }, NOON_US + DAY_US - 1), []);
  assert.equal(rules.evaluateAt({ offenders: now }, NOON_US + DAY_US).length, 1);
  assert.deepEqual(rules.evaluateAt({ offenders: now }, NOON_US + 3 * DAY_US), []);
});

test('a host that is no longer ready is reported once, when it changes', () => {
  const rules = new Rules();
  const blocked = hostOf(1, { verdict: 'blocked', offender_count: 1 });
  assert.deepEqual(rules.evaluateAt({ hosts: [hostOf(1), hostOf(2, { verdict: 'blocked' })] }, NOON_US), []);
  const [alert, ...others] = rules.evaluateAt({ hosts: [blocked] }, NOON_US + MINUTE_US);
  assert.deepEqual(others, []);
  assert.match(alert!.title, /web-1 is not ready any more: blocked/);
  assert.deepEqual(rules.evaluateAt({ hosts: [blocked] }, NOON_US + DAY_US), []);
});

test('a host that changes often is reported once an hour, and its last change is not forgotten', () => {
  const rules = new Rules();
  const unproven = hostOf(1, { verdict: 'unproven' });
  let told = 0;
  for (let minute = 0; minute < 120; minute++) {
    const host = minute % 2 === 0 ? hostOf(1) : unproven;
    told += rules.evaluateAt({ hosts: [host] }, NOON_US + minute * MINUTE_US).length;
  }
  assert.equal(told, 4, 'each with its end');
  assert.equal(rules.evaluateAt({ hosts: [unproven] }, NOON_US + 200 * MINUTE_US).length, 1);
});

test('a silent host is reported as silent and as back, and not also as not ready', () => {
  const rules = new Rules();
  rules.evaluateAt({ hosts: [hostOf(1)] }, NOON_US);
  const silent = hostOf(1, { state: 'silent', verdict: 'unproven' });
  const went = rules.evaluateAt({ hosts: [silent] }, NOON_US + MINUTE_US);
  assert.deepEqual(kinds(went), ['host_silent i-1']);
  assert.equal(went[0]!.severity, 'warning');
  assert.deepEqual(rules.evaluateAt({ hosts: [silent] }, NOON_US + DAY_US), []);
  const back = rules.evaluateAt({ hosts: [hostOf(1, { verdict: 'unproven' })] }, NOON_US + 2 * DAY_US);
  assert.deepEqual(kinds(back), ['host_not_ready i-1', 'over: host_silent i-1']);
  assert.deepEqual([back[1]!.severity, back[1]!.title], ['warning', 'Host web-1 is back']);
});

test('a host without any heartbeat has not gone silent', () => {
  const never = hostOf(1, { state: 'silent', last_heartbeat: null });
  assert.deepEqual(new Rules().evaluateAt({ hosts: [never] }, NOON_US), []);
});

test('hosts that cannot be judged yet are skipped, and their changes are reported later', () => {
  const rules = new Rules();
  rules.evaluateAt({ hosts: [hostOf(1)] }, NOON_US);
  assert.deepEqual(rules.evaluateAt({ hosts: null }, NOON_US + MINUTE_US), []);
  const told = rules.evaluateAt({ hosts: [hostOf(1, { verdict: 'blocked' })] }, NOON_US + 2 * MINUTE_US);
  assert.deepEqual(kinds(told), ['host_not_ready i-1']);
});

test('coverage lost: once in 24 hours while losses go on, at once after a recovery', () => {
  const rules = new Rules();
  const lossAt = (us: number) => ({
    hosts: [hostOf(1)],
    coverage: [lossOf(1, us - MINUTE_US, us, 'losses')],
  });
  assert.deepEqual(kinds(rules.evaluateAt(lossAt(NOON_US), NOON_US)), ['coverage_lost i-1']);
  let atUs = NOON_US;
  for (; atUs < NOON_US + 20 * HOUR_US; atUs += 30 * MINUTE_US)
    assert.deepEqual(rules.evaluateAt(lossAt(atUs), atUs), []);
  const quiet = { hosts: [hostOf(1)] };
  assert.deepEqual(rules.evaluateAt(quiet, atUs), []);
  const away = { hosts: [hostOf(1, { state: 'silent', last_heartbeat: null })] };
  assert.deepEqual(rules.evaluateAt(away, atUs + 90 * MINUTE_US), [], 'nothing is known of a silent host');
  assert.deepEqual(kinds(rules.evaluateAt(quiet, atUs + 91 * MINUTE_US)), ['over: coverage_lost i-1']);
  const recoveredUs = atUs + 2 * HOUR_US;
  assert.equal(rules.evaluateAt(lossAt(recoveredUs), recoveredUs).length, 1);
  assert.deepEqual(rules.evaluateAt(lossAt(recoveredUs), recoveredUs + MINUTE_US), [], 'the same loss');
  assert.deepEqual(kinds(rules.evaluateAt(lossAt(recoveredUs), recoveredUs + 25 * HOUR_US)), [
    'over: coverage_lost i-1',
  ]);
});

test('losses that never stop are reported every 24 hours', () => {
  const rules = new Rules();
  const told: number[] = [];
  for (let minute = 0; minute <= 60 * 60; minute += 30) {
    const us = NOON_US + minute * MINUTE_US;
    const coverage = [lossOf(1, NOON_US - MINUTE_US, us, 'losses')];
    if (rules.evaluateAt({ hosts: [hostOf(1)], coverage }, us).length > 0) told.push(minute / 60);
  }
  assert.deepEqual(told, [0, 24, 48]);
});

test('gaps that are not losses of the capture are not reported as losses', () => {
  const gaps = [{ startUs: NOON_US - MINUTE_US, endUs: NOON_US, reason: 'boot' as const, detail: null }];
  assert.deepEqual(
    new Rules().evaluateAt({ hosts: [hostOf(1)], coverage: [{ hostId: 'i-1', gaps }] }, NOON_US),
    [],
  );
});

test('a flood of one rule becomes one alert, and nothing in it is reported again', () => {
  const rules = new Rules();
  const offenders = Array.from({ length: 500 }, (_, index) => thiefOf(index, NOON_US));
  const alerts = rules.evaluateAt({ offenders }, NOON_US);
  assert.deepEqual(kinds(alerts), ['new_offender summary', 'credentials_over_v1 summary']);
  assert.equal(alerts[1]!.severity, 'critical');
  assert.equal(alerts[0]!.title, '500 new IMDSv1 callers');
  assert.equal(alerts[0]!.text.split('\n').at(-1), 'and 490 more');
  assert.deepEqual(rules.evaluateAt({ offenders }, NOON_US + MINUTE_US), []);
  assert.deepEqual(alerts[0]!.members?.length, 500, 'machines get each of them');
  const few = Array.from({ length: MAX_ALERTS_OF_ONE_RULE }, (_, index) => offenderOf(1000 + index));
  const later = rules.evaluateAt({ offenders: [...offenders, ...few] }, NOON_US + MINUTE_US);
  assert.equal(later.length, MAX_ALERTS_OF_ONE_RULE);
});

test('the findings of the very first evaluation are summed up', () => {
  const offenders = [offenderOf(1), offenderOf(2), thiefOf(3, NOON_US)];
  const hosts = [hostOf(1), hostOf(2, { state: 'silent' }), hostOf(3, { state: 'silent' })];
  const { alerts, after } = evaluate(
    EMPTY_STATE,
    { offenders, endedTriage: [], hosts: hostRules(EMPTY_STATE, hosts, [], NOON_US), groups: [] },
    NOON_US,
  );
  assert.deepEqual(kinds(alerts), [
    'new_offender summary',
    `credentials_over_v1 ${offenders[2]!.id}`,
    'host_silent summary',
  ]);
  const next = evaluate(
    after,
    { offenders, endedTriage: [], hosts: hostRules(after, hosts, [], NOON_US + MINUTE_US), groups: [] },
    NOON_US + MINUTE_US,
  );
  assert.deepEqual(next.alerts, []);
});

test('an alert about an offender names its owner where there is one', () => {
  const rules = new Rules();
  const owned = { ...thiefOf(1, NOON_US), triage: { ...NO_TRIAGE, owner: 'payments' } };
  const alerts = rules.evaluateAt({ offenders: [owned, thiefOf(2, NOON_US)] }, NOON_US);
  assert.deepEqual(
    alerts.map(({ rule, text }) => [rule, / Owner: payments\.$/.test(text), /Owner/.test(text)]),
    [
      ['new_offender', true, true],
      ['new_offender', false, false],
      ['credentials_over_v1', true, true],
      ['credentials_over_v1', false, false],
    ],
  );
});

test('a triage that ended by itself is reported once, and again when it was set again and ended again', () => {
  const rules = new Rules();
  const ended = (id: number, changes: Partial<EndedTriage['triage']>): EndedTriage => ({
    id: id.toString(16).padStart(16, '0'),
    title: `/usr/bin/tool-${id}`,
    triage: { ...NO_TRIAGE, set: toTimestamp(NOON_US), set_by: 'ada', ...changes },
  });
  const again = ended(1, { ended: 'called_again', owner: 'payments' });
  const over = ended(2, {
    ended: 'exception_over',
    until: toTimestamp(NOON_US),
    reason: 'The vendor ships in May.',
  });
  const first = rules.evaluateAt({ endedTriage: [again, over] }, NOON_US);
  assert.deepEqual(kinds(first), [`offender_reopened ${again.id}`, `exception_ended ${over.id}`]);
  assert.match(first[0]!.text, /marked as fixed by ada .*Owner: payments/);
  assert.match(first[1]!.text, /The vendor ships in May\./);
  assert.deepEqual(rules.evaluateAt({ endedTriage: [again, over] }, NOON_US + MINUTE_US), []);
  rules.state = stateOf(JSON.parse(JSON.stringify(changedSubjects(EMPTY_STATE, rules.state))));
  assert.deepEqual(rules.evaluateAt({ endedTriage: [again, over] }, NOON_US + 2 * MINUTE_US), []);
  // Somebody fixes the first one again, and it calls again.
  assert.deepEqual(kinds(rules.evaluateAt({ endedTriage: [over] }, NOON_US + 3 * MINUTE_US)), [
    `over: offender_reopened ${again.id}`,
  ]);
  const later = ended(1, { ended: 'called_again', set: toTimestamp(NOON_US + MINUTE_US) });
  assert.deepEqual(kinds(rules.evaluateAt({ endedTriage: [later, over] }, NOON_US + 4 * MINUTE_US)), [
    `offender_reopened ${later.id}`,
  ]);
  const many = Array.from({ length: 40 }, (_, index) => ended(10 + index, { ended: 'called_again' }));
  assert.deepEqual(kinds(rules.evaluateAt({ endedTriage: many }, NOON_US + 5 * MINUTE_US)), [
    'offender_reopened summary',
    `over: offender_reopened ${later.id}`,
    `over: exception_ended ${over.id}`,
  ]);
});
