/**
 * Sends the records of one destination in their order. A cursor in the admin data says up to where. It moves in the
 * transaction that counts what it passes, so that nothing is passed without being sent or counted. What was sent just before
 * a collector ended, and was not noted, is sent again with the same ids.
 */
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DestinationRow } from '../admin/destination_row.ts';
import type { Held } from '../admin/leases.ts';
import type { Progress } from '../admin/stream_cursors.ts';
import { SEND_TIMEOUT_MS } from '../alert/channels/channel.ts';
import { type Failure, failureOf } from '../alert/failure.ts';
import { ALL_TAKEN } from '../alert/http/partial_answer.ts';
import type { Outgoing, StreamRequest } from '../alert/http/stream_request.ts';
import { withoutSecrets } from '../alert/send.ts';
import type { StreamCounts } from '../contract/stream_state.ts';
import { SettledRecords, tooManyRefused } from './settled_records.ts';
import type { StreamSource } from './stream_source.ts';

/** Records that are read at a time. An ordinary call has some 2,000 characters, one with many long arguments 100,000. */
const PAGE = 1000;
const FIRST_RETRY_US = 2_000_000;
/** A receiver that is back gets what has waited within this time. */
const MAX_RETRY_US = 60_000_000;
/** A destination that is blocked is tried again after this time, unless somebody changes it before. */
const BLOCKED_RETRY_US = 3600_000_000;
const MAX_HOLD_US = 24 * 3600_000_000;
const NOTHING_FAILED = { ...ALL_TAKEN, failed: [] };
const NO_PROGRESS = { sent: 0, deleted: 0, unfit: 0, givenUp: 0, reason: null };

export interface DeliveryOptions {
  destination: DestinationRow;
  request: StreamRequest;
  source: StreamSource;
  cursors: AdminStore['cursors'];
  noteError: (error: string) => Promise<void>;
  held: () => Held | null;
  counts: StreamCounts;
  log: Logger;
  nowUs: () => number;
  /** Ends attempts in progress. */
  signal: AbortSignal;
}

