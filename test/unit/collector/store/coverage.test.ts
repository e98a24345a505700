/** Reports to gaps: what was not watched is named, whatever a host's clock does. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { CoverageReader } from '../../../../collector/store/sqlite/coverage_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { GapWriter, type Report } from '../../../../collector/store/sqlite/gap_writer.ts';
import { RunRows } from '../../../../collector/store/sqlite/run_rows.ts';
import { EVER } from '../../../support/collector/store/records.ts';

const START_US = Date.UTC(2026, 10, 1) * 1000;
const MINUTE_US = 60_000_000;
const at = (minutes: number) => START_US + minutes * MINUTE_US;

let database: DatabaseSync;
let gaps: GapWriter;
beforeEach(() => {
  database = new DatabaseSync(':memory:');
  for (const step of FINDINGS.migrations) {
    if (typeof step === 'string') database.exec(step);
    else step(database);
  }
  database.exec(`INSERT INTO hosts (id, host_id, name, facts) VALUES (1, 'i-a', 'a', '{}')`);
  gaps = new GapWriter(database, null, new RunRows(database));
});

function report(from: number, to: number, changes: Partial<Report> = {}): void {
  gaps.addReport(1, {
    bootId: 'one',
    runId: null,
    uptime: null,
    joinedConnections: null,
    undecidedConnections: 0,
    openCalls: 0,
    openSinceUs: null,
    leftOut: [],
    startUs: at(from),
    endUs: at(to),
    liveMs: Math.max(0, (to - from) * 60_000),
    kernelConnections: 3,
    seenConnections: 3,
    losses: {},
    ...changes,
  });
}

const coverage = (window = EVER) => new CoverageReader(database).coverage(window, ['i-a'])[0]!;
/** Gaps as minutes since the start. */
const found = (window = EVER) =>
  coverage(window).gaps.map(({ startUs, endUs, reason }) => [
    (startUs - START_US) / MINUTE_US,
    (endUs - START_US) / MINUTE_US,
    reason,
  ]);

test('an unbroken chain of reports has no gap, and times, boots and connections are known', () => {
  for (let minute = 0; minute < 5; minute += 1) report(minute, minute + 1);
  const { firstUs, lastUs, boots, kernelConnections, seenConnections, losses } = coverage();
  assert.deepEqual(found(), []);
  assert.deepEqual([firstUs, lastUs], [at(0), at(5)]);
  assert.deepEqual(boots, [{ id: 'one', firstUs: at(0), lastUs: at(5) }]);
  assert.deepEqual([kernelConnections, seenConnections, losses], [15, 15, {}]);
});

test('between reports: the agent did not run, or the host was started again', () => {
  report(0, 1);
  report(1.02, 2); // 1.2 s: a restart is a gap, however short
  report(4, 5);
  report(7, 8, { bootId: 'two' });
  assert.deepEqual(found(), [
    [1, 1.02, 'agent_not_running'],
    [2, 4, 'agent_not_running'],
    [5, 7, 'boot'],
  ]);
  assert.equal(coverage().boots.length, 2);
});

test('within reports: capture that was off, and losses by name; touching gaps of one reason are one', () => {
  report(0, 1, { liveMs: 59_400 });
  report(1, 2, { liveMs: 59_000 });
  report(2, 3, { liveMs: 30_000, losses: { dropped: 3, evicted: 0 } });
  report(3, 4, { losses: { dropped: 4, evicted: 1 } });
  report(4, 5);
  report(5, 6, { losses: { dropped: 1 } });
  const { gaps: all, losses } = coverage();
  assert.deepEqual(found(), [
    [0, 3, 'capture_not_live'],
    [2, 4, 'losses'],
    [5, 6, 'losses'],
  ]);
  assert.deepEqual(
    all.map(({ detail }) => detail),
    ['capture was off for 31.6 s of it', 'dropped 7, evicted 1', 'dropped 1'],
  );
  assert.deepEqual(losses, { dropped: 8, evicted: 1 });
  assert.deepEqual(
    all.map(({ missingUs }) => missingUs),
    [31_600_000, 2 * MINUTE_US, MINUTE_US],
  );
});

test('gaps are cut to the window', () => {
  report(0, 1);
  report(10, 11);
  assert.deepEqual(found({ sinceUs: at(3), untilUs: at(5) }), [[3, 5, 'agent_not_running']]);
  assert.deepEqual(found({ sinceUs: at(10), untilUs: at(20) }), []);
});

test('a clock that is set back while the agent runs hides no later gap', () => {
  report(60, 61);
  report(61, 1); // set back by an hour meanwhile
  report(1, 2);
  assert.deepEqual(found(), []);
  assert.equal(coverage().lastUs, at(2), 'from when on nothing is known');
  report(32, 33);
  assert.deepEqual(found(), [[2, 32, 'agent_not_running']]);
});

