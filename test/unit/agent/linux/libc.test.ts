/** Clocks of the C library: times of reports and of calls come from one clock. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noSteppedClock, SteppedClock } from '../../../support/collector/stepped_clock.ts';

const LIBC = join(import.meta.dirname, '../../../../agent/linux/libc.ts');
const SCRIPT = `
import { bootClockUs, realClockUs } from ${JSON.stringify(LIBC)};
console.log(JSON.stringify([Date.now() * 1000, realClockUs(), Date.now() * 1000, bootClockUs()]));
`;

test('a wall clock that is set is the same for calls and for reports, and the boot clock is not set', {
  skip: noSteppedClock(),
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-clock-'));
  try {
    const clock = new SteppedClock(directory);
    const read = (seconds: number) => {
      clock.set(seconds);
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
        env: { ...process.env, ...clock.env },
        encoding: 'utf8',
      });
      return JSON.parse(output) as [number, number, number, number];
    };
    const first = read(0);
    for (const seconds of [-100_000, 100_000]) {
      const [beforeUs, realUs, afterUs, bootUs] = read(seconds);
      assert.ok(realUs >= beforeUs && realUs < afterUs + 1000, `${beforeUs} ${realUs} ${afterUs}`);
      assert.ok(bootUs > first[3] && bootUs - first[3] < 50_000_000_000);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
