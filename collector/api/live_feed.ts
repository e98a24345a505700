/**
 * Sends calls as they are stored to all watchers. It costs nothing without watchers. Each watcher has a
 * bounded queue and a bounded rate. Calls beyond these bounds are left out and counted, and the watcher gets
 * their number.
 */
import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';
import type { Call } from '../../protocol/call.ts';
import type { PlanPhase } from '../../protocol/plan_report.ts';
import type { Counters } from '../../protocol/records.ts';
import type { ServedCall } from '../contract/served_call.ts';
import { factsOfCaller, type StoredCaller } from '../store/defined_caller.ts';
import type { CallBody, StoredBatch } from '../store/store.ts';
import { BUILT_IN_RULES, type WorkloadRules } from '../store/workload_rules.ts';

/** A plan that was reported: what a page needs to know to load it again. */
export interface PlanNotice {
  id: string;
  phase: PlanPhase;
  reported: string;
}

export interface LiveFilter {
  hosts: readonly string[] | null;
  offenders: readonly string[] | null;
  version: 1 | 2 | null;
  categories: readonly Call['imds.category'][] | null;
  outcomes: readonly Call['outcome'][] | null;
  /** Part of the path. Upper and lower case are the same. */
  path: string | null;
}

interface Entry {
  body: CallBody;
  caller: StoredCaller;
  host: Call['host'];
  offender: string;
}

const MAX_QUEUED_CALLS = 1000;
/** More than a person can read, and few enough that one watcher does not slow the collector down. */
const MAX_CALLS_PER_SECOND = 500;
const MAX_CALLS_IN_CHUNK = 100;
/** A watcher that has read nothing for this long is disconnected. */
const STALLED_MS = 60_000;
export const MAX_WATCHERS = 200;
/** Most feeds of one person, or of one token that several people share. */
export const MAX_WATCHERS_OF_PERSON = 20;
export const MAX_WATCHERS_OF_ADDRESS = 50;
/** Last places, which are reserved for people who have no feed yet. */
export const RESERVED_WATCHERS = 40;
export const HEARTBEAT_MS = 15_000;

export class LiveFeed {
  readonly #watchers = new Set<Watcher>();
  readonly #identities = new WeakMap<StoredCaller, string>();
  readonly #heartbeat: NodeJS.Timeout;
  #counters = { calls_sent: 0, calls_left_out: 0, watchers_refused: 0, watchers_stalled: 0 };

  readonly #rules: WorkloadRules;

  constructor(heartbeatMs: number = HEARTBEAT_MS, rules: WorkloadRules = BUILT_IN_RULES) {
    this.#rules = rules;
    this.#heartbeat = setInterval(() => void this.check(), heartbeatMs);
    this.#heartbeat.unref();
  }

  get isWatched(): boolean {
    return this.#watchers.size > 0;
  }

