/** Tests that two runs at the same time can share the reporter of node:test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { RunReport } from '../test_report.ts';

function eventOf(type: string, name: string, nesting: number): TestEvent {
  const details = { duration_ms: 1, error: new Error('it failed') };
  return { type, data: { name, nesting, testNumber: 1, details, file: `${name}.test.ts` } } as TestEvent;
}

/** A suite with two tests, with the events that node:test gives. */
function runOf(name: string): TestEvent[] {
  return [
    eventOf('test:start', name, 0),
    { type: 'test:diagnostic', data: { message: `${name} says`, nesting: 0, level: 'info' } } as TestEvent,
    eventOf('test:start', `${name} first`, 1),
    eventOf('test:pass', `${name} first`, 1),
    eventOf('test:start', `${name} second`, 1),
    eventOf('test:fail', `${name} second`, 1),
    eventOf('test:pass', name, 0),
  ];
}

/** Returns every order of the events of two runs in which each run keeps its own. */
function* interleaved(one: TestEvent[], other: TestEvent[]): Generator<[run: number, event: TestEvent][]> {
  if (one.length === 0 && other.length === 0) yield [];
  if (one.length > 0) for (const rest of interleaved(one.slice(1), other)) yield [[0, one[0]!], ...rest];
  if (other.length > 0) for (const rest of interleaved(one, other.slice(1))) yield [[1, other[0]!], ...rest];
}

test('the reporter would throw where the events of two runs come in between', () => {
  const reporter = new spec();
  reporter.write(eventOf('test:start', 'one', 0));
  reporter.write(eventOf('test:start', 'other', 0));
  assert.throws(() => reporter.write(eventOf('test:pass', 'one', 0)));
});

test('the reports of two runs reach the reporter whole, in any order', () => {
  let orders = 0;
  for (const order of interleaved(runOf('one'), runOf('other'))) {
    const reporter = new spec();
    const written: TestEvent[] = [];
    const write = (event: TestEvent) => {
      written.push(event);
      reporter.write(event);
    };
    const reports = [new RunReport(write), new RunReport(write)];
    for (const [run, event] of order) reports[run]!.add(event);
    for (const report of reports) report.flush();
    assert.equal(written.length, order.length);
    for (const run of [0, 1]) {
      const own = order.filter(([of]) => of === run).map(([, event]) => event);
      assert.deepEqual(
        written.filter((event) => own.includes(event)),
        own,
      );
    }
    orders += 1;
  }
  assert.equal(orders, 3432);
});
