/**
 * Notices plans that were reported: by HTTP to this process, or by a command on this machine to the database. It asks
 * for what is new by an index, twice a second.
 */
import type { Logger } from 'pino';
import type { ChangedPlan, PlanRows } from './admin/plans.ts';

const INTERVAL_MS = 500;

export class PlanWatch {
  readonly #plans: Pick<PlanRows, 'changedSince'>;
  readonly #notice: (changed: readonly ChangedPlan[]) => void;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #change = 0;
  #failures = 0;
  #looking: Promise<void> | null = null;

  constructor(
    plans: Pick<PlanRows, 'changedSince'>,
    notice: (changed: readonly ChangedPlan[]) => void,
    log: Logger,
  ) {
    this.#plans = plans;
    this.#notice = notice;
    this.#log = log;
    this.#timer = setInterval(() => void this.look(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Never rejects: a failure is logged. Does nothing more while it looks already. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const changed = await this.#plans.changedSince(this.#change);
      if (changed.length === 0) return;
      this.#change = changed.at(-1)!.change;
      this.#notice(changed);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      // It is tried twice a second. The first error is logged, and then ever fewer.
      if (Math.log2(this.#failures) % 1 !== 0) return;
      this.#log.error({ reason: (error as Error).message }, 'reported plans cannot be read');
    }
  }
}
