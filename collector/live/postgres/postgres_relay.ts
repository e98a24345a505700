/**
 * Has the live feeds of collectors that share a PostgreSQL database show each other's calls. A collector at which somebody
 * watches says so in a row, and listens. The others see the row, and notify. The transactions that store calls have no
 * part in it.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Counters } from '../../../protocol/records.ts';
import type { LiveOthers } from '../../contract/live.ts';
import { DatabasePool } from '../../store/postgres/database_pool.ts';
import type { DatabaseAddress } from '../../store/postgres/database_url.ts';
import { migrate } from '../../store/postgres/schema_steps.ts';
import type { OnSchemaChange } from '../../store/schema_change.ts';
import type { FeedRelay, RelayEvents } from '../feed_relay.ts';
import type { LiveFilter, OfferedCall } from '../live_filter.ts';
import { FeedReceiver } from './feed_receiver.ts';
import { LIVE_SCHEMA, readLiveKey } from './feed_schema.ts';
import { FeedSender } from './feed_sender.ts';
import { hearsNotifications, NOT_HEARD } from './notifications.ts';

/** A message or a row that takes longer is given up. Calls go on to be stored meanwhile. */
const STATEMENT_MS = 5_000;

/** One connection for the feeds, and for a moment one that finds out whether listening works. */
const LISTENING = 2;

export class PostgresRelay implements FeedRelay {
  readonly #sending: DatabasePool;
  readonly #listening: DatabasePool;
  readonly #key: Buffer;
  readonly #collector: string;
  readonly #sender: FeedSender;
  readonly #log: Logger;
  #receiver: FeedReceiver | null = null;
  #checking: Promise<void> | null = null;

  private constructor(sending: DatabasePool, listening: DatabasePool, key: Buffer, log: Logger) {
    this.#sending = sending;
    this.#listening = listening;
    this.#key = key;
    this.#log = log;
    this.#collector = randomBytes(9).toString('base64url');
    this.#sender = new FeedSender(sending, key, this.#collector);
  }

  /** Makes the tables where they are missing. Throws `OperatorError`. */
  static async open(
    address: DatabaseAddress,
    { log, onSchemaChange }: { log: Logger; onSchemaChange?: OnSchemaChange },
  ): Promise<PostgresRelay> {
    const pool = (applicationName: string, max: number) =>
      new DatabasePool(address, { max, applicationName, statementMs: STATEMENT_MS, lockMs: STATEMENT_MS });
    const sending = pool('imdswatch live feed', 1);
    try {
      await migrate(sending, LIVE_SCHEMA, onSchemaChange);
      const key = await readLiveKey(sending);
      return new PostgresRelay(sending, pool('imdswatch live feed, listening', LISTENING), key, log);
    } catch (error) {
      await sending.close();
      throw error;
    }
  }

  get isWanted(): boolean {
    return this.#sender.isWanted;
  }

  start(events: RelayEvents): void {
    let trouble: string | null = null;
    const changed = () => {
      events.changed();
      const { state, reason } = this.stateOf('');
      if (state === 'lost' && trouble === null) {
        this.#log.warn(
          { reason, error: this.#receiver?.detail },
          'the live feed cannot show the calls of other collectors',
        );
      } else if (state !== 'lost' && trouble !== null) {
        this.#log.info('the live feed listens to other collectors again');
      }
      trouble = reason;
    };
    this.#receiver = new FeedReceiver(this.#listening, {
      others: this.#sending,
      key: this.#key,
      collector: this.#collector,
      events: { ...events, changed },
    });
    this.#checking = hearsNotifications(this.#listening, this.#sending).then(
      (isHeard) => {
        if (!isHeard) this.#log.warn(NOT_HEARD);
      },
      () => {
        // The database is away, as other parts report. Who watches is told when it is asked again.
      },
    );
  }

  offer(call: OfferedCall): void {
    this.#sender.offer(call);
  }

  watch(filters: readonly LiveFilter[]): void {
    this.#receiver?.watch(filters);
  }

  stateOf(key: string): LiveOthers {
    return this.#receiver?.stateOf(key) ?? { state: 'joining', reason: null };
  }

  counters(): Counters {
    return { ...this.#sender.counters(), ...this.#receiver?.counters() };
  }

  async close(): Promise<void> {
    await Promise.all([this.#sender.close(), this.#receiver?.close(), this.#checking]);
    await Promise.all([this.#sending.close(), this.#listening.close()]);
  }
}
