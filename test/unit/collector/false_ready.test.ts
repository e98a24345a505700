/**
 * A host is never called ready by what nobody could know: losses on the way, other clocks, questions about
 * the future, rows let go.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { HostDetail } from '../../../collector/contract/host.ts';
import { DAY_US, HOUR_US } from '../../../collector/contract/window.ts';
import { Insight } from '../../../collector/insight/insight.ts';
import { openStoreForReading } from '../../../collector/store/sqlite/sqlite_store.ts';
import type { StoreQueries } from '../../../collector/store/store.ts';
import { toTimestamp } from '../../../collector/store/time.ts';
import type { Coverage } from '../../../protocol/records.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { newFindings, watched } from '../../support/collector/insight/findings.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOW_US = Math.floor(Date.now() / 1000) * 1e6;
const at = (us: number) => toTimestamp(NOW_US + us);
const UNBOUNDED = 1e13;

async function judged(
  store: StoreQueries,
  { untilUs = NOW_US, nowUs = NOW_US, days = 14 } = {},
): Promise<HostDetail> {
  const insight = new Insight(store, {
    readinessWindowDays: days,
    silentAfterSeconds: 300,
    now: () => nowUs / 1000,
  });
  const host = await insight.host(HOST.id, { window: { sinceUs: untilUs - DAY_US, untilUs } });
  assert.ok(host);
  return host;
}

function reasons({ readiness }: HostDetail): string[] {
  return readiness.coverage.gaps.map(({ reason }) => reason);
}

function coverageOf(fromUs: number, toUs: number): Coverage {
  const record = watched(HOST.id, at(fromUs), at(toUs));
  assert.ok(record.kind === 'coverage');
  return record.coverage;
}

test('IMDSv1 calls that the spool had to drop: not ready, though every report says that all was seen', async () => {
  const spoolDir = bench.directory();
  const small = { spoolDir, spoolMaxBytes: 256 * 1024 };
  const offline = bench.outbox('ws://127.0.0.1:9', small);
  // From before the window: what is left of them accuses nobody.
  for (let index = 0; index < 600; index += 1) offline.call(makeCall({ time: at(-20 * DAY_US) }));
  assert.ok(offline.counters()['spool']!['overflowed']! > 0);
  await offline.stop(0);

  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const outbox = bench.outbox(collector.address.url, small);
  outbox.coverage(coverageOf(-20 * DAY_US, -60e6));
  outbox.coverage(coverageOf(-60e6, 0));
  const kept = outbox.counters()['spool']!;
  await eventually('everything is delivered', () => outbox.delivery().kept === 0);
  const store = openStoreForReading(dataDir);
  bench.atEnd(() => store.close());
  const host = await judged(store);
  assert.equal(host.verdict, 'unproven', JSON.stringify(kept));
  assert.match(host.readiness.coverage.gaps[0]!.detail!, /spool\.v1_overflowed \d+/);
  // Said once: what was lost before does not stand in every report from now on.
  assert.deepEqual(reasons(host), ['losses']);
  assert.ok(acknowledged(outbox) > 2);
});

test('a question about the future is judged by the days before now', async () => {
  const { store, put } = newFindings(bench);
  await put(watched(HOST.id, at(-DAY_US / 2), at(0)), makeCall({ time: at(-5 * DAY_US) }));
  assert.equal((await judged(store)).verdict, 'blocked');
  const ahead = await judged(store, { untilUs: NOW_US + 13.8 * DAY_US });
  assert.equal(ahead.verdict, 'blocked');
});

test('with a clock that is ahead, calls count now, and the last hours count as not watched', async () => {
  const { store, put } = newFindings(bench);
  await put(watched(HOST.id, at(-20 * DAY_US), at(DAY_US)));
  const quiet = await judged(store);
  assert.equal(quiet.verdict, 'unproven');
  await put(makeCall({ time: at(DAY_US - HOUR_US) }));
  assert.equal((await judged(store)).verdict, 'blocked');
});

test('a clock that is ahead by a little: losses and calls beyond now count', async () => {
  const { store, put } = newFindings(bench);
  await put(
    watched(HOST.id, at(-20 * DAY_US), at(30e6)),
    watched(HOST.id, at(30e6), at(90e6), { 'capture.dropped': 3 }),
  );
  assert.equal((await judged(store)).verdict, 'unproven');
});

test('a clock that is behind, or from 1970', async () => {
  const { store, put } = newFindings(bench);
  await put(watched(HOST.id, at(-20 * DAY_US), at(-DAY_US)));
  assert.equal((await judged(store)).verdict, 'unproven');
  const zero = watched(HOST.id, '1970-01-01T00:00:01.000000Z', '1970-01-01T00:01:01.000000Z');
  await put(zero, watched(HOST.id, at(-60e6), at(0)));
  assert.equal((await judged(store)).verdict, 'unproven');
});

test('roll-ups that were deleted within the window: not ready without them', async () => {
  const { store, put } = newFindings(bench);
  await put(watched(HOST.id, at(-20 * DAY_US), at(0)), makeCall({ time: at(-3 * DAY_US) }));
  assert.equal((await judged(store)).verdict, 'blocked');
  await store.retain({ rawDays: 1, rollupDays: 400, maxBytes: 1 }, NOW_US);
  const bySize = await judged(store);
  assert.notEqual(bySize.verdict, 'ready');
});

test('gaps and calls that were deleted by age within the window: not ready without them', async () => {
  const { store, put } = newFindings(bench);
  await put(
    watched(HOST.id, at(-20 * DAY_US), at(-6 * DAY_US)),
    watched(HOST.id, at(-6 * DAY_US), at(-5 * DAY_US), { 'capture.dropped': 3 }),
    watched(HOST.id, at(-5 * DAY_US), at(0)),
  );
  assert.equal((await judged(store)).verdict, 'unproven');
  await store.retain({ rawDays: 1, rollupDays: 2, maxBytes: UNBOUNDED }, NOW_US);
  assert.equal((await judged(store)).verdict, 'unproven');
});

test('the last seconds of a window, and its edges', async () => {
  const { store, put } = newFindings(bench);
  await put(watched(HOST.id, at(-20 * DAY_US), at(0)), makeCall({ time: at(-1) }));
  assert.equal((await judged(store)).verdict, 'blocked');
  // At the other end the whole hour counts.
  const other = newFindings(bench);
  await other.put(watched(HOST.id, at(-20 * DAY_US), at(0)), makeCall({ time: at(-14 * DAY_US + 1) }));
  assert.equal((await judged(other.store)).verdict, 'blocked');
});
