/** Tests when a finding is reported: at its start, at changes, once a day, and at its end. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ShapeName } from '../../../../collector/contract/export.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { shapeOf } from '../../../../collector/export/shapes.ts';
import type { HostCoverage, StoredHost } from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import { FindingReporter } from '../../../../collector/stream/finding_reporter.ts';
import { hostOf } from '../../../support/collector/alert/findings.ts';
import { glancesOf } from '../../../support/collector/alert/rules.ts';
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
  const state = {
    ...{ nowUs: 1_800_000_000_000_000, offenders: [] as Offender[], judged: 0, seen: 0 },
    ...{ hosts: [] as Host[], coverage: [] as Pick<HostCoverage, 'hostId' | 'gaps'>[] },
  };
  const reporter = new FindingReporter({
    rows,
    insight: {
      offenders: async () => state.offenders,
      offender: async () => null,
      async *glances() {
        state.judged += 1;
        yield* glancesOf(state.hosts, state.coverage);
      },
      describeHosts: async (summaries) =>
        state.hosts.filter(({ id }) => summaries.some((each) => each.id === id)),
    },
    store: {
      hosts: async (ids) => ids.map((id) => ({ facts: { id, name: `name of ${id}` } }) as StoredHost),
      cloudInstances: async () => [],
      coverage: async () => state.coverage as HostCoverage[],
    },
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

test('a capture that loses something is reported, again at most once an hour, and is over after an hour without a loss', async () => {
  const { state, pass } = start();
  const host = hostOf(1);
  const losses = async (us: number) => (await pass(us)).filter(({ type }) => type === 'sensor');
  await losses(6 * MINUTE_US);
  state.hosts = [host];
  const firstUs = state.nowUs;
  const lose = (startUs: number) => {
    const { coverage } = state;
    const gap = { startUs, endUs: startUs + MINUTE_US, reason: 'losses', detail: '3 packets' } as const;
    state.coverage = [{ hostId: host.id, gaps: [...(coverage[0]?.gaps ?? []), gap] }];
  };
  lose(firstUs);
  const [first] = await losses(2 * MINUTE_US);
  assert.ok(first?.type === 'sensor');
  assert.deepEqual(
    [first.rule, first.change, first.key, first.severity],
    ['coverage_lost', 'new', `coverage_lost/${host.id}`, 'warning'],
  );
  assert.deepEqual([first.first_seen, first.last_seen], [firstUs, firstUs + MINUTE_US].map(toTimestamp));
  assert.match(first.text, /lost packets or records between .* \(3 packets\)\. Calls may have been missed\./);

  lose(firstUs + 30 * MINUTE_US);
  assert.deepEqual(await losses(31 * MINUTE_US), [], 'another loss waits for an hour');
  const [second] = await losses(30 * MINUTE_US);
  assert.ok(second?.type === 'sensor');
  assert.deepEqual([second.change, second.first_seen], ['updated', toTimestamp(firstUs)]);

  state.hosts = [{ ...host, state: 'silent' }];
  assert.deepEqual(
    (await losses(90 * MINUTE_US)).map(({ key }) => key),
    [`host_silent/${host.id}`],
    'nobody knows whether it has recovered',
  );
  state.hosts = [host];
  const over = await losses(2 * MINUTE_US);
  assert.deepEqual(over.map(({ key, change }) => [key, change]).toSorted(), [
    [`coverage_lost/${host.id}`, 'resolved'],
    [`host_silent/${host.id}`, 'resolved'],
  ]);
  assert.deepEqual(await losses(24 * 60 * MINUTE_US), [], 'an old loss is not reported');

  const shaped = (name: ShapeName) => shapeOf(name).toValues({ stream: 'findings', finding: first });
  const [ocsf] = shaped('ocsf');
  const { types } = ocsf!['finding_info'] as { types: string[] };
  assert.deepEqual([ocsf!['type_uid'], types], [200401, ['Sensor health']]);
  const [ecs] = shaped('ecs');
  assert.deepEqual((ecs!['rule'] as { name: string }).name, 'coverage_lost');
  const [otlp] = shaped('otlp') as { attributes: Record<string, unknown> }[];
  assert.equal(otlp!.attributes['imdswatch.finding.rule'], 'coverage_lost');
  assert.deepEqual(shaped('asff'), [], 'nothing is wrong with the instance');
});
