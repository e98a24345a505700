import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Forecast, forecastOf } from '../../../../collector/insight/forecast.ts';

const weeks = (counts: number[], watched = 1000) => counts.map((count) => ({ count, watched }));
const expected = (forecast: Forecast) => {
  assert.equal(forecast.kind, 'expected', JSON.stringify(forecast));
  return forecast as Extract<Forecast, { kind: 'expected' }>;
};

test('a straight fall ends where the line does', () => {
  const { weeks: ahead, earliest, latest } = expected(forecastOf(weeks([900, 800, 700, 600])));
  assert.ok(Math.abs(ahead - 6) < 1e-9);
  assert.ok(earliest > 5.9 && earliest < 6 && latest! > 6 && latest! < 6.1, `${earliest} ${latest}`);
});

test('what goes up and down widens the span, to one without an end and to no forecast at all', () => {
  const calm = expected(forecastOf(weeks([500, 440, 410, 340, 310, 250])));
  const wild = expected(forecastOf(weeks([500, 380, 470, 300, 360, 250])));
  assert.ok(wild.latest! - wild.earliest > 2 * (calm.latest! - calm.earliest));
  assert.deepEqual(forecastOf(weeks([300, 500, 250, 480, 260, 430])), {
    kind: 'unknown',
    reason: 'not_falling',
  });
});

test('there is no forecast where there cannot be one, and the reason says why', () => {
  const cases: [counts: number[], reason: string][] = [
    [[], 'too_few_weeks'],
    [[9, 8, 7], 'too_few_weeks'],
    [[100, 200, 300, 400], 'not_falling'],
    [[300, 300, 300, 300], 'not_falling'],
    [[100_000, 99_990, 99_980, 99_970], 'too_far'],
    [[400, 200, 30, 20, 10, 10, 8, 6, 5, 4, 4, 3], 'overdue'],
  ];
  for (const [counts, reason] of cases) {
    assert.deepEqual(forecastOf(weeks(counts)), { kind: 'unknown', reason }, counts.join());
  }
  const growing = [900, 800, 700, 600].map((count, week) => ({ count, watched: 1000 + 50 * week }));
  assert.deepEqual(forecastOf(growing), { kind: 'unknown', reason: 'fleet_changed' });
  assert.deepEqual(forecastOf(weeks([9, 4, 2, 0])), { kind: 'reached' });
});

test('only the last twelve weeks count', () => {
  const fall = Array.from({ length: 12 }, (_, week) => 900 - 50 * week);
  assert.deepEqual(forecastOf(weeks([5, 5000, 5, ...fall])), forecastOf(weeks(fall)));
});

test('a forecast lies within its own span, and after now', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(2000), { maxLength: 16 }), (counts) => {
      const forecast = forecastOf(weeks(counts));
      if (forecast.kind !== 'expected') return;
      assert.ok(forecast.weeks > 0 && forecast.earliest >= 0 && forecast.earliest <= forecast.weeks);
      assert.ok(forecast.latest === null || forecast.latest >= forecast.weeks);
    }),
    { numRuns: 2000 },
  );
});

test('of 4,000 falls with random noise the true end lies within the span for about 80 %', () => {
  let state = 7;
  const uniform = () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  let [made, held] = [0, 0];
  for (let run = 0; run < 4000; run++) {
    const counts = Array.from({ length: 8 }, (_, week) => 1000 - 60 * week + 25 * normal());
    const forecast = forecastOf(weeks(counts));
    if (forecast.kind !== 'expected') continue;
    made++;
    const trueWeeks = 1000 / 60 - 7;
    if (forecast.earliest <= trueWeeks && (forecast.latest ?? Number.POSITIVE_INFINITY) >= trueWeeks) held++;
  }
  assert.ok(made > 3900, `${made} forecasts`);
  assert.ok(held / made > 0.77 && held / made < 0.83, `${held} of ${made}`);
});
