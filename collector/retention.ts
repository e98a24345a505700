/**
 * Deletes records beyond the age or the size that an admin has set, every few minutes and a little at a time.
 */
import type { Logger } from 'pino';
import type { Counters } from '../protocol/records.ts';
import type { Access } from './access/access.ts';
import type { Lease } from './admin/lease.ts';
import type { Store } from './store/store.ts';

const INTERVAL_MS = 5 * 60_000;
/** Its holder keeps the lease from one run to the next. */
export const RETENTION_LEASE_MS = 3 * INTERVAL_MS;
/** After a start agents deliver the records that they have kept. Retention waits for that. */
const FIRST_MS = 60_000;

export class RetentionTimer {
  readonly #store: Pick<Store, 'retain'>;
  readonly #access: Pick<Access, 'retention'>;
  readonly #lease: Pick<Lease, 'take' | 'stop'>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #counters = { runs: 0, failures: 0, calls_deleted: 0, rollups_deleted: 0, coverage_deleted: 0 };

  /** `lease`: of several collectors the one that has it deletes. Where it changes hands, both may delete for a moment. */
  constructor(
    store: Pick<Store, 'retain'>,
    access: Pick<Access, 'retention'>,
    lease: Pick<Lease, 'take' | 'stop'>,
    log: Logger,
  ) {
    this.#store = store;
    this.#access = access;
    this.#lease = lease;
    this.#log = log;
    this.#timer = this.#schedule(FIRST_MS);
  }

  counters(): Counters {
    return { ...this.#counters };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
    await this.#lease.stop();
  }

  #schedule(milliseconds: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#running = this.#run();
    }, milliseconds);
    timer.unref();
    return timer;
  }

  async #run(): Promise<void> {
    try {
      if ((await this.#lease.take()) !== null) await this.#retain();
    } catch (error) {
      this.#counters.failures += 1;
      this.#log.error(
        { reason: (error as Error).message },
        'old records could not be deleted; the next run tries again',
      );
    }
    if (!this.#stopped) this.#timer = this.#schedule(INTERVAL_MS);
  }

  async #retain(): Promise<void> {
    const { raw_days, rollup_days, max_bytes } = await this.#access.retention();
    const retention = { rawDays: raw_days, rollupDays: rollup_days, maxBytes: max_bytes };
    const result = await this.#store.retain(retention, Date.now() * 1000);
    this.#counters.runs += 1;
    this.#counters.calls_deleted += result.callsDeleted;
    this.#counters.rollups_deleted += result.rollupsDeleted;
    this.#counters.coverage_deleted += result.coverageDeleted;
    this.#log.debug(result, 'retention has run');
  }
}
