/** The pace that agents are told, and what they make of it. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { CollectorPace } from '../../../agent/outbox/collector_pace.ts';
import { checkCollectorSettings, collectorSettings } from '../../../collector/config.ts';
import { paceOf } from '../../../collector/ingest/pacing.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const settings = (heartbeatSeconds: number | null, silentAfterSeconds = 300) => ({
  heartbeatSeconds,
  silentAfterSeconds,
});
const WELCOME = { type: 'welcome', protocol: 3, last_seq: 0 } as const;

test('few agents are told nothing, many send seldom and come back slowly', () => {
  assert.deepEqual(paceOf(1, settings(null)), {});
  assert.deepEqual(paceOf(499, settings(null)), {});
  assert.deepEqual(paceOf(1_000, settings(null)), { reconnect_seconds: 2 });
  assert.deepEqual(paceOf(1_001, settings(null)), { heartbeat_seconds: 11, reconnect_seconds: 2 });
  assert.deepEqual(paceOf(5_000, settings(null)), { heartbeat_seconds: 50, reconnect_seconds: 10 });
  assert.deepEqual(paceOf(100_000, settings(null)), { heartbeat_seconds: 60, reconnect_seconds: 120 });
  assert.deepEqual(paceOf(1, settings(5)), { heartbeat_seconds: 5 });
  assert.deepEqual(paceOf(5_000, settings(30)), { heartbeat_seconds: 30, reconnect_seconds: 10 });
});

test('a host is not silent before three heartbeats of the told interval are missing', () => {
  assert.equal(paceOf(100_000, settings(null, 90)).heartbeat_seconds, 30);
  assert.equal(paceOf(100_000, settings(null, 30)).heartbeat_seconds, undefined);
  const check = (changes: object) => checkCollectorSettings(collectorSettings.parse(changes));
  check({ agent_heartbeat_seconds: 100 });
  assert.throws(() => check({ agent_heartbeat_seconds: 101 }), /Set silent_after_seconds to 303 or more/);
  check({ agent_heartbeat_seconds: 101, silent_after_seconds: 303 });
});

test('5,000 agents that lost their collector are spread over the time that it told', () => {
  const perSecond = new Array<number>(11).fill(0);
  for (let agent = 0; agent < 5_000; agent += 1) {
    const pace = new CollectorPace(10_000, () => agent / 5_000);
    pace.onWelcome({ ...WELCOME, ...paceOf(5_000, settings(null)) });
    perSecond[Math.floor(pace.nextRetry(false) / 1000)]! += 1;
  }
  assert.ok(Math.max(...perSecond) <= 501, `${perSecond} in each second`);
});

test('delays grow to their bound and begin again; a handed-over agent comes at once', () => {
  const latest = new CollectorPace(10_000, () => 1);
  const delays = Array.from({ length: 8 }, () => latest.nextRetry(false));
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(latest.nextRetry(true), 200);
  latest.resetRetries();
  assert.equal(latest.nextRetry(false), 500);
  assert.equal(new CollectorPace(10_000, () => 0).nextRetry(false), 0);
  latest.onWelcome({ ...WELCOME, reconnect_seconds: 120 });
  latest.resetRetries();
  assert.deepEqual([latest.nextRetry(false), latest.nextRetry(false)], [120_000, 120_000]);
});

test('heartbeats come at the longer of the two intervals', () => {
  const pace = new CollectorPace(10_000);
  const sent = (seconds: number) => {
    const times: number[] = [];
    for (let at = 0; at <= seconds; at += 10) {
      if (!pace.isHeartbeatDue(at * 1000)) continue;
      pace.onHeartbeat(at * 1000);
      times.push(at);
    }
    return times;
  };
  assert.deepEqual(sent(30), [0, 10, 20, 30]);
  pace.onWelcome({ ...WELCOME, heartbeat_seconds: 60 });
  pace.onHeartbeat(0);
  assert.deepEqual(sent(180), [60, 120, 180]);
  pace.onWelcome({ ...WELCOME, heartbeat_seconds: 5 });
  pace.onHeartbeat(0);
  assert.deepEqual(sent(30), [10, 20, 30]);
});

test('an agent sends heartbeats at the interval that it was told', async () => {
  const server = await bench.ingestServer({ heartbeatSeconds: 300 });
  const outbox = bench.outbox(server.url, { heartbeatMs: 50 });
  const connections = () => outbox.counters()['uplink']!['connections']!;
  await eventually('a heartbeat', () => server.store.heartbeats.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 20 * 50));
  // Every connection begins with a heartbeat; a busy machine may have cut one.
  assert.ok(server.store.heartbeats.length <= connections(), `${server.store.heartbeats.length} heartbeats`);
});
