import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Results } from '../../../bench/collector/results.ts';
import { makeScript, recordTexts } from '../../../bench/collector/script.ts';
import { callerDefinition, MAX_CALLERS_BYTES } from '../../../protocol/frames.ts';
import { referringRecord } from '../../../protocol/records.ts';

const MAIN = join(import.meta.dirname, '../../../bench/collector/main.ts');
const TIME_LIMIT_MS = 120_000;

async function bench(...flags: string[]): Promise<Results> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, '--quick', ...flags], {
    timeout: TIME_LIMIT_MS,
  });
  const line = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { bench: string; results: Results };
  assert.equal(line.bench, 'collector');
  return line.results;
}

test('simulated agents send the records of real agents', () => {
  const script = makeScript(3, 0.5);
  const texts = recordTexts(3, 0.5, script.length);
  const callers: unknown[] = [];
  script.forEach(({ record, definition, startAt, idAt, timeAt }, index) => {
    if (definition !== null) {
      const { ref, ...facts } = callerDefinition.parse(JSON.parse(definition.toString()));
      assert.equal(ref, callers.length);
      callers.push(facts);
      if (startAt >= 0) assert.match(definition.toString('latin1', startAt, startAt + 27), /^2001-.*Z$/);
    }
    const said = referringRecord.parse(JSON.parse(record.toString()));
    assert.ok(said.kind === 'call');
    assert.equal(record.toString('latin1', idAt, idAt + 36), said.call.id);
    assert.equal(record.toString('latin1', timeAt, timeAt + 27), said.call.time);
    const { host, ...whole } = (JSON.parse(texts[index]!) as { call: { host: unknown } }).call;
    assert.ok(host);
    assert.deepEqual({ ...said.call, ...(callers[said.caller] as object) }, whole);
  });
  const defined = script.reduce((sum, { definition }) => sum + (definition?.length ?? 0), 0);
  assert.ok(
    defined > MAX_CALLERS_BYTES * 0.9,
    `the cycle ends where the table of callers is full: ${defined}`,
  );
});

test('the quick run makes every measure, and acknowledged calls are stored', async () => {
  const { wire, shapes, ingest, idle, arrival, questions } = await bench();
  assert.ok(shapes!.length >= 6);
  for (const { name, ...measured } of shapes!) {
    assert.ok(measured.calls_per_core_second > 100 && measured.bytes_per_call > 50, name);
  }
  for (const { new_process_share, ...bytes } of wire!) {
    assert.ok(bytes.protocol_2_bytes_per_call > 400);
    if (new_process_share < 1) {
      assert.ok(bytes.protocol_2_bytes_per_call < bytes.protocol_1_bytes_per_call / 2);
    }
  }
  assert.equal(ingest!.length, 2);
  for (const result of ingest!) {
    assert.ok(result.calls_acknowledged > 100, `${result.calls_acknowledged} calls`);
    assert.equal(result.calls_stored, result.calls_acknowledged);
    assert.ok(result.calls_per_second > 0);
    assert.ok(result.acknowledgement!.p50_ms > 0);
    assert.ok(result.acknowledgement!.p99_ms >= result.acknowledgement!.p50_ms);
    assert.ok(result.cpu.collector_main > 0 && result.cpu.collector_other > 0 && result.cpu.generator > 0);
    assert.ok(result.disk_bytes_per_call > 100);
  }
  for (const { resident_bytes, heartbeats_per_second } of idle!) {
    assert.ok(resident_bytes > 50e6 && resident_bytes < 1e9);
    assert.ok(heartbeats_per_second > 0);
  }
  for (const { calls, live_feed, offenders } of arrival!) {
    assert.equal(live_feed!.count, calls);
    assert.equal(offenders!.count, calls);
    assert.ok(live_feed!.p50_ms > 0 && offenders!.p50_ms > 0);
  }
  const [asked] = questions!;
  assert.ok(asked!.store.calls > 50_000 && asked!.store.rawCalls > 1_000 && asked!.store.rollups > 100);
  for (const { question, p50_ms, bytes } of asked!.questions) {
    assert.ok(p50_ms > 0 && bytes > 100, question);
  }
});

test('a measure that is not known is bad usage', async () => {
  const failed = await bench('--only', 'everything').catch(
    (error: { code: number; stderr: string }) => error,
  );
  assert.ok('code' in failed);
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /--only everything: choose from wire/);
});
