/**
 * Builds the coverage reports of one run of the agent. Each report begins at the moment at which the last one
 * ended.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Counters, Coverage } from '../../protocol/records.ts';
import type { LiveWatch, WatchMoment } from '../live_watch.ts';

/** A smaller step of the wall clock waits for the next report. */
const CLOCK_STEP_US = 100_000;

type Watch = Pick<LiveWatch, 'host' | 'leftOut' | 'moment' | 'caughtUp' | 'coverage' | 'losses'>;
type Counted = ReturnType<Watch['coverage']> & { losses: Counters };

export class CoverageReporter {
  readonly #watch: Watch;
  readonly #bootId: string;
  readonly #emit: (coverage: Coverage) => void;
  readonly #runId = uuidv7();
  #start: WatchMoment;
  #before: Counted;
  #isFinished = false;

  /** The capture must be open: the first report begins now. */
  constructor(watch: Watch, bootId: string, emit: (coverage: Coverage) => void) {
    this.#watch = watch;
    this.#bootId = bootId;
    this.#emit = emit;
    this.#start = watch.moment();
    this.#before = { ...watch.coverage(), losses: {} };
  }

  /**
   * Reports the time since the last report. The report ends at the moment of this call. It is emitted when
   * every packet that was captured until then has been read, so an agent that is killed before that has
   * claimed nothing.
   */
  async report(): Promise<void> {
    await this.#report(null);
  }

  /** Makes the last report. `stop` ends the capture, and gets the moment at which the report ends. */
  async finish(stop: (end: WatchMoment) => void): Promise<void> {
    await this.#report(stop);
  }

  async #report(stop: ((end: WatchMoment) => void) | null): Promise<void> {
    const end = this.#watch.moment();
    await this.#watch.caughtUp();
    // A report that was begun in the meantime would claim time after the end of the capture.
    if (this.#isFinished) return;
    if (stop !== null) {
      this.#isFinished = true;
      // Another report may have claimed more time already.
      stop(end.bootUs < this.#start.bootUs ? this.#start : end);
    }
    // Another report, begun in the meantime, has covered this time already.
    if (end.bootUs < this.#start.bootUs) return;
    const now: Counted = { ...this.#watch.coverage(), losses: this.#watch.losses() };
    this.#emit(this.#buildReport(end, now));
    this.#start = end;
    this.#before = now;
  }

  /**
   * Reports at once if the wall clock was set since the last report. The calls of a report can be dated if
   * the clock was set once in it, but not if it was set twice.
   */
  async reportClockStep({ wallUs, bootUs }: WatchMoment): Promise<void> {
    const offUs = wallUs - bootUs - (this.#start.wallUs - this.#start.bootUs);
    if (Math.abs(offUs) > CLOCK_STEP_US) await this.report();
  }

  #buildReport(end: WatchMoment, now: Counted): Coverage {
    const [start, before] = [this.#start, this.#before];
    const losses: Counters = {};
    for (const [name, count] of Object.entries(now.losses)) {
      const lost = count - (before.losses[name] ?? 0);
      if (lost > 0) losses[name] = lost;
    }
    return {
      id: uuidv7(),
      host_id: this.#watch.host.id,
      boot_id: this.#bootId,
      run_id: this.#runId,
      start: timestamp(start.wallUs),
      end: timestamp(end.wallUs),
      uptime_start_ms: start.bootUs / 1000,
      uptime_end_ms: end.bootUs / 1000,
      live_ms: Math.round((end.liveMs - start.liveMs) * 1000) / 1000,
      kernel_connections: since(now.kernelConnections, before.kernelConnections),
      seen_connections: now.seenConnections - before.seenConnections,
      joined_connections: since(now.joinedConnections, before.joinedConnections),
      undecided_connections: now.undecidedConnections,
      open_calls: now.openCalls,
      ...(now.openSinceUs !== null && { open_since: timestamp(now.openSinceUs) }),
      ...(this.#watch.leftOut.length > 0 && { left_out: this.#watch.leftOut }),
      losses,
    };
  }
}

function since(now: number | null, before: number | null): number | null {
  return now === null ? null : now - (before ?? 0);
}

/** Returns a time in the form of RFC 3339 with microseconds. */
function timestamp(us: number): string {
  const milliseconds = new Date(Math.floor(us / 1000)).toISOString().slice(0, -1);
  return `${milliseconds}${String(us % 1000).padStart(3, '0')}Z`;
}
