/** Tests what an operator is told about a clock that is wrong: at once, then seldom, and when it is right again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from 'pino';
import { ClockWatch } from '../../../collector/clock_watch.ts';

test('a wrong clock is logged at once and then every ten minutes, and its end is told', () => {
  const lines: [level: string, text: string][] = [];
  const log = {
    error: ({ seconds }: { seconds: number }, text: string) => lines.push(['error', `${seconds} s: ${text}`]),
    info: (text: string) => lines.push(['info', text]),
  } as unknown as Logger;
  let nowMs = 0;
  const watch = new ClockWatch(log, () => nowMs);
  assert.equal(watch.aheadSeconds, null);
  watch.note(20, true);
  assert.deepEqual([watch.aheadSeconds, lines.length], [0.02, 0]);
  for (const minute of [0, 5, 9, 10, 12]) {
    nowMs = minute * 60_000;
    watch.note(-3_600_000, false);
  }
  assert.equal(lines.length, 2);
  assert.match(
    watch.problem!,
    /^The clock of this collector is 3600 s behind the clock of the database\. Until the difference/,
  );
  assert.match(lines[0]![1], /^3600 s: the clock of this collector is behind the clock of the database/);
  watch.note(0, true);
  watch.note(0, true);
  assert.equal(watch.problem, null);
  assert.deepEqual(lines.slice(2), [['info', 'the clock of this collector agrees with the database again']]);
  watch.note(90_000, false);
  assert.match(lines[3]![1], /^90 s: the clock of this collector is ahead of/);
});
