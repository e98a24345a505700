import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import {
  type AlertState,
  changedSubjects,
  EMPTY_STATE,
  stateOf,
} from '../../../../collector/alert/alert_state.ts';
import { evaluate, type Findings, MAX_ALERTS_OF_ONE_RULE } from '../../../../collector/alert/evaluate.ts';
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

/** Makes evaluations in a row, on a store that was empty at the first one. */
class Rules {
  state: AlertState = EMPTY_STATE;
  constructor() {
    this.tell({}, NOON_US - MINUTE_US);
  }

  tell(
    {
      offenders = [],
      hosts = [],
      coverage = [],
    }: {
      offenders?: Offender[];
      hosts?: Host[] | null;
      coverage?: NonNullable<Findings['hosts']>['coverage'];
    },
    nowUs: number,
  ): AlertDraft[] {
    const findings = { offenders, hosts: hosts === null ? null : { all: hosts, coverage } };
    const { alerts, after } = evaluate(this.state, findings, nowUs);
    this.state = after;
    return alerts;
  }
}

const kinds = (alerts: AlertDraft[]) => alerts.map(({ rule, subject }) => `${rule} ${subject}`);

test('a new offender is reported once, and not again after its calls left the window', () => {
  const rules = new Rules();
  const [alert, ...others] = rules.tell({ offenders: [offenderOf(1)] }, NOON_US);
  assert.deepEqual(others, []);
  assert.equal(alert?.rule, 'new_offender');
  assert.equal(alert.severity, 'warning');
  assert.match(alert.text, /\/usr\/bin\/tool-1 .*on host web-1: 3 calls.*Ask for a token first\./);
  assert.deepEqual(rules.tell({ offenders: [offenderOf(1, { calls_v1: 9 })] }, NOON_US + DAY_US), []);
  assert.deepEqual(rules.tell({}, NOON_US + 30 * DAY_US), []);
  assert.deepEqual(rules.tell({ offenders: [offenderOf(1)] }, NOON_US + 31 * DAY_US), []);
});

test('a workload without IMDSv1 calls is not an offender', () => {
  assert.deepEqual(
    new Rules().tell({ offenders: [offenderOf(1, { calls_v1: 0, calls_v2: 5 })] }, NOON_US),
    [],
  );
});

test('credentials over IMDSv1 are critical, and reported again only after 24 hours of silence', () => {
  const rules = new Rules();
  const first = rules.tell({ offenders: [thiefOf(1, NOON_US)] }, NOON_US);
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
    assert.deepEqual(rules.tell({ offenders: [thiefOf(1, lastUs)] }, lastUs), [], `hour ${hour}`);
  }
  assert.deepEqual(rules.tell({ offenders: [thiefOf(1, lastUs)] }, lastUs + 2 * DAY_US), []);
  const againUs = lastUs + DAY_US;
  const again = rules.tell({ offenders: [thiefOf(1, againUs)] }, lastUs + 2 * DAY_US);
  assert.deepEqual(kinds(again), [`credentials_over_v1 ${thiefOf(1, 0).id}`]);
  assert.match(again[0]!.title, /again/);
});

test('a host whose clock is a year ahead does not hide what comes after', () => {
  const rules = new Rules();
  rules.tell({ offenders: [thiefOf(1, NOON_US + 365 * DAY_US)] }, NOON_US);
  const laterUs = NOON_US + 2 * DAY_US;
  assert.equal(rules.tell({ offenders: [thiefOf(1, laterUs)] }, laterUs).length, 1);
});

test('credentials again within a day of the last alert are reported at the end of that day', () => {
  const rules = new Rules();
  // These calls come from an agent that was offline for a month.
  assert.equal(rules.tell({ offenders: [thiefOf(1, NOON_US - 30 * DAY_US)] }, NOON_US).length, 2);
  const now = [thiefOf(1, NOON_US + HOUR_US)];
  assert.deepEqual(rules.tell({ offenders: now }, NOON_US + HOUR_US), []);
  assert.deepEqual(rules.tell({ offenders: now }, NOON_US + DAY_US - 1), []);
  assert.equal(rules.tell({ offenders: now }, NOON_US + DAY_US).length, 1);
  assert.deepEqual(rules.tell({ offenders: now }, NOON_US + 3 * DAY_US), []);
});

