/** Callers that a connection has defined: their descriptions are compressed, and sent to the writer once. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { CallerTable } from '../../../../collector/ingest/caller_table.ts';
import { callerKey, DefinedCaller } from '../../../../collector/store/defined_caller.ts';
import { writeWithNewCallers } from '../../../../collector/store/sqlite/new_callers.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ALL, ALL_CALLS, call, host, program, stream } from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const DAY_US = 86_400_000_000;
const A = host('a');

test('a full table gives back what was defined', () => {
  const facts = Array.from({ length: 100 }, (_, index) => {
    const { process, ...others } = program(`größer-${index % 10}`);
    const args = ['größer', `line\nfeed ${index}`, 'x'.repeat(500)];
    return { ...others, process: { ...process!, pid: index + 1, command_args: args } };
  });
  const table = new CallerTable();
  facts.forEach((each, ref) => {
    assert.ok(table.define([{ ref, ...each }], false, A.id));
    assert.deepEqual(table.get(ref)!.facts, each);
  });
  const kept = facts.map((_, ref) => table.get(ref)!);
  assert.deepEqual(
    kept.map((caller) => caller.facts),
    facts,
  );
  assert.deepEqual(
    kept.map(({ key }) => key),
    kept.map(({ json }) => callerKey(A.id, '', json)),
  );
});

test('a caller without a process has no key of its own', () => {
  assert.equal(new DefinedCaller({ ...program('curl'), process: null }, A.id).key, null);
});

test('a description is sent until its batch is stored, and again for callers that are missing', async () => {
  const callers = ['known', 'new', 'deleted'].map((name) => new DefinedCaller(program(name), A.id));
  const next = stream(A, callers);
  const calls = () => callers.map((_, index) => call(NOON_US, {}, index));
  const sent: boolean[][] = [];
  const write = (missing: number[], result: 'stored' | 'ahead') => {
    let left = missing;
    return writeWithNewCallers([next(...calls())], async (packed) => {
      sent.push(packed.callers.map(({ json }) => json !== null));
      const answer =
        left.length > 0
          ? { missing: left }
          : { results: [{ result, lastSeq: 1, records: 3, duplicates: 0 }] };
      left = [];
      return answer;
    });
  };
  await write([], 'ahead');
  await write([], 'stored');
  await write([], 'stored');
  await write([2], 'stored');
  const [all, none] = [callers.map(() => true), callers.map(() => false)];
  assert.deepEqual(sent, [all, all, none, none, [false, false, true]]);
});

test('a caller that retention has deleted is stored again when it calls again', async () => {
  const store = openStore(bench.directory());
  bench.atEnd(() => store.close());
  const next = stream(A, [
    new DefinedCaller(program('rare'), A.id),
    new DefinedCaller(program('often'), A.id),
  ]);
  await store.write([next(call(NOON_US - 40 * DAY_US))]);
  const { calls: before } = await store.calls(ALL_CALLS, 10, null);
  await store.write([next(call(NOON_US - 1, {}, 1))]);
  await store.retain({ rawDays: 5, rollupDays: 5, maxBytes: 1e12 }, NOON_US);
  const names = (await store.identityTotals(ALL)).map(({ identity }) => identity.executable);
  assert.deepEqual(names, ['/usr/bin/often']);
  const [written] = await store.write([next(call(NOON_US))]);
  assert.deepEqual([written!.result, written!.records], ['stored', 1]);
  const { calls } = await store.calls(ALL_CALLS, 10, null);
  assert.deepEqual(calls[0]!.process, before[0]!.process);
});
