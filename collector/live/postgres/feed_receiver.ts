/**
 * Has a connection that listens while somebody watches at this collector, and keeps the row that says so to the others. A
 * connection that is lost is opened again, and the feeds are told that calls may be missing meanwhile.
 */
import { Backoff } from '../../../common/backoff.ts';
import type { Counters } from '../../../protocol/records.ts';
import type { LiveOthers } from '../../contract/live.ts';
import type { DatabasePool, Session } from '../../store/postgres/database_pool.ts';
import type { RelayEvents } from '../feed_relay.ts';
import type { LiveFilter } from '../live_filter.ts';
import { MessageReader } from './feed_messages.ts';
import { CHANNEL, POLL_MS, WATCHED_MS } from './feed_sender.ts';
import { NOT_HEARD } from './notifications.ts';
import { NOT_COUNTED, type WantedFilters, wantedFilters } from './wanted_filters.ts';

/** The row is written anew this often. This also notices a connection that is lost without a word. */
const RENEW_MS = WATCHED_MS / 4;
/** Others have learned of a row after this time, unless the database is slow. */
const NOTICED_MS = POLL_MS + 300;
const PROBE_MS = 5_000;
/** Part of a payload that is no message: it shows that notifications arrive. */
const PROBE = 'probe ';

/** People who watch are not told addresses of servers. */
const LOST =
  'The connection to the database that listens to the other collectors was lost. It is being opened again.';

class NotHeardError extends Error {
  constructor() {
    super(NOT_HEARD);
  }
}

const JOINING: LiveOthers = { state: 'joining', reason: null };
const JOINED: LiveOthers = { state: 'joined', reason: null };

export class FeedReceiver {
  /** For the connection that listens. */
  readonly #pool: DatabasePool;
  /** For the notification that shows that listening works. */
  readonly #others: DatabasePool;
  readonly #collector: string;
  readonly #reader: MessageReader;
  readonly #events: RelayEvents;
  readonly #backoff = new Backoff(500, 5_000);
  #keys: readonly string[] = [];
  #wanted: WantedFilters = wantedFilters([]);
  /** When the others have learned of a filter, by the monotonic clock in milliseconds. */
  readonly #joinedMs = new Map<string, number>();
  /** Why the others are not heard; null while nothing is wrong. */
  #trouble: string | null = null;
  #detail = '';
  #running: Promise<void> | null = null;
  #wake: () => void = () => {};
  #isClosed = false;
  #counters = { relay_received: 0, relay_connections_lost: 0 };

  constructor(
    pool: DatabasePool,
    {
      others,
      key,
      collector,
      events,
    }: {
      others: DatabasePool;
      key: Buffer;
      collector: string;
      events: RelayEvents;
    },
  ) {
    this.#pool = pool;
    this.#others = others;
    this.#collector = collector;
    this.#reader = new MessageReader(key, collector);
    this.#events = events;
  }

  watch(filters: readonly LiveFilter[]): void {
    this.#wanted = wantedFilters(filters);
    const { keys } = this.#wanted;
    if (keys.join('\n') === this.#keys.join('\n')) return;
    this.#keys = keys;
    this.#wake();
    if (keys.length > 0 && !this.#isClosed) this.#running ??= this.#run();
  }

  stateOf(key: string): LiveOthers {
    if (this.#trouble !== null) return { state: 'lost', reason: this.#trouble };
    const asked = this.#wanted.keyFor(key);
    if (asked === null) return { state: 'lost', reason: NOT_COUNTED };
    const joinedMs = this.#joinedMs.get(asked);
    return joinedMs !== undefined && performance.now() >= joinedMs ? JOINED : JOINING;
  }

  /** The last error in full, for the log. */
  get detail(): string {
    return this.#detail;
  }

  counters(): Counters {
    return { ...this.#counters, relay_messages_missed: this.#reader.missed };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.watch([]);
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#keys.length > 0) {
      try {
        await this.#listen();
      } catch (error) {
        this.#counters.relay_connections_lost += 1;
        this.#joinedMs.clear();
        this.#detail = (error as Error).message;
        this.#setTrouble(error instanceof NotHeardError ? error.message : LOST);
        await this.#sleep(this.#backoff.next());
      }
    }
    this.#running = null;
    this.#setTrouble(null);
    this.#joinedMs.clear();
    this.#reader.forget();
  }

  /** Resolves when nobody watches any more. */
  #listen(): Promise<void> {
    const probe = `${PROBE}${this.#collector} ${performance.now()}`;
    const heard = Promise.withResolvers<void>();
    const onPayload = (payload: string) => {
      if (payload === probe) heard.resolve();
      else if (!payload.startsWith(PROBE)) this.#receive(payload);
    };
    return this.#pool.listen(CHANNEL, onPayload, async (session, lost) => {
      await this.#others.query('SELECT pg_notify($1, $2)', [CHANNEL, probe]);
      await this.#heard(heard.promise, lost);
      await this.#keepRow(session, lost);
      await session.query('DELETE FROM live_watchers WHERE collector = $1', [this.#collector]);
    });
  }

  /** Waits for the notification that shows that others arrive too. */
  async #heard(heard: Promise<void>, lost: Promise<never>): Promise<void> {
    let isHeard = false;
    const untilMs = performance.now() + PROBE_MS;
    while (!isHeard && this.#keys.length > 0) {
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) throw new NotHeardError();
      isHeard = await Promise.race([heard.then(() => true), lost, this.#sleep(leftMs).then(() => false)]);
    }
  }

  async #keepRow(session: Session, lost: Promise<never>): Promise<void> {
    while (this.#keys.length > 0) {
      const keys = this.#keys;
      await session.query(
        `INSERT INTO live_watchers VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
         ON CONFLICT (collector) DO UPDATE SET filters = excluded.filters, until = excluded.until`,
        [this.#collector, keys, WATCHED_MS - 1],
      );
      const noticedMs = performance.now() + NOTICED_MS;
      for (const key of keys) if (!this.#joinedMs.has(key)) this.#joinedMs.set(key, noticedMs);
      for (const key of this.#joinedMs.keys()) if (!keys.includes(key)) this.#joinedMs.delete(key);
      this.#backoff.reset();
      this.#setTrouble(null);
      const renewMs = performance.now() + RENEW_MS;
      while (this.#keys === keys && performance.now() < renewMs) {
        // The feeds are told when the others have learned of them.
        const nextMs = [...this.#joinedMs.values()].filter((ms) => ms > performance.now());
        await Promise.race([this.#sleep(Math.min(renewMs, ...nextMs) - performance.now()), lost]);
        this.#events.changed();
      }
    }
  }

  #receive(payload: string): void {
    const message = this.#reader.take(payload);
    if (message === null) return;
    this.#counters.relay_received += message.calls.length;
    const leftOut = new Map(message.leftOut);
    this.#events.received(message.calls, (key) => leftOut.get(this.#wanted.keyFor(key) ?? '') ?? 0);
  }

  #setTrouble(reason: string | null): void {
    if (reason === this.#trouble) return;
    this.#trouble = reason;
    this.#events.changed();
  }

  /** Waits for a time, or until somebody begins or ends to watch. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, Math.ceil(ms)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