test('a host that is no longer ready is reported once, when it changes', () => {
  const rules = new Rules();
  const blocked = hostOf(1, { verdict: 'blocked', offender_count: 1 });
  assert.deepEqual(rules.tell({ hosts: [hostOf(1), hostOf(2, { verdict: 'blocked' })] }, NOON_US), []);
  const [alert, ...others] = rules.tell({ hosts: [blocked] }, NOON_US + MINUTE_US);
  assert.deepEqual(others, []);
  assert.match(alert!.title, /web-1 is not ready any more: blocked/);
  assert.deepEqual(rules.tell({ hosts: [blocked] }, NOON_US + DAY_US), []);
});

test('a host that changes often is reported once an hour, and its last change is not forgotten', () => {
  const rules = new Rules();
  const unproven = hostOf(1, { verdict: 'unproven' });
  let told = 0;
  for (let minute = 0; minute < 120; minute++) {
    const host = minute % 2 === 0 ? hostOf(1) : unproven;
    told += rules.tell({ hosts: [host] }, NOON_US + minute * MINUTE_US).length;
  }
  assert.equal(told, 2);
  assert.equal(rules.tell({ hosts: [unproven] }, NOON_US + 200 * MINUTE_US).length, 1);
});

test('a silent host is reported as silent and as back, and not also as not ready', () => {
  const rules = new Rules();
  rules.tell({ hosts: [hostOf(1)] }, NOON_US);
  const silent = hostOf(1, { state: 'silent', verdict: 'unproven' });
  const went = rules.tell({ hosts: [silent] }, NOON_US + MINUTE_US);
  assert.deepEqual(kinds(went), ['host_silent i-1']);
  assert.equal(went[0]!.severity, 'warning');
  assert.deepEqual(rules.tell({ hosts: [silent] }, NOON_US + DAY_US), []);
  const back = rules.tell({ hosts: [hostOf(1, { verdict: 'unproven' })] }, NOON_US + 2 * DAY_US);
  assert.deepEqual(kinds(back), ['host_not_ready i-1', 'host_silent i-1']);
  assert.deepEqual([back[1]!.severity, back[1]!.title], ['info', 'Host web-1 is back']);
});

test('a host without any heartbeat has not gone silent', () => {
  const never = hostOf(1, { state: 'silent', last_heartbeat: null });
  assert.deepEqual(new Rules().tell({ hosts: [never] }, NOON_US), []);
});

test('hosts that cannot be judged yet are skipped, and their changes are reported later', () => {
  const rules = new Rules();
  rules.tell({ hosts: [hostOf(1)] }, NOON_US);
  assert.deepEqual(rules.tell({ hosts: null }, NOON_US + MINUTE_US), []);
  const told = rules.tell({ hosts: [hostOf(1, { verdict: 'blocked' })] }, NOON_US + 2 * MINUTE_US);
  assert.deepEqual(kinds(told), ['host_not_ready i-1']);
});

test('coverage lost: once in 24 hours while losses go on, at once after a recovery', () => {
  const rules = new Rules();
  const lossAt = (us: number) => ({
    hosts: [hostOf(1)],
    coverage: [lossOf(1, us - MINUTE_US, us, 'losses')],
  });
  assert.deepEqual(kinds(rules.tell(lossAt(NOON_US), NOON_US)), ['coverage_lost i-1']);
  let atUs = NOON_US;
  for (; atUs < NOON_US + 20 * HOUR_US; atUs += 30 * MINUTE_US)
    assert.deepEqual(rules.tell(lossAt(atUs), atUs), []);
  const recoveredUs = atUs + 2 * HOUR_US;
  assert.equal(rules.tell(lossAt(recoveredUs), recoveredUs).length, 1);
  assert.deepEqual(rules.tell(lossAt(recoveredUs), recoveredUs + 25 * HOUR_US), [], 'the same loss');
});

test('losses that never stop are reported every 24 hours', () => {
  const rules = new Rules();
  const told: number[] = [];
  for (let minute = 0; minute <= 60 * 60; minute += 30) {
    const us = NOON_US + minute * MINUTE_US;
    const coverage = [lossOf(1, NOON_US - MINUTE_US, us, 'losses')];
    if (rules.tell({ hosts: [hostOf(1)], coverage }, us).length > 0) told.push(minute / 60);
  }
  assert.deepEqual(told, [0, 24, 48]);
});

test('gaps that are not losses of the capture are not reported as losses', () => {
  const gaps = [{ startUs: NOON_US - MINUTE_US, endUs: NOON_US, reason: 'boot' as const, detail: null }];
  assert.deepEqual(
    new Rules().tell({ hosts: [hostOf(1)], coverage: [{ hostId: 'i-1', gaps }] }, NOON_US),
    [],
  );
});

