import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Journal, readJournal } from '../../../../enforce/run/journal.ts';
import { type Order, PlanStore } from '../../../../enforce/run/plan_store.ts';
import type { PlanEvent } from '../../../../enforce/state/events.ts';
import { instanceStep, planOf } from '../../../support/enforce/plans.ts';

const BEGUN: PlanEvent = { type: 'begun', at: 1, by: 'tester' };
const SENDING: PlanEvent = { type: 'sending', at: 2, step: 's1' };

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'imdswatch-journal-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

test('a line that was torn by a crash is left out, and the next one begins where it began', (t) => {
  const path = join(directory(t), 'journal.jsonl');
  const first = Journal.open(path);
  assert.deepEqual(first.events, []);
  first.journal.append(BEGUN);
  first.journal.append(SENDING);
  first.journal.close();
  const whole = readFileSync(path);
  const line = `${JSON.stringify({ ...SENDING, at: 3 })}\n`;
  for (let length = 0; length < line.length; length += 1) {
    writeFileSync(path, whole);
    appendFileSync(path, line.slice(0, length));
    assert.deepEqual(readJournal(path), [BEGUN, SENDING], `${length} bytes`);
    const again = Journal.open(path);
    assert.deepEqual(again.events, [BEGUN, SENDING]);
    again.journal.append({ ...SENDING, at: 4 });
    again.journal.close();
    assert.deepEqual(readJournal(path), [BEGUN, SENDING, { ...SENDING, at: 4 }]);
  }
});

test('a whole line that is no event is an error that names the line', (t) => {
  const path = join(directory(t), 'journal.jsonl');
  writeFileSync(path, `${JSON.stringify(BEGUN)}\n{"type":"sending"}\n${JSON.stringify(SENDING)}\n`);
  assert.throws(() => readJournal(path), /Line 2 of the journal .* cannot be read/);
  assert.throws(() => Journal.open(path), /Line 2/);
});

test('plans and orders are found again, orders in their order and once', (t) => {
  const store = new PlanStore(directory(t));
  assert.deepEqual(store.ids(), []);
  const plan = planOf([instanceStep(1)]);
  store.save(plan);
  assert.deepEqual(store.ids(), [plan.id]);
  assert.deepEqual(store.load(plan.id), plan);
  assert.equal(store.stateOf(plan).state.phase, 'new');
  assert.throws(() => store.load('../../etc'), /There is no plan/);
  assert.throws(() => store.load('p-ffffffffffff'), /There is no plan/);
  const orders: Order[] = [
    { type: 'paused', by: 'a', reason: 'r' },
    { type: 'resumed', by: 'b' },
  ];
  store.leaveOrder(plan.id, '2', orders[1]!);
  store.leaveOrder(plan.id, '1', orders[0]!);
  const taken: Order[] = [];
  store.takeOrders(plan.id, (order) => taken.push(order));
  store.takeOrders(plan.id, (order) => taken.push(order));
  assert.deepEqual(taken, orders);
});

test('a file that is no order keeps no other order from being obeyed, and is named', (t) => {
  const store = new PlanStore(directory(t));
  const plan = planOf([instanceStep(1)]);
  store.save(plan);
  writeFileSync(join(store.directoryOf(plan.id), 'orders', '1.json'), '{"type":"paus');
  const resumed: Order = { type: 'resumed', by: 'a' };
  store.leaveOrder(plan.id, '2', resumed);
  const taken: Order[] = [];
  const take = () => store.takeOrders(plan.id, (order) => taken.push(order));
  assert.throws(take, /1\.json cannot be read/);
  assert.throws(take, /1\.json cannot be read/);
  assert.deepEqual(taken, [resumed]);
});

test('a line whose texts are longer than their bounds is read, with the texts cut', (t) => {
  const path = join(directory(t), 'journal.jsonl');
  const { journal } = Journal.open(path);
  const long = 'x'.repeat(4096);
  journal.append({ type: 'paused', at: 1, by: long, reason: long });
  journal.append({ type: 'read_failed', at: 2, step: 's1', message: long });
  journal.close();
  const read = readJournal(path);
  assert.deepEqual(
    read.map((event) => [
      event.type === 'paused' && event.reason.length,
      event.type === 'read_failed' && event.message.length,
    ]),
    [
      [2000, false],
      [false, 2000],
    ],
  );
});
