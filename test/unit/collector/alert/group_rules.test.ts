/** Alerts about Auto Scaling groups: that one became ready, and that one no longer is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { changedSubjects, EMPTY_STATE, stateOf } from '../../../../collector/alert/alert_state.ts';
import type { Group } from '../../../../collector/contract/group.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { MINUTE_US, NOON_US } from '../../../support/collector/alert/findings.ts';
import { Rules } from '../../../support/collector/alert/rules.ts';
import { makeGroup } from '../../../support/collector/api/findings.ts';

const groupOf = (verdict: Group['verdict'], name = 'web'): Group => ({
  ...makeGroup(),
  id: `asg:${name}`,
  by: 'asg',
  value: name,
  verdict,
  reason: `It is ${verdict}.`,
});
const kinds = (alerts: AlertDraft[]) =>
  alerts.map(
    ({ rule, subject, severity, state }) =>
      `${state === 'resolved' ? 'over: ' : ''}${rule} ${subject} ${severity}`,
  );
const READY = 'group_ready asg:web info';
const OVER = 'over: group_not_ready asg:web warning';
const NOT_READY = 'group_not_ready asg:web warning';

test('a group that becomes ready is reported, and a ready group that is blocked again', () => {
  const rules = new Rules();
  const at = (us: number, ...groups: Group[]) => rules.evaluateAt({ groups }, NOON_US + us);
  assert.deepEqual(at(0, groupOf('unproven')), []);
  const ready = at(MINUTE_US, groupOf('ready'));
  assert.deepEqual(kinds(ready), [READY]);
  assert.deepEqual([ready[0]!.title, ready[0]!.text], ['Auto Scaling group web is ready', 'It is ready.']);
  assert.deepEqual(at(2 * MINUTE_US, groupOf('enforced')), []);
  assert.deepEqual(at(3 * MINUTE_US, groupOf('blocked')), [], 'it waits for the quiet time');
  const blocked = at(2 * HOUR_US, groupOf('blocked'));
  assert.deepEqual(kinds(blocked), [NOT_READY]);
  assert.match(blocked[0]!.text, /its verdict is now blocked\. It is blocked\.$/);
  assert.deepEqual(at(4 * HOUR_US, groupOf('unproven')), [], 'it was not ready meanwhile');
  assert.deepEqual(kinds(at(5 * HOUR_US, groupOf('enforced'))), [OVER, READY]);
});

test('groups that are ready when they are first looked at are not reported, later ones are', () => {
  const rules = new Rules();
  rules.state = EMPTY_STATE;
  assert.deepEqual(rules.evaluateAt({ groups: null, hosts: null }, NOON_US), []);
  assert.deepEqual(rules.evaluateAt({ groups: [groupOf('ready')] }, NOON_US + MINUTE_US), []);
  const both = [groupOf('blocked'), groupOf('ready', 'new')];
  assert.deepEqual(kinds(rules.evaluateAt({ groups: both }, NOON_US + 2 * MINUTE_US)), [
    NOT_READY,
    'group_ready asg:new info',
  ]);
});

test('a release that waits for its starts is no alert before a day has passed', () => {
  const rules = new Rules();
  const at = (us: number, verdict: Group['verdict']) =>
    kinds(rules.evaluateAt({ groups: [groupOf(verdict)] }, NOON_US + us));
  assert.deepEqual(at(0, 'ready'), [READY]);
  assert.deepEqual(at(5 * HOUR_US, 'unproven'), []);
  assert.deepEqual(at(20 * HOUR_US, 'ready'), []);
  assert.deepEqual(at(21 * HOUR_US, 'unproven'), []);
  assert.deepEqual(at(20 * HOUR_US + DAY_US, 'unproven'), []);
  assert.deepEqual(at(21 * HOUR_US + DAY_US, 'unproven'), [NOT_READY]);
  assert.deepEqual(at(22 * HOUR_US + DAY_US, 'unproven'), []);
});

test('a restart keeps what was reported, and groups that are gone are forgotten', () => {
  const rules = new Rules();
  rules.evaluateAt({ groups: [groupOf('ready')] }, NOON_US);
  const rows = changedSubjects(EMPTY_STATE, rules.state);
  assert.deepEqual(stateOf(rows), rules.state);
  const before = rules.state;
  rules.evaluateAt({ groups: [groupOf('ready')] }, NOON_US + MINUTE_US);
  assert.deepEqual(changedSubjects(before, rules.state), []);
  rules.evaluateAt({ groups: [] }, NOON_US + HOUR_US);
  const known = before.groups.get('asg:web');
  assert.deepEqual(changedSubjects(before, rules.state), [
    { kind: 'group', id: 'asg:web', before: known, state: null },
  ]);
});
