/** Tests when a finding is reported: at its start, at changes, once a day, and at its end. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { FindingReporter } from '../../../../collector/stream/finding_reporter.ts';
import { makeOffender } from '../../../support/collector/api/findings.ts';
import { StreamBench } from '../../../support/collector/streams/stream_bench.ts';

const MINUTE_US = 60_000_000;
const benches: StreamBench[] = [];
after(async () => {
  for (const each of benches) await each.remove();
});

/** A reporter of offenders, on a clock that the test sets. */
function start() {
  const bench = new StreamBench();
  benches.push(bench);
  const rows = bench.admin.findings;
  const state = { nowUs: 1_800_000_000_000_000, offenders: [] as Offender[], judged: 0, seen: 0 };
  const reporter = new FindingReporter({
    rows,
    insight: {
      offenders: async () => state.offenders,
      offender: async () => null,
      async *glances() {
        state.judged += 1;
        yield [];
      },
      describeHosts: async () => [],
    },
    store: { hosts: async () => [], cloudInstances: async () => [] },
    held: () => null,
    publicUrl: 'https://collector.example.com/',
    nowUs: () => state.nowUs,
  });
  /** Lets time pass, and returns what was reported. */
  const pass = async (us: number) => {
    state.nowUs += us;
    await reporter.report();
    const found = await rows.after(state.seen, 100);
    state.seen = found.at(-1)?.number ?? state.seen;
    return found.map(({ finding }) => finding);
  };
  return { state, pass };
}

test('an offender is reported when it is new, changed, a day old, over, and back', async () => {
  const { state, pass } = start();
  const offender = makeOffender(1);
  state.offenders = [offender];
  const [first] = await pass(MINUTE_US);
  assert.deepEqual([first!.type, first!.change, first!.key], ['offender', 'new', `offender/${offender.id}`]);
  assert.equal(first!.link, `https://collector.example.com/offenders/${offender.id}`);
  assert.deepEqual(await pass(2 * MINUTE_US), [], 'nothing has changed');

  state.offenders = [{ ...offender, host_count: offender.host_count + 1 }];
  assert.deepEqual(await pass(2 * MINUTE_US), [], 'a number alone waits for an hour');
  assert.deepEqual(
    (await pass(60 * MINUTE_US)).map(({ change }) => change),
    ['updated'],
  );

  state.offenders = [{ ...state.offenders[0]!, triage: { ...offender.triage, owner: 'team-a' } }];
  const [owned] = await pass(2 * MINUTE_US);
  assert.equal(owned!.change, 'updated', 'an owner is reported at once');
  assert.notEqual(owned!.id, first!.id, 'each report has its own id');
  const [daily] = await pass(24 * 60 * MINUTE_US);
  assert.equal(daily!.change, 'updated', 'an open finding is repeated each day');

  state.offenders = [];
  const [over] = await pass(2 * MINUTE_US);
  assert.deepEqual([over!.change, over!.title], ['resolved', `Over: ${daily!.title}`]);
  assert.deepEqual(await pass(48 * 60 * MINUTE_US), [], 'what is over is reported once');
  state.offenders = [offender];
  assert.deepEqual(
    (await pass(2 * MINUTE_US)).map(({ change }) => change),
    ['new'],
  );
});

test('hosts are judged only when they have had time to report after a start', async () => {
  const { state, pass } = start();
  await pass(MINUTE_US);
  await pass(3 * MINUTE_US);
  assert.equal(state.judged, 0);
  await pass(2 * MINUTE_US);
  assert.equal(state.judged, 1);
});

test('reports come at most once a minute', async () => {
  const { state, pass } = start();
  await pass(MINUTE_US);
  state.offenders = [makeOffender(2)];
  assert.deepEqual(await pass(MINUTE_US / 2), []);
  assert.equal((await pass(MINUTE_US)).length, 1);
});
