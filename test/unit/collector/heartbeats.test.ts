/** Tests which parts of heartbeats are stored, and when: never so late that a host that is heard looks silent. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { type Heard, HeardAgent } from '../../../collector/ingest/heard_agent.ts';
import { HeartbeatWriter } from '../../../collector/ingest/heartbeat_writer.ts';
import { isSilent } from '../../../collector/insight/hosts.ts';
import { packHeartbeat, unpackHeartbeat } from '../../../collector/store/packed_heartbeat.ts';
import type { HeardHost } from '../../../collector/store/store.ts';
import type { Heartbeat } from '../../../protocol/records.ts';
import { heartbeatOf } from '../../support/collector/insight/findings.ts';

const NOW_US = Date.UTC(2026, 10, 1, 12) * 1000;
const BEAT = heartbeatOf('i-1', NOW_US);
const SILENT_AFTER = 300;
const log = pino({ level: 'silent' });

/** Returns what one agent's heartbeats make of it; each is given with its second. */
function hear(hosts: number, beats: readonly (readonly [seconds: number, changes?: Partial<Heartbeat>])[]) {
  const agent = new HeardAgent();
  return beats.map(([seconds, changes = {}]) =>
    agent.onHeartbeat(
      { ...BEAT, ...changes },
      { nowMs: seconds * 1000, nowUs: NOW_US + seconds * 1e6, hosts, silentAfterSeconds: SILENT_AFTER },
    ),
  );
}

const kinds = (heard: readonly Heard[]) =>
  heard.map(({ host, isUrgent }) => `${isUrgent ? 'now ' : ''}${host.said === null ? 'time' : 'all'}`);

test('of a large fleet the time of each heartbeat is stored, and what it says once a minute', () => {
  const every10 = Array.from({ length: 13 }, (_, at) => [at * 10] as const);
  const times = Array.from({ length: 5 }, () => 'time');
  assert.deepEqual(kinds(hear(100_000, every10)), ['now all', ...times, 'all', ...times, 'all']);
  assert.deepEqual(kinds(hear(1000, [[0], [10], [20]])), ['now all', 'all', 'all']);
});

test('a heartbeat that says something new is stored at once', () => {
  const counters = (stage: string, name: string, count: number) => ({
    counters: { [stage]: { [name]: count } },
  });
  const changes: [string, Partial<Heartbeat>][] = [
    ['now all', { coverage: { live: false, sources: [] } }],
    ['now all', { coverage: { live: false, sources: ['eth0'] } }],
    ['now all', { agent_version: '9.9.9' }],
    ['now all', { attribution: { method: 'none', reason: 'no rights' } }],
    ['now all', counters('capture', 'dropped', 1)],
    ['now all', counters('capture', 'dropped', 2)],
  ];
  for (const [expected, change] of changes) {
    assert.equal(kinds(hear(100_000, [[0], [10, change]]))[1], expected, JSON.stringify(change));
  }
  const lost = counters('spool', 'lost', 1);
  assert.deepEqual(kinds(hear(100_000, [[0], [10, lost], [20, lost]])), ['now all', 'now all', 'time']);
  const packets = [counters('capture', 'packets', 1), counters('capture', 'packets', 2)] as const;
  assert.deepEqual(
    kinds(
      hear(100_000, [
        [0, packets[0]],
        [10, packets[1]],
      ]),
    ),
    ['now all', 'time'],
  );
});

test('a heartbeat after a long pause does not wait, whoever stored the one before', () => {
  assert.deepEqual(kinds(hear(100_000, [[0], [50], [201]])), ['now all', 'time', 'now all']);
});

test('what is packed comes back', () => {
  assert.deepEqual(unpackHeartbeat(packHeartbeat(BEAT)), BEAT);
  assert.ok(packHeartbeat(BEAT).length < JSON.stringify(BEAT).length);
});

const at = (hostId: string, second: number, isUrgent = false): Heard => ({
  host: { hostId, heardUs: NOW_US + second * 1e6, firstUs: null, said: null },
  isUrgent,
});

class Groups {
  readonly stored: HeardHost[][] = [];
  fault: Error | null = null;
  heartbeats = async (heard: readonly HeardHost[]) => {
    if (this.fault !== null) throw this.fault;
    this.stored.push([...heard]);
  };
}

function writerOf(groups: Groups, silentAfterSeconds = SILENT_AFTER) {
  return new HeartbeatWriter({ store: groups, silentAfterSeconds, log });
}

