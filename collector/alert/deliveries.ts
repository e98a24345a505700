/**
 * Sends waiting alerts to each destination independently, so that one which fails delays no other. Delivery
 * is at least once: an alert whose delivery could not be stored is sent again after a restart, with the same
 * id.
 */
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DeliveryRow, DestinationRow } from '../admin/alerts.ts';
import { type SendOptions, send } from './send.ts';

const FIRST_RETRY_US = 10_000_000;
const MAX_RETRY_US = 3600_000_000;
/** An alert that could not be delivered for this long is dropped. */
export const GIVE_UP_AFTER_US = 24 * 3600_000_000;
const BATCH = 20;

export class Deliveries {
  readonly #rows: AdminStore['alerts'];
  readonly #mayDeliver: () => boolean;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #sending: SendOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  /**
   * Alerts that were sent while the delivery could not be stored (a full disk). This process does not send
   * them again.
   */
  readonly #unstored = new Set<string>();
  readonly #counters = { delivered: 0, attempts_failed: 0, given_up: 0, delivery_notes_failed: 0 };

  /** `mayDeliver` returns false while another collector delivers. */
  constructor(
    rows: AdminStore['alerts'],
    mayDeliver: () => boolean,
    log: Logger,
    now: () => number,
    sending: SendOptions,
  ) {
    this.#rows = rows;
    this.#mayDeliver = mayDeliver;
    this.#log = log;
    this.#now = now;
    this.#sending = sending;
  }

  counters(): Record<string, number> {
    return { ...this.#counters };
  }

  /**
   * Starts deliveries to destinations that have none running. Resolves when this round is over. Never
   * rejects.
   */
  async sendDue(): Promise<void> {
    if (this.#stopping.signal.aborted || !this.#mayDeliver()) return;
    for (const destination of await this.#rows.destinations()) {
      if (!destination.enabled || destination.waiting === 0 || this.#running.has(destination.id)) continue;
      const round = this.#sendTo(destination)
        .catch((error: Error) => {
          this.#counters.delivery_notes_failed++;
          this.#log.error(
            { destination: destination.name, error: error.message },
            'the state of a delivery could not be stored',
          );
        })
        .finally(() => this.#running.delete(destination.id));
      this.#running.set(destination.id, round);
    }
    await Promise.all(this.#running.values());
  }

  /** Ends attempts in progress. Their alerts wait for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  /**
   * Sends until nothing is due or an attempt fails. The alerts behind a failed one are sent in the next
   * round.
   */
  async #sendTo(destination: DestinationRow): Promise<void> {
    for (;;) {
      const due = await this.#rows.due(destination.id, this.#nowUs(), BATCH);
      if (due.length === 0) return;
      for (const delivery of due) {
        if (this.#stopping.signal.aborted || !this.#mayDeliver()) return;
        if (!(await this.#sendOne(destination, delivery))) return;
      }
    }
  }

  async #sendOne({ id, name, config }: DestinationRow, delivery: DeliveryRow): Promise<boolean> {
    const key = `${id} ${delivery.number}`;
    if (!this.#unstored.has(key)) {
      const { signal } = this.#stopping;
      const result = await send(config, delivery.alert, { ...this.#sending, signal });
      if (!result.ok) {
        if (!signal.aborted) await this.#failed(id, name, delivery, result.error);
        return false;
      }
      this.#counters.delivered++;
      this.#unstored.add(key);
    }
    await this.#rows.unqueue(id, delivery.number);
    this.#unstored.delete(key);
    await this.#rows.noteDelivered(id, this.#nowUs());
    return true;
  }

  async #failed(
    id: string,
    name: string,
    { number, alert, attempts, queuedUs }: DeliveryRow,
    error: string,
  ): Promise<void> {
    this.#counters.attempts_failed++;
    const nowUs = this.#nowUs();
    if (nowUs - queuedUs >= GIVE_UP_AFTER_US) {
      await this.#rows.unqueue(id, number);
      await this.#rows.noteError(id, `gave up an alert of ${alert.time}: ${error}`);
      this.#counters.given_up++;
      this.#log.error(
        { destination: name, alert: alert.id, error },
        'an alert was dropped: it could not be delivered for 24 h',
      );
      return;
    }
    await this.#rows.postpone(id, number, attempts + 1, nowUs + retryAfterUs(attempts));
    await this.#rows.noteError(id, error);
    this.#log.warn(
      { destination: name, alert: alert.id, attempts: attempts + 1, error },
      'an alert could not be delivered and will be sent again',
    );
  }

  #nowUs(): number {
    return this.#now() * 1000;
  }
}

/**
 * Returns the time until the next attempt: 10 s, 20 s, … 1 h. `failures` counts the failed attempts before
 * this one.
 */
export function retryAfterUs(failures: number): number {
  return Math.min(FIRST_RETRY_US * 2 ** Math.min(failures, 20), MAX_RETRY_US);
}
