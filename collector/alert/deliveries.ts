/**
 * Sends waiting alerts to each destination independently, so that one which fails delays no other. Delivery
 * is at least once: an alert whose delivery could not be stored is sent again after a restart, with the same
 * id.
 */
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import { ownerFilter, ownerOfAlert } from '../admin/alert_owners.ts';
import type { DeliveryRow } from '../admin/alerts.ts';
import type { DestinationRow } from '../admin/destination_row.ts';
import type { Failure } from './failure.ts';
import { type Link, Links } from './links.ts';
import { type SendOptions, sendBy } from './send.ts';
import type { Sender } from './sender.ts';

const FIRST_RETRY_US = 10_000_000;
const MAX_RETRY_US = 3600_000_000;
/** An alert that could not be delivered for this long is dropped. */
export const GIVE_UP_AFTER_US = 24 * 3600_000_000;
/** A destination that is blocked is tried again after this time, unless somebody changes it before. */
const BLOCKED_RETRY_US = 3600_000_000;
/** Deliveries that are read at a time, also where a request takes fewer. */
const READ_AT_ONCE = 20;

export class Deliveries {
  readonly #rows: AdminStore['alerts'];
  readonly #mayDeliver: () => boolean;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #sending: SendOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #links: Links;
  /**
   * Alerts that were sent while the delivery could not be stored (a full disk). This process does not send
   * them again.
   */
  readonly #unstored = new Set<string>();
  readonly #counters = {
    delivered: 0,
    attempts_failed: 0,
    given_up: 0,
    given_up_refused: 0,
    given_up_expired: 0,
    sent_again: 0,
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
    this.#sending = { now, ...sending, signal: this.#stopping.signal };
    this.#links = new Links(this.#sending);
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
    const destinations = (await this.#rows.destinations()).filter(({ stream }) => stream === 'alerts');
    this.#links.forget(({ id }) => !destinations.some((known) => known.id === id) && !this.#running.has(id));
    for (const destination of destinations) {
      if (!destination.enabled || this.#running.has(destination.id)) continue;
      if (destination.waiting === 0 && !this.#mayBeSentAgain(destination)) continue;
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
    this.#links.forget(() => true);
  }

  /**
   * Sends until nothing is due or an attempt fails. The alerts behind a failed one are sent in the next
   * round.
   */
  async #sendTo(destination: DestinationRow): Promise<void> {
    const link = await this.#links.of(destination);
    const { sender } = link;
    if (!('send' in sender)) {
      if (this.#nowUs() < link.holdUntilUs) return;
      link.holdUntilUs = this.#nowUs() + BLOCKED_RETRY_US;
      this.#counters.attempts_failed++;
      await this.#rows.noteError(destination.id, sender.error);
      return;
    }
    while (this.#nowUs() >= link.holdUntilUs) {
      const limit = Math.max(READ_AT_ONCE, sender.maxItems);
      const due = await this.#rows.due(destination.id, this.#nowUs(), limit);
      if (due.length === 0) return this.#sendAgain(destination, link, sender);
      for (let rest = due; rest.length > 0; ) {
        if (this.#stopping.signal.aborted || !this.#mayDeliver()) return;
        const count = sender.countOf(rest.map(({ alert }) => alert));
        if (!(await this.#sendSome(destination, rest.slice(0, count), link, sender))) return;
        rest = rest.slice(count);
      }
    }
  }

  /** Returns true where the next alerts may be sent. */
  async #sendSome(
    destination: DestinationRow,
    deliveries: readonly DeliveryRow[],
    link: Link,
    sender: Sender,
  ): Promise<boolean> {
    const keyOf = ({ number }: DeliveryRow) => `${destination.id} ${number}`;
    const unsent = deliveries.filter((each) => !this.#unstored.has(keyOf(each)));
    if (unsent.length > 0) {
      const alerts = unsent.map(({ alert }) => alert);
      const result = await sendBy(sender, alerts, this.#sending);
      if (!result.ok) {
        if (this.#stopping.signal.aborted) return false;
        return this.#failed(destination, unsent, result, link, sender);
      }
      this.#counters.delivered += unsent.length;
      for (const each of unsent) this.#unstored.add(keyOf(each));
    }
    for (const each of deliveries) {
      await this.#rows.unqueue(destination.id, each.number);
      this.#unstored.delete(keyOf(each));
    }
    await this.#rows.noteDelivered(destination.id, this.#nowUs());
    return true;
  }

  /** Returns true where only these alerts were refused, so that the next ones may be sent. */
  async #failed(
    destination: DestinationRow,
    deliveries: readonly DeliveryRow[],
    failure: Failure,
    link: Link,
    sender: Sender,
  ): Promise<boolean> {
    this.#counters.attempts_failed++;
    if (failure.next === 'refused' && deliveries.length > 1) {
      // One of them is the cause.
      for (const each of deliveries) {
        if (!(await this.#sendSome(destination, [each], link, sender))) return false;
      }
      return true;
    }
    const { error, next, retryAfterMs } = failure;
    const nowUs = this.#nowUs();
    const heldUs = Math.min((retryAfterMs ?? 0) * 1000, GIVE_UP_AFTER_US);
    if (next === 'blocked') link.holdUntilUs = nowUs + BLOCKED_RETRY_US;
    else if (heldUs > 0) link.holdUntilUs = nowUs + heldUs;
    for (const delivery of deliveries) {
      if (next === 'refused' || nowUs - delivery.queuedUs >= GIVE_UP_AFTER_US) {
        await this.#giveUp(destination, delivery, failure);
        continue;
      }
      const waitUs = next === 'blocked' ? BLOCKED_RETRY_US : retryAfterUs(delivery.attempts);
      const dueUs = nowUs + Math.max(waitUs, heldUs);
      await this.#rows.postpone(destination.id, delivery.number, delivery.attempts + 1, dueUs);
      await this.#rows.noteError(destination.id, error);
      this.#log.warn(
        { destination: destination.name, alert: delivery.alert.id, attempts: delivery.attempts + 1, error },
        'an alert could not be delivered and will be sent again',
      );
    }
    return next === 'refused';
  }

  async #giveUp(
    { id, name }: DestinationRow,
    { number, alert }: DeliveryRow,
    { error, next }: Failure,
  ): Promise<void> {
    const why = next === 'refused' ? 'it was refused' : 'it could not be delivered for 24 h';
    await this.#rows.giveUp(id, number, `${why}: ${error}`, this.#nowUs());
    await this.#rows.noteError(id, `gave up an alert of ${alert.time}: ${error}`);
    this.#counters.given_up++;
    this.#counters[next === 'refused' ? 'given_up_refused' : 'given_up_expired']++;
    this.#log.error({ destination: name, alert: alert.id, error }, `an alert was given up: ${why}`);
  }

  #mayBeSentAgain(destination: DestinationRow): boolean {
    const link = this.#links.known(destination);
    return link === null || this.#nowUs() >= link.againUs;
  }

  /** Sends what is open again, for receivers that otherwise take it to be over. */
  async #sendAgain(destination: DestinationRow, link: Link, sender: Sender): Promise<void> {
    const nowUs = this.#nowUs();
    if (sender.resendSeconds === null) {
      link.againUs = Number.POSITIVE_INFINITY;
      return;
    }
    if (nowUs < link.againUs) return;
    link.againUs = nowUs + sender.resendSeconds * 1e6;
    const takes = ownerFilter(destination.owners);
    let rest = (await this.#rows.open()).filter(
      (alert) => destination.rules.includes(alert.rule) && takes(ownerOfAlert(alert)),
    );
    while (rest.length > 0) {
      if (this.#stopping.signal.aborted || !this.#mayDeliver()) return;
      const some = rest.slice(0, sender.countOf(rest));
      const result = await sendBy(sender, some, this.#sending);
      if (this.#stopping.signal.aborted) return;
      if (!result.ok) {
        this.#counters.attempts_failed++;
        await this.#rows.noteError(destination.id, result.error);
        // The receiver refuses only these, so the rest is sent.
        if (result.next !== 'refused') return;
      } else {
        this.#counters.sent_again += some.length;
        await this.#rows.noteDelivered(destination.id, this.#nowUs());
      }
      rest = rest.slice(some.length);
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
