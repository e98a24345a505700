/**
 * Sends this collector's calls to collectors at which somebody watches, by NOTIFY on a connection of its own. While nobody
 * does, it only asks once a second whether somebody does.
 */
import { type Rate, TokenBucket } from '../../../common/token_bucket.ts';
import type { Counters } from '../../../protocol/records.ts';
import type { DatabasePool } from '../../store/postgres/database_pool.ts';
import { filterOfKey, type LiveFilter, matches, type OfferedCall, servedCallOf } from '../live_filter.ts';
import { MAX_CALLS_PER_SECOND } from '../watcher.ts';
import { MAX_MESSAGE_CHARACTERS, packMessage } from './feed_messages.ts';

export const CHANNEL = 'imdswatch_live';
/** Others learn within this time that somebody watches. */
export const POLL_MS = 1_000;
/** Time after which a row in `live_watchers` ends that is not renewed. */
export const WATCHED_MS = 10_000;
/** While calls come in, they are sent this often. A call after a pause is sent at once. */
const SEND_MS = 100;
/** After a failure the next message is sent after this time. */
const RETRY_MS = 1_000;
const MAX_QUEUED_CALLS = 1_000;
const MAX_CALLS_IN_MESSAGE = 250;

/** A filter of feeds at other collectors. */
interface Wanted {
  filter: LiveFilter;
  /** Calls that are sent for this filter whatever others want, so that a narrow filter gets its calls beside a wide one. */
  share: TokenBucket;
  leftOut: number;
}

interface Queued {
  call: OfferedCall;
  /** Keys of filters. */
  wantedBy: readonly string[];
}

/** Half of the calls are shared out among the filters, and half go to whoever comes first. */
const HALF: Rate = { perSecond: MAX_CALLS_PER_SECOND / 2, burst: MAX_CALLS_PER_SECOND / 2 };

