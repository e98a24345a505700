/** Tests that an answer says from when its data is, also where it was kept, shared or worked out in advance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Coalesced } from '../../../../collector/api/coalesced.ts';
import { AS_OF, LAG, SOURCE, sourceHeaders } from '../../../../collector/api/data_source.ts';
import {
  currentReading,
  dataAsOfUs,
  dataNowUs,
  noteKept,
  noteView,
  readingOf,
} from '../../../../collector/store/reading.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';

const T_US = Date.UTC(2026, 10, 20, 12) * 1000;
const SECOND_US = 1_000_000;

function fromStandby(asOfUs: number, lagUs = 0): void {
  noteView(currentReading()!, { asOfUs, lagUs, problem: null });
}

async function headersOf(answer: () => Promise<unknown>): Promise<Record<string, string>> {
  return Object.fromEntries(sourceHeaders((await readingOf(answer)).reading));
}

test('headers have the oldest time, the longest lag, and every reason of the primary', async () => {
  assert.deepEqual(await headersOf(async () => {}), {});
  const mixed = await headersOf(async () => {
    fromStandby(T_US, 2.9 * SECOND_US);
    await Promise.resolve();
    fromStandby(T_US + SECOND_US, SECOND_US);
    noteView(currentReading()!, { asOfUs: T_US + 5 * SECOND_US, lagUs: 0, problem: 'conflict' });
  });
  assert.deepEqual(mixed, {
    [AS_OF]: toTimestamp(T_US),
    [SOURCE]: 'standby, primary; reason="conflict"',
    [LAG]: '2',
  });
  const primary = await headersOf(async () =>
    noteView(currentReading()!, { asOfUs: T_US, lagUs: 0, problem: 'away' }),
  );
  assert.deepEqual(primary, { [AS_OF]: toTimestamp(T_US), [SOURCE]: 'primary; reason="away"' });
});

test('an answer that is kept or shared has the time of its own data for everybody who gets it', async () => {
  let nowMs = 0;
  const answers = new Coalesced({
    lifetime: () => ({ renewAfterMs: 500, keepMs: 1_000 }),
    maxAnswers: 2,
    nowMs: () => nowMs,
  });
  let asked = 0;
  const ask = () =>
    answers.answer('offenders', async () => {
      asked += 1;
      fromStandby(T_US, 3 * SECOND_US);
      await Promise.resolve();
      nowMs += 100;
    });
  const [first, shared] = await Promise.all([headersOf(ask), headersOf(ask)]);
  const later = await headersOf(async () => {
    fromStandby(T_US + 60 * SECOND_US);
    await ask();
  });
  assert.equal(asked, 1);
  const expected = { [AS_OF]: toTimestamp(T_US), [SOURCE]: 'standby', [LAG]: '3' };
  assert.deepEqual([first, shared, later], [expected, expected, expected]);
});

test('the present of a question is that of the data that it reads itself, and an older answer dates what is made of it', async () => {
  await readingOf(async () => {
    assert.equal(dataNowUs(T_US), T_US);
    fromStandby(T_US - 10 * SECOND_US);
    noteKept(T_US - 90 * SECOND_US);
    assert.equal(dataNowUs(T_US), T_US - 10 * SECOND_US);
    assert.equal(dataAsOfUs(T_US), T_US - 90 * SECOND_US);
  });
  assert.equal(dataNowUs(T_US), T_US);
  const headers = await headersOf(async () => {
    noteKept(T_US - 90 * SECOND_US);
    fromStandby(T_US);
  });
  assert.equal(headers[AS_OF], toTimestamp(T_US - 90 * SECOND_US));
});
