/**
 * Calls as they are stored, to everybody who watches. Costs nothing while nobody does. Each watcher has a bounded queue and
 * rate: what does not fit is left out, counted, and the watcher is told how many.
 */
import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';
import type { Call } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import type { ServedCall } from '../contract/served_call.ts';
import type { CallBody, StoredBatch } from '../store/store.ts';
import { type CallerFacts, identityId, workloadIdentity } from '../store/workload_identity.ts';

export interface LiveFilter {
  hosts: readonly string[] | null;
  offenders: readonly string[] | null;
  version: 1 | 2 | null;
  categories: readonly Call['imds.category'][] | null;
  outcomes: readonly Call['outcome'][] | null;
  /** Substring of the path, case ignored. */
  path: string | null;
}

interface Entry {
  body: CallBody;
  caller: CallerFacts;
  host: Call['host'];
  offender: string;
}

const MAX_QUEUED_CALLS = 1000;
/** More than anybody can read, and little enough that one watcher does not slow the collector down. */
const MAX_CALLS_PER_SECOND = 500;
const MAX_CALLS_IN_CHUNK = 100;
/** Who has read nothing for this long has gone, or only holds the place. */
const STALLED_MS = 60_000;
export const MAX_WATCHERS = 200;
/** Feeds of one person, or of one token that several people share; and from one address. */
export const MAX_WATCHERS_OF_PERSON = 20;
export const MAX_WATCHERS_OF_ADDRESS = 50;
/** The last places are for people who watch nothing yet. */
export const RESERVED_WATCHERS = 40;
export const HEARTBEAT_MS = 15_000;

export class LiveFeed {
  readonly #watchers = new Set<Watcher>();
  readonly #identities = new WeakMap<CallerFacts, string>();
  readonly #heartbeat: NodeJS.Timeout;
  #counters = { calls_sent: 0, calls_left_out: 0, watchers_refused: 0, watchers_stalled: 0 };

  constructor(heartbeatMs: number = HEARTBEAT_MS) {
    this.#heartbeat = setInterval(() => this.check(), heartbeatMs);
    this.#heartbeat.unref();
  }

  /** For `Writer`'s hook: batches that have just become durable. */
  publish(batches: readonly StoredBatch[]): void {
    if (this.#watchers.size === 0) return;
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

  /** Returns why there is no room for another feed, or null when there is. */
  refusalOf({ person, address }: Pick<WatcherConnection, 'person' | 'address'>): Refusal | null {
    const watchers = [...this.#watchers];
    const ofPerson = watchers.filter(({ connection }) => connection.person === person).length;
    if (ofPerson >= MAX_WATCHERS_OF_PERSON) return 'person';
    if (watchers.length >= MAX_WATCHERS - (ofPerson === 0 ? 0 : RESERVED_WATCHERS)) return 'all';
    const ofAddress = watchers.filter(({ connection }) => connection.address === address).length;
    return ofAddress >= MAX_WATCHERS_OF_ADDRESS ? 'address' : null;
  }

  /** Returns the body of a server-sent event stream, or null when there are too many already: `refusalOf` says why. */
  watch(filter: LiveFilter, connection: WatcherConnection): ReadableStream<Uint8Array> | null {
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

  /** Sends heartbeats, and parts with those who may not watch any more. */
  check(): void {
    for (const watcher of this.#watchers) watcher.check();
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

  #offenderOf(caller: CallerFacts, hostId: string, body: CallBody): string {
    if (caller.process === null) return identityId(workloadIdentity(caller, hostId, body['source.address']));
    const known = this.#identities.get(caller);
    if (known !== undefined) return known;
    const id = identityId(workloadIdentity(caller, hostId, body['source.address']));
    this.#identities.set(caller, id);
    return id;
  }
}

/** Too many feeds of one person, from one address, or in all. */
export type Refusal = 'person' | 'address' | 'all';

export interface WatcherConnection {
  /** Who watches: the same for every session of one token. */
  person: string;
  address: string;
  /** Asked with every heartbeat: whose token was revoked does not go on watching. */
  mayStay: () => boolean;
  /** Ends the connection of somebody who does not read. */
  cut: () => void;
}

interface Tally {
  sent: (calls: number) => void;
  leftOut: () => void;
  stalled: () => void;
  gone: () => void;
}

class Watcher {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #filter: LiveFilter;
  readonly connection: WatcherConnection;
  readonly #tally: Tally;
  readonly #encoder = new TextEncoder();
  readonly #queue: Entry[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  readonly #rate = new TokenBucket(oneSecond(MAX_CALLS_PER_SECOND), performance.now());
  #leftOut = 0;
  /** When there was last room for more. */
  #roomMs = performance.now();

  constructor(filter: LiveFilter, connection: WatcherConnection, tally: Tally) {
    this.#filter = filter;
    this.connection = connection;
    this.#tally = tally;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // A first line at once, so that the watcher knows that it is connected; and when to come again if not.
        controller.enqueue(this.#encoder.encode('retry: 3000\n: connected\n\n'));
      },
      pull: () => this.#flush(),
      cancel: () => this.#leave(),
    });
  }

  offer(entry: Entry): void {
    if (this.#controller === null || !matches(this.#filter, entry)) return;
    if (this.#queue.length >= MAX_QUEUED_CALLS || this.#rate.tryTake(performance.now()) > 0) {
      this.#leftOut += 1;
      this.#tally.leftOut();
      return;
    }
    this.#queue.push(entry);
    this.#flush();
  }

  check(): void {
    if (this.#controller === null) return;
    if (!this.connection.mayStay()) this.end();
    else if (this.#hasRoom()) {
      this.#roomMs = performance.now();
      this.#flush();
      this.#controller.enqueue(this.#encoder.encode(': heartbeat\n\n'));
    } else if (performance.now() - this.#roomMs > STALLED_MS) {
      this.#tally.stalled();
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
    this.#tally.gone();
  }

  #hasRoom(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0;
  }

  #flush(): void {
    while (this.#hasRoom() && (this.#queue.length > 0 || this.#leftOut > 0)) {
      const entries = this.#queue.splice(0, MAX_CALLS_IN_CHUNK);
      let text = entries
        .map((entry) => `event: call\ndata: ${JSON.stringify(servedCallOf(entry))}\n\n`)
        .join('');
      if (this.#leftOut > 0 && this.#queue.length === 0) {
        text += `event: left_out\ndata: {"calls":${this.#leftOut}}\n\n`;
        this.#leftOut = 0;
      }
      this.#tally.sent(entries.length);
      this.#controller!.enqueue(this.#encoder.encode(text));
    }
  }
}

function servedCallOf({ body, caller, host, offender }: Entry): ServedCall {
  return { ...body, ...caller, host, offender };
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