export class StreamDelivery {
  readonly #options: DeliveryOptions;
  readonly #settled = new SettledRecords();
  #holdUntilUs = 0;
  #failures = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  close(): void {
    this.#options.request.close();
  }

  /**
   * Sends what waits behind `position`, until less than a request does or an attempt fails. Returns the position that was
   * reached.
   */
  async run(position: number): Promise<number> {
    const { source, request, nowUs, signal } = this.#options;
    let at = position;
    for (;;) {
      if (signal.aborted || nowUs() < this.#holdUntilUs) return at;
      const page = await source.read(at, PAGE);
      if (page.next === at) return at;
      const outgoing = page.items.map(({ item, position: of }) => request.outgoing(item, of));
      const reached = await this.#sendPage(at, outgoing, page.next);
      if (reached !== page.next) return reached;
      const passed = reached - at;
      at = reached;
      // Calls that have come meanwhile wait for others: a steady stream would be sent in many small requests.
      if (Math.max(passed, page.items.length) < Math.min(PAGE, request.maxItems)) return at;
    }
  }

  /** Skips records that were deleted, also while nothing can be sent. Returns the position that was reached. */
  async skip(position: number, to: number): Promise<number> {
    if (to <= position) return position;
    const { destination, log } = this.#options;
    const deleted = to - position;
    if (!(await this.#advance({ ...NO_PROGRESS, from: position, to, deleted }))) return position;
    log.error(
      { destination: destination.name, deleted },
      'records were deleted before they could be sent to a destination',
    );
    return to;
  }

  /** Returns whether a request is worth it now: a full one, or records that have waited long enough. */
  isDue(behind: number, waitsSinceUs: number | null): boolean {
    const { request, nowUs } = this.#options;
    if (behind === 0 || waitsSinceUs === null) return false;
    return behind >= request.maxItems || nowUs() - waitsSinceUs >= request.maxWaitUs;
  }

  async #sendPage(from: number, records: readonly Outgoing[], next: number): Promise<number> {
    const { request } = this.#options;
    let at = from;
    for (let rest = records; rest.length > 0; ) {
      const some = rest.slice(0, request.countOf(rest));
      const reached = await this.#send(at, some);
      if (reached === null) return at;
      at = reached;
      if (at < some.at(-1)!.position) return at;
      rest = rest.slice(some.length);
    }
    if (at === next) return next;
    // All records behind the last one that was read were deleted.
    const deleted = this.#deletedIn(at, next, 0);
    return (await this.#advance({ ...NO_PROGRESS, from: at, to: next, deleted })) ? next : at;
  }

  /** Counts the records between two positions that were deleted. `found`: those that were read. */
  #deletedIn(from: number, to: number, found: number): number {
    return this.#options.source.isDense ? to - from - found : 0;
  }

  /** Sends records in one request, or in smaller ones. Returns the position that was reached; null where none was. */
  async #send(from: number, records: readonly Outgoing[]): Promise<number | null> {
    const { counts } = this.#options;
    const to = records.at(-1)!.position;
    const failed = records.filter(({ error }) => error !== null);
    if (failed.length > 0 && records.length > 1) return this.#divide(from, records);
    if (failed.length > 0) return this.#refuse(from, to, 'template', failed[0]!.error!);
    const unfit = records.filter(({ rendered }) => rendered.length === 0).length;
    const open = this.#settled.openOf(records);
    const result = open.length === 0 ? NOTHING_FAILED : await this.#attempt(open);
    if ('next' in result) {
      if (result.next === 'refused') {
        if (records.length > 1) return this.#divide(from, records);
        return this.#refuse(from, to, 'refused', result.error);
      }
      await this.#hold(result);
      return null;
    }
    this.#failures = 0;
    const left = this.#settled.settle(open, result.failed);
    if (left !== null) {
      counts.attempts_failed += 1;
      await this.#hold({ ...left, retryAfterMs: null });
      return null;
    }
    const refused = this.#settled.refusedOf(records);
    const partial = Math.min(result.rejected, open.length - refused.length);
    const givenUp = partial + refused.length;
    const sent = records.length - unfit - givenUp;
    const message = this.#clean(result.message);
    const reason = partial > 0 ? `the receiver took only a part: ${message}` : (refused.at(-1) ?? null);
    const deleted = this.#deletedIn(from, to, records.length);
    if (!(await this.#advance({ from, to, sent, deleted, unfit, givenUp, reason }))) return null;
    this.#settled.forget(to);
    counts.given_up_partial += partial;
    counts.given_up_refused += refused.length;
    if (reason !== null) await this.#say(`gave up ${givenUp} of ${records.length} records: ${reason}`);
    // A receiver may warn about a request that it has taken as a whole (opentelemetry-proto, `docs/specification.md`).
    else if (message !== '') await this.#say(`the receiver took all records, and says: ${message}`);
    return to;
  }

  /** Shows in lists and logs what was not as it should be, until the next request succeeds. */
  async #say(error: string): Promise<void> {
    const { destination, noteError, log } = this.#options;
    await noteError(error);
    log.error({ destination: destination.name, error }, 'a receiver did not take all records of a stream');
  }

  /** Finds the record that is refused. */
  async #divide(from: number, records: readonly Outgoing[]): Promise<number | null> {
    const half = Math.ceil(records.length / 2);
    const first = records.slice(0, half);
    const reached = await this.#send(from, first);
    if (reached === null || reached < first.at(-1)!.position) return reached;
    return (await this.#send(reached, records.slice(half))) ?? reached;
  }

  async #refuse(
    from: number,
    to: number,
    why: 'refused' | 'template',
    error: string,
  ): Promise<number | null> {
    const { counts } = this.#options;
    if (this.#settled.isTooMany()) {
      await this.#hold({ error: tooManyRefused(error), next: 'blocked', retryAfterMs: null });
      return null;
    }
    const reason = `it was refused: ${error}`;
    const deleted = this.#deletedIn(from, to, 1);
    if (!(await this.#advance({ ...NO_PROGRESS, from, to, deleted, givenUp: 1, reason }))) return null;
    counts[`given_up_${why}`] += 1;
    await this.#say(`gave up a record: ${error}`);
    return to;
  }

  async #attempt(records: readonly Outgoing[]) {
    const { request, signal: stop, counts } = this.#options;
    const timeout = AbortSignal.timeout(SEND_TIMEOUT_MS);
    try {
      return await request.send(records, AbortSignal.any([timeout, stop]));
    } catch (error) {
      if (!stop.aborted) counts.attempts_failed += 1;
      if (timeout.aborted) {
        return {
          error: `no answer within ${SEND_TIMEOUT_MS / 1000} s`,
          next: 'again',
          retryAfterMs: null,
        } as const;
      }
      const failure = failureOf(error);
      return { ...failure, error: this.#clean(failure.error) };
    }
  }

  async #hold({ error, next, retryAfterMs }: Failure): Promise<void> {
    const { destination, nowUs, signal, noteError, log } = this.#options;
    if (signal.aborted) return;
    const waitUs =
      next === 'blocked' ? BLOCKED_RETRY_US : Math.min(FIRST_RETRY_US * 2 ** this.#failures, MAX_RETRY_US);
    this.#failures = Math.min(this.#failures + 1, 20);
    const askedUs = Math.min((retryAfterMs ?? 0) * 1000, MAX_HOLD_US);
    this.#holdUntilUs = nowUs() + Math.max(waitUs, askedUs);
    await noteError(error);
    log.warn({ destination: destination.name, error }, 'records of a stream could not be sent, and wait');
  }

  async #advance(progress: Progress): Promise<boolean> {
    const { destination, cursors, nowUs, held, counts } = this.#options;
    const moved = await cursors.advance(destination.id, progress, nowUs(), held());
    if (!moved) return false;
    counts.sent += progress.sent;
    counts.deleted_unsent += progress.deleted;
    counts.unfit += progress.unfit;
    return true;
  }

  #clean(text: string): string {
    return withoutSecrets(text, this.#options.request.secrets);
  }
}
