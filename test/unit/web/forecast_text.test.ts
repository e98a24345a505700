import assert from 'node:assert/strict';
import { test } from 'node:test';
import { burnDown } from '../../../collector/contract/fix_first.ts';
import { forecastText, onDay } from '../../../web/src/forecast_text.ts';

const NOTHING = { reason: null, expected: null, earliest: null, latest: null };
const [EARLIEST, EXPECTED, LATEST] = ['2027-01-05', '2027-02-06', '2027-03-07'].map(
  (day) => `${day}T00:00:00.000000Z`,
) as [string, string, string];

test('a forecast says how sure it is, also where it has no end', () => {
  const expected = { ...NOTHING, kind: 'expected' as const, expected: EXPECTED, earliest: EARLIEST };
  const closed = forecastText({ ...expected, latest: LATEST }, 'host');
  assert.ok(
    closed.includes(`around ${onDay(EXPECTED)} (80 %: between ${onDay(EARLIEST)} and ${onDay(LATEST)})`),
  );
  const open = forecastText(expected, 'host');
  assert.ok(open.includes(`not before ${onDay(EARLIEST)}, and perhaps in more than two years`));
});

test('every reason for no forecast has its own words', () => {
  const reasons = burnDown.shape.forecast.shape.hosts.shape.reason.unwrap().options;
  const texts = reasons.map((reason) => forecastText({ ...NOTHING, kind: 'unknown', reason }, 'host'));
  assert.equal(new Set(texts).size, reasons.length);
  assert.ok(texts.every((text) => /^No forecast: [a-z].*\.$/.test(text) && !text.includes('undefined')));
  assert.equal(
    forecastText({ ...NOTHING, kind: 'reached' }, 'host'),
    'No host had an IMDSv1 call in the last whole week.',
  );
});

test('a day is named as it is in UTC, wherever the viewer is', () => {
  assert.ok(onDay('2027-01-05T00:00:00.000000Z').includes('5'));
});
