/**
 * The account of time and connections: never less is missing than truly was, whatever a host goes through.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { accountFor, type Report, type RunState } from '../../../../collector/store/sqlite/run_account.ts';

const SECOND_US = 1_000_000;

/** One host whose agent is started, killed and stopped, with the truth of what was watched. */
class Host {
  /** Real time. */
  nowUs = 1_000_000 * SECOND_US;
  /** Error of the wall clock. */
  offsetUs = 0;
  boot = { id: 'boot 0', startUs: this.nowUs - 100 * SECOND_US };
  runs = 0;
  unwatchedUs = 0;
  readonly reports: Report[] = [];
  readonly isOld: boolean;
  #run: {
    startUs: number;
    reportedUs: number;
    wallUs: number;
    liveUs: number;
    notLiveUs: number;
    id: string;
  } | null = null;

  constructor(isOld: boolean) {
    this.isOld = isOld;
  }

  get wallUs(): number {
    const us = this.nowUs + this.offsetUs;
    return this.isOld ? Math.floor(us / 1000) * 1000 : us;
  }

  start(): void {
    this.#run ??= {
      startUs: this.nowUs,
      reportedUs: this.nowUs,
      wallUs: this.wallUs,
      liveUs: 0,
      notLiveUs: 0,
      id: `run ${this.runs++}`,
    };
  }

  pass(us: number, isLive = true): void {
    this.nowUs += us;
    if (this.#run !== null && isLive) this.#run.liveUs += us;
    // Before the first report nothing is claimed, but what it claims counts from its own start on.
    else if (this.reports.length > 0) this.unwatchedUs += us;
    else if (this.#run !== null) this.#run.notLiveUs += us;
  }

  report(isLost = false): void {
    const run = this.#run;
    if (run === null) return;
    const report: Report = {
      bootId: this.boot.id,
      runId: this.isOld ? null : run.id,
      uptime: this.isOld
        ? null
        : { startUs: run.reportedUs - this.boot.startUs, endUs: this.nowUs - this.boot.startUs },
      joinedConnections: null,
      undecidedConnections: 0,
      openCalls: 0,
      openSinceUs: null,
      leftOut: [],
      startUs: run.wallUs,
      endUs: this.wallUs,
      liveMs: run.liveUs / 1000,
      kernelConnections: null,
      seenConnections: 0,
      losses: {},
    };
    if (isLost && this.reports.length > 0) this.unwatchedUs += run.liveUs;
    else if (!isLost) {
      if (this.reports.length === 0) this.unwatchedUs = run.notLiveUs;
      this.reports.push(report);
    }
    Object.assign(run, { reportedUs: this.nowUs, wallUs: this.wallUs, liveUs: 0, notLiveUs: 0 });
  }

  /** Live time since the last report is never claimed. */
  kill(): void {
    if (this.#run !== null && this.reports.length > 0) this.unwatchedUs += this.#run.liveUs;
    this.#run = null;
  }

  stop(): void {
    this.report();
    this.#run = null;
  }

  reboot(downUs: number): void {
    this.kill();
    this.pass(downUs);
    this.boot = { id: `boot ${this.nowUs}`, startUs: this.nowUs };
  }
}

/** Returns how much the collector takes for not watched. */
function missingOf(reports: readonly Report[]): number {
  let state: RunState | null = null;
  let missingUs = 0;
  for (const report of reports) {
    const account = accountFor(state, report);
    for (const { startUs, endUs } of account.between?.spans ?? []) missingUs += endUs - startUs;
    missingUs += account.notLiveUs;
    state = account.state;
  }
  return missingUs;
}

const us = fc.oneof(
  fc.integer({ min: 1, max: 2 * SECOND_US }),
  fc.integer({ min: SECOND_US, max: 200 * SECOND_US }),
);
const event = fc.oneof(
  fc.record({ what: fc.constantFrom('start', 'kill', 'stop', 'report', 'lost'), us }),
  fc.record({ what: fc.constantFrom('pass', 'pass', 'suspended', 'reboot'), us }),
  fc.record({ what: fc.constant('step'), us: fc.integer({ min: -3600 * SECOND_US, max: 3600 * SECOND_US }) }),
);

function live(host: Host, events: readonly { what: string; us: number }[], steps: boolean): void {
  for (const { what, us: length } of events) {
    if (what === 'start') host.start();
    else if (what === 'kill') host.kill();
    else if (what === 'stop') host.stop();
    else if (what === 'report') host.report();
    else if (what === 'lost') host.report(true);
    else if (what === 'suspended') host.pass(length, false);
    else if (what === 'reboot') host.reboot(length);
    else if (what === 'step' && steps) host.offsetUs += length;
    else if (what === 'pass') host.pass(length);
    if (what !== 'pass' && what !== 'step') host.pass(1);
  }
  // The truth is known up to the last report.
  host.start();
  host.pass(SECOND_US);
  host.report();
}

describe('the account of time', () => {
  it('never has less missing than was: restarts, kills, suspensions, lost reports, boots', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const host = new Host(false);
        live(host, events, false);
        assert.equal(missingOf(host.reports), host.unwatchedUs, 'to the microsecond');
      }),
      { numRuns: 500 },
    );
  });

  it('never has less missing than was, however the wall clock is set', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const host = new Host(false);
        live(host, events, true);
        // After a boot the time since the last report is known by the wall clock alone.
        if (events.some(({ what }) => what === 'reboot')) return;
        assert.ok(missingOf(host.reports) >= host.unwatchedUs);
      }),
      { numRuns: 500 },
    );
  });

  it('of an older agent: never less than was, but for the millisecond that its clock is cut to', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const host = new Host(true);
        live(host, events, false);
        const missingUs = missingOf(host.reports);
        assert.ok(missingUs > host.unwatchedUs - 1000, `${missingUs} < ${host.unwatchedUs}`);
      }),
      { numRuns: 500 },
    );
  });

  it('an older agent that is never stopped is not taken for stopped by its milliseconds', () => {
    const host = new Host(true);
    host.start();
    for (let index = 0; index < 20_000; index += 1) {
      host.pass(60 * SECOND_US + (index % 7) * 313);
      host.report();
    }
    assert.ok(missingOf(host.reports) <= 1000, `${missingOf(host.reports)} µs`);
  });

  it('a wall clock that is set forward while the agent runs: its time may be unwatched', () => {
    const host = new Host(false);
    host.start();
    host.pass(60 * SECOND_US);
    host.report();
    host.pass(30 * SECOND_US);
    host.offsetUs = 3600 * SECOND_US;
    host.pass(30 * SECOND_US);
    host.report();
    assert.equal(missingOf(host.reports), 3600 * SECOND_US);
  });

  it('after a boot the time before the first report counts, even if the wall clock was set back by it', () => {
    const host = new Host(false);
    host.start();
    host.pass(60 * SECOND_US);
    host.report();
    host.reboot(SECOND_US);
    host.pass(20 * SECOND_US);
    host.offsetUs = -21 * SECOND_US;
    host.start();
    host.pass(60 * SECOND_US);
    host.report();
    assert.equal(missingOf(host.reports), 20 * SECOND_US);
  });
});

