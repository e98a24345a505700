/** The pace that agents are told, and what they make of it. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { CollectorPace } from '../../../agent/outbox/collector_pace.ts';
import { checkCollectorSettings, collectorSettings } from '../../../collector/config.ts';
import { isOtherPace, paceOf } from '../../../collector/ingest/pacing.ts';
import { ack, collectorFrame } from '../../../protocol/frames.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const settings = (heartbeatSeconds: number | null, silentAfterSeconds = 300) => ({
  heartbeatSeconds,
  silentAfterSeconds,
});
/** Agents of one collector that has its store for itself. */
const agents = (connections: number, fleet = connections) => ({ connections, fleet });

test('few agents are told nothing, many send seldom and come back slowly', () => {
  assert.deepEqual(paceOf(agents(1), settings(null)), {});
  assert.deepEqual(paceOf(agents(499), settings(null)), {});
  assert.deepEqual(paceOf(agents(1_000), settings(null)), { reconnect_seconds: 2 });
  assert.deepEqual(paceOf(agents(1_001), settings(null)), { heartbeat_seconds: 11, reconnect_seconds: 2 });
  assert.deepEqual(paceOf(agents(5_000), settings(null)), { heartbeat_seconds: 50, reconnect_seconds: 10 });
  assert.deepEqual(paceOf(agents(100_000), settings(null)), {
    heartbeat_seconds: 60,
    reconnect_seconds: 100,
  });
  assert.deepEqual(paceOf(agents(1), settings(5)), { heartbeat_seconds: 5 });
  assert.deepEqual(paceOf(agents(5_000), settings(30)), { heartbeat_seconds: 30, reconnect_seconds: 10 });
});

test('the agents of all collectors decide too, and an agent of a lost collector is back before it is silent', () => {
  assert.deepEqual(paceOf(agents(900, 16_000), settings(null)), { reconnect_seconds: 1 });
  assert.equal(paceOf(agents(900, 50_000), settings(null)).heartbeat_seconds, 30);
  assert.equal(paceOf(agents(900, 100_000), settings(null)).heartbeat_seconds, 60);
  assert.equal(paceOf(agents(900, 100_000), settings(10)).heartbeat_seconds, 10);
  for (const silentAfter of [30, 31, 60, 90, 300, 3600]) {
    for (const connections of [1, 999, 5_000, 20_000, 100_000]) {
      const { heartbeat_seconds: told, reconnect_seconds: reconnect = 0 } = paceOf(
        agents(connections, 100_000),
        settings(null, silentAfter),
      );
      // A heartbeat waits for a tenth of the time to be stored, and the collector may end just then.
      const withoutSeconds = (told ?? 10) + reconnect + silentAfter / 10;
      assert.ok(withoutSeconds < silentAfter, `${withoutSeconds} s of ${silentAfter}`);
    }
  }
});

test('a pace that is nearly the same is not told again', () => {
  assert.equal(isOtherPace({}, {}), false);
  assert.equal(isOtherPace({}, { heartbeat_seconds: 11 }), true);
  assert.equal(isOtherPace({ heartbeat_seconds: 50 }, { heartbeat_seconds: 54 }), false);
  assert.equal(isOtherPace({ heartbeat_seconds: 50 }, { heartbeat_seconds: 60 }), true);
  assert.equal(isOtherPace({ heartbeat_seconds: 11 }, {}), true);
  assert.equal(isOtherPace({ heartbeat_seconds: 11 }, { heartbeat_seconds: 11, reconnect_seconds: 2 }), true);
});

test('a connected agent is told another interval with an acknowledgement, and one of an older release is not troubled', async () => {
  const server = await bench.ingestServer({ fleetMs: 20 });
  const outbox = bench.outbox(server.url, { heartbeatMs: 100 });
  const heard = () => server.ingest.counters()['heartbeats']!;
  await eventually('heartbeats at the usual interval', () => heard() >= 3);
  for (let host = 0; host < 100_000; host += 1) server.store.heard.set(`h${host}`, Date.now() * 1000);
  await eventually('the fleet is counted', () => server.ingest.counters()['fleet_hosts']! >= 100_000);
  outbox.call(makeCall());
  await eventually('the call is acknowledged', () => outbox.counters()['spool']!['acknowledged'] === 1);
  await eventually('heartbeats stop: the next one is due in a minute', async () => {
    const before = heard();
    await new Promise((resolve) => setTimeout(resolve, 15 * 100));
    return heard() === before;
  });
  const told = { type: 'ack', seq: 1, rejected: 0, pace: { heartbeat_seconds: 60 } };
  assert.deepEqual(collectorFrame.parse(told), told);
  assert.deepEqual(ack.omit({ pace: true }).parse(told), { type: 'ack', seq: 1, rejected: 0 });
});

test('a host is not silent before three heartbeats of the told interval are missing', () => {
  assert.equal(paceOf(agents(100_000), settings(null, 90)).heartbeat_seconds, 30);
  assert.equal(paceOf(agents(100_000), settings(null, 30)).heartbeat_seconds, undefined);
  const check = (changes: object) => checkCollectorSettings(collectorSettings.parse(changes));
  check({ agent_heartbeat_seconds: 100 });
  assert.throws(() => check({ agent_heartbeat_seconds: 101 }), /Set silent_after_seconds to 303 or more/);
  check({ agent_heartbeat_seconds: 101, silent_after_seconds: 303 });
});

test('5,000 agents that lost their collector are spread over the time that it told', () => {
  const perSecond = new Array<number>(11).fill(0);
  for (let agent = 0; agent < 5_000; agent += 1) {
    const pace = new CollectorPace(10_000, () => agent / 5_000);
    pace.follow(paceOf(agents(5_000), settings(null)));
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
  latest.follow({ reconnect_seconds: 120 });
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
  pace.follow({ heartbeat_seconds: 60 });
  pace.onHeartbeat(0);
  assert.deepEqual(sent(180), [60, 120, 180]);
  pace.follow({ heartbeat_seconds: 5 });
  pace.onHeartbeat(0);
  assert.deepEqual(sent(30), [10, 20, 30]);
});

test('an agent sends heartbeats at the interval that it was told', async () => {
  const server = await bench.ingestServer({ heartbeatSeconds: 300 });
  const outbox = bench.outbox(server.url, { heartbeatMs: 50 });
  const connections = () => outbox.counters()['uplink']!['connections']!;
  await eventually('a heartbeat', () => server.ingest.counters()['heartbeats']! > 0);
  await new Promise((resolve) => setTimeout(resolve, 20 * 50));
  // Every connection begins with a heartbeat; a busy machine may have cut one.
  const heard = server.ingest.counters()['heartbeats']!;
  assert.ok(heard <= connections(), `${heard} heartbeats`);
});
