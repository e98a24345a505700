/** Soaks of the real runner with the real SDK: watched time, and clocks that are set. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steadyClock } from '../../../../enforce/run/clock.ts';
import { readyHost } from '../../../support/enforce/fake_findings.ts';
import { CALL, fleet, PLACE, started } from '../../../support/enforce/fleet.ts';
import { instanceId } from '../../../support/enforce/plans.ts';

test('setting the clock by hours neither ends a soak nor hides a refused call', async (t) => {
  const HOUR_MS = 3_600_000;
  for (const hours of [-5, 5]) {
    await t.test(`by ${hours} hours`, async (each) => {
      const { findings, run } = await started(each, fleet());
      const setMs = run.nowMs + 300_000;
      const boot = run.nowMs;
      // The boot clock goes on evenly whatever is set.
      const now = steadyClock({ wallMs: () => boot + run.wallAheadMs, bootMs: () => run.nowMs }, 0);
      run.afterEvent = (event, state) => {
        assert.equal(now(), run.nowMs);
        if (run.nowMs >= setMs) run.wallAheadMs = hours * HOUR_MS;
        const isSecond = event.type === 'observed' && state.steps['s3']!.status === 'soaking';
        if (!isSecond || findings.refused.length > 0) return;
        // Its host follows the clock of this machine.
        findings.refused = [{ ...CALL, hostId: instanceId(3), atMs: run.nowMs + run.wallAheadMs }];
      };
      const state = await run.begin();
      const soaking = run.journal.find((event) => event.type === 'observed' && event.watched['s1'] === 0)!.at;
      const over = run.journal.find((event) => event.type === 'soak_judged' && event.step === 's1')!.at;
      assert.ok(Math.abs(over - soaking - 1_200_000) <= 11_000, `it soaked ${(over - soaking) / 1000} s`);
      assert.equal(state.steps['s3']!.status, 'rolled_back');
    });
  }
});

test('a clock that was set back while no runner ran does not make time run backwards', () => {
  const lastEventMs = 10 * 3_600_000;
  let bootMs = 7000;
  const now = steadyClock({ wallMs: () => 3 * 3_600_000, bootMs: () => bootMs }, lastEventMs);
  assert.equal(now(), lastEventMs);
  bootMs += 2500.7;
  assert.equal(now(), lastEventMs + 2500);
});

test('nothing is changed by a clock that is hours away from that of AWS', async (t) => {
  for (const hours of [-5, 5]) {
    const { api, run } = await started(t, fleet());
    api.state.clockAheadMs = hours * 3_600_000;
    const stop = new AbortController();
    run.afterEvent = (event) => {
      if (event.type === 'judged') stop.abort();
    };
    const state = await run.run([{ type: 'begun', by: 'tester' }], stop.signal);
    assert.equal(state.steps['s1']!.status, 'waiting');
    assert.match(
      state.steps['s1']!.reason!,
      hours < 0 ? /300 minutes ahead of AWS/ : /300 minutes behind AWS/,
    );
    assert.ok(run.journal.every(({ type }) => type !== 'sending'));
    await api.close();
  }
});

test('a refused call of an agent that was cut off, or whose clock is wrong, is found when it comes', async (t) => {
  for (const lateMs of [1_000_000, 3 * 3_600_000]) {
    const { api, findings, run } = await started(t, fleet());
    run.afterEvent = (event, { steps }) => {
      const isFound = event.type === 'observed' && steps['s1']!.watchedMs > 1_100_000;
      if (!isFound || findings.refused.length > 0) return;
      findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: run.nowMs - lateMs }];
    };
    const state = await run.begin();
    assert.equal(state.steps['s1']!.status, 'rolled_back', `${lateMs} ms`);
    await api.close();
  }
});

test('a soak says why it stands still, and ends when its instance is gone', async (t) => {
  const { region, findings, run } = await started(t, fleet());
  const startMs = run.nowMs;
  const reasons = new Set<string>();
  run.afterEvent = (_event, { steps }) => {
    const { status, reason } = steps['s1']!;
    if (status === 'soaking' || status === 'applied') reasons.add(reason ?? '');
    // Its agent falls silent in the middle of the soak, and the instance is terminated an hour later.
    const isSilent = run.nowMs - startMs > 600_000;
    findings.known.set(instanceId(1), readyHost(instanceId(1), { ...PLACE, isOnline: !isSilent }));
    if (run.nowMs - startMs > 3_600_000) region.instances.get(instanceId(1))!.state = 'terminated';
  };
  const state = await run.begin();
  assert.deepEqual(
    [...reasons],
    ['', 'Its soak stands still: its agent is silent, so nobody would see a refused call.'],
  );
  assert.equal(state.steps['s1']!.status, 'skipped');
  assert.equal(state.steps['s1']!.reason, 'It is gone.');
});

test('a collector that is away in a soak confirms nothing, and what was refused meanwhile is found', async (t) => {
  const { findings, run } = await started(t, fleet());
  const fromMs = run.nowMs + 300_000;
  const untilMs = fromMs + 2 * 3_600_000;
  Object.defineProperty(findings, 'isAway', { get: () => run.nowMs > fromMs && run.nowMs < untilMs });
  findings.refused = [{ ...CALL, hostId: instanceId(1), atMs: fromMs + 60_000 }];
  const { refusedCalls } = findings;
  // It arrives with the collector.
  findings.refusedCalls = async (sinceMs) =>
    run.nowMs < untilMs ? [] : refusedCalls.call(findings, sinceMs);
  const state = await run.begin();
  assert.equal(state.steps['s1']!.status, 'rolled_back');
  assert.ok(run.journal.every((event) => event.type !== 'soak_judged' || event.step !== 's1'));
});
