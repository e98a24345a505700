/**
 * Sends waiting alerts to each destination independently, so that one which fails delays no other. Delivery
 * is at least once: an alert whose delivery could not be stored is sent again after a restart, with the same
 * id.
 */
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DeliveryRow, DestinationRow } from '../admin/alerts.ts';
import type { Failure } from './failure.ts';
import { byNameService } from './guarded_connect.ts';
import { HttpConnections } from './http/connections.ts';
import { type SendOptions, send } from './send.ts';

const FIRST_RETRY_US = 10_000_000;
const MAX_RETRY_US = 3600_000_000;
/** An alert that could not be delivered for this long is dropped. */
export const GIVE_UP_AFTER_US = 24 * 3600_000_000;
/** A destination that is blocked is tried again after this time, unless somebody changes it before. */
const BLOCKED_RETRY_US = 3600_000_000;
const BATCH = 20;

/** Connections of a destination, and the time before which it is left alone. They are kept between rounds. */
interface Link {
  /** The configuration that it was made for. */
  config: string;
  connections: HttpConnections;
  /** Nothing is sent before this time. */
  holdUntilUs: number;
}

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
  readonly #links = new Map<string, Link>();
  readonly #counters = {
    delivered: 0,
    attempts_failed: 0,
    given_up: 0,
    given_up_refused: 0,
    given_up_expired: 0,
    delivery_notes_failed: 0,
  };

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
    const destinations = await this.#rows.destinations();
    this.#forgetAllBut(destinations);
    for (const destination of destinations) {
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
    for (const { connections } of this.#links.values()) connections.close();
    this.#links.clear();
  }

  /**
   * Sends until nothing is due or an attempt fails. The alerts behind a failed one are sent in the next
   * round.
   */
  async #sendTo(destination: DestinationRow): Promise<void> {
    const link = this.#linkOf(destination);
    for (;;) {
      if (this.#nowUs() < link.holdUntilUs) return;
      const due = await this.#rows.due(destination.id, this.#nowUs(), BATCH);
      if (due.length === 0) return;
      for (const delivery of due) {
        if (this.#stopping.signal.aborted || !this.#mayDeliver()) return;
        if (!(await this.#sendOne(destination, delivery, link))) return;
      }
    }
  }

  /** Returns true where the next alert may be sent. */
  async #sendOne({ id, name, config }: DestinationRow, delivery: DeliveryRow, link: Link): Promise<boolean> {
    const key = `${id} ${delivery.number}`;
    if (!this.#unstored.has(key)) {
      const { signal } = this.#stopping;
      const { connections } = link;
      const options = { now: this.#now, ...this.#sending, signal, connections };
      const result = await send(config, delivery.alert, options);
      if (!result.ok) return !signal.aborted && (await this.#failed(id, name, delivery, result, link));
      this.#counters.delivered++;
      this.#unstored.add(key);
    }
    await this.#rows.unqueue(id, delivery.number);
    this.#unstored.delete(key);
    await this.#rows.noteDelivered(id, this.#nowUs());
    return true;
  }

  /** Returns true where only this alert was refused, so that the next one may be sent. */
  async #failed(
    id: string,
    name: string,
    { number, alert, attempts, queuedUs }: DeliveryRow,
    { error, next, retryAfterMs }: Failure,
    link: Link,
  ): Promise<boolean> {
    this.#counters.attempts_failed++;
    const nowUs = this.#nowUs();
    const isExpired = nowUs - queuedUs >= GIVE_UP_AFTER_US;
    if (next === 'refused' || isExpired) {
      const why = next === 'refused' ? 'it was refused' : 'it could not be delivered for 24 h';
      await this.#rows.giveUp(id, number, `${why}: ${error}`, nowUs);
      await this.#rows.noteError(id, `gave up an alert of ${alert.time}: ${error}`);
      this.#counters.given_up++;
      this.#counters[next === 'refused' ? 'given_up_refused' : 'given_up_expired']++;
      this.#log.error({ destination: name, alert: alert.id, error }, `an alert was given up: ${why}`);
      return next === 'refused';
    }
    const waitUs = next === 'blocked' ? BLOCKED_RETRY_US : retryAfterUs(attempts);
    const heldUs = Math.min((retryAfterMs ?? 0) * 1000, GIVE_UP_AFTER_US);
    if (next === 'blocked') link.holdUntilUs = nowUs + waitUs;
    else if (heldUs > 0) link.holdUntilUs = nowUs + heldUs;
    await this.#rows.postpone(id, number, attempts + 1, nowUs + Math.max(waitUs, heldUs));
    await this.#rows.noteError(id, error);
    this.#log.warn(
      { destination: name, alert: alert.id, attempts: attempts + 1, error },
      'an alert could not be delivered and will be sent again',
    );
    return false;
  }

  /** A changed configuration gets connections of its own, and is tried at once. */
  #linkOf({ id, config }: DestinationRow): Link {
    const text = JSON.stringify(config);
    const known = this.#links.get(id);
    if (known?.config === text) return known;
    known?.connections.close();
    const connections = new HttpConnections(this.#sending.resolve ?? byNameService);
    const link = { config: text, connections, holdUntilUs: 0 };
    this.#links.set(id, link);
    return link;
  }

  #forgetAllBut(destinations: readonly DestinationRow[]): void {
    const ids = new Set(destinations.map(({ id }) => id));
    for (const [id, { connections }] of this.#links) {
      if (ids.has(id) || this.#running.has(id)) continue;
      connections.close();
      this.#links.delete(id);
    }
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
