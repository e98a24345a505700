/** The metrics of an agent: their values, their fixed labels, and the server that gives them out. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { AgentMetrics, type AgentReadings } from '../../../../agent/metrics/agent_metrics.ts';
import { CallCounts } from '../../../../agent/metrics/call_counts.ts';
import { MetricsServer } from '../../../../agent/metrics/metrics_server.ts';
import { metricsAddress } from '../../../../agent/metrics/serve_metrics.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { makeCall } from '../../../support/collector/calls.ts';

const NO_PROMTOOL =
  spawnSync('promtool', ['--version']).error === undefined ? false : 'promtool is not installed';
const logged: string[] = [];
const log = pino({}, { write: (line: string) => void logged.push(line) });
const servers: MetricsServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
  logged.length = 0;
});

function readings(changes: Partial<AgentReadings> = {}): AgentReadings {
  const calls = new CallCounts();
  for (const version of [1, 1, 2, null] as const) calls.add(makeCall({ 'imds.version': version }));
  calls.add(makeCall({ 'imds.version': 2, 'attribution.confidence': 'none' }));
  return {
    ...{ version: '1.2.3', attribution: 'ebpf', calls, isLive: true, watchedSeconds: 61.5 },
    counters: {
      capture: { dropped: 4, packets: 99 },
      spool: { overflowed: 2, acknowledged: 50 },
      namespaces: { not_watched_ms: 1500 },
      'a stage of "another" release': { 'x\ny': 1 },
    },
    ...{ kernelConnections: 12, seenConnections: 11, isConnected: false },
    spool: { bytes: 4096, maxBytes: 1_048_576, records: 7, isFailing: false, oldestSeconds: 12.5 },
    process: { cpuSeconds: 3.25, residentBytes: 90_000_000, startSeconds: 1_790_000_000 },
    ...changes,
  };
}

/** Returns the samples, by name with labels. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

async function serve(text: () => Promise<string>, port = 0): Promise<MetricsServer> {
  const server = new MetricsServer({
    address: { host: '127.0.0.1', port },
    contentType: 'text/plain',
    text,
    log,
  });
  servers.push(server);
  server.start();
  while (server.port === null && logged.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return server;
}

test('each metric has the value of its stage', async () => {
  const samples = samplesOf(await new AgentMetrics().text(readings()));
  const expected: [string, number][] = [
    ['imdswatch_agent_info{version="1.2.3",attribution="ebpf"}', 1],
    ['imdswatch_agent_calls_total{imds_version="1"}', 2],
    ['imdswatch_agent_calls_total{imds_version="2"}', 2],
    ['imdswatch_agent_calls_total{imds_version="none"}', 1],
    ['imdswatch_agent_attributed_calls_total{confidence="none"}', 1],
    ['imdswatch_agent_attributed_calls_total{confidence="probable"}', 0],
    ['imdswatch_agent_losses_total{stage="capture",reason="dropped"}', 4],
    ['imdswatch_agent_losses_total{stage="capture",reason="blind"}', 0],
    ['imdswatch_agent_losses_total{stage="spool",reason="overflowed"}', 2],
    ['imdswatch_agent_unwatched_seconds_total{reason="not_watched"}', 1.5],
    ['imdswatch_agent_capture_live', 1],
    ['imdswatch_agent_watched_seconds_total', 61.5],
    ['imdswatch_agent_kernel_connections_total', 12],
    ['imdswatch_agent_seen_connections_total', 11],
    ['imdswatch_agent_collector_connected', 0],
    ['imdswatch_agent_spool_bytes', 4096],
    ['imdswatch_agent_spool_max_bytes', 1_048_576],
    ['imdswatch_agent_spool_records', 7],
    ['imdswatch_agent_spool_oldest_seconds', 12.5],
    ['imdswatch_agent_spool_failing', 0],
    ['process_cpu_seconds_total', 3.25],
    ['process_resident_memory_bytes', 90_000_000],
    ['process_start_time_seconds', 1_790_000_000],
  ];
  for (const [name, value] of expected) assert.equal(samples.get(name), value, name);
});

test('whatever the agent sees, the series are the same, and values do not add up over questions', async () => {
  const metrics = new AgentMetrics();
  const first = samplesOf(await metrics.text(readings()));
  assert.deepEqual(samplesOf(await metrics.text(readings())), first);
  const calls = new CallCounts();
  for (let at = 0; at < 50; at += 1) calls.add(makeCall({ 'url.path': `/latest/${at}` }));
  const later = samplesOf(await metrics.text(readings({ calls, counters: {} })));
  assert.deepEqual([...later.keys()], [...first.keys()]);
  assert.ok(![...later.keys()].some((name) => name.includes('another')));
  const without = samplesOf(await metrics.text(readings({ kernelConnections: null })));
  assert.equal(
    without.has('imdswatch_agent_kernel_connections_total'),
    false,
    'no value where nobody counts',
  );
});

test('promtool finds nothing to say about them', { skip: NO_PROMTOOL }, async () => {
  const input = await new AgentMetrics().text(readings());
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
});

test('only loopback is listened at, unless another address is permitted', () => {
  const at = (listen: string | undefined, isRemote = false) =>
    metricsAddress({ metrics_listen: listen, metrics_remote: isRemote });
  assert.equal(at(undefined), null);
  assert.deepEqual(at('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464 });
  assert.deepEqual(at('[::1]:9464'), { host: '::1', port: 9464 });
  for (const listen of ['0.0.0.0:9464', '[::]:9464', '10.0.0.7:9464', 'host.example:9464']) {
    assert.throws(
      () => at(listen),
      (error) => error instanceof OperatorError && error.exitCode === 2 && error.message.includes(listen),
    );
    assert.equal(at(listen, true)?.port, 9464);
  }
});

test('the server answers /metrics only, and requests at one time with one reading', async () => {
  let readingsMade = 0;
  const { port } = await serve(async () => {
    readingsMade += 1;
    return 'imdswatch_agent_info 1\n';
  });
  const url = `http://127.0.0.1:${port}`;
  const answers = await Promise.all(Array.from({ length: 5 }, () => fetch(`${url}/metrics`)));
  for (const each of answers) assert.equal(await each.text(), 'imdswatch_agent_info 1\n');
  assert.equal(readingsMade, 1);
  assert.equal((await fetch(`${url}/`)).status, 404);
  assert.equal((await fetch(`${url}/metrics`, { method: 'POST', body: 'x'.repeat(100_000) })).status, 405);
  assert.equal((await fetch(`${url}/metrics`, { headers: { 'x-long': 'x'.repeat(20_000) } })).status, 431);
  assert.equal(readingsMade, 1);
});

test('connections beyond the limit are dropped, and the others are still answered', async () => {
  const { port } = await serve(async () => 'x 1\n');
  const sockets = Array.from({ length: 8 }, () => connect(port!, '127.0.0.1'));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  const extra = connect(port!, '127.0.0.1');
  extra.on('error', () => {});
  await new Promise((resolve) => extra.once('close', resolve));
  sockets[0]!.write('GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const text = await new Promise<string>((resolve) => {
    let all = '';
    sockets[0]!.on('data', (data) => {
      all += data;
    });
    sockets[0]!.on('close', () => resolve(all));
  });
  assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*x 1\n$/);
  for (const socket of sockets) socket.destroy();
});

test('an address that is taken, and a reading that fails, are logged and end nothing', async () => {
  const first = await serve(async () => {
    throw new Error('no reading');
  });
  assert.equal((await fetch(`http://127.0.0.1:${first.port}/metrics`)).status, 500);
  assert.match(logged.join(''), /no reading/);
  logged.length = 0;
  const second = await serve(async () => 'x 1\n', first.port!);
  assert.equal(second.port, null);
  assert.match(logged.join(''), /metrics cannot be served.*change metrics_listen/);
});
