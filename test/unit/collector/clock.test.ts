/** Somebody sets the clock, on either side, while calls are delivered. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { openForReading } from '../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../collector/store/sqlite/findings_schema.ts';
import { AgentProcess, kill, startCollectorProcess, TOKEN } from '../../support/collector/processes.ts';
import { noSteppedClock, SteppedClock } from '../../support/collector/stepped_clock.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const HOUR_SECONDS = 3600;
const STEPS_SECONDS = [HOUR_SECONDS, -2 * HOUR_SECONDS, 26 * HOUR_SECONDS, -1, 0];
const CALLS = 2000;

const skip = noSteppedClock();
const children: ChildProcess[] = [];
const directories: string[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-clock-'));
  directories.push(directory);
  return directory;
}

/** Returns when the collector took the latest heartbeat, in microseconds since 1970 by its own clock; null: it has none. */
function lastHeartbeat(dataDir: string): number | null {
  const database = openForReading(dataDir, FINDINGS);
  try {
    return (database.prepare('SELECT heard_us FROM last_heard').get()?.['heard_us'] ?? null) as number | null;
  } finally {
    database.close();
  }
}

for (const side of ['agent', 'collector'] as const) {
  test(`the clock of the ${side} is set forward and back five times: nothing lost, nothing twice`, {
    skip,
  }, async () => {
    const clock = new SteppedClock(newDirectory());
    clock.set(-HOUR_SECONDS);
    assert.ok(Math.abs(clock.read() + HOUR_SECONDS * 1000 - Date.now()) < 5000, 'the clock is another one');
    clock.set(0);
    const dataDir = newDirectory();
    const env = { agent: {}, collector: {}, [side]: clock.env };
    const { child, port } = await startCollectorProcess(dataDir, 0, { env: env.collector });
    children.push(child);
    const sender = new AgentProcess(
      {
        url: `ws://127.0.0.1:${port}`,
        token: TOKEN,
        spoolDir: newDirectory(),
        spoolMaxBytes: 64 * 1024 * 1024,
        // A machine that is busy with other tests must not look like a dead connection.
        heartbeatMs: 1500,
        burst: 10,
        pauseMs: 6,
        from: 0,
        to: CALLS,
        detail: 'all',
      },
      { env: env.agent },
    );
    children.push(sender.child);
    for (const [index, seconds] of STEPS_SECONDS.entries()) {
      await sender.untilMade((index + 1) * 350);
      clock.set(seconds);
    }
    await sender.untilDone();
    await eventually('all calls stored', () => readStored(dataDir).numbers.length >= CALLS);
    assert.deepEqual(readStored(dataDir).numbers, range(0, CALLS));
    const heartbeat = lastHeartbeat(dataDir);
    await eventually('one more heartbeat', () => lastHeartbeat(dataDir) !== heartbeat);
    const counters = await sender.stop();
    assert.equal(counters['spool']!['acknowledged'], CALLS);
    assert.equal(counters['spool']!['lost'], 0);
    assert.equal(counters['uplink']!['connections'], 1, 'a stepped clock closes nobody');
  });
}