export class FeedSender {
  readonly #pool: DatabasePool;
  readonly #key: Buffer;
  readonly #sender: string;
  readonly #timer: NodeJS.Timeout;
  #wanted = new Map<string, Wanted>();
  #common = new TokenBucket(HALF, performance.now());
  /** The wish of the others counts until then, by the monotonic clock in milliseconds. */
  #untilMs = Number.NEGATIVE_INFINITY;
  #queue: Queued[] = [];
  #number = 0;
  #sendTimer: NodeJS.Timeout | null = null;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  #polling: Promise<void> | null = null;
  #sending: Promise<void> | null = null;
  #isClosed = false;
  #counters = {
    relay_calls: 0,
    relay_calls_left_out: 0,
    relay_messages: 0,
    relay_failures: 0,
    relay_watching: 0,
  };

  /** `pool` needs one connection. `sender` names this collector. */
  constructor(pool: DatabasePool, key: Buffer, sender: string) {
    this.#pool = pool;
    this.#key = key;
    this.#sender = sender;
    this.#timer = setInterval(() => void this.poll(), POLL_MS);
    this.#timer.unref();
  }

  get isWanted(): boolean {
    return this.#wanted.size > 0 && performance.now() < this.#untilMs;
  }

  offer(call: OfferedCall): void {
    const matching = [...this.#wanted].filter(([, { filter }]) => matches(filter, call));
    if (matching.length === 0) return;
    const nowMs = performance.now();
    const mayGo =
      this.#queue.length < MAX_QUEUED_CALLS &&
      (matching.some(([, { share }]) => share.tryTake(nowMs) === 0) || this.#common.tryTake(nowMs) === 0);
    const queued = { call, wantedBy: matching.map(([key]) => key) };
    if (mayGo) this.#queue.push(queued);
    else this.#leaveOut(queued);
    this.#schedule();
  }

  /** Asks who watches. Never rejects: what was known before counts for a while. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll()
      .catch(() => {})
      .finally(() => {
        this.#polling = null;
      });
    return this.#polling;
  }

  counters(): Counters {
    return { ...this.#counters };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#sendTimer !== null) clearTimeout(this.#sendTimer);
    await Promise.all([this.#polling, this.#sending]);
  }

  async #poll(): Promise<void> {
    const askedMs = performance.now();
    // A row that ends later than any collector says is from before the database's clock was set back.
    const rows = await this.#pool.query<{ filters: string[] }>(
      `SELECT filters FROM live_watchers WHERE collector <> $1
         AND until BETWEEN clock_timestamp() AND clock_timestamp() + $2 * interval '1 millisecond'`,
      [this.#sender, WATCHED_MS],
    );
    this.#counters.relay_watching = rows.length;
    this.#untilMs = askedMs + WATCHED_MS;
    this.#setWanted(new Set(rows.flatMap(({ filters }) => filters)));
  }

  #setWanted(keys: ReadonlySet<string>): void {
    if (keys.size === this.#wanted.size && [...keys].every((key) => this.#wanted.has(key))) return;
    const nowMs = performance.now();
    const rate = { perSecond: HALF.perSecond / keys.size, burst: HALF.burst / keys.size };
    this.#wanted = new Map(
      [...keys].map((key) => [
        key,
        {
          filter: filterOfKey(key),
          share: new TokenBucket(rate, nowMs),
          leftOut: this.#wanted.get(key)?.leftOut ?? 0,
        },
      ]),
    );
    if (keys.size === 0) this.#queue = [];
  }

  #leaveOut({ wantedBy }: Queued): void {
    this.#counters.relay_calls_left_out += 1;
    for (const key of wantedBy) this.#addLeftOut(key, 1);
  }

  /** A filter that nobody has any more counts nothing. */
  #addLeftOut(key: string, calls: number): void {
    const wanted = this.#wanted.get(key);
    if (wanted !== undefined) wanted.leftOut += calls;
  }

  #schedule(waitMs = SEND_MS): void {
    if (this.#sendTimer !== null || this.#sending !== null || this.#isClosed) return;
    const dueMs = Math.max(0, this.#lastSentMs + waitMs - performance.now());
    this.#sendTimer = setTimeout(() => {
      this.#sendTimer = null;
      this.#sending = this.#send().then((isSent) => {
        this.#sending = null;
        const isMore =
          this.#queue.length > 0 || [...this.#wanted.values()].some(({ leftOut }) => leftOut > 0);
        if (isMore) this.#schedule(isSent ? SEND_MS : RETRY_MS);
      });
    }, dueMs);
    this.#sendTimer.unref();
  }

  /** Returns whether a message was sent. */
  async #send(): Promise<boolean> {
    this.#lastSentMs = performance.now();
    const { queued, texts } = this.#takeCalls();
    const leftOut: [string, number][] = [];
    for (const [key, wanted] of this.#wanted) {
      if (wanted.leftOut > 0) leftOut.push([key, wanted.leftOut]);
      wanted.leftOut = 0;
    }
    try {
      this.#number += 1;
      const message = { sender: this.#sender, number: this.#number, calls: texts, leftOut };
      const parts = await packMessage(this.#key, message);
      // The commit of a notification need not wait for a disk or a standby.
      await this.#pool.query(
        `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
         SELECT pg_notify($1, part) FROM quick, unnest($2::text[]) AS part`,
        [CHANNEL, parts],
      );
      this.#counters.relay_messages += 1;
      this.#counters.relay_calls += texts.length;
      return true;
    } catch {
      this.#counters.relay_failures += 1;
      for (const each of queued) this.#leaveOut(each);
      for (const [key, calls] of leftOut) this.#addLeftOut(key, calls);
      return false;
    }
  }

  #takeCalls(): { queued: Queued[]; texts: string[] } {
    const queued: Queued[] = [];
    const texts: string[] = [];
    let characters = 0;
    while (this.#queue.length > 0 && texts.length < MAX_CALLS_IN_MESSAGE) {
      const next = this.#queue[0]!;
      const text = JSON.stringify(servedCallOf(next.call));
      if (text.length > MAX_MESSAGE_CHARACTERS) this.#leaveOut(next);
      else if (characters + text.length > MAX_MESSAGE_CHARACTERS) break;
      else {
        queued.push(next);
        texts.push(text);
        characters += text.length;
      }
      this.#queue.shift();
    }
    return { queued, texts };
  }
}
