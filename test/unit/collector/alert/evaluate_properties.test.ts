import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { changedSubjects, EMPTY_STATE, stateOf } from '../../../../collector/alert/alert_state.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import {
  hostOf,
  lossOf,
  MINUTE_US,
  NOON_US,
  offenderOf,
  thiefOf,
} from '../../../support/collector/alert/findings.ts';
import { Rules } from '../../../support/collector/alert/rules.ts';

interface Step {
  passUs: number;
  restart: boolean;
  /** For each offender, if it calls or fetches credentials between the last evaluation and this one. */
  calls: ('nothing' | 'call' | 'credentials')[];
  hosts: { verdict: Host['verdict']; silent: boolean; loses: boolean }[];
}

const SUBJECTS = 3;
const step: fc.Arbitrary<Step> = fc.record({
  passUs: fc
    .oneof(
      fc.integer({ min: 10, max: 3599 }),
      fc.integer({ min: 1, max: 48 }).map((hours) => hours * 3600),
    )
    .map((seconds) => seconds * 1_000_000),
  restart: fc.boolean(),
  calls: fc.array(fc.constantFrom('nothing' as const, 'call' as const, 'credentials' as const), {
    minLength: SUBJECTS,
    maxLength: SUBJECTS,
  }),
  hosts: fc.array(
    fc.record({
      verdict: fc.constantFrom(
        'ready' as const,
        'enforced' as const,
        'blocked' as const,
        'unproven' as const,
      ),
      silent: fc.boolean(),
      loses: fc.boolean(),
    }),
    { minLength: SUBJECTS, maxLength: SUBJECTS },
  ),
});

test('in any sequence nothing is reported twice within its quiet time, and every change is reported in the end', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const rules = new Rules();
      let nowUs = NOON_US;
      const reported: (AlertDraft & { us: number })[] = [];
      const offenders = new Map<number, Offender>();
      const credentials: number[][] = Array.from({ length: SUBJECTS }, () => []);
      const losses: number[][] = Array.from({ length: SUBJECTS }, () => []);
      const lastGoodUs: number[] = [];

      const evaluateNow = (hosts: Step['hosts']) => {
        const alerts = rules.evaluateAt(
          {
            offenders: [...offenders.values()],
            hosts: hosts.map(({ verdict, silent }, index) =>
              hostOf(index, { verdict, state: silent ? 'silent' : 'online' }),
            ),
            coverage: losses.flatMap((ends, index) =>
              ends.length === 0 ? [] : [lossOf(index, ends.at(-1)! - 1_000_000, ends.at(-1)!, 'losses')],
            ),
          },
          nowUs,
        );
        reported.push(...alerts.map((alert) => ({ ...alert, us: nowUs })));
      };

      for (const { passUs, restart, calls, hosts } of steps) {
        nowUs += passUs;
        for (const [index, did] of calls.entries()) {
          if (did === 'nothing') continue;
          if (did === 'credentials') credentials[index]!.push(nowUs);
          const last = credentials[index]!.at(-1);
          offenders.set(index, last === undefined ? offenderOf(index) : thiefOf(index, last));
        }
        for (const [index, { verdict, loses }] of hosts.entries()) {
          if (loses) losses[index]!.push(nowUs);
          if (verdict === 'ready' || verdict === 'enforced') lastGoodUs[index] = nowUs;
        }
        if (restart)
          rules.state = stateOf(JSON.parse(JSON.stringify(changedSubjects(EMPTY_STATE, rules.state))));
        evaluateNow(hosts);
      }
      // All quiet times end, and every waiting change is reported without a new event.
      const last = steps.at(-1)!.hosts;
      nowUs += 30 * HOUR_US;
      evaluateNow(last);
      nowUs += MINUTE_US;
      evaluateNow(last);

      const of = (rule: string, subject: string) =>
        reported.filter((one) => one.rule === rule && one.subject === subject);
      const began = (alerts: typeof reported) => alerts.filter(({ state }) => state === 'firing');
      const takeTurns = (alerts: typeof reported) => {
        for (const [number, { state }] of alerts.entries()) {
          if (state === 'resolved')
            assert.equal(alerts[number - 1]?.state, 'firing', 'an end without a begin');
        }
      };
      const apart = (times: number[], quietUs: number) => {
        for (const [index, us] of times.entries())
          if (index > 0) assert.ok(us - times[index - 1]! >= quietUs);
      };
      for (let index = 0; index < SUBJECTS; index++) {
        const { id } = offenderOf(index);
        assert.equal(of('new_offender', id).length, offenders.has(index) ? 1 : 0);

        const thefts = began(of('credentials_over_v1', id)).map(({ us }) => us);
        apart(thefts, DAY_US);
        for (const [number, us] of credentials[index]!.entries()) {
          const before = credentials[index]![number - 1];
          if (before === undefined || us - before >= DAY_US)
            assert.ok(thefts.includes(us), 'a theft that was not reported');
        }

        const host = `i-${index}`;
        takeTurns(of('host_not_ready', host));
        takeTurns(of('coverage_lost', host));
        const notReady = began(of('host_not_ready', host)).map(({ us }) => us);
        apart(notReady, HOUR_US);
        const { verdict, silent } = last[index]!;
        const isGood = verdict === 'ready' || verdict === 'enforced';
        if (!isGood && !silent && lastGoodUs[index] !== undefined) {
          assert.ok((notReady.at(-1) ?? 0) > lastGoodUs[index]!, 'not ready, and nobody was reported');
        }

        const silences = of('host_silent', host);
        apart(
          began(silences).map(({ us }) => us),
          HOUR_US,
        );
        for (const [number, { state }] of silences.entries()) {
          assert.equal(state, number % 2 === 0 ? 'firing' : 'resolved', 'gone and back take turns');
        }
        assert.equal(silences.length % 2, silent ? 1 : 0);

        const lost = began(of('coverage_lost', host)).map(({ us }) => us);
        for (const [number, us] of losses[index]!.entries()) {
          const before = losses[index]![number - 1];
          const fresh = before === undefined || us - 1_000_000 - before >= HOUR_US;
          assert.ok(lost.some((at) => (fresh ? at === us : at <= us && us - at < DAY_US) || at === us));
        }
        for (const us of lost) assert.ok(losses[index]!.includes(us), 'reported without a loss');
      }
    }),
    { numRuns: 300 },
  );
});
