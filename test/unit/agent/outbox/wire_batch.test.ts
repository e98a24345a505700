/** Callers said once per connection: what the collector reads is what the agent recorded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CallerReferences,
  fullBatchFrame,
  recordText,
  withoutNewerValues,
} from '../../../../agent/outbox/wire_batch.ts';
import { CallerTable } from '../../../../collector/ingest/caller_table.ts';
import {
  type CheckedBatch,
  checkFullRecords,
  checkReferringRecords,
} from '../../../../collector/ingest/checked_batch.ts';
import { factsOfCaller } from '../../../../collector/store/defined_caller.ts';
import { type Call, call } from '../../../../protocol/call.ts';
import { agentFrame, MAX_CALLERS_BYTES } from '../../../../protocol/frames.ts';
import { record, referringRecord } from '../../../../protocol/records.ts';
import { HOST, makeCall, processFacts } from '../../../support/collector/calls.ts';

const payload = (call: Call) => Buffer.from(recordText({ kind: 'call', call }));

function read(frame: Buffer, table: CallerTable): CheckedBatch {
  const parsed = agentFrame.parse(JSON.parse(frame.toString('utf8')));
  assert.equal(parsed.type, 'batch');
  if (parsed.type !== 'batch') throw new Error('not a batch');
  assert.ok(table.define(parsed.callers ?? [], parsed.forget ?? false, HOST.id), 'definitions are as agreed');
  const checked = checkReferringRecords(referring(parsed.records), HOST.id, table);
  assert.ok(checked !== null);
  assert.deepEqual([checked.invalid, checked.foreign], [0, 0], JSON.stringify(checked.fault));
  return checked;
}

const referring = (items: unknown[]) => items.map((item) => referringRecord.safeParse(item));

function callsOf({ callers, records }: CheckedBatch): Call[] {
  return records.map((record) => {
    assert.ok(record.kind === 'call');
    return { ...record.call, ...factsOfCaller(callers[record.caller]!), host: HOST };
  });
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    ',"process":',
    '","host":{',
    '\\","k8s":',
    '}}',
    '日本 ,"systemd":null',
    '\\',
    '"',
    '\u2028',
  ),
);
const anyCall = fc
  .record({ path: text, agent: text, argument: text, pid: fc.integer({ min: 1, max: 5 }), unit: text })
  .map(({ path, agent, argument, pid, unit }) =>
    makeCall({
      'url.path': path,
      'user_agent.original': agent,
      process: pid === 5 ? null : processFacts({ pid, command_args: ['x', argument] }),
      systemd: { unit, slice: null },
    }),
  );

test('any calls, in any batches, arrive as they were recorded', () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyCall, { maxLength: 6 }), { maxLength: 4 }), (batches) => {
      const references = new CallerReferences();
      const table = new CallerTable();
      batches.forEach((calls, index) => {
        const frame = references.batchFrame({ seq: index + 1, records: calls.map(payload) });
        // A unit's name is a label: what no label may hold is replaced on the way.
        assert.deepEqual(
          callsOf(read(frame, table)),
          calls.map((made) => call.parse(made)),
        );
      });
    }),
    { numRuns: 300 },
  );
});

test('a caller is said once, however many batches name it', () => {
  const references = new CallerReferences();
  const table = new CallerTable();
  const frames = [1, 2, 3].map((seq) =>
    references.batchFrame({ seq, records: [payload(makeCall()), payload(makeCall())] }),
  );
  assert.equal(frames.filter((frame) => frame.includes('"callers"')).length, 1);
  const seen = frames.map((frame) => read(frame, table).callers);
  assert.deepEqual(
    seen.map(({ length }) => length),
    [1, 1, 1],
  );
  assert.equal(seen[0]![0], seen[2]![0], 'the same object, so that it is looked up once');
});

test('more callers than the bound: the table begins anew, and stays bounded on both sides', () => {
  const references = new CallerReferences();
  const table = new CallerTable();
  let forgotten = 0;
  for (let seq = 1; seq <= 60; seq += 1) {
    const calls = Array.from({ length: 20 }, (_, index) =>
      makeCall({ process: processFacts({ pid: seq * 100 + index, name: 'größer' }) }),
    );
    const frame = references.batchFrame({ seq, records: calls.map(payload) });
    if (frame.includes('"forget":true')) forgotten += 1;
    assert.deepEqual(callsOf(read(frame, table)), calls);
  }
  assert.ok(forgotten >= 3, `${forgotten} times`);
  // One batch alone may define more than the bound.
  const large = Array.from({ length: 400 }, (_, index) =>
    makeCall({ process: processFacts({ pid: 9000 + index }) }),
  );
  const frame = references.batchFrame({ seq: 61, records: large.map(payload) });
  assert.ok(frame.length > MAX_CALLERS_BYTES);
  assert.deepEqual(callsOf(read(frame, table)), large);
});

test('records spooled by an older release, with another order of fields, are sent', () => {
  const { id, time, process, host, 'attribution.method': method, ...rest } = makeCall({ 'url.path': '/1' });
  const call = { process, id, host, time, 'attribution.method': method, ...rest };
  const older = Buffer.from(JSON.stringify({ kind: 'call', call }));
  const table = new CallerTable();
  const frame = new CallerReferences().batchFrame({ seq: 1, records: [older] });
  assert.deepEqual(callsOf(read(frame, table)), [call]);
});

test('protocol 1 has the records in full', () => {
  const calls = [makeCall(), makeCall({ process: null })];
  const frame = JSON.parse(fullBatchFrame({ seq: 7, records: calls.map(payload) }).toString('utf8'));
  assert.equal(frame.seq, 7);
  const checked = checkFullRecords(
    (frame.records as unknown[]).map((item) => record.safeParse(item)),
    HOST.id,
  );
  assert.deepEqual(callsOf(checked), calls);
  assert.equal(checked.callers.length, 2);
});

test('invalid definitions are refused; an unreadable caller affects only its records', () => {
  const { id, host, ...facts } = makeCall();
  assert.ok(id && host);
  const table = new CallerTable();
  assert.equal(
    table.define([{ ref: 1, ...facts } as { ref: number }], false, HOST.id),
    false,
    'numbers from 0',
  );
  const anew = new CallerTable();
  const unreadable = { ref: 1, process: { pid: 'x' } } as { ref: number };
  assert.ok(anew.define([{ ref: 0, ...facts } as { ref: number }, unreadable], false, HOST.id));
  const { process: _p, container: _c, k8s: _k, systemd: _s, host: _h, ...body } = makeCall();
  const records = [0, 1].map((caller) => ({ kind: 'call', caller, call: { ...body, id: makeCall().id } }));
  const checked = checkReferringRecords(referring(records), HOST.id, anew)!;
  assert.deepEqual([checked.records.length, checked.invalid], [1, 1]);
  assert.equal(checkReferringRecords(referring([{ ...records[0], caller: 2 }]), HOST.id, anew), null);
  const long = { ref: 2, note: 'x'.repeat(MAX_CALLERS_BYTES) } as { ref: number };
  assert.equal(anew.define([long], false, HOST.id), false, 'beyond the bound');
});

test('a collector before protocol 3 gets values that it knows, and texts as they were recorded', () => {
  const named = makeCall({
    'imds.category': 'other-cloud',
    'imds.fallback': 'adapted',
    'url.path': '/"imds.category":"other-cloud"',
    process: processFacts({ command_args: ['"imds.fallback":"adapted"'] }),
  });
  const plain = makeCall();
  const older = withoutNewerValues({ seq: 1, records: [payload(named), payload(plain)] });
  const [first, second] = older.records.map((bytes) => JSON.parse(bytes.toString('utf8')).call as Call);
  assert.deepEqual(first, { ...named, 'imds.category': 'other', 'imds.fallback': null });
  assert.deepEqual(second, plain);
});
