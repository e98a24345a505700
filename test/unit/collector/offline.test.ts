/**
 * A day without a collector, and spool files that were damaged meanwhile: what is delivered, and what is
 * counted.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { Spool } from '../../../agent/outbox/spool.ts';
import { recordText } from '../../../agent/outbox/wire_batch.ts';
import type { Coverage, Rollup } from '../../../protocol/records.ts';
import { HOST, makeCall, processFacts } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { MemoryStore } from '../../support/collector/memory_store.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

const DAY_MINUTES = 24 * 60;
const CALLERS = 6;
const CALLS_A_MINUTE = 8;

const at = (startMs: number, minute: number) =>
  new Date(startMs + minute * 60_000).toISOString().replace('Z', '000Z');

function coverageOf(startMs: number, minute: number): Coverage {
  return {
    id: uuidv7(),
    host_id: HOST.id,
    boot_id: '00000000-0000-4000-8000-000000000000',
    start: at(startMs, minute),
    end: at(startMs, minute + 1),
    live_ms: 60_000,
    kernel_connections: 20,
    seen_connections: 20,
    losses: {},
  };
}

function rollupOf(startMs: number, minute: number, caller: number): Rollup {
  const { process, container, k8s, systemd, host, ...call } = makeCall({
    process: processFacts({ pid: 100 + caller }),
  });
  return {
    id: uuidv7(),
    first_time: at(startMs, minute),
    last_time: at(startMs, minute),
    count: 3,
    'user_agent.original': 'aws-sdk',
    'source.address': '10.0.0.5',
    lines: [
      {
        'imds.kind': 'read',
        'imds.category': 'metadata',
        'http.request.method': 'GET',
        'url.path': '/latest/meta-data/instance-id',
        'http.response.status_code': 200,
        outcome: 'answered',
        count: 3,
      },
    ],
    process,
    container,
    k8s,
    systemd,
    'attribution.method': call['attribution.method'],
    'attribution.confidence': call['attribution.confidence'],
    host,
  };
}

/** Fills a spool with a day of a busy host: IMDSv1 calls (their path is `/NUMBER`), roll-ups, coverage. */
async function spoolADay(directory: string): Promise<{ calls: number; rollups: number; bytes: number }> {
  const spool = new Spool({
    directory,
    maxBytes: 256 * 1024 * 1024,
    hostId: HOST.id,
    log: pino({ level: 'silent' }),
  });
  const startMs = Date.now() - DAY_MINUTES * 60_000;
  let calls = 0;
  let rollups = 0;
  for (const minute of range(0, DAY_MINUTES)) {
    for (const _ of range(0, CALLS_A_MINUTE)) {
      const call = makeCall({ time: at(startMs, minute), 'url.path': `/${calls}` });
      spool.appendRecord('v1', recordText({ kind: 'call', call }));
      calls += 1;
    }
    for (const caller of range(0, CALLERS)) {
      spool.appendRecord('rollup', recordText({ kind: 'rollup', rollup: rollupOf(startMs, minute, caller) }));
      rollups += 1;
    }
    spool.appendRecord('coverage', recordText({ kind: 'coverage', coverage: coverageOf(startMs, minute) }));
  }
  const { bytes } = spool.report();
  await spool.close();
  return { calls, rollups, bytes };
}

test('24 hours offline: everything is delivered once, and soon', async (t) => {
  const spoolDir = bench.directory();
  const { calls, rollups, bytes } = await spoolADay(spoolDir);
  const dataDir = bench.directory();
  const collector = await bench.collector({ data_dir: dataDir });
  const records = calls + rollups + DAY_MINUTES;
  const began = performance.now();
  const outbox = bench.outbox(collector.address.url, { spoolDir });
  await eventually('all acknowledged', () => acknowledged(outbox) === records, 120_000);
  const seconds = (performance.now() - began) / 1000;
  const { spool, uplink } = outbox.counters();
  t.diagnostic(
    `${records} records, ${(bytes / 1e6).toFixed(1)} MB spooled, ${(uplink!['bytes_sent']! / 1e6).toFixed(1)} MB sent, ${seconds.toFixed(1)} s, ${Math.round(records / seconds)} records/s`,
  );
  const stored = readStored(dataDir);
  assert.deepEqual(stored.numbers, range(0, calls));
  assert.equal(stored.rolledUp, rollups * 3);
  assert.deepEqual([spool!['lost'], spool!['overflowed']], [0, 0]);
  assert.ok(uplink!['bytes_sent']! < bytes * 0.6, 'callers are said once');
});

test('damaged spool files: readable records are delivered once, the rest is counted', async () => {
  const spoolDir = bench.directory();
  const { calls, rollups } = await spoolADay(spoolDir);
  const records = calls + rollups + DAY_MINUTES;
  const segments = readdirSync(spoolDir).filter((file) => /^(v1|rollup)-/.test(file));
  for (const [index, file] of segments.entries()) {
    const path = join(spoolDir, file);
    const bytes = readFileSync(path);
    if (index % 4 === 0) bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 5000);
    else if (index % 4 === 1) bytes[Math.floor(bytes.length / 3)]! ^= 0x40;
    writeFileSync(path, bytes);
    if (index % 4 === 2) truncateSync(path, bytes.length - 3000);
  }
  writeFileSync(join(spoolDir, 'v1-0000000000000000.log.swp'), 'of an editor');
  const server = await bench.ingestServer();
  const outbox = bench.outbox(server.url, { spoolDir });
  await eventually(
    'delivered',
    () => {
      const { acknowledged, lost } = outbox.counters()['spool']!;
      return acknowledged! + lost! === records;
    },
    60_000,
  );
  const { lost } = outbox.counters()['spool']!;
  // The reports of that day claim that it was watched, and nobody can tell when the records that are gone
  // were made.
  const hit = lost! - DAY_MINUTES;
  assert.ok(hit > 5 && hit < 200, `${hit} records were hit`);
  const { store } = server;
  assert.equal(store.calls.length + store.rollups.length + store.coverage.length, records - lost!);
  assert.equal(new Set(store.numbers).size, store.calls.length, 'none twice');
  assert.equal(store.coverage.length, 0);
});

test('a spool that is too small for the outage: the overflow is counted, routine records are dropped first, nothing is stored twice', async () => {
  const store = new MemoryStore();
  const first = await bench.ingestServer({ store });
  const { port } = first;
  const outbox = bench.outbox(first.url, { spoolMaxBytes: 2 * 1024 * 1024 });
  await eventually('connected', () => outbox.counters()['uplink']!['connected'] === 1);
  await first.close();
  const calls = 6000;
  for (const number of range(0, calls)) {
    const version = number % 6 === 0 ? 1 : 2;
    outbox.call(
      makeCall({ 'url.path': `/${number}`, 'imds.version': version, 'imds.server_version': version }),
    );
    if (number % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { overflowed } = outbox.counters()['spool']!;
  assert.ok(overflowed! > 0);
  await bench.ingestServer({ store, port });
  await eventually('delivered', () => acknowledged(outbox) === calls - overflowed!);
  assert.equal(outbox.counters()['spool']!['overflowed'], overflowed);
  assert.equal(store.calls.length, calls - overflowed!);
  assert.equal(new Set(store.numbers).size, store.calls.length);
  const reported = () => store.said.at(-1)?.spool.overflowed ?? {};
  await eventually('the overflow is in a heartbeat', () => {
    return Object.values(reported()).reduce((sum, count) => sum + count, 0) === overflowed;
  });
  assert.equal(reported()['v1'] ?? 0, 0, 'IMDSv1 calls outlive the rest');
});
