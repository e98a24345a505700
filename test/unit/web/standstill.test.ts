/** Tests that the page never shows a plan as running of which nobody knows whether it runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { standstill } from '../../../web/src/standstill.ts';

const NOW = Date.parse('2026-03-01T00:10:00Z');
const plan = { id: 'p-0123456789ab', is_carried_out: true, reported: '2026-03-01T00:09:30.000000Z' };

test('a plan that is under way stands still without a process, or without a report for 90 s', () => {
  for (const phase of ['running', 'paused'] as const) {
    assert.equal(standstill({ ...plan, phase }, NOW), null);
    assert.equal(standstill({ ...plan, phase }, NOW + 59_000), null);
    assert.match(
      standstill({ ...plan, phase }, NOW + 60_000)!,
      /has not reported.*enforce status p-0123456789ab/,
    );
    assert.match(
      standstill({ ...plan, phase, is_carried_out: false }, NOW)!,
      /^No process .*enforce resume p-0123456789ab/,
    );
  }
});

test('a plan that was not begun or that has ended needs no process', () => {
  for (const phase of ['made', 'ended'] as const) {
    assert.equal(standstill({ ...plan, phase, is_carried_out: false }, NOW + 86_400_000), null);
  }
});
