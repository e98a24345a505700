/** The pure parts of the bench with a fleet: what it reads, what it works out, and how it says it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthOf, secondsSince, sum } from '../../../bench/fleet/growth.ts';
import { carriedBytes, trafficIn } from '../../../bench/fleet/network.ts';
import { fleetOptions } from '../../../bench/fleet/options.ts';
import { type FleetResult, tableOf } from '../../../bench/fleet/results.ts';
import type { Processors } from '../../../bench/fleet/stage.ts';
import { serverValues } from '../../support/balancer.ts';

/** Two connections as `ss` of iproute2 6.1 lists them. The second has received nothing yet. */
const LISTED = `0      0          127.1.0.1:40000    127.0.0.1:8787
	 cubic wscale:7,7 rto:204 rtt:0.1/0.05 bytes_sent:1000 bytes_acked:1000 bytes_received:300 segs_out:12 segs_in:10 data_segs_out:8 data_segs_in:5 send 1Mbps
0      0          127.1.0.2:40002    127.0.0.1:8787
	 cubic wscale:7,7 rto:204 rtt:0.1/0.05 bytes_sent:50 bytes_acked:51 segs_out:3 segs_in:2 data_segs_out:1 send 1Mbps
`;

test('traffic is the sum of all connections, without segments counted twice', () => {
  assert.deepEqual(trafficIn(LISTED), {
    connections: 2,
    sentBytes: 1050,
    receivedBytes: 300,
    segments: 27,
  });
  assert.deepEqual(trafficIn(''), { connections: 0, sentBytes: 0, receivedBytes: 0, segments: 0 });
});

test('carried bytes have 66 bytes of headers for each segment', () => {
  const before = trafficIn(LISTED);
  const after = { ...before, sentBytes: 2050, receivedBytes: 350, segments: 37 };
  assert.equal(carriedBytes(before, after), 1000 + 50 + 10 * 66);
  assert.equal(carriedBytes(before, before), 0);
});

test('metrics of HAProxy are read by server, and one that is missing is not zero', () => {
  const metrics = [
    '# TYPE haproxy_server_current_sessions gauge',
    'haproxy_server_current_sessions{proxy="collectors_alive",server="collector-1"} 9',
    'haproxy_server_current_sessions{proxy="collectors_ready",server="collector-2"} 1667',
    'haproxy_server_current_sessions{proxy="collectors_ready",server="collector-1"} 1666',
    'haproxy_server_status{proxy="collectors_ready",server="collector-1",state="DOWN"} 0',
    'haproxy_server_status{proxy="collectors_ready",server="collector-1",state="UP"} 1',
  ].join('\n');
  assert.deepEqual(serverValues(metrics, 'haproxy_server_current_sessions'), [1666, 1667, Number.NaN]);
  assert.deepEqual(serverValues(metrics, 'haproxy_server_status', 'state="UP"'), [1, Number.NaN, Number.NaN]);
});

test('processor time counts from the first reading, and whole for a process that began later', () => {
  const [stayed, ended, began] = [{}, {}, {}] as never[];
  const before: Processors = {
    collectors: new Map([
      [stayed!, 10],
      [ended!, 50],
    ]),
    haproxy: new Map([[1, 3]]),
  };
  const after: Processors = {
    collectors: new Map([
      [stayed!, 12.5],
      [began!, 4],
    ]),
    haproxy: new Map([[2, 1]]),
  };
  assert.deepEqual(secondsSince(before, after), { collectors: 6.5, haproxy: 1 });
});

test('growth is told by the hour, from samples by the second', () => {
  const samples = [0, 10, 20, 30].map((second) => ({ second, bytes: 1_000_000 + second * 100 }));
  const { bytes_per_hour, error_bytes_per_hour } = growthOf(samples, ({ bytes }) => bytes);
  assert.ok(Math.abs(bytes_per_hour - 360_000) < 1, String(bytes_per_hour));
  assert.ok(error_bytes_per_hour < 1, String(error_bytes_per_hour));
  assert.throws(() => growthOf(samples.slice(2), ({ bytes }) => bytes), /three samples/);
  assert.equal(sum([1, 2, 3.5]), 6.5);
  assert.equal(sum([]), 0);
});

