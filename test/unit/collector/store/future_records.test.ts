/**
 * Records that are dated far in the future: no call is lost or hidden, and nothing occupies the time that is
 * to come.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { toPresent } from '../../../../collector/store/sqlite/future_step.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import { retain } from '../../../../collector/store/sqlite/retention.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { allOf } from '../../../support/collector/insight/all_of.ts';
import {
  ALL,
  ALL_CALLS,
  call,
  EVER,
  host,
  report,
  rollup,
  stream,
} from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const YEARS_US = 3650 * DAY_US;
const A = host('a');

/** `schema`: number of the steps that its schema has been through. */
function open() {
  const dataDir = bench.directory();
  const database = openForWriting(dataDir, FINDINGS);
  bench.atEnd(() => database.close());
  let nowUs = NOW_US;
  const writer = new FindingsWriter(database, () => nowUs);
  const reader = new FindingsReader(openForReading(dataDir, FINDINGS));
  bench.atEnd(() => reader.close());
  return {
    database,
    writer,
    reader,
    write: (...batches: StoredBatch[]) => writer.write(pack(batches)),
    setNow: (us: number) => {
      nowUs = us;
    },
    verdict: async () => {
      const insight = new Insight(reader, {
        readinessWindowDays: 14,
        silentAfterSeconds: 300,
        now: () => nowUs / 1000,
      });
      const [judged] = await allOf(
        insight.allReadiness({ window: { sinceUs: nowUs - 14 * DAY_US, untilUs: nowUs } }),
      );
      return judged!.readiness.verdict;
    },
  };
}

async function notKept(reader: FindingsReader): Promise<string[]> {
  const [coverage] = await reader.coverage(EVER, [A.id]);
  return coverage!.gaps.flatMap(({ reason, detail }) => (reason === 'not_kept' ? [String(detail)] : []));
}

test('an IMDSv1 call dated years ahead counts at the time of its receipt, and blocks for one window only', async () => {
  const { reader, write, setNow, verdict } = open();
  write(stream(A)(call(NOW_US + YEARS_US)));
  const { calls } = await reader.calls(ALL_CALLS, 10, null);
  assert.deepEqual(
    calls.map(({ time }) => Date.parse(time) * 1000),
    [NOW_US],
  );
  const [stored] = await reader.hostPage(null, null, 100);
  assert.deepEqual([stored!.firstUs, stored!.lastUs], [NOW_US, NOW_US]);
  assert.deepEqual(await notKept(reader), ['future_calls 1']);
  assert.equal(await verdict(), 'blocked');
  setNow(NOW_US + 15 * DAY_US);
  assert.equal(await verdict(), 'unproven');
});

test('a clock that is ahead by less than a day changes nothing', async () => {
  const { reader, write } = open();
  write(stream(A)(call(NOW_US + 23 * HOUR_US), report(A.id, NOW_US, NOW_US + 23 * HOUR_US)));
  const { calls } = await reader.calls(ALL_CALLS, 10, null);
  assert.equal(Date.parse(calls[0]!.time) * 1000, NOW_US + 23 * HOUR_US);
  assert.deepEqual(await notKept(reader), []);
});

test('the same call that is sent again is known, whenever it comes', async () => {
  const { reader, write, setNow } = open();
  const future = call(NOW_US + YEARS_US);
  write(stream(A)(future));
  setNow(NOW_US + 5 * HOUR_US);
  const [result] = write(stream(A)(future, call(NOW_US + YEARS_US)));
  assert.deepEqual([result!.records, result!.duplicates], [1, 1]);
  const [totals] = await reader.identityTotals(ALL);
  assert.equal(
    totals!.kinds.reduce((sum, { count }) => sum + count, 0),
    2,
  );
});

test('sums of calls that reach into the future end now; all of them count', async () => {
  const { reader, write } = open();
  write(
    stream(A)(
      rollup(NOW_US - HOUR_US, NOW_US + YEARS_US, [{ count: 3 }]),
      rollup(NOW_US + YEARS_US, NOW_US + YEARS_US + 5, [{ count: 4 }]),
    ),
  );
  const [totals] = await reader.identityTotals(ALL);
  assert.deepEqual(
    totals!.kinds.map(({ count, firstUs, lastUs }) => [count, firstUs - NOW_US, lastUs - NOW_US]),
    [[7, -HOUR_US, 0]],
  );
  assert.deepEqual(await notKept(reader), ['future_calls 7']);
});

