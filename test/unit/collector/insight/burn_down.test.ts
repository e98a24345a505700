import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { burnDownOf, type CallingDay } from '../../../../collector/insight/burn_down.ts';

const TODAY = 20_700;
const nobody = { hosts: [], workloads: [], firstDay: 0, today: TODAY, days: 5, windowDays: 3, reported: [] };
const dayOf = (stamp: string) => Date.parse(stamp) / 86_400_000;

test('a call holds its host on its day and until the window has passed', () => {
  const { days } = burnDownOf({
    ...nobody,
    hosts: [
      { day: TODAY - 4, callers: Uint32Array.of(1, 2) },
      { day: TODAY - 3, callers: Uint32Array.of(1) },
    ],
    workloads: [{ day: TODAY - 6, callers: Uint32Array.of(7) }],
  });
  assert.deepEqual(
    days.map((each) => [dayOf(each.day) - TODAY, each.hosts, each.offenders]),
    [
      [-4, 2, 1],
      [-3, 2, 0],
      [-2, 2, 0],
      [-1, 1, 0],
      [0, 0, 0],
    ],
  );
});

test('days before the first stored one are left out, and those without a whole window are marked', () => {
  const { days, weeks, forecast } = burnDownOf({ ...nobody, firstDay: TODAY - 3 });
  assert.deepEqual(
    days.map(({ day, complete }) => [dayOf(day) - TODAY, complete]),
    [
      [-3, false],
      [-2, false],
      [-1, true],
      [0, true],
    ],
  );
  assert.deepEqual(weeks, []);
  assert.equal(forecast.hosts.reason, 'too_few_weeks');
  assert.deepEqual(burnDownOf({ ...nobody, firstDay: null }).days, []);
});

test('weeks do not overlap, leave today out, and count a host once', () => {
  const { weeks, forecast } = burnDownOf({
    ...nobody,
    firstDay: TODAY - 30,
    hosts: Array.from({ length: 31 }, (_, back) => ({
      day: TODAY - back,
      callers: Uint32Array.from({ length: back === 0 ? 9 : Math.ceil(back / 7) }, (_, n) => n),
    })),
    reported: Array.from({ length: 9 }, () => ({ firstDay: 0, lastDay: TODAY, hosts: 1 })),
  });
  assert.deepEqual(
    weeks.map(({ from, to, hosts, watched_hosts }) => [
      dayOf(from) - TODAY,
      dayOf(to) - TODAY,
      hosts,
      watched_hosts,
    ]),
    [
      [-28, -21, 4, 9],
      [-21, -14, 3, 9],
      [-14, -7, 2, 9],
      [-7, 0, 1, 9],
    ],
  );
  assert.equal(forecast.offenders.kind, 'reached');
});

test('every day has the numbers of a recount', () => {
  const calling = fc
    .uniqueArray(
      fc.record({
        day: fc.integer({ min: TODAY - 40, max: TODAY }),
        callers: fc.uniqueArray(fc.nat(5), { minLength: 1 }).map((each) => Uint32Array.from(each)),
      }),
      { selector: ({ day }) => day, maxLength: 40 },
    )
    .map((days): CallingDay[] => days.toSorted((a, b) => a.day - b.day));
  fc.assert(
    fc.property(
      calling,
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 20 }),
      (hosts, days, window) => {
        const answer = burnDownOf({ ...nobody, firstDay: TODAY - 40, hosts, days, windowDays: window });
        assert.equal(answer.days.length, days);
        for (const each of answer.days) {
          const day = dayOf(each.day);
          const callers = hosts
            .filter((on) => on.day <= day && on.day > day - window)
            .flatMap((on) => [...on.callers]);
          assert.equal(each.hosts, new Set(callers).size);
        }
      },
    ),
  );
});
