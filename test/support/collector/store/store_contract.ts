/** Declares the tests that every store of findings must pass: the embedded store and that in PostgreSQL. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { HOUR_US } from '../../../../collector/contract/window.ts';
import { callerKey, jsonOfCaller } from '../../../../collector/store/defined_caller.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import type { Store } from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Heartbeat } from '../../../../protocol/records.ts';
import { makeCall, processFacts } from '../calls.ts';
import { ALL, ALL_CALLS, call, callerOf, EVER, host, program, report, rollup, stream } from './records.ts';

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');
const B = host('b');

function heartbeatOf(hostId: string, timeUs: number, version: string): Heartbeat {
  return {
    time: toTimestamp(timeUs),
    host_id: hostId,
    agent_version: version,
    started: toTimestamp(NOON_US),
    counters: {},
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 1, memory_bytes: 1 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
}

async function idOf(store: Store, executable: string): Promise<string> {
  const totals = await store.identityTotals(ALL);
  return totals.find(({ identity }) => identity.executable === executable)!.identity.id;
}

/** Declares the tests. `open` makes an empty store, and closes it at the end of the test. */
export function testStore(open: () => Promise<Store>): void {
  test('a batch is stored once, a record is stored once, and a gap in the numbers stores nothing', async () => {
    const store = await open();
    const next = stream(A);
    const first = next(
      call(NOON_US),
      rollup(NOON_US, NOON_US + 9, [{ count: 5 }]),
      report(A.id, NOON_US, NOON_US + 1),
    );
    assert.deepEqual(await store.write([first]), [
      { result: 'stored', lastSeq: 1, records: 3, duplicates: 0 },
    ]);
    assert.deepEqual(await store.write([first]), [
      { result: 'known', lastSeq: 1, records: 0, duplicates: 0 },
    ]);
    const again = { ...next(...first.records, call(NOON_US + 1)), stream: randomUUID(), seq: 1 };
    const ahead = { ...next(call(NOON_US + 2)), seq: 9 };
    assert.deepEqual(await store.write([again, ahead]), [
      { result: 'stored', lastSeq: 1, records: 1, duplicates: 3 },
      { result: 'ahead', lastSeq: 1, records: 0, duplicates: 0 },
    ]);
    assert.equal(await store.lastSeq(first.stream, A.id), 1);
    assert.equal(await store.lastSeq(first.stream, B.id), null);
    assert.equal(await store.lastSeq(randomUUID(), A.id), 0);
    const [totals] = await store.identityTotals(ALL);
    assert.deepEqual(
      totals!.kinds.map(({ version, count }) => [version, count]).sort(),
      [
        [1, 2],
        [2, 5],
      ],
      'what came twice is counted once',
    );
    assert.equal((await store.statistics()).calls, 2);
  });

  test('a call comes back as it was sent', async () => {
    const store = await open();
    const sent = makeCall({
      'url.query': 'a=1&b=%00',
      'user_agent.original': 'Boto3/1.9 "x" \u{1f600}',
      duration_ms: null,
      'imds.role': 'röle',
      'imds.hops': 2,
      'imds.token_hop_limit': 1,
      time: toTimestamp(NOON_US + 123),
      host: A,
    });
    const { process, container, k8s, systemd, host: _, ...rest } = sent;
    const { 'attribution.method': _method, 'attribution.confidence': _confidence, ...body } = rest;
    await store.write([stream(A, [callerOf(sent)])({ kind: 'call', caller: 0, call: body })]);
    assert.deepEqual((await store.calls(ALL_CALLS, 10, null)).calls, [sent]);
  });

  test('raw calls: newest first, page by page, by workload, host, version, category, outcome, path', async () => {
    const store = await open();
    const callers = [program('curl'), program('aws')];
    const records = Array.from({ length: 60 }, (_, index) =>
      call(
        NOON_US + Math.floor(index / 2), // two of each time
        {
          'url.path': `/p/${index % 5}_%`,
          'imds.version': index % 3 === 0 ? 2 : 1,
          'imds.category': index % 4 === 0 ? 'credentials' : 'metadata',
          outcome: index % 10 === 0 ? 'reset' : 'answered',
        },
        index % 2,
      ),
    );
    await store.write([
      stream(A, callers)(...records.slice(0, 40)),
      stream(B, callers)(...records.slice(40)),
    ]);
    const filters = [
      {},
      { identities: [await idOf(store, '/usr/bin/aws')] },
      { hosts: [A.id] },
      { hosts: [A.id, B.id], version: 2 as const },
      { categories: ['credentials' as const], outcomes: ['answered' as const] },
      { path: 'P/3_%' },
      { window: { sinceUs: EVER.sinceUs, untilUs: NOON_US + 10 } },
    ];
    const sizes: number[] = [];
    for (const filter of filters) {
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page = await store.calls({ ...ALL_CALLS, ...filter }, 7, cursor);
        seen.push(...page.calls.map(({ time, id }) => `${time} ${id}`));
        cursor = page.next;
      } while (cursor !== null);
      assert.deepEqual(seen, [...seen].sort().reverse(), 'newest first');
      assert.equal(new Set(seen).size, seen.length);
      sizes.push(seen.length);
    }
    assert.deepEqual(sizes, [60, 30, 40, 20, 12, 12, 20]);
    for (const none of [
      { identities: [] },
      { hosts: ['i-unknown'] },
      { path: 'p/3x%' },
      { categories: [] },
    ]) {
      assert.deepEqual(await store.calls({ ...ALL_CALLS, ...none }, 7, null), { calls: [], next: null });
    }
    await assert.rejects(store.calls(ALL_CALLS, 7, 'x'), RangeError);
  });

  test('a list of calls begins exactly where its window does, in each walk', async () => {
    const store = await open();
    const calls = [-1, 0, 1, 2].map((offset) => call(NOON_US + HOUR_US / 2 + offset));
    await store.write([stream(A)(...calls)]);
    const since = {
      ...ALL_CALLS,
      window: { sinceUs: NOON_US + HOUR_US / 2, untilUs: NOON_US + HOUR_US / 2 + 2 },
    };
    const expected = calls.slice(1, 3).reverse();
    const [workload] = await store.identityTotals(ALL);
    for (const filter of [{}, { hosts: [A.id] }, { identities: [workload!.identity.id] }]) {
      const found = await store.calls({ ...since, ...filter }, 10, null);
      assert.deepEqual(
        found.calls.map(({ id }) => id),
        expected.map((each) => (each.kind === 'call' ? each.call.id : '')),
      );
    }
  });

  test('paths are listed up to a bound, the rest is one line that loses no call', async () => {
    const store = await open();
    const next = stream(A);
    const paths = Array.from({ length: 130 }, (_, index) => `/${index}`);
    await store.write([next(...paths.map((path) => call(NOON_US, { 'url.path': path })))]);
    await store.write([next(call(NOON_US + 5, { 'url.path': '/7' }), call(NOON_US, { 'url.path': null }))]);
    await store.write([next(call(NOON_US, { 'url.path': `/${'x'.repeat(600)}` }))]);
    const listed = await store.pathsV1(await idOf(store, '/usr/bin/curl'), 1000);
    assert.equal(listed.length, 101);
    assert.deepEqual(listed[0], { path: '/7', count: 2, lastUs: NOON_US + 5 });
    assert.deepEqual(listed.at(-1), { path: null, count: 32, lastUs: NOON_US });
  });

  test('facts of a host that change, and change back, are the last ones', async () => {
    const store = await open();
    const next = stream(A);
    for (const team of ['web', 'data', 'web']) {
      const facts = { ...A, tags: { team } };
      await store.write([{ ...next(call(NOON_US)), host: facts }]);
      const [host] = await store.hostPage(null, null, 10);
      assert.deepEqual(host!.facts, facts);
    }
  });

  test('the time of a process is stored once a minute at most', async () => {
    const store = await open();
    const next = stream(A);
    const minuteUs = 60_000_000;
    const times: [us: number, stored: number][] = [
      [3, 3],
      [20_000_000, 3],
      [minuteUs - 1, 3],
      [minuteUs + 1, minuteUs + 1],
      [minuteUs, minuteUs + 1],
    ];
    for (const [us, stored] of times) {
      await store.write([next(call(NOON_US + us))]);
      const [process] = await store.callers(await idOf(store, '/usr/bin/curl'), 10, null);
      assert.equal(process!.lastUs, NOON_US + stored);
    }
  });

  test('hosts, their last heartbeat, and the processes of a workload, latest first', async () => {
    const store = await open();
    await store.heartbeats([heardHost(heartbeatOf(B.id, NOON_US, '1'), NOON_US + 1)]);
    await store.heartbeats([heardHost(heartbeatOf(B.id, NOON_US, '2'), NOON_US + 2)]);
    const older = makeCall();
    const newer = makeCall({ process: { ...older.process!, pid: 99 } });
    const next = stream(A, [callerOf(older), callerOf(newer)]);
    await store.write([next(call(NOON_US + 7, {}, 1), call(NOON_US + 3, {}, 0))]);
    const hosts = (await store.hostPage(null, null, 100)).sort((a, b) => (a.facts.id < b.facts.id ? -1 : 1));
    assert.deepEqual(
      hosts.map(({ facts, firstUs, lastUs, heartbeat }) => [
        facts,
        firstUs,
        lastUs,
        heartbeat?.heartbeat.agent_version,
        heartbeat?.receivedUs,
      ]),
      [
        [A, NOON_US + 3, NOON_US + 7, undefined, undefined],
        [{ id: B.id, name: B.id }, NOON_US + 1, NOON_US + 1, '2', NOON_US + 2],
      ],
    );
    const id = await idOf(store, '/usr/bin/curl');
    const processes = await store.callers(id, 10, null);
    assert.deepEqual(
      processes.map(({ facts, hostId, lastUs }) => [facts.process!.pid, hostId, lastUs]),
      [
        [99, A.id, NOON_US + 7],
        [older.process!.pid, A.id, NOON_US + 3],
      ],
    );
    assert.equal((await store.callers(id, 1, null)).length, 1);
    assert.deepEqual(
      (await store.identities([id, 'ffffffffffffffff'])).map(({ executable }) => executable),
      ['/usr/bin/curl'],
    );
  });

  test('of the heartbeats of a host the latest stays, unless its time is ahead of every clock', async () => {
    const store = await open();
    const nowUs = Date.now() * 1000;
    const minuteUs = 60_000_000;
    const heard = async (heardUs: number, version: string | null) => {
      const all = heardHost(heartbeatOf(B.id, heardUs, version ?? ''), heardUs);
      await store.heartbeats([version === null ? { ...all, firstUs: null, said: null } : all]);
      const [stored] = await store.hosts([B.id]);
      const { heardUs: last, heartbeat } = stored!;
      return [last! - nowUs, heartbeat!.heartbeat.agent_version, heartbeat!.receivedUs - nowUs];
    };
    assert.deepEqual(await heard(nowUs - minuteUs, '1'), [-minuteUs, '1', -minuteUs]);
    assert.deepEqual(await heard(nowUs - 9, null), [-9, '1', -minuteUs], 'only the time was stored');
    assert.deepEqual(await heard(nowUs - 20, '2'), [-9, '2', -20], 'another collector was earlier');
    assert.deepEqual(await heard(nowUs - 30, '3'), [-9, '2', -20], 'what it wrote late is older');
    assert.equal(await store.heardHosts(nowUs - 9), 1);
    assert.equal(await store.heardHosts(nowUs - 8), 0);
    const aheadUs = 60 * minuteUs;
    assert.deepEqual(await heard(nowUs + aheadUs, '4'), [aheadUs, '4', aheadUs]);
    assert.deepEqual(await heard(nowUs, '5'), [0, '5', 0], 'a clock that was wrong hides no silence');
  });

  test('processes that called at the same time have an order that does not depend on when they were stored', async () => {
    const store = await open();
    const pidsMade = [100, 101, 102, 103, 104, 105];
    const callers = pidsMade.map((pid) => callerOf(makeCall({ process: processFacts({ pid }) })));
    await store.write([stream(A, callers)(...callers.map((_, at) => call(NOON_US, {}, at)))]);
    const id = await idOf(store, '/usr/bin/curl');
    const pids = (await store.callers(id, 10, null)).map(({ facts }) => facts.process?.pid);
    const keyOf = (pid: number) =>
      Buffer.from(callerKey(A.id, '', jsonOfCaller(callers[pid - 100]!)), 'base64');
    assert.deepEqual(
      pids,
      pidsMade.sort((a, b) => Buffer.compare(keyOf(a), keyOf(b))),
    );
    const some = (await store.callers(id, 2, null)).map(({ facts }) => facts.process?.pid);
    assert.deepEqual(some, pids.slice(0, 2));
  });

  test('calls of unknown processes belong to a workload of their host and source address', async () => {
    const store = await open();
    const nobody = callerOf(
      makeCall({ process: null, 'attribution.method': 'none', 'attribution.confidence': 'none' }),
    );
    await store.write([
      stream(A, [nobody])(call(NOON_US), call(NOON_US, { 'source.address': '10.1.0.9' }), call(NOON_US)),
      stream(B, [nobody])(call(NOON_US)),
    ]);
    const totals = await store.identityTotals(ALL);
    assert.deepEqual(
      totals.map(({ identity, kinds }) => [identity.hostId, identity.sourceAddress, kinds[0]!.count]).sort(),
      [
        [A.id, '10.0.0.5', 2],
        [A.id, '10.1.0.9', 1],
        [B.id, '10.0.0.5', 1],
      ],
    );
  });

  test('the cloud counts: replaced by host and start, and compared with answered calls', async () => {
    const store = await open();
    const count = {
      hostId: A.id,
      startUs: NOON_US,
      endUs: NOON_US + HOUR_US,
      noToken: 3,
      noTokenRejected: null,
    };
    await store.putCloudCounts([count, { ...count, hostId: B.id }]);
    await store.putCloudCounts([{ ...count, noToken: 4, noTokenRejected: 1 }]);
    assert.deepEqual(await store.cloudCounts({ sinceUs: NOON_US, untilUs: NOON_US + 1 }, [A.id]), [
      { ...count, noToken: 4, noTokenRejected: 1 },
    ]);
    assert.equal((await store.cloudCounts({ sinceUs: 0, untilUs: NOON_US }, [A.id, B.id])).length, 0);
    // A quiet day replaces its hours, also when it is supplied again.
    const quiet = { ...count, hostId: 'i-quiet', noToken: 0 };
    const day = { ...quiet, startUs: NOON_US - 12 * HOUR_US, endUs: NOON_US + 12 * HOUR_US };
    await store.putCloudCounts([
      quiet,
      { ...quiet, startUs: NOON_US + HOUR_US, endUs: NOON_US + 2 * HOUR_US },
    ]);
    await store.putCloudCounts([day]);
    const DAY = { sinceUs: day.startUs, untilUs: day.endUs };
    assert.deepEqual(await store.cloudCounts(DAY, ['i-quiet']), [day]);
    const instance = {
      hostId: A.id,
      httpTokens: 'optional' as const,
      hopLimit: 2,
      httpEndpoint: null,
      suppliedUs: NOON_US,
    };
    await store.putCloudInstances([{ ...instance, hopLimit: 1 }]);
    await store.putCloudInstances([instance]);
    assert.deepEqual(await store.cloudInstances([A.id, B.id]), [instance]);
    const member = {
      hostId: A.id,
      account: '111111111111',
      region: 'eu-central-1',
      state: 'running',
      launchedUs: NOON_US,
      terminatedUs: null,
      imageId: 'ami-1',
      scalingGroup: 'web',
      templateId: 'lt-1',
      templateVersion: 3,
      isSpot: false,
      managedBy: null,
      tags: { team: 'a' },
      suppliedUs: NOON_US,
    };
    const image = { kind: 'image', account: '111111111111', region: 'eu-central-1', id: 'ami-1' } as const;
    const resource = { facts: { ...image, imds_support: null }, suppliedUs: NOON_US };
    await store.putCloudInventory({ instances: [member], resources: [resource] });
    // An Auto Scaling activity knows less of an instance that is gone.
    const gone = { ...member, state: 'terminated', terminatedUs: NOON_US + 9, imageId: null, tags: null };
    const now = { facts: { ...image, imds_support: 'v2.0' as const }, suppliedUs: NOON_US + 9 };
    await store.putCloudInventory({ instances: [{ ...gone, templateVersion: null }], resources: [now] });
    assert.deepEqual(await store.cloudInventory(), {
      instances: [{ ...gone, imageId: 'ami-1', tags: { team: 'a' } }],
      resources: [now],
    });
    await store.write([
      stream(A)(
        call(NOON_US),
        call(NOON_US + HOUR_US - 1),
        call(NOON_US, { 'http.response.status_code': 401 }),
        call(NOON_US, { 'http.response.status_code': null, outcome: 'unanswered' }),
        call(NOON_US, { 'imds.version': 2 }),
        call(NOON_US + HOUR_US),
      ),
      stream(B)(call(NOON_US)),
    ]);
    const spans = [0, 1, 2].map((hour) => ({
      sinceUs: NOON_US + hour * HOUR_US,
      untilUs: NOON_US + (hour + 1) * HOUR_US,
    }));
    assert.deepEqual(await store.answeredV1(A.id, spans), [2, 1, 0]);
  });

  test('the process that opened the connection of another one is kept with the call, and with no other', async () => {
    const store = await open();
    const opener = (pid: number) => ({
      ...{ pid, name: 'pool', 'executable.path': '/bin/pool', script: null, 'owner.uid': 0 },
    });
    const records = [
      call(NOON_US, { 'caller.connection': 'own', opener: null }),
      // More openers than a host may have templates.
      ...Array.from({ length: 600 }, (_, n) =>
        call(NOON_US + 1 + n, { 'caller.connection': 'handed', opener: opener(n + 1) }),
      ),
      call(NOON_US + 700),
    ];
    await store.write([stream(A)(...records)]);
    const { calls } = await store.calls({ ...ALL_CALLS, window: EVER }, 1_000, null);
    assert.deepEqual(
      calls.toReversed().map((each) => [each['caller.connection'] ?? null, each.opener?.pid ?? null]),
      [['own', null], ...Array.from({ length: 600 }, (_, n) => ['handed', n + 1]), [null, null]],
    );
    const totals = await store.identityTotals(ALL);
    assert.equal(totals.length, 1, 'the caller is the workload');
    const [process] = await store.callers(totals[0]!.identity.id, 1, null);
    assert.equal('opener' in process!.facts, false);
  });

  test('a call that something on the host answered is kept as it was, and is in no sum of IMDSv1 calls', async () => {
    const store = await open();
    const via = {
      kind: 'translation' as const,
      ...{ pid: 7, name: 'kube2iam', 'executable.path': '/bin/kube2iam', script: null, 'owner.uid': 0 },
    };
    const answerer = (by: 'service' | 'host') =>
      ({
        answered_by: by,
        'answered_by.evidence': 'translation',
        'answered_by.confidence': 'exact',
      }) as const;
    const records = [
      call(NOON_US, { ...answerer('host'), 'caller.role': null, via: null }),
      call(NOON_US + 1, { ...answerer('service'), 'caller.role': 'relay', via }),
      call(NOON_US + 2),
    ];
    await store.write([stream(A)(...records)]);
    const { calls } = await store.calls({ ...ALL_CALLS, window: EVER }, 10, null);
    assert.deepEqual(
      calls.map((each) => [each.answered_by, each.via, each['caller.role']]),
      [
        [undefined, undefined, undefined],
        ['service', via, 'relay'],
        ['host', null, null],
      ],
    );
    const [totals] = await store.identityTotals(ALL);
    const kinds = totals!.kinds.map(
      (kind) => `${kind.version} ${kind.answeredBy} ${kind.callerRole} ${kind.count}`,
    );
    assert.deepEqual(kinds.sort(), ['1 host null 1', '1 null null 1', '1 null relay 1']);
    const hour = { sinceUs: NOON_US, untilUs: NOON_US + HOUR_US };
    assert.deepEqual(await store.answeredV1(A.id, [hour]), [2], 'what reached the service');
  });
}