test('a coverage report dated years ahead proves nothing, and the next good one leaves only the time between unwatched', async () => {
  const { reader, write } = open();
  const next = stream(A);
  write(next(report(A.id, NOW_US - 2 * HOUR_US, NOW_US - HOUR_US)));
  write(next(report(A.id, NOW_US + YEARS_US, NOW_US + YEARS_US + HOUR_US)));
  write(next(report(A.id, NOW_US - HOUR_US / 2, NOW_US)));
  const [coverage] = await reader.coverage(EVER, [A.id]);
  assert.deepEqual(
    coverage!.gaps.map(({ reason, startUs, endUs }) => [reason, startUs - NOW_US, endUs - NOW_US]),
    [
      ['agent_not_running', -HOUR_US, -HOUR_US / 2],
      ['not_kept', 0, 0],
    ],
  );
  assert.equal(coverage!.lastUs, NOW_US);
});

test('retention deletes the mark of such a call with the call', async () => {
  const { database, writer, write } = open();
  write(stream(A)(call(NOW_US + YEARS_US)));
  const notes = () => database.prepare('SELECT count(*) AS count FROM future_calls').get()!['count'];
  await retain(database, writer, { rawDays: 5, rollupDays: 90, maxBytes: 1e12 }, NOW_US + DAY_US);
  assert.equal(notes(), 1);
  await retain(database, writer, { rawDays: 5, rollupDays: 90, maxBytes: 1e12 }, NOW_US + 6 * DAY_US);
  assert.equal(notes(), 0);
});

test('the migration dates records from the future at the present, and counts them once', async () => {
  const { database, reader, write, setNow } = open();
  setNow(NOW_US + 2 * YEARS_US);
  const known = call(NOW_US);
  const future = call(NOW_US + YEARS_US, { 'url.path': '/future' });
  const next = stream(A);
  write(next(known, future, call(NOW_US + YEARS_US + 40 * DAY_US, { 'imds.version': 2 })));
  write(next(rollup(NOW_US + YEARS_US, NOW_US + YEARS_US + 1, [{ count: 3 }])));
  write(
    next(
      report(A.id, NOW_US - HOUR_US, NOW_US),
      report(A.id, NOW_US + YEARS_US, NOW_US + YEARS_US + HOUR_US),
    ),
  );
  database.exec('DROP TABLE future_calls; BEGIN');
  toPresent(database, NOW_US + HOUR_US);
  database.exec('COMMIT');
  setNow(NOW_US + HOUR_US);
  const totals = await reader.identityTotals(ALL);
  const kinds = totals.flatMap(({ kinds: of }) => of);
  assert.equal(
    kinds.reduce((sum, { count }) => sum + count, 0),
    6,
  );
  assert.ok(kinds.every(({ lastUs }) => lastUs <= NOW_US + HOUR_US));
  const byDay = await reader.series(ALL, 'day', false);
  assert.deepEqual(
    byDay.map(({ v1, v2 }) => [v1, v2]),
    [[2, 4]],
  );
  const [stored] = await reader.hostPage(null, null, 100);
  assert.deepEqual([stored!.firstUs, stored!.lastUs], [NOW_US - HOUR_US, NOW_US + HOUR_US]);
  const [coverage] = await reader.coverage(EVER, [A.id]);
  assert.equal(coverage!.lastUs, NOW_US + HOUR_US);
  assert.ok(coverage!.gaps.every(({ endUs }) => endUs <= NOW_US + HOUR_US));
  assert.deepEqual(await notKept(reader), ['future_calls 5']);
  const [again] = write(stream(A)(known, future));
  assert.equal(again!.duplicates, 2);
  write(next(report(A.id, NOW_US + HOUR_US, NOW_US + 2 * HOUR_US)));
  assert.equal((await reader.coverage(EVER, [A.id]))[0]!.lastUs, NOW_US + 2 * HOUR_US);
});
