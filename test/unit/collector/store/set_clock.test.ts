/**
 * A wall clock that is set, also back into time that was watched before: every moment that nobody watched
 * lies in a gap.
 */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { CoverageReader } from '../../../../collector/store/sqlite/coverage_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { GapWriter } from '../../../../collector/store/sqlite/gap_writer.ts';
import { RunRows } from '../../../../collector/store/sqlite/run_rows.ts';
import { EVER } from '../../../support/collector/store/records.ts';

const SECOND_US = 1_000_000;
const ORIGIN_US = Date.UTC(2026, 10, 1) * 1000;

interface Span {
  startUs: number;
  endUs: number;
}

/** An agent, its host's clocks, and the collector's account of it. */
class Host {
  readonly #database = new DatabaseSync(':memory:');
  readonly #gaps: GapWriter;
  #upUs = 100 * SECOND_US;
  #offsetUs = ORIGIN_US;
  #run: { id: number; startUpUs: number; startUs: number; liveUs: number; unclaimed: Span[] } | null = null;
  #runs = 0;
  #stepped = false;
  /** Wall time, as it was shown, in which nobody watched. */
  readonly unwatched: Span[] = [];

  constructor() {
    for (const step of FINDINGS.migrations) {
      if (typeof step === 'string') this.#database.exec(step);
      else step(this.#database);
    }
    this.#database.exec(`INSERT INTO hosts (id, host_id, name, facts) VALUES (1, 'i-a', 'a', '{}')`);
    this.#gaps = new GapWriter(this.#database, null, new RunRows(this.#database));
  }

  get wallUs(): number {
    return this.#offsetUs + this.#upUs;
  }

  start(): void {
    if (this.#run !== null) return;
    const [startUpUs, startUs] = [this.#upUs, this.wallUs];
    this.#run = { id: this.#runs++, startUpUs, startUs, liveUs: 0, unclaimed: [] };
  }

  pass(us: number, isLive = true): void {
    const span = { startUs: this.wallUs, endUs: this.wallUs + us };
    this.#upUs += us;
    if (this.#run === null || !isLive) this.unwatched.push(span);
    else {
      this.#run.liveUs += us;
      this.#run.unclaimed.push(span);
    }
  }

  /** `openUs`: one call has been open for so long. */
  report(losses: Record<string, number> = {}, openUs: number | null = null): void {
    const run = this.#run;
    if (run === null) return;
    this.#gaps.addReport(1, {
      bootId: 'boot',
      runId: String(run.id),
      uptime: { startUs: run.startUpUs, endUs: this.#upUs },
      joinedConnections: 0,
      undecidedConnections: 0,
      openCalls: openUs === null ? 0 : 1,
      openSinceUs: openUs === null ? null : this.wallUs - openUs,
      leftOut: [],
      startUs: run.startUs,
      endUs: this.wallUs,
      liveMs: run.liveUs / 1000,
      kernelConnections: 0,
      seenConnections: 0,
      losses,
    });
    // Any moment of the interval may have been lost.
    if (Object.keys(losses).length > 0) this.unwatched.push(...run.unclaimed);
    this.#stepped = false;
    Object.assign(run, { startUpUs: this.#upUs, startUs: this.wallUs, liveUs: 0, unclaimed: [] });
  }

  kill(): void {
    if (this.#run === null) return;
    this.unwatched.push(...this.#run.unclaimed);
    this.#run = null;
  }

  /** An agent that runs reports at once when the clock is set. Until the next report it is set once at most:
   * two steps between two reports of different runs cannot be dated. */
  step(us: number, losses: Record<string, number> = {}): void {
    if (this.#run === null && this.#stepped) return;
    this.#stepped = this.#run === null;
    this.#offsetUs += us;
    this.report(losses);
  }

  coverage() {
    return new CoverageReader(this.#database).coverage(EVER, ['i-a'])[0]!;
  }

  close(): void {
    this.#database.close();
  }
}

/** Returns what is in no gap, the time before the first report included. */
function uncovered(host: Host): Span[] {
  const { gaps, firstUs } = host.coverage();
  const covers = [...gaps, { startUs: Number.MIN_SAFE_INTEGER, endUs: firstUs ?? Number.MAX_SAFE_INTEGER }];
  return host.unwatched.filter((span) => {
    let fromUs = span.startUs;
    for (const { startUs, endUs } of covers.toSorted((a, b) => a.startUs - b.startUs)) {
      if (startUs <= fromUs) fromUs = Math.max(fromUs, endUs);
    }
    return fromUs < span.endUs;
  });
}

test('an agent that is ended and started again while the clock is behind, in time that was watched once', () => {
  const host = new Host();
  host.start();
  host.pass(100 * SECOND_US);
  host.report();
  host.step(-62 * SECOND_US);
  host.pass(10 * SECOND_US);
  host.report();
  host.kill();
  host.pass(1.4 * SECOND_US);
  host.start();
  host.pass(5 * SECOND_US);
  host.report();
  assert.deepEqual(uncovered(host), []);
  assert.deepEqual(
    host.coverage().gaps.map(({ startUs, endUs }) => endUs - startUs),
    [1.4 * SECOND_US],
  );
  host.close();
});

test('a clock that is set back while no agent runs: the time after the last report and before the next one counts', () => {
  const host = new Host();
  host.start();
  host.pass(100 * SECOND_US);
  host.report();
  const lastUs = host.wallUs;
  host.kill();
  host.pass(2 * SECOND_US);
  host.step(-55 * SECOND_US);
  host.pass(3 * SECOND_US);
  host.start();
  const startUs = host.wallUs;
  host.pass(5 * SECOND_US);
  host.report();
  assert.deepEqual(uncovered(host), []);
  assert.deepEqual(
    host.coverage().gaps.map((gap) => [gap.startUs, gap.endUs, gap.missingUs]),
    [
      [startUs - 5 * SECOND_US, startUs, 5 * SECOND_US],
      [lastUs, lastUs + 5 * SECOND_US, 5 * SECOND_US],
    ],
  );
  host.close();
});

test('a clock that is set back into the time before the first report: that stays unwatched', () => {
  const host = new Host();
  host.pass(30 * SECOND_US);
  host.start();
  const firstUs = host.wallUs;
  host.pass(10 * SECOND_US);
  host.report();
  host.step(-40 * SECOND_US);
  host.pass(5 * SECOND_US);
  host.report();
  assert.equal(host.coverage().firstUs, firstUs);
  assert.deepEqual(uncovered(host), []);
  host.close();
});

test('a call that is open when the agent is killed may be lost: the gap begins when the call began', () => {
  const host = new Host();
  host.start();
  host.pass(60 * SECOND_US);
  host.report({}, 20_000);
  const lastUs = host.wallUs;
  host.kill();
  host.pass(SECOND_US);
  host.start();
  host.pass(60 * SECOND_US);
  host.report();
  assert.deepEqual(
    host.coverage().gaps.map(({ reason, startUs, endUs, detail }) => [reason, startUs, endUs, detail]),
    [
      ['losses', lastUs - 20_000, lastUs, 'run.open_calls 1'],
      ['agent_not_running', lastUs, lastUs + SECOND_US, null],
    ],
  );
  host.close();
});

test('with any history of a host, every unwatched moment lies in a gap', () => {
  const length = fc.integer({ min: 1, max: 200 * SECOND_US });
  const event = fc.oneof(
    fc.record({
      what: fc.constantFrom('start', 'kill', 'report', 'lossy', 'pass', 'pass', 'off'),
      us: length,
    }),
    fc.record({ what: fc.constantFrom('step', 'lossy step'), us: fc.integer({ min: -3e8, max: 3e8 }) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const host = new Host();
      const losses = { dropped: 1 };
      // Nothing is known of the clock before the first report.
      host.start();
      host.report();
      for (const { what, us } of events) {
        if (what === 'start') host.start();
        else if (what === 'kill') host.kill();
        else if (what === 'report') host.report();
        else if (what === 'lossy') host.report(losses);
        else if (what === 'pass') host.pass(us);
        else if (what === 'off') host.pass(us, false);
        else host.step(us, what === 'step' ? {} : losses);
        host.pass(1);
      }
      // The truth is known up to the last report.
      host.start();
      host.pass(SECOND_US);
      host.report();
      assert.deepEqual(uncovered(host), []);
      host.close();
    }),
    { numRuns: 300 },
  );
});

test('a first report from the future counts only until the clock is right', () => {
  const host = new DatabaseSync(':memory:');
  for (const step of FINDINGS.migrations) {
    if (typeof step === 'string') host.exec(step);
    else step(host);
  }
  host.exec(`INSERT INTO hosts (id, host_id, name, facts) VALUES (1, 'i-a', 'a', '{}')`);
  const gaps = new GapWriter(host, null, new RunRows(host), () => ORIGIN_US);
  const report = (startUs: number, upUs: number) =>
    gaps.addReport(1, {
      bootId: 'boot',
      runId: 'run',
      uptime: { startUs: upUs, endUs: upUs + SECOND_US },
      joinedConnections: 0,
      undecidedConnections: 0,
      openCalls: 0,
      openSinceUs: null,
      leftOut: [],
      startUs,
      endUs: startUs + SECOND_US,
      liveMs: 1000,
      kernelConnections: 0,
      seenConnections: 0,
      losses: {},
    });
  const firstUs = () => new CoverageReader(host).coverage(EVER, ['i-a'])[0]!.firstUs;
  report(ORIGIN_US + 1e6 * SECOND_US, 0);
  assert.equal(firstUs(), ORIGIN_US + 1e6 * SECOND_US);
  report(ORIGIN_US, SECOND_US);
  assert.equal(firstUs(), ORIGIN_US);
  report(ORIGIN_US - 60 * SECOND_US, 2 * SECOND_US);
  assert.equal(firstUs(), ORIGIN_US);
  host.close();
});
