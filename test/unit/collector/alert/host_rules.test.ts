/** Hosts of which nothing has changed are not looked at: the alerts must be the same as if they were. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EMPTY_STATE } from '../../../../collector/alert/alert_state.ts';
import { HostRules } from '../../../../collector/alert/host_rules.ts';
import { verdict } from '../../../../collector/contract/host.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import { hostOf, NOON_US } from '../../../support/collector/alert/findings.ts';
import { hostRules } from '../../../support/collector/alert/rules.ts';

const HOSTS = 3;
const made = fc.record({
  verdict: fc.constantFrom(...verdict.options),
  state: fc.constantFrom('online' as const, 'silent' as const),
  hasHeartbeat: fc.boolean(),
  /** Hours from the last loss to the evaluation. */
  lost: fc.option(fc.nat(30), { nil: null }),
  isGone: fc.boolean(),
});
const round = fc.record({
  minutes: fc.constantFrom(1, 59, 60, 600, 3000),
  hosts: fc.array(made, { minLength: HOSTS, maxLength: HOSTS }),
});

test('rules that look at what may have changed tell the same as rules that look at everything', () => {
  fc.assert(
    fc.property(fc.array(round, { maxLength: 12 }), (rounds) => {
      let [all, changed] = [EMPTY_STATE, EMPTY_STATE];
      let nowUs = NOON_US;
      for (const { minutes, hosts } of rounds) {
        nowUs += minutes * 60e6;
        const present = hosts.flatMap((each, number) => (each.isGone ? [] : [{ ...each, number }]));
        const described = present.map(({ number, hasHeartbeat, verdict, state }) =>
          hostOf(number, { verdict, state, last_heartbeat: hasHeartbeat ? toTimestamp(nowUs - 1e6) : null }),
        );
        const coverage = present.map(({ number, lost }) => {
          const endUs = nowUs - (lost ?? 0) * HOUR_US;
          const gap = { startUs: endUs - 1e6, endUs, reason: 'losses' as const, detail: 'dropped 1' };
          return {
            hostId: described.find(({ id }) => id === hostOf(number).id)!.id,
            gaps: lost === null || endUs <= nowUs - DAY_US ? [] : [gap],
          };
        });
        const everything = new HostRules(all.hosts, nowUs);
        everything.look(described, coverage);
        const some = hostRules(changed, described, coverage, nowUs);
        assert.deepEqual(some.alerts, everything.alerts);
        assert.deepEqual(new Map([...some.states].sort()), new Map([...everything.states].sort()));
        all = { ...all, hosts: everything.states };
        changed = { ...changed, hosts: some.states };
      }
    }),
    { numRuns: 300 },
  );
});

test('a host of which nothing has changed is not looked at', () => {
  const host = hostOf(1, { verdict: 'ready' });
  const before = hostRules(EMPTY_STATE, [host], [], NOON_US).states;
  const rules = new HostRules(before, NOON_US + 60e6);
  const glance = {
    id: host.id,
    verdict: 'ready' as const,
    isSilent: false,
    receivedUs: NOON_US,
    lastLossUs: null,
  };
  assert.equal(rules.mayHaveChanged(glance), false);
  assert.equal(rules.states.get(host.id), before.get(host.id), 'its state is kept');
  assert.equal(rules.mayHaveChanged({ ...glance, lastLossUs: NOON_US }), true);
  assert.equal(rules.mayHaveChanged({ ...glance, isSilent: true }), true);
  assert.equal(rules.mayHaveChanged({ ...glance, verdict: 'blocked' }), true);
  assert.equal(rules.mayHaveChanged({ ...glance, id: 'i-new' }), true);
});