/** Lets promises settle. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

test('many hosts wait for one another for ten seconds, few for a tenth, urgent ones for a second at most', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const groups = new Groups();
  const writer = writerOf(groups);
  const round = async (hosts: number, waitMs: number, isUrgent = false) => {
    const before = groups.stored.flat().length;
    for (let host = 0; host < hosts; host += 1) writer.add(at(`h${host}`, groups.stored.length, isUrgent));
    t.mock.timers.tick(waitMs - 1);
    await settle();
    assert.equal(groups.stored.flat().length, before, 'not earlier');
    t.mock.timers.tick(1);
    await settle();
    assert.equal(groups.stored.flat().length, before + hosts);
  };
  await round(9, 100);
  await round(2500, 100);
  assert.deepEqual(
    groups.stored.slice(-3).map(({ length }) => length),
    [1000, 1000, 500],
  );
  await round(99, 10_000);
  await round(9, 1000);
  await round(1, 100);
  await round(500, 100, true);
  await round(500, 1000, true);
  const hurried = new Groups();
  const ofShortSilence = writerOf(hurried, 30);
  for (let host = 0; host < 200; host += 1) ofShortSilence.add(at(`h${host}`, 0));
  t.mock.timers.tick(100);
  await settle();
  ofShortSilence.add(at('h0', 1));
  t.mock.timers.tick(3000);
  await settle();
  assert.equal(hurried.stored.length, 2, 'a tenth of the time after which a host is silent');
  await writer.close();
  await ofShortSilence.close();
});

test('heartbeats of a host are one: the latest time, the latest contents, the first time; an urgent one takes the others along', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const groups = new Groups();
  const writer = writerOf(groups);
  const said = { timeUs: 1, receivedUs: NOW_US, body: new Uint8Array([1]) };
  writer.add({ host: { hostId: 'b', heardUs: NOW_US, firstUs: NOW_US, said }, isUrgent: false });
  writer.add(at('a', 1));
  writer.add(at('b', 2, true));
  writer.add(at('b', 3));
  t.mock.timers.tick(100);
  await settle();
  const stored = groups.stored.flat();
  assert.equal(stored.length, 2);
  assert.deepEqual(
    stored.find(({ hostId }) => hostId === 'b'),
    { hostId: 'b', heardUs: NOW_US + 3e6, firstUs: NOW_US, said },
  );
  await writer.close();
});

test('what the store refuses is stored with the next group, and at the end nothing waits', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const groups = new Groups();
  const writer = writerOf(groups);
  groups.fault = new Error('disk full');
  writer.add(at('a', 1));
  writer.add(at('b', 1, true));
  t.mock.timers.tick(100);
  await settle();
  assert.equal(writer.counters()['heartbeat_failures'], 2);
  groups.fault = null;
  writer.add(at('a', 2));
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(
    groups.stored.flat().map(({ hostId, heardUs }) => [hostId, heardUs - NOW_US]),
    [
      ['a', 2e6],
      ['b', 1e6],
    ],
  );
  writer.add(at('c', 3));
  await writer.close();
  assert.deepEqual(
    groups.stored.at(-1)!.map(({ hostId }) => hostId),
    ['c'],
  );
  groups.fault = new Error('away');
  const ending = writerOf(groups);
  for (let host = 0; host < 5000; host += 1) ending.add(at(`h${host}`, 0));
  await ending.close();
  assert.equal(ending.counters()['heartbeat_failures'], 1, 'a store that is away is tried once');
});

/** Plays heartbeats of one host of many at these seconds. Returns the seconds at which the host looks silent. */
async function silentSeconds(t: TestContext, beats: readonly number[], untilSecond: number) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let heardUs: number | null = null;
  const heartbeats = async (heard: readonly HeardHost[]) => {
    heardUs = heard.find(({ hostId }) => hostId === 'i-1')?.heardUs ?? heardUs;
  };
  const writer = new HeartbeatWriter({ store: { heartbeats }, silentAfterSeconds: SILENT_AFTER, log });
  const agent = new HeardAgent();
  const silent: number[] = [];
  for (let second = 0; second <= untilSecond; second += 1) {
    if (second % 10 === 0) for (let other = 0; other < 200; other += 1) writer.add(at(`z${other}`, second));
    if (beats.includes(second)) {
      const nowUs = NOW_US + second * 1e6;
      const hearing = { nowMs: second * 1000, nowUs, hosts: 100_000, silentAfterSeconds: SILENT_AFTER };
      writer.add(agent.onHeartbeat(BEAT, hearing));
    }
    t.mock.timers.tick(1000);
    await settle();
    if (isSilent(heardUs, NOW_US + (second + 1) * 1e6, SILENT_AFTER)) silent.push(second + 1);
  }
  await writer.close();
  t.mock.timers.reset();
  return silent;
}

test('batching makes no host silent earlier, and shows silence as early as without it', async (t) => {
  const since = await silentSeconds(t, [0, 60, 120, 180], 500);
  assert.deepEqual(since, range(481, 501), 'more than 300 s after the last heartbeat');
  assert.deepEqual(await silentSeconds(t, [0, 100, 200, 300, 400], 500), [], 'a third of the time');
  for (let begin = 0; begin < 11; begin += 1) {
    // The second heartbeat waits for others; the third comes when the host is nearly silent.
    const silent = await silentSeconds(t, [begin, begin + 60, begin + 60 + 299], begin + 500);
    assert.deepEqual(
      silent.filter((second) => second > begin + 1),
      [],
      `from second ${begin} on`,
    );
  }
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