  /** Sends the calls of batches that have just become durable. `Writer` calls it. */
  publish(batches: readonly StoredBatch[]): void {
    if (!this.isWatched) return;
    for (const { host, callers, records } of batches) {
      for (const record of records) {
        if (record.kind !== 'call') continue;
        const caller = callers[record.caller]!;
        this.#offer({
          body: record.call,
          caller,
          host,
          offender: this.#offenderOf(caller, host.id, record.call),
        });
      }
    }
  }

  /** Sends notices of plans to those who watch plans. */
  publishPlans(notices: readonly PlanNotice[]): void {
    for (const watcher of this.#watchers) {
      for (const notice of notices) watcher.offerPlan(notice);
    }
  }

  /** Returns the limit that another feed would exceed, or null if there is room. */
  refusalOf({ person, address }: Pick<WatcherConnection, 'person' | 'address'>): Refusal | null {
    const watchers = [...this.#watchers];
    const ofPerson = watchers.filter(({ connection }) => connection.person === person).length;
    if (ofPerson >= MAX_WATCHERS_OF_PERSON) return 'person';
    if (watchers.length >= MAX_WATCHERS - (ofPerson === 0 ? 0 : RESERVED_WATCHERS)) return 'all';
    const ofAddress = watchers.filter(({ connection }) => connection.address === address).length;
    return ofAddress >= MAX_WATCHERS_OF_ADDRESS ? 'address' : null;
  }

  /** Returns the body of a server-sent event stream, or null beyond a limit, which `refusalOf` names. */
  watch(filter: LiveFilter | 'plans', connection: WatcherConnection): ReadableStream<Uint8Array> | null {
    if (this.refusalOf(connection) !== null) {
      this.#counters.watchers_refused += 1;
      return null;
    }
    const watcher = new Watcher(filter, connection, {
      sent: (calls) => {
        this.#counters.calls_sent += calls;
      },
      leftOut: () => {
        this.#counters.calls_left_out += 1;
      },
      stalled: () => {
        this.#counters.watchers_stalled += 1;
      },
      gone: () => this.#watchers.delete(watcher),
    });
    this.#watchers.add(watcher);
    return watcher.stream;
  }

  /** Sends heartbeats, and closes the feeds of people who are no longer permitted to watch. */
  async check(): Promise<void> {
    await Promise.all([...this.#watchers].map((watcher) => watcher.check()));
  }

  counters(): Counters {
    return { ...this.#counters, watchers: this.#watchers.size };
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const watcher of this.#watchers) watcher.end();
  }

  #offer(entry: Entry): void {
    for (const watcher of this.#watchers) watcher.offer(entry);
  }

  #offenderOf(caller: StoredCaller, hostId: string, body: CallBody): string {
    const known = this.#identities.get(caller);
    if (known !== undefined) return known;
    const facts = factsOfCaller(caller);
    const id = this.#rules.workloadIdOfCaller(facts, hostId, body['source.address']);
    // Addresses tell apart callers whose process is not known.
    if (facts.process !== null) this.#identities.set(caller, id);
    return id;
  }
}

/** The limit that was reached: feeds of one person, from one address, or in all. */
export type Refusal = 'person' | 'address' | 'all';

export interface WatcherConnection {
  /** Key of the person, the same for every session of one token. */
  person: string;
  address: string;
  /** Called with every heartbeat. Returns false after the token was revoked. */
  mayStay: () => Promise<boolean>;
  /** Closes the connection of a watcher that does not read. */
  cut: () => void;
}

interface WatcherEvents {
  sent: (calls: number) => void;
  leftOut: () => void;
  stalled: () => void;
  gone: () => void;
}

class Watcher {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #filter: LiveFilter | 'plans';
  readonly connection: WatcherConnection;
  readonly #events: WatcherEvents;
  readonly #encoder = new TextEncoder();
  readonly #queue: Entry[] = [];
  /** The latest notice of each plan that was not sent yet. */
  readonly #plans = new Map<string, PlanNotice>();
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly #rate = new TokenBucket(oneSecond(MAX_CALLS_PER_SECOND), performance.now());
  #leftOut = 0;
  /** Time at which the client last had room for more. */
  #roomMs = performance.now();

  constructor(filter: LiveFilter | 'plans', connection: WatcherConnection, events: WatcherEvents) {
    this.#filter = filter;
    this.connection = connection;
    this.#events = events;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // The first line tells the watcher that it is connected, and when to connect again after an error.
        controller.enqueue(this.#encoder.encode('retry: 3000\n: connected\n\n'));
      },
      pull: () => this.#flush(),
      cancel: () => this.#leave(),
    });
  }

  offer(entry: Entry): void {
    if (this.#controller === null || this.#filter === 'plans' || !matches(this.#filter, entry)) return;
    if (this.#queue.length >= MAX_QUEUED_CALLS || this.#rate.tryTake(performance.now()) > 0) {
      this.#leftOut += 1;
      this.#events.leftOut();
      return;
    }
    this.#queue.push(entry);
    this.#flush();
  }

  offerPlan(notice: PlanNotice): void {
    if (this.#controller === null || this.#filter !== 'plans') return;
    this.#plans.set(notice.id, notice);
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
      this.#controller.enqueue(this.#encoder.encode(': heartbeat\n\n'));
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
    this.#controller = null;
    this.#queue.length = 0;
    this.#plans.clear();
    this.#events.gone();
  }

  #hasRoom(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0;
  }

  #flush(): void {
    if (this.#plans.size > 0 && this.#hasRoom()) {
      const notices = [...this.#plans.values()];
      this.#plans.clear();
      const text = notices.map((notice) => `event: plan\ndata: ${JSON.stringify(notice)}\n\n`).join('');
      this.#controller!.enqueue(this.#encoder.encode(text));
    }
    while (this.#hasRoom() && (this.#queue.length > 0 || this.#leftOut > 0)) {
      const entries = this.#queue.splice(0, MAX_CALLS_IN_CHUNK);
      let text = entries
        .map((entry) => `event: call\ndata: ${JSON.stringify(servedCallOf(entry))}\n\n`)
        .join('');
      if (this.#leftOut > 0 && this.#queue.length === 0) {
        text += `event: left_out\ndata: {"calls":${this.#leftOut}}\n\n`;
        this.#leftOut = 0;
      }
      this.#events.sent(entries.length);
      this.#controller!.enqueue(this.#encoder.encode(text));
    }
  }
}

function servedCallOf({ body, caller, host, offender }: Entry): ServedCall {
  return { ...body, ...factsOfCaller(caller), host, offender };
}

function matches(
  { hosts, offenders, version, categories, outcomes, path }: LiveFilter,
  { body, host, offender }: Entry,
): boolean {
  return (
    (hosts === null || hosts.includes(host.id)) &&
    (offenders === null || offenders.includes(offender)) &&
    (version === null || body['imds.version'] === version) &&
    (categories === null || categories.includes(body['imds.category'])) &&
    (outcomes === null || outcomes.includes(body.outcome)) &&
    (path === null || (body['url.path'] ?? '').toLowerCase().includes(path.toLowerCase()))
  );
}