const base: Report = {
  bootId: 'b',
  runId: 'r',
  uptime: { startUs: 0, endUs: 60 },
  joinedConnections: 0,
  undecidedConnections: 0,
  openCalls: 0,
  openSinceUs: null,
  leftOut: [],
  startUs: 0,
  endUs: 60,
  liveMs: 0.06,
  kernelConnections: 0,
  seenConnections: 0,
  losses: {},
};

/**
 * Returns what each report makes unexplained, the run before it included; each begins where the one before
 * ended.
 */
function unexplained(reports: Partial<Report>[]): Record<string, number>[] {
  let state: RunState | null = null;
  return reports.map((changes, index) => {
    const [startUs, endUs] = [index * 60, (index + 1) * 60];
    const account = accountFor(state, { ...base, startUs, endUs, uptime: { startUs, endUs }, ...changes });
    state = account.state;
    return { ...account.unexplained, ...account.unfinished?.amounts };
  });
}
const unseen = (count: number) => ({ 'coverage.unseen_connections': count });

describe('the account of connections', () => {
  it('connections of the kernel are joined, missed or undecided; all others were not seen', () => {
    assert.deepEqual(unexplained([{ kernelConnections: 6, joinedConnections: 1 }]), [unseen(5)]);
    assert.deepEqual(
      unexplained([{ kernelConnections: 6, joinedConnections: 1, losses: { 'coverage.missed': 5 } }]),
      [{}],
    );
  });

  it('a connection that is decided in the next report is neither lost nor a credit', () => {
    const one = { kernelConnections: 3, joinedConnections: 1, undecidedConnections: 2 };
    assert.deepEqual(unexplained([one, { joinedConnections: 2 }, { kernelConnections: 1 }]), [
      {},
      {},
      unseen(1),
    ]);
    assert.deepEqual(unexplained([one, { joinedConnections: 1 }]), [{}, unseen(1)]);
  });

  it('conversations that the kernel never reported pay for nothing', () => {
    const failed = { kernelConnections: 1, joinedConnections: 1, seenConnections: 50 };
    const missed = { kernelConnections: 2, joinedConnections: 1, seenConnections: 50 };
    assert.deepEqual(unexplained([failed, missed]), [{}, unseen(1)]);
  });

  it('a run that was killed before it decided, and with calls that were open', () => {
    const killed = { kernelConnections: 1, undecidedConnections: 1, openCalls: 2 };
    assert.deepEqual(unexplained([killed, { runId: 's' }]), [{}, { ...unseen(1), 'run.open_calls': 2 }]);
    assert.deepEqual(unexplained([killed, { joinedConnections: 1 }]), [{}, {}]);
  });

  it('an older agent: sums of two reports that follow one another', () => {
    const old = (kernelConnections: number | null, seenConnections: number) => ({
      runId: null,
      uptime: null,
      joinedConnections: null,
      kernelConnections,
      seenConnections,
    });
    assert.deepEqual(unexplained([old(6, 1), old(0, 0)]), [{}, unseen(5)]);
    assert.deepEqual(unexplained([old(6, 1), old(0, 5)]), [{}, {}], 'seen a moment later');
    assert.deepEqual(unexplained([old(0, 5), old(5, 0), old(0, 0)]), [{}, {}, {}], 'reported later');
    assert.deepEqual(unexplained([old(0, 50), old(0, 0), old(5, 0), old(0, 0)]), [{}, {}, {}, unseen(5)]);
    assert.deepEqual(unexplained([old(6, 1), { ...old(0, 0), bootId: 'c' }]), [{}, unseen(5)]);
    assert.deepEqual(unexplained([old(null, 3), old(null, 0)]), [{}, {}]);
  });
});