test('a flood of one rule becomes one alert, and nothing in it is reported again', () => {
  const rules = new Rules();
  const offenders = Array.from({ length: 500 }, (_, index) => thiefOf(index, NOON_US));
  const alerts = rules.tell({ offenders }, NOON_US);
  assert.deepEqual(kinds(alerts), ['new_offender summary', 'credentials_over_v1 summary']);
  assert.equal(alerts[1]!.severity, 'critical');
  assert.equal(alerts[0]!.title, '500 new IMDSv1 callers');
  assert.equal(alerts[0]!.text.split('\n').at(-1), 'and 490 more');
  assert.deepEqual(rules.tell({ offenders }, NOON_US + MINUTE_US), []);
  const few = offenders.slice(0, MAX_ALERTS_OF_ONE_RULE).map((_, index) => offenderOf(1000 + index));
  assert.equal(rules.tell({ offenders: few }, NOON_US + MINUTE_US).length, MAX_ALERTS_OF_ONE_RULE);
});

test('the findings of the very first evaluation are summed up', () => {
  const offenders = [offenderOf(1), offenderOf(2), thiefOf(3, NOON_US)];
  const hosts = [hostOf(1), hostOf(2, { state: 'silent' }), hostOf(3, { state: 'silent' })];
  const { alerts, after } = evaluate(
    EMPTY_STATE,
    { offenders, hosts: { all: hosts, coverage: [] } },
    NOON_US,
  );
  assert.deepEqual(kinds(alerts), [
    'new_offender summary',
    `credentials_over_v1 ${offenders[2]!.id}`,
    'host_silent summary',
  ]);
  const next = evaluate(after, { offenders, hosts: { all: hosts, coverage: [] } }, NOON_US + MINUTE_US);
  assert.deepEqual(next.alerts, []);
});

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
      const told: (AlertDraft & { us: number })[] = [];
      const offenders = new Map<number, Offender>();
      const credentials: number[][] = Array.from({ length: SUBJECTS }, () => []);
      const losses: number[][] = Array.from({ length: SUBJECTS }, () => []);
      const lastGoodUs: number[] = [];

      const evaluateNow = (hosts: Step['hosts']) => {
        const alerts = rules.tell(
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
        told.push(...alerts.map((alert) => ({ ...alert, us: nowUs })));
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
        told.filter((one) => one.rule === rule && one.subject === subject);
      const apart = (times: number[], quietUs: number) => {
        for (const [index, us] of times.entries())
          if (index > 0) assert.ok(us - times[index - 1]! >= quietUs);
      };
      for (let index = 0; index < SUBJECTS; index++) {
        const { id } = offenderOf(index);
        assert.equal(of('new_offender', id).length, offenders.has(index) ? 1 : 0);

        const thefts = of('credentials_over_v1', id).map(({ us }) => us);
        apart(thefts, DAY_US);
        for (const [number, us] of credentials[index]!.entries()) {
          const before = credentials[index]![number - 1];
          if (before === undefined || us - before >= DAY_US)
            assert.ok(thefts.includes(us), 'a theft that was not told');
        }

        const host = `i-${index}`;
        const notReady = of('host_not_ready', host).map(({ us }) => us);
        apart(notReady, HOUR_US);
        const { verdict, silent } = last[index]!;
        const isGood = verdict === 'ready' || verdict === 'enforced';
        if (!isGood && !silent && lastGoodUs[index] !== undefined) {
          assert.ok((notReady.at(-1) ?? 0) > lastGoodUs[index]!, 'not ready, and nobody was told');
        }

        const silences = of('host_silent', host);
        apart(
          silences.filter(({ severity }) => severity === 'warning').map(({ us }) => us),
          HOUR_US,
        );
        for (const [number, { severity }] of silences.entries()) {
          assert.equal(severity, number % 2 === 0 ? 'warning' : 'info', 'gone and back take turns');
        }
        assert.equal(silences.length % 2, silent ? 1 : 0);

        const lost = of('coverage_lost', host).map(({ us }) => us);
        for (const [number, us] of losses[index]!.entries()) {
          const before = losses[index]![number - 1];
          const fresh = before === undefined || us - 1_000_000 - before >= HOUR_US;
          assert.ok(lost.some((at) => (fresh ? at === us : at <= us && us - at < DAY_US) || at === us));
        }
        for (const us of lost) assert.ok(losses[index]!.includes(us), 'told without a loss');
      }
    }),
    { numRuns: 300 },
  );
});