test('a caller that was not found is a loss of the day and no gap: its call was seen', () => {
  report(1, 2, { losses: { 'calls.unattributed': 5, 'attribution.evicted': 2 } });
  assert.deepEqual(found(), []);
  report(2, 3, { losses: { 'calls.unattributed': 5, 'capture.dropped': 1 } });
  assert.deepEqual(found(), [[2, 3, 'losses']]);
  const { gaps: all, losses } = coverage();
  assert.match(all.at(-1)!.detail!, /^capture\.dropped 1$/);
  assert.deepEqual(losses, { 'calls.unattributed': 10, 'attribution.evicted': 2, 'capture.dropped': 1 });
});

test('losses while a clock was set back still have an extent', () => {
  report(60, 61);
  report(61, 1, { losses: { dropped: 1 } });
  assert.deepEqual(found(), [[1, 61, 'losses']]);
});

test('an agent that is started again behind its own last report was gone for an unknown time', () => {
  report(60, 61);
  report(31, 32);
  assert.deepEqual(found(), [[31, 61, 'agent_not_running']]);
  report(10, 11, { bootId: 'two' });
  assert.deepEqual(found(), [
    [10, 32, 'boot'],
    [31, 61, 'agent_not_running'],
  ]);
});

test('a clock that is set forward makes a gap, because the time between may be unwatched', () => {
  report(0, 1);
  report(1, 62, { liveMs: 60_000 });
  report(62, 63);
  assert.deepEqual(found(), [[1, 62, 'capture_not_live']]);
});

test('without reports of the kernel its connections are unknown', () => {
  report(0, 1, { kernelConnections: null });
  assert.equal(coverage().kernelConnections, null);
  report(1, 2);
  assert.equal(coverage().kernelConnections, 3);
});

test('reports of an agent that leaves parts of the host out leave marks, which are no gap', () => {
  report(0, 1);
  assert.deepEqual(coverage().losses, {});
  report(1, 2, { leftOut: ['interfaces'] });
  report(2, 3, { leftOut: ['namespaces', 'something newer'] });
  assert.deepEqual(coverage().losses, { 'capture.one_interface': 1, 'capture.one_namespace': 1 });
  assert.deepEqual(found(), []);
});

test('with any order of times, no gap is empty or runs backwards, and gaps of one reason do not touch', () => {
  const anyReport = fc.record({
    from: fc.integer({ min: 0, max: 3000 }),
    length: fc.integer({ min: -500, max: 500 }),
    boot: fc.constantFrom('one', 'two'),
    live: fc.constantFrom(0, 0.5, 1),
    lost: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.array(anyReport, { maxLength: 25 }), (reports) => {
      for (const table of ['gaps', 'watched', 'runs', 'boots', 'coverage_days'])
        database.exec(`DELETE FROM ${table}`);
      for (const { from, length, boot, live, lost } of reports) {
        const liveMs = Math.max(0, length) * 60_000 * live;
        report(from, from + length, { bootId: boot, liveMs, losses: { dropped: lost } });
      }
      const { gaps: all, boots } = coverage();
      for (const gap of all) assert.ok(gap.endUs > gap.startUs, JSON.stringify(gap));
      for (const of of Map.groupBy(all, ({ reason }) => reason).values()) {
        for (const [index, gap] of of.entries()) assert.ok(index === 0 || gap.startUs > of[index - 1]!.endUs);
      }
      for (const { firstUs, lastUs } of boots) assert.ok(lastUs >= firstUs);
    }),
    { numRuns: 100 },
  );
});

test('hourly reports: what was not live counts with its own length', () => {
  report(0, 60, { liveMs: 3_600_000 - 3_000 });
  report(60, 120, { liveMs: 3_600_000 - 30_000 });
  assert.deepEqual(found(), [[0, 120, 'capture_not_live']]);
  assert.equal(coverage().gaps[0]!.missingUs, 33_000_000);
});

test('made-up names of losses: rows stay small, and the sum is kept', () => {
  const names = Array.from({ length: 5000 }, (_, index) => [`reason ${index}`, 1]);
  const hostile = { ...Object.fromEntries(names), ['x'.repeat(100_000)]: 1e308, known: 2 };
  for (let minute = 0; minute < 5; minute += 1) report(minute, minute + 1, { losses: hostile });
  const [gap] = coverage().gaps;
  assert.ok(gap!.detail!.length < 5000, `${gap!.detail!.length} characters`);
  const amounts = Object.values(coverage().losses);
  assert.ok(amounts.length <= 101 && amounts.every(Number.isSafeInteger));
});
