/**
 * Tests the reports of one run: they follow each other without a gap, and claim only time that was captured
 * and read.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoverageReporter } from '../../../../agent/coverage/coverage_reporter.ts';
import type { Coverage } from '../../../../protocol/records.ts';
import { coverage as coverageRecord } from '../../../../protocol/records.ts';

/** A watch with a clock, packets and counters that the test sets. */
class FakeWatch {
  host = { id: 'i-0', name: 'n' };
  leftOut: string[] = [];
  bootUs = 5_000_000;
  wallUs = 1_795_000_000_000_000;
  liveUs = 0;
  counts = {
    kernelConnections: 0 as number | null,
    joinedConnections: 0 as number | null,
    undecidedConnections: 0,
    seenConnections: 0,
    openCalls: 0,
    openSinceUs: null as number | null,
  };
  dropped = 0;
  /** Called when the packets in the queue are read. */
  unread: (() => void)[] = [];

  pass(us: number, isLive = true): void {
    this.bootUs += us;
    this.wallUs += us;
    if (isLive) this.liveUs += us;
  }

  moment() {
    const { bootUs, wallUs } = this;
    return { bootUs, wallUs, monotonicUs: bootUs, liveMs: this.liveUs / 1000 };
  }

  async caughtUp(): Promise<void> {
    for (const read of this.unread.splice(0)) read();
  }

  coverage() {
    return { ...this.counts };
  }

  losses(): Record<string, number> {
    return this.dropped === 0 ? {} : { 'capture.dropped': this.dropped };
  }
}

function started() {
  const watch = new FakeWatch();
  const reports: Coverage[] = [];
  const reporter = new CoverageReporter(watch, 'boot', (coverage) => reports.push(coverage));
  return { watch, reports, reporter };
}

test('each report is valid and begins exactly where the last one ended', async () => {
  const { watch, reports, reporter } = started();
  for (let index = 1; index <= 3; index++) {
    watch.pass(60_000_123);
    watch.counts.seenConnections += index;
    watch.dropped += 2;
    await reporter.report();
  }
  assert.equal(reports.length, 3);
  for (const [index, report] of reports.entries()) {
    coverageRecord.parse(report);
    assert.equal(report.live_ms, 60_000.123);
    assert.equal(Math.round((report.uptime_end_ms! - report.uptime_start_ms!) * 1000), 60_000_123);
    assert.deepEqual([report.seen_connections, report.losses], [index + 1, { 'capture.dropped': 2 }]);
    assert.equal(report.run_id, reports[0]!.run_id);
    if (index === 0) continue;
    assert.equal(report.start, reports[index - 1]!.end);
    assert.equal(report.uptime_start_ms, reports[index - 1]!.uptime_end_ms);
  }
  assert.notEqual(started().reporter, reporter);
});

test('a report says which parts of the host the settings leave out', async () => {
  const { watch, reports, reporter } = started();
  await reporter.report();
  watch.leftOut = ['namespaces'];
  await reporter.report();
  assert.deepEqual(
    [reports[0]!.left_out, coverageRecord.parse(reports[1]).left_out],
    [undefined, ['namespaces']],
  );
});

test('a report contains the connections that were read for it, but not the time of reading', async () => {
  const { watch, reports, reporter } = started();
  watch.pass(1_000_000);
  watch.unread.push(() => {
    watch.pass(4_000_000);
    watch.counts.seenConnections++;
    watch.counts.openCalls = 1;
  });
  await reporter.report();
  assert.deepEqual([reports[0]!.live_ms, reports[0]!.seen_connections, reports[0]!.open_calls], [1000, 1, 1]);
  watch.pass(1_000_000);
  watch.counts.openCalls = 0;
  await reporter.report();
  assert.deepEqual([reports[1]!.live_ms, reports[1]!.open_calls], [5000, 0]);
});

test('the last report claims no time after the end of the capture', async () => {
  const { watch, reports, reporter } = started();
  watch.pass(1_000_000);
  const endUs = watch.bootUs;
  let isStopped = false;
  watch.unread.push(() => assert.equal(isStopped, false, 'what was captured is read first'));
  watch.unread.push(() => watch.pass(250_000));
  const late: Promise<void>[] = [];
  await reporter.finish((end) => {
    isStopped = true;
    assert.equal(end.monotonicUs, endUs, 'the end of the report');
    late.push(reporter.report());
    watch.pass(500_000, false);
  });
  await Promise.all(late);
  assert.deepEqual([isStopped, reports[0]!.live_ms], [true, 1000]);
  assert.equal(reports[0]!.uptime_end_ms, 6000);
});

test('time without a live capture is missing from the report, exactly', async () => {
  const { watch, reports, reporter } = started();
  watch.pass(59_700_000);
  watch.pass(300_000, false);
  await reporter.report();
  const { uptime_end_ms: end, uptime_start_ms: start, live_ms: live } = reports[0]!;
  assert.equal(end! - start! - live, 300);
});

test('a step of the wall clock causes a report at once, and nothing else does', async () => {
  const { watch, reports, reporter } = started();
  watch.pass(1_000_000);
  await reporter.reportClockStep(watch.moment());
  assert.equal(reports.length, 0);
  const beforeUs = watch.wallUs;
  watch.wallUs -= 62_000_000;
  watch.pass(250_000);
  await reporter.reportClockStep(watch.moment());
  await reporter.reportClockStep(watch.moment());
  assert.equal(reports.length, 1);
  assert.equal(Date.parse(reports[0]!.end), (beforeUs - 62_000_000 + 250_000) / 1000);
  watch.wallUs += 62_000_000;
  watch.pass(250_000);
  await reporter.reportClockStep(watch.moment());
  assert.deepEqual([reports.length, reports[1]!.start], [2, reports[0]!.end]);
});

test('a report has the time since which a call was open, if one was', async () => {
  const { watch, reports, reporter } = started();
  watch.pass(1_000_000);
  await reporter.report();
  watch.pass(1_000_000);
  Object.assign(watch.counts, { openCalls: 1, openSinceUs: watch.wallUs - 7_000 });
  await reporter.report();
  assert.equal(reports[0]!.open_since, undefined);
  assert.equal(Date.parse(reports[1]!.end) - Date.parse(reports[1]!.open_since!), 7);
});
