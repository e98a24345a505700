/**
 * Sends calls as they are stored to all watchers, and to the collectors at which others watch. It costs nothing without
 * watchers. Each watcher has a bounded queue and a bounded rate. Calls beyond these bounds are left out and counted, and
 * the watcher gets their number.
 */
import type { Counters } from '../../protocol/records.ts';
import { factsOfCaller, type StoredCaller } from '../store/defined_caller.ts';
import type { CallBody, StoredBatch } from '../store/store.ts';
import { BUILT_IN_RULES, type WorkloadRules } from '../store/workload_rules.ts';
import type { FeedRelay } from './feed_relay.ts';
import { type LiveFilter, type OfferedCall, offeredCallOf } from './live_filter.ts';
import { type PlanNotice, Watcher, type WatcherConnection } from './watcher.ts';

export const MAX_WATCHERS = 200;
/** Most feeds of one person, or of one token that several people share. */
export const MAX_WATCHERS_OF_PERSON = 20;
export const MAX_WATCHERS_OF_ADDRESS = 50;
/** Last places, which are reserved for people who have no feed yet. */
export const RESERVED_WATCHERS = 40;
export const HEARTBEAT_MS = 15_000;

/** The limit that was reached: feeds of one person, from one address, or in all. */
export type Refusal = 'person' | 'address' | 'all';

export interface LiveFeedOptions {
  heartbeatMs?: number;
  rules?: WorkloadRules;
  /** Null where no other collector uses the same data. The feed starts it, and does not close it. */
  relay?: FeedRelay | null;
}

export class LiveFeed {
  readonly #watchers = new Set<Watcher>();
  readonly #identities = new WeakMap<StoredCaller, string>();
  readonly #heartbeat: NodeJS.Timeout;
  #counters = { calls_sent: 0, calls_left_out: 0, watchers_refused: 0, watchers_stalled: 0 };
  readonly #rules: WorkloadRules;
  readonly #relay: FeedRelay | null;

  constructor({ heartbeatMs = HEARTBEAT_MS, rules = BUILT_IN_RULES, relay = null }: LiveFeedOptions = {}) {
    this.#rules = rules;
    this.#heartbeat = setInterval(() => void this.check(), heartbeatMs);
    this.#heartbeat.unref();
    this.#relay = relay;
    relay?.start({
      received: (calls, leftOut) => {
        for (const call of calls) this.#offer(offeredCallOf(call));
        for (const watcher of this.#watchers) {
          if (watcher.key !== null) watcher.leaveOut(leftOut(watcher.key));
        }
      },
      changed: () => this.#tellOfOthers(),
    });
  }

  /** True while somebody watches, here or at another collector. */
  get isWatched(): boolean {
    return this.#watchers.size > 0 || this.#relay?.isWanted === true;
  }

  /** Sends the calls of batches that have just become durable. `Writer` calls it. */
  publish(batches: readonly StoredBatch[]): void {
    if (!this.isWatched) return;
    const relay = this.#relay?.isWanted === true ? this.#relay : null;
    for (const { host, callers, records } of batches) {
      for (const record of records) {
        if (record.kind !== 'call') continue;
        const caller = callers[record.caller]!;
        const call = {
          body: record.call,
          caller,
          host,
          offender: this.#offenderOf(caller, host.id, record.call),
        };
        this.#offer(call);
        relay?.offer(call);
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
      leftOut: (calls) => {
        this.#counters.calls_left_out += calls;
      },
      stalled: () => {
        this.#counters.watchers_stalled += 1;
      },
      gone: () => {
        this.#watchers.delete(watcher);
        if (watcher.filter !== null) this.#tellRelay();
      },
    });
    this.#watchers.add(watcher);
    if (watcher.filter !== null) this.#tellRelay();
    return watcher.stream;
  }

  /** Sends heartbeats, and closes the feeds of people who are no longer permitted to watch. */
  async check(): Promise<void> {
    await Promise.all([...this.#watchers].map((watcher) => watcher.check()));
  }

  counters(): Counters {
    return { ...this.#counters, ...this.#relay?.counters(), watchers: this.#watchers.size };
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const watcher of this.#watchers) watcher.end();
  }

  #offer(call: OfferedCall): void {
    for (const watcher of this.#watchers) watcher.offer(call);
  }

  #tellRelay(): void {
    this.#relay?.watch([...this.#watchers].flatMap(({ filter }) => filter ?? []));
    this.#tellOfOthers();
  }

  #tellOfOthers(): void {
    if (this.#relay === null) return;
    for (const watcher of this.#watchers) {
      if (watcher.key !== null) watcher.offerOthers(this.#relay.stateOf(watcher.key));
    }
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
