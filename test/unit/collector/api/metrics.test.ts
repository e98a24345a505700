/** Tests /metrics over real HTTP with a strict parser. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiBench, startApi } from '../../../support/collector/api/api_bench.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

/** Parses Prometheus' text format 0.0.4 as documented. Throws for a text that breaks it. */
function parseMetrics(text: string): Map<string, { type: string; samples: Map<string, number> }> {
  assert.ok(text.endsWith('\n'));
  const families = new Map<string, { type: string; samples: Map<string, number> }>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge|histogram|summary)$/i.exec(line);
    if (type !== null) {
      assert.ok(!families.has(type[1]!), `${type[1]} twice`);
      families.set(type[1]!, { type: type[2]!, samples: new Map() });
      continue;
    }
    const sample =
      /^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)( \d+)?$/i.exec(
        line,
      );
    assert.ok(sample !== null, line);
    const family = families.get(sample[1]!) ?? families.get(sample[1]!.replace(/_(bucket|sum|count)$/, ''));
    assert.ok(family !== undefined, `${line} without a type`);
    const key = `${sample[1]}${sample[2] ?? ''}`;
    assert.ok(!family.samples.has(key), `${key} twice`);
    family.samples.set(key, Number(sample[3]));
  }
  return families;
}

test('metrics: well formed, named by the conventions of Prometheus, with few labels', async () => {
  for (let number = 0; number < 30; number += 1) {
    await api.ask(`/api/v1/hosts/i-${number}`);
    await api.ask(`/nothing-${number}.js`, { as: 'nobody' });
    await api.ask(`/api/v1/nothing-${number}`);
  }
  await api.ask('/metrics');
  const response = await api.ask('/metrics');
  assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const families = parseMetrics(text);
  for (const [name, { type, samples }] of families) {
    if (!name.startsWith('imdswatch_')) continue;
    if (type === 'counter') assert.match(name, /_total$/, name);
    if (type === 'gauge') assert.doesNotMatch(name, /_total$/, name);
    assert.ok(samples.size < 1000, name);
  }
  const value = (family: string, key: string) => families.get(family)!.samples.get(`${family}${key}`);
  assert.equal(value('imdswatch_hosts', '{state="silent"}'), 2);
  assert.equal(value('imdswatch_hosts_readiness', '{verdict="unproven"}'), 3);
  assert.equal(value('imdswatch_groups_readiness', '{verdict="blocked"}'), 1);
  assert.equal(value('imdswatch_offenders', '{severity="credentials"}'), 5);
  assert.equal(value('imdswatch_store_used_bytes', ''), 4096);
  assert.equal(value('imdswatch_ready', ''), 1);
  assert.equal(value('imdswatch_store_copies', ''), 1);
  assert.equal(value('imdswatch_lease_held', '{lease="alerts"}'), 1);
  assert.equal(value('imdswatch_lease_held', '{lease="retention"}'), 0);
  assert.deepEqual(
    [...families.get('imdswatch_lease_epoch')!.samples],
    [['imdswatch_lease_epoch{lease="alerts"}', 7]],
  );
  assert.equal(value('imdswatch_store_max_bytes', ''), 20 * 1024 ** 3);
  assert.equal(value('imdswatch_alerts_waiting', ''), 0);
  assert.equal(value('imdswatch_agents', '{version="0.1.0"}'), 3);
  assert.equal(value('imdswatch_calls_total', '{imds_version="1",category="credentials"}'), 4);
  assert.equal(value('imdswatch_losses_total', '{stage="capture",counter="dropped"}'), 2);
  assert.equal(value('imdswatch_unwatched_seconds_total', '{stage="watch",counter="stalled"}'), 1.5);
  assert.equal(value('imdswatch_tls_certificate_expiry_timestamp_seconds', ''), 2_000_000_000);
  const ofStream = (family: string, reason = '') =>
    value(`imdswatch_stream_${family}`, `{destination="lake \\"1\\"",stream="calls"${reason}}`);
  assert.equal(ofStream('records_sent_total'), 900);
  assert.equal(ofStream('attempts_failed_total'), 3);
  assert.equal(ofStream('records_deleted_total'), 5);
  assert.equal(ofStream('records_given_up_total', ',reason="refused"'), 1);
  assert.equal(ofStream('records_given_up_total', ',reason="partial_success"'), 4);
  assert.equal(ofStream('records_given_up_total', ',reason="no_form"'), 2);
  assert.equal(ofStream('waiting_records'), 7);
  assert.equal(ofStream('behind_seconds'), 12.5);
  assert.equal(families.get('imdswatch_group_hosts_readiness')!.samples.size, 0);
  assert.equal(families.get('imdswatch_other_counters')!.samples.size, 0);
  // This collector has no such stage.
  assert.equal(families.get('imdswatch_writer_batches_total')!.samples.size, 0);
  assert.equal(value('imdswatch_ingest_frames_total', ''), 3);
  assert.equal(value('imdswatch_ingest_connections', ''), 1);
  assert.ok(families.has('process_resident_memory_bytes'));
  const routes = new Set([...text.matchAll(/route="([^"]*)"/g)].map(([, route]) => route));
  assert.ok(routes.has('/api/v1/hosts/:id') && routes.has('page') && routes.has('none'), [...routes].join());
  assert.ok(![...routes].some((route) => /i-\d|nothing/.test(route!)), [...routes].join());
});

test('without an answer of the store the other metrics are served, and that is counted', async () => {
  // An API of its own: on a slow machine the findings of another test would still be remembered.
  const api = await startApi();
  api.parts.store.statistics = async () => {
    throw new Error('no answer');
  };
  api.parts.unready = async () => 'The store cannot be written.';
  api.parts.storage = async () => {
    throw new Error('no answer');
  };
  try {
    const families = parseMetrics(await (await api.ask('/metrics')).text());
    assert.equal(families.get('imdswatch_metrics_findings_failures_total')!.samples.values().next().value, 1);
    assert.equal(families.get('imdswatch_hosts')!.samples.size, 0);
    assert.equal(families.get('imdswatch_store_used_bytes')!.samples.size, 0);
    assert.ok(families.get('imdswatch_ingest_frames_total')!.samples.size === 1);
    assert.equal(families.get('imdswatch_ready')!.samples.get('imdswatch_ready'), 0);
    assert.equal(families.get('imdswatch_store_copies')!.samples.size, 0);
  } finally {
    await api.end();
  }
});
