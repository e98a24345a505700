/**
 * Sends what waits, each destination for itself: one that fails holds up no other. At least once: an alert whose delivery could
 * not be noted goes again after a restart, with the same id.
 */
import type { Logger } from 'pino';
import type { AlertRows, DeliveryRow, DestinationRow } from '../admin/alerts.ts';
import { type SendOptions, send } from './send.ts';

const FIRST_RETRY_US = 10_000_000;
const MAX_RETRY_US = 3600_000_000;
/** An alert that could not be delivered for this long is given up. */
export const GIVE_UP_AFTER_US = 24 * 3600_000_000;
const BATCH = 20;

export class Deliveries {
  readonly #rows: AlertRows;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #sending: SendOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  /** Sent, but that could not be noted (a full disk): not again while this process lives. */
  readonly #unnoted = new Set<string>();
  readonly #counters = { delivered: 0, attempts_failed: 0, given_up: 0, delivery_notes_failed: 0 };

  constructor(rows: AlertRows, log: Logger, now: () => number, sending: SendOptions) {
    this.#rows = rows;
    this.#log = log;
    this.#now = now;
    this.#sending = sending;
  }

  counters(): Record<string, number> {
    return { ...this.#counters };
  }

  /** Starts on what is due, where nothing is being sent already; resolves when this round is over. Never rejects. */
  async sendDue(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    for (const destination of this.#rows.destinations()) {
      if (!destination.enabled || destination.waiting === 0 || this.#running.has(destination.id)) continue;
      const round = this.#sendTo(destination)
        .catch((error: Error) => {
          this.#counters.delivery_notes_failed++;
          this.#log.error(
            { destination: destination.name, error: error.message },
            'a delivery could not be noted',
          );
        })
        .finally(() => this.#running.delete(destination.id));
      this.#running.set(destination.id, round);
    }
    await Promise.all(this.#running.values());
  }

  /** Ends attempts that are under way; they wait for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running.values());
  }

  /** Until nothing is due, or until the first failure: what waits behind it gets its turn in the next round. */
  async #sendTo(destination: DestinationRow): Promise<void> {
    for (;;) {
      const due = this.#rows.due(destination.id, this.#nowUs(), BATCH);
      if (due.length === 0) return;
      for (const delivery of due) {
        if (this.#stopping.signal.aborted) return;
        if (!(await this.#sendOne(destination, delivery))) return;
      }
    }
  }

  async #sendOne({ id, name, config }: DestinationRow, delivery: DeliveryRow): Promise<boolean> {
    const key = `${id} ${delivery.number}`;
    if (!this.#unnoted.has(key)) {
      const { signal } = this.#stopping;
      const result = await send(config, delivery.alert, { ...this.#sending, signal });
      if (!result.ok) {
        if (!signal.aborted) this.#failed(id, name, delivery, result.error);
        return false;
      }
      this.#counters.delivered++;
      this.#unnoted.add(key);
    }
    this.#rows.unqueue(id, delivery.number);
    this.#unnoted.delete(key);
    this.#rows.noteDelivered(id, this.#nowUs());
    return true;
  }

  #failed(id: string, name: string, { number, alert, attempts, queuedUs }: DeliveryRow, error: string): void {
    this.#counters.attempts_failed++;
    const nowUs = this.#nowUs();
    if (nowUs - queuedUs >= GIVE_UP_AFTER_US) {
      this.#rows.unqueue(id, number);
      this.#rows.noteError(id, `gave up an alert of ${alert.time}: ${error}`);
      this.#counters.given_up++;
      this.#log.error({ destination: name, alert: alert.id, error }, 'an alert was given up');
      return;
    }
    this.#rows.postpone(id, number, attempts + 1, nowUs + retryAfterUs(attempts));
    this.#rows.noteError(id, error);
    this.#log.warn(
      { destination: name, alert: alert.id, attempts: attempts + 1, error },
      'an alert did not arrive',
    );
  }

  #nowUs(): number {
    return this.#now() * 1000;
  }
}

/** After `failures` failed attempts before this one: 10 s, 20 s, … 1 h. */
export function retryAfterUs(failures: number): number {
  return Math.min(FIRST_RETRY_US * 2 ** Math.min(failures, 20), MAX_RETRY_US);
}
