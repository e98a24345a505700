/** Metrics with names that people give: their number is bounded, and nothing is left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { type Findings, FleetMetrics, MAX_NAMED } from '../../../../collector/api/fleet_metrics.ts';
import { ApiMetrics } from '../../../../collector/api/metrics.ts';
import { OTHER_COUNTERS, STAGE_FAMILIES, SUMS } from '../../../../collector/api/stage_families.ts';
import { StageMetrics } from '../../../../collector/api/stage_metrics.ts';
import type { ReadinessGroup } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { StoredTally } from '../../../../collector/store/stored_tally.ts';
import { makeOffender, makeOverview } from '../../../support/collector/api/findings.ts';

const NO_FINDINGS: Findings = {
  overview: makeOverview(),
  offenders: [],
  statistics: { bytes: 1, calls: 2, identities: 3, hosts: 4, oldestCallUs: null },
  maxBytes: 100,
  destinations: [],
  groups: null,
  ageSeconds: 1,
};

async function samples(findings: Partial<Findings>, name: string): Promise<Map<string, number>> {
  const registry = new Registry();
  new FleetMetrics(registry).put({ ...NO_FINDINGS, ...findings });
  const metric = (await registry.getMetricsAsJSON()).find((each) => each.name === name)!;
  return new Map(metric.values.map(({ labels, value }) => [Object.values(labels).join('|'), value]));
}

function offenderOf(owner: string | null, severity: Offender['severity'] = 'v1'): Offender {
  const made = makeOffender(1);
  return { ...made, severity, triage: { ...made.triage, owner } };
}

const groupOf = (value: string | null, ready: number, calls: number): ReadinessGroup => ({
  value,
  hosts: ready,
  verdicts: { ready, blocked: 0, fallback: 0, rejected: 0, enforced: 0, unproven: 0 },
  calls_v1: calls,
  ready_without_start: 0,
  command: null,
  command_notes: [],
});

test('owners: the most frequent by name, the rest as other, and those without one', async () => {
  const offenders = [
    ...Array.from({ length: MAX_NAMED + 7 }, (_, number) =>
      offenderOf(`team-${String(number).padStart(3, '0')}`),
    ),
    offenderOf('team-056', 'credentials'),
    offenderOf(null),
    offenderOf(null, 'none'),
  ];
  const found = await samples({ offenders }, 'imdswatch_owner_offenders');
  assert.equal(found.get('team-056|credentials'), 1);
  assert.equal(found.get('team-056|v1'), 1);
  assert.equal(found.get('other|v1'), 7);
  assert.equal(found.get('none|v1'), 1);
  assert.equal(
    [...found.values()].reduce((sum, count) => sum + count),
    offenders.length - 1,
  );
  assert.equal(new Set([...found.keys()].map((key) => key.split('|')[0])).size, MAX_NAMED + 2);
});

test('values of the tag: the largest by name, the rest as other, and hosts without it', async () => {
  const groups = [
    ...Array.from({ length: MAX_NAMED + 3 }, (_, number) => groupOf(`team-${number}`, 2, 5)),
    groupOf(null, 4, 1),
  ];
  const found = await samples({ groups }, 'imdswatch_group_hosts_readiness');
  assert.equal(found.get('team-0|ready'), 2);
  assert.equal(found.get('other|ready'), 6);
  assert.equal(found.get('none|ready'), 4);
  assert.equal(found.size, MAX_NAMED + 2);
  const calls = await samples({ groups }, 'imdswatch_group_v1_calls');
  assert.equal(calls.get('other'), 15);
  assert.equal((await samples({}, 'imdswatch_group_v1_calls')).size, 0);
});

const progressOf = (behind: number) => ({
  ...{ since: null, sent: 0, behind, oldest: null, checked: null, deleted: 0, unfit: 0, warning: null },
});

test('destinations: one that is off neither fails nor waits, and a stream fails by what waits', async () => {
  const destinations = [
    { enabled: true, waiting: 3, last_error: 'refused', progress: null },
    { enabled: true, waiting: 2, last_error: null, progress: null },
    { enabled: true, waiting: 0, last_error: 'refused', progress: null },
    { enabled: false, waiting: 9, last_error: 'refused', progress: null },
    { enabled: true, waiting: 0, last_error: 'refused', progress: progressOf(7) },
    { enabled: true, waiting: 0, last_error: 'refused', progress: progressOf(0) },
  ];
  const states = await samples({ destinations }, 'imdswatch_alert_destinations');
  assert.deepEqual(Object.fromEntries(states), { working: 3, failing: 2, off: 1 });
  assert.equal((await samples({ destinations }, 'imdswatch_alerts_waiting')).get(''), 5);
});

test('stages: every counter has one place, and one without a place is shown all the same', async () => {
  const places = STAGE_FAMILIES.flatMap(({ values }) => Object.keys(values));
  assert.equal(new Set(places).size, places.length);
  for (const { name, isLevel, values } of STAGE_FAMILIES) {
    assert.equal(name.endsWith('_total'), !isLevel, name);
    assert.equal(new Set(Object.values(values)).size, Object.keys(values).length, name);
    for (const counter of Object.keys(values)) assert.ok(!SUMS.has(counter), counter);
  }
  const registry = new Registry();
  new StageMetrics(registry).put({
    writer: { transactions: 5, failed_transactions: 2, hiccups: 3 },
    alerts: { given_up: 3, given_up_refused: 2, given_up_expired: 1 },
  });
  const text = await registry.metrics();
  assert.match(text, /^imdswatch_writer_transactions_total\{result="committed"\} 5$/m);
  assert.match(text, /^imdswatch_writer_transactions_total\{result="failed"\} 2$/m);
  assert.match(text, /^imdswatch_alerts_given_up_total\{reason="refused"\} 2$/m);
  assert.match(text, new RegExp(`^${OTHER_COUNTERS}\\{stage="writer",counter="hiccups"\\} 3$`, 'm'));
  assert.doesNotMatch(text, /^imdswatch_tls_reloads_total/m);
});

test('every metric says what it is', async () => {
  for (const { name, help, labels } of await new ApiMetrics().descriptions()) {
    assert.match(help, /^[A-Z0-9].*\.$/s, name);
    assert.ok(labels.length <= 3, name);
  }
});

test('stored calls and losses: roll-ups count all their calls, and unknown losses have one name', () => {
  const line = { 'imds.category': 'metadata', count: 40 };
  const records = [
    { kind: 'call', caller: 0, call: { 'imds.version': 1, 'imds.category': 'credentials' } },
    { kind: 'call', caller: 0, call: { 'imds.version': null, 'imds.category': 'other' } },
    { kind: 'rollup', caller: 0, rollup: { lines: [line, { ...line, 'imds.category': 'token', count: 2 }] } },
    {
      kind: 'coverage',
      coverage: { losses: { 'capture.dropped': 3, 'made.up': 1, 'watch.stalled_ms': 250 } },
    },
    { kind: 'coverage', coverage: { losses: { 'capture.dropped': 4, 'hosts.secret': 1 } } },
  ];
  const tally = new StoredTally(null);
  tally.join(new StoredTally({ records } as never));
  tally.join(new StoredTally({ records: records.slice(0, 1) } as never));
  const { calls, losses, unwatchedMs } = tally.counts();
  assert.deepEqual(calls, [
    { version: 1, category: 'credentials', count: 2 },
    { version: null, category: 'other', count: 1 },
    { version: 2, category: 'metadata', count: 40 },
    { version: 2, category: 'token', count: 2 },
  ]);
  assert.deepEqual(losses, { 'capture.dropped': 7, other: 2 });
  assert.deepEqual(unwatchedMs, { 'watch.stalled_ms': 250 });
});
