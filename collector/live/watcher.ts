/** One live feed: the body of a response of server-sent events, with a bounded queue and a bounded rate. */
import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';
import type { PlanPhase } from '../../protocol/plan_report.ts';
import type { LiveOthers } from '../contract/live.ts';
import { keyOfFilter, type LiveFilter, matches, type OfferedCall, servedCallOf } from './live_filter.ts';

/** A plan that was reported: what a page needs to know to load it again. */
export interface PlanNotice {
  id: string;
  phase: PlanPhase;
  reported: string;
}

const MAX_QUEUED_CALLS = 1000;
/** More than a person can read, and few enough that one watcher does not slow the collector down. */
export const MAX_CALLS_PER_SECOND = 500;
const MAX_CALLS_IN_CHUNK = 100;
/** A watcher that has read nothing for this long is disconnected. */
const STALLED_MS = 60_000;

export interface WatcherConnection {
  /** Key of the person, the same for every session of one token. */
  person: string;
  address: string;
  /** Called with every heartbeat. Returns false after the token was revoked. */
  mayStay: () => Promise<boolean>;
  /** Closes the connection of a watcher that does not read. */
  cut: () => void;
}

export interface WatcherEvents {
  sent: (calls: number) => void;
  leftOut: (calls: number) => void;
  stalled: () => void;
  gone: () => void;
}

export class Watcher {
  readonly stream: ReadableStream<Uint8Array>;
  /** Null for a feed of plans. */
  readonly filter: LiveFilter | null;
  /** `keyOfFilter`, or null. */
  readonly key: string | null;
  readonly connection: WatcherConnection;
  readonly #events: WatcherEvents;
  readonly #encoder = new TextEncoder();
  readonly #queue: OfferedCall[] = [];
  /** The latest notice of each plan that was not sent yet. */
  readonly #plans = new Map<string, PlanNotice>();
  /** The state of the other collectors that was sent last, and the one that was not sent yet. */
  #othersText: string | null = null;
  #unsentOthers: string | null = null;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly #rate = new TokenBucket(oneSecond(MAX_CALLS_PER_SECOND), performance.now());
  #leftOut = 0;
  /** Time at which the client last had room for more. */
  #roomMs = performance.now();

  constructor(filter: LiveFilter | 'plans', connection: WatcherConnection, events: WatcherEvents) {
    this.filter = filter === 'plans' ? null : filter;
    this.key = filter === 'plans' ? null : keyOfFilter(filter);
    this.connection = connection;
    this.#events = events;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // The first line tells the watcher that it is connected, and when to connect again after an error.
        this.#send('retry: 3000\n: connected\n\n');
      },
      pull: () => this.#flush(),
      cancel: () => this.#leave(),
    });
  }

  offer(call: OfferedCall): void {
    if (this.#controller === null || this.filter === null || !matches(this.filter, call)) return;
    if (this.#queue.length >= MAX_QUEUED_CALLS || this.#rate.tryTake(performance.now()) > 0) {
      this.leaveOut(1);
      return;
    }
    this.#queue.push(call);
    this.#flush();
  }

  /** Counts calls that match and are not sent. */
  leaveOut(calls: number): void {
    if (this.#controller === null || calls === 0) return;
    this.#leftOut += calls;
    this.#events.leftOut(calls);
    this.#flush();
  }

  offerPlan(notice: PlanNotice): void {
    if (this.#controller === null || this.filter !== null) return;
    this.#plans.set(notice.id, notice);
    this.#flush();
  }

  /** Says whether the feed has the calls of other collectors, where that is another state than before. */
  offerOthers(others: LiveOthers): void {
    const text = `event: others\ndata: ${JSON.stringify(others)}\n\n`;
    if (this.#controller === null || text === this.#othersText) return;
    this.#othersText = text;
    this.#unsentOthers = text;
    this.#flush();
  }

  async check(): Promise<void> {
    // The watcher stays where the database cannot be asked: then nothing is stored, and so nothing is sent.
    const mayStay = await this.connection.mayStay().catch(() => true);
    if (this.#controller === null) return;
    if (!mayStay) this.end();
    else if (this.#hasRoom()) {
      this.#roomMs = performance.now();
      this.#flush();
      this.#send(': heartbeat\n\n');
    } else if (performance.now() - this.#roomMs > STALLED_MS) {
      this.#events.stalled();
      this.#leave();
      this.connection.cut();
    }
  }

  end(): void {
    this.#controller?.close();
    this.#leave();
  }

  #leave(): void {
    if (this.#controller === null) return;
    this.#controller = null;
    this.#queue.length = 0;
    this.#plans.clear();
    this.#events.gone();
  }

  #hasRoom(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0;
  }

  #flush(): void {
    const others = this.#unsentOthers;
    if (others !== null && this.#hasRoom()) {
      this.#unsentOthers = null;
      this.#send(others);
    }
    if (this.#plans.size > 0 && this.#hasRoom()) {
      const notices = [...this.#plans.values()];
      this.#plans.clear();
      this.#send(notices.map((notice) => `event: plan\ndata: ${JSON.stringify(notice)}\n\n`).join(''));
    }
    while (this.#hasRoom() && (this.#queue.length > 0 || this.#leftOut > 0)) {
      const calls = this.#queue.splice(0, MAX_CALLS_IN_CHUNK);
      let text = calls.map((call) => `event: call\ndata: ${JSON.stringify(servedCallOf(call))}\n\n`).join('');
      if (this.#leftOut > 0 && this.#queue.length === 0) {
        text += `event: left_out\ndata: {"calls":${this.#leftOut}}\n\n`;
        this.#leftOut = 0;
      }
      this.#events.sent(calls.length);
      this.#send(text);
    }
  }

  #send(text: string): void {
    this.#controller!.enqueue(this.#encoder.encode(text));
  }
}