test('flags have defaults, and a wrong one is named with its value', () => {
  const usual = fleetOptions([]);
  assert.deepEqual(
    [usual.agents, usual.callsPerSecond, usual.standbys, usual.steadyMs, usual.tls, usual.quick],
    [5000, 500, 0, 600_000, false, false],
  );
  const named = fleetOptions(['--agents', '70', '--rate', '0', '--standbys', '2', '--minutes', '3', '--tls']);
  assert.deepEqual(
    [named.agents, named.callsPerSecond, named.standbys, named.steadyMs, named.tls],
    [70, 0, 2, 180_000, true],
  );
  const quick = fleetOptions(['--quick', '--minutes', '9']);
  assert.ok(quick.agents < 100 && quick.steadyMs < 10_000, 'a quick run stays quick');
  assert.throws(() => fleetOptions(['--agents', '0']), /--agents 0: give 1 or more/);
  assert.throws(() => fleetOptions(['--minutes', '1.5']), /--minutes 1.5: give 1 or more/);
  assert.throws(() => fleetOptions(['--rate', '-1']), /rate/);
  assert.throws(() => fleetOptions(['--speed', '9']), /--speed/);
});

const RESULT: FleetResult = {
  agents: 1000,
  collectors: 3,
  standbys: 0,
  tls: false,
  enrolled_in_seconds: 31.04,
  distribution: [333, 333, 334],
  steady: {
    seconds: 180,
    reconnected: 2,
    ends: { 'no heartbeat': 2 },
    heartbeats_per_second: 100,
    batches_per_second: 40,
    calls_per_second: 30,
    acknowledgement: { count: 5, p50_ms: 4.44, p95_ms: 9, p99_ms: 19.6, max_ms: 120 },
    cpu_percent: { collectors: 53, haproxy: 7.25, primary: 20, standbys: 0, agents: 30 },
    collectors_bytes: 700e6,
    collectors_bytes_before: 600e6,
    haproxy_bytes: 60e6,
    haproxy_bytes_before: 51e6,
    primary_bytes: 300e6,
    primary_bytes_before: 260e6,
    wal_bytes_per_second: 300_000,
    disk_bytes_per_second: 50_000,
    network_bytes_per_second: 500_000,
    collectors_growth: { bytes_per_hour: -2_000_000, error_bytes_per_hour: 3_000_000 },
    haproxy_growth: { bytes_per_hour: 100_000, error_bytes_per_hour: 0 },
    samples: [],
  },
  endings: [
    {
      ending: 'a collector is killed (SIGKILL)',
      agents: 334,
      handed_over: 0,
      seconds: 12.25,
      away: null,
      ends: {},
      acknowledgement: null,
      resent_batches: 7,
      distribution: [500, 0, 500],
      cpu_seconds: { collectors: 1.67, haproxy: 0.334 },
    },
  ],
  calls_acknowledged: 9000,
  calls_stored: 9000,
  calls_counted: 9000,
  other_records_acknowledged: 12_000,
  rolled_up_calls: 120_000,
};

test('the table tells costs of one agent, and leaves out no figure that is missing', () => {
  const lines = tableOf(RESULT).split('\n');
  const line = (begin: string) => {
    const found = lines.find((text) => text.trim().startsWith(begin));
    assert.ok(found, `no line begins with ${begin}`);
    return found;
  };
  // 100 MB, 9 MB and 40 MB more for 1,000 agents.
  assert.match(line('collectors together: resident'), /700 MB, 600 MB; 100\.0 kB/);
  assert.match(line('HAProxy: resident'), /60 MB, 51 MB; 9\.0 kB/);
  assert.match(line('primary with its buffers'), /300 MB, 260 MB; 40\.0 kB/);
  // 500,000, 300,000 and 50,000 bytes a second are so many kB of each agent a minute.
  assert.match(line('kB of each agent a minute'), /30\.00, 18\.00, 3\.00/);
  assert.match(line('batch sent'), /p50 4\.4 ms, p99 20 ms, max 120 ms/);
  assert.match(line('agents that connected again'), /2 \(2 × no heartbeat\)/);
  assert.match(line('growth of collectors'), /−2\.0 ± 3\.0 MB an hour; \+0\.1 ± 0\.0 MB an hour/);
  assert.match(line('an agent without a collector'), /–/);
  // 1.67 s and 0.334 s for 334 agents.
  assert.match(line('processor for each agent'), /5\.00 ms, 1\.00 ms/);
  assert.match(line('calls acknowledged'), /9000 \/ 9000 \/ 9000/);
});
