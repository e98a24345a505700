/**
 * Records that only a broken or hostile agent sends: they cost others nothing, neither their batches nor
 * their answers.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { v7 as uuidv7 } from 'uuid';
import { DAY_US } from '../../../collector/contract/window.ts';
import { Insight } from '../../../collector/insight/insight.ts';
import { openStoreForReading } from '../../../collector/store/sqlite/sqlite_store.ts';
import type { Call } from '../../../protocol/call.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { allOf } from '../../support/collector/insight/all_of.ts';
import { watched } from '../../support/collector/insight/findings.ts';
import { Peer } from '../../support/collector/peer.ts';

const bench = new Bench();
afterEach(() => bench.end());

const HOSTILE = { id: 'i-hostile', name: 'hostile' };
const NOW = new Date().toISOString();
const HUGE = Number.MAX_SAFE_INTEGER;

function rollup(count: number): unknown {
  const {
    id,
    time,
    process,
    container,
    k8s,
    systemd,
    'attribution.method': method,
    'attribution.confidence': confidence,
    ...rest
  } = makeCall({ host: HOSTILE, 'imds.version': 2 });
  return {
    kind: 'rollup',
    rollup: {
      id: uuidv7(),
      first_time: time,
      last_time: time,
      count,
      'user_agent.original': null,
      'source.address': rest['source.address'],
      lines: ['/a', '/b'].map((path) => ({
        'imds.kind': 'read',
        'imds.category': 'metadata',
        'http.request.method': 'GET',
        'url.path': path,
        'http.response.status_code': 200,
        outcome: 'answered',
        count,
      })),
      process,
      container,
      k8s,
      systemd,
      'attribution.method': method,
      'attribution.confidence': confidence,
      host: HOSTILE,
    },
  };
}

function coverage(changes: object): unknown {
  const record = watched(HOSTILE.id, NOW, NOW) as { coverage: object };
  return { kind: 'coverage', coverage: { ...record.coverage, ...changes } };
}

const callOf = (changes: Partial<Call>) => ({ kind: 'call', call: makeCall({ host: HOSTILE, ...changes }) });
const deep = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

/** [what, record, whether it is taken] */
const RECORDS: [string, unknown, boolean][] = [
  ['a time that no number says exactly', callOf({ time: '9999-12-31T23:59:59.999999Z' }), false],
  ['a time long before', callOf({ time: '0001-01-01T00:00:00.000000Z' }), false],
  ['a day that is none', callOf({ time: '2026-02-31T00:00:00.000000Z' }), true],
  ['a roll-up of more than there can be', rollup(HUGE), false],
  [
    'more connections than there can be',
    coverage({ seen_connections: HUGE, kernel_connections: HUGE }),
    false,
  ],
  ['losses beyond measure', coverage({ losses: { a: 1e308, b: 1e308 } }), true],
  ['losses of those names again', coverage({ losses: { a: 1.7e308, b: 1e308 } }), true],
  ['names that objects have', coverage({ losses: JSON.parse('{"__proto__": 3, "constructor": 4}') }), true],
  ['half a character', callOf({ 'url.path': '/\ud800', 'user_agent.original': '\udc00\u0000' }), true],
  ['a user agent of a megabyte', callOf({ 'user_agent.original': 'Boto3/1.'.repeat(131_072) }), true],
  ['something deep', { kind: 'call', call: deep(1000) }, false],
  ['no object', null, false],
];

test('with any content of a record the batch is acknowledged, the rest is stored, and questions are answered', async () => {
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const good = await new Peer(bench, collector.address.url).hello();
  const hostile = await new Peer(bench, collector.address.url).hello({ host: HOSTILE });
  let seq = 0;
  for (const [what, record, isTaken] of RECORDS) {
    seq += 1;
    hostile.send({ type: 'batch', seq, records: [record, record] });
    good.send({ type: 'batch', seq, records: [{ kind: 'call', call: makeCall() }] });
    const { rejected } = await hostile.next('ack');
    assert.equal(rejected, isTaken ? 0 : 2, what);
    assert.equal((await good.next('ack'))['rejected'], 0, what);
  }
  const store = openStoreForReading(dataDir);
  bench.atEnd(() => store.close());
  const insight = new Insight(store, { readinessWindowDays: 14, silentAfterSeconds: 300 });
  const untilUs = Date.now() * 1000;
  const question = { window: { sinceUs: untilUs - 400 * DAY_US, untilUs } };
  const began = performance.now();
  const hosts = await allOf(insight.allHosts(question));
  assert.equal(hosts.find(({ id }) => id === HOST.id)!.calls_v1, RECORDS.length);
  await insight.overview(question);
  for (const { id } of await insight.offenders(question)) assert.ok(await insight.offender(id, question));
  JSON.stringify(await insight.host(HOSTILE.id, question));
  assert.ok(performance.now() - began < 30_000, 'no text makes an answer slow');
});
