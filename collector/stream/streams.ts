/**
 * Sends streams of records to their destinations, each independently. Of several collectors that share a database the one
 * with the lease does so. The store and the admin data are the queue, so that a receiver that is away loses nothing that
 * retention still has.
 */
import type { Logger } from 'pino';
import type { AdminStore } from '../admin/admin_store.ts';
import type { DestinationRow } from '../admin/destination_row.ts';
import type { Lease } from '../admin/lease.ts';
import { LeaseLostError } from '../admin/leases.ts';
import type { CursorRow } from '../admin/stream_cursors.ts';
import { byNameService, type Resolve } from '../alert/guarded_connect.ts';
import { StreamRequest } from '../alert/http/stream_request.ts';
import type { StreamName } from '../contract/export.ts';
import type { StreamState } from '../contract/stream_state.ts';
import { type RetentionBounds, warningOf } from './retention_warning.ts';
import { StreamCounters } from './stream_counters.ts';
import { StreamDelivery } from './stream_delivery.ts';
import type { StreamSource, Waiting } from './stream_source.ts';

const INTERVAL_MS = 1000;
/** Time after which another collector takes over from one that has ended without a word. */
export const STREAMS_LEASE_MS = 12_000;
/** The number of waiting records is stored for lists at most this often while nothing is sent. */
const NOTE_US = 5_000_000;
const PRUNE_US = 10_000_000;
/** Arrivals are not noted any more when no destination wanted calls for this time. */
const UNWANTED_US = 600_000_000;

export type Streamed = Exclude<StreamName, 'alerts'>;

export interface StreamsOptions {
  admin: Pick<AdminStore, 'alerts' | 'cursors' | 'isShared'>;
  lease: Lease;
  sources: Readonly<Record<Streamed, StreamSource>>;
  /** Ends the notes of arrivals in the store, unless somebody follows them. Called again and again while no destination wants calls. */
  forgetCalls: () => Promise<void>;
  /** Reports findings that have changed, where it is time. Called while some destination wants them. */
  report: () => Promise<void>;
  bounds: () => Promise<RetentionBounds>;
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
  resolve?: Resolve;
}

interface Known {
  config: string;
  delivery: StreamDelivery;
  /** Ends attempts, where the destination is changed or the collector stops. */
  abort: AbortController;
  notedUs: number;
}

export class Streams {
  readonly #options: StreamsOptions;
  readonly #now: () => number;
  readonly #counters = new StreamCounters();
  readonly #known = new Map<string, Known>();
  readonly #running = new Map<string, Promise<void>>();
  #roundsFailed = 0;
  #timer: NodeJS.Timeout | null = null;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;
  #epoch: number | null = null;
  #prunedUs = 0;
  #wantedUs: number;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#wantedUs = this.#nowUs();
  }

  start(): void {
    this.#options.lease.start(() => {});
    this.#schedule(0);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { abort } of this.#known.values()) abort.abort();
    await this.#round;
    await Promise.all(this.#running.values());
    for (const { delivery } of this.#known.values()) delivery.close();
    await this.#options.lease.stop();
  }

  counters(): Record<string, number> {
    return { rounds_failed: this.#roundsFailed };
  }

  /** Returns what this collector did for each destination, and what waits where it is the one that sends. */
  states(): readonly StreamState[] {
    return this.#counters.all();
  }

  /**
   * Starts a round of each destination that has none running, and resolves when these have ended. Rejects where the databases
   * fail.
   */
  async sendDue(): Promise<void> {
    await this.#begin();
    await Promise.all(this.#running.values());
  }

  async #begin(): Promise<void> {
    const { admin, lease, sources, report } = this.#options;
    const held = await lease.take();
    if (held === null) {
      this.#forget(() => true);
      this.#counters.forgetWaiting();
      this.#epoch = null;
      return;
    }
    const destinations = (await admin.alerts.destinations()).filter(({ stream }) => stream !== 'alerts');
    this.#forget((id) => !destinations.some((each) => each.id === id));
    this.#counters.keep(new Set(destinations.map(({ id }) => id)));
    for (const each of destinations) this.#counters.countsOf(each);
    await this.#wantCalls(destinations, held.epoch);
    if (destinations.length === 0) {
      await this.#prune(destinations, new Map());
      return;
    }
    if (destinations.some(({ stream }) => stream === 'findings')) await report();
    const cursors = new Map((await admin.cursors.all()).map((cursor) => [cursor.destination, cursor]));
    for (const destination of destinations) {
      const cursor = cursors.get(destination.id);
      if (cursor === undefined || this.#running.has(destination.id)) continue;
      const source = sources[destination.stream as Streamed];
      if (cursor.position === null) {
        await admin.cursors.begin(destination.id, await source.begin(), this.#nowUs(), lease.held);
        continue;
      }
      const round = this.#send(destination, cursor, source)
        .catch((error: Error) => {
          if (error instanceof LeaseLostError) return;
          this.#roundsFailed += 1;
          const fields = { destination: destination.name, error: error.message };
          this.#options.log.error(fields, 'a stream could not be read, or its place could not be stored');
        })
        .finally(() => this.#running.delete(destination.id));
      this.#running.set(destination.id, round);
    }
    await this.#prune(destinations, cursors);
  }

  async #send(destination: DestinationRow, cursor: CursorRow, source: StreamSource): Promise<void> {
    let position = cursor.position!;
    const waiting = await source.waiting(position);
    const known = await this.#knownOf(destination);
    position = known === null ? position : await known.delivery.skip(position, waiting.deletedUpTo);
    await this.#note(destination, cursor, waiting, known);
    if (known === null || !destination.enabled) return;
    if (!known.delivery.isDue(waiting.behind, waiting.waitsSinceUs)) return;
    position = await known.delivery.run(position);
    if (!known.abort.signal.aborted)
      await this.#note(destination, cursor, await source.waiting(position), known, true);
  }

  /** Returns null where the configuration is wrong, which the list of destinations shows. */
  async #knownOf(destination: DestinationRow): Promise<Known | null> {
    const { id, stream, config } = destination;
    const text = JSON.stringify(config);
    const found = this.#known.get(id);
    if (found?.config === text) return found;
    this.#forget((each) => each === id);
    const { admin, lease, sources, log, resolve = byNameService } = this.#options;
    const noteError = (error: string) => admin.alerts.noteError(id, error);
    const nowUs = () => this.#nowUs();
    if (config.kind !== 'http') throw new Error(`A destination of kind ${config.kind} takes no streams.`);
    let request: StreamRequest;
    try {
      request = await StreamRequest.open(config, stream, resolve, this.#now);
    } catch (error) {
      await noteError((error as Error).message);
      return null;
    }
    const abort = new AbortController();
    if (this.#isStopped) abort.abort();
    const delivery = new StreamDelivery({
      ...{ destination, request, source: sources[stream as Streamed], cursors: admin.cursors, noteError },
      ...{ held: () => lease.held, log, nowUs, signal: abort.signal },
      counts: this.#counters.countsOf(destination),
    });
    const known = { config: text, delivery, abort, notedUs: 0 };
    this.#known.set(id, known);
    return known;
  }

  /** Stores what waits, for lists, and warns before records are deleted. */
  async #note(
    { id, name, stream }: DestinationRow,
    cursor: CursorRow,
    { behind, waitsSinceUs, oldestUs }: Waiting,
    known: Known | null,
    isSent = false,
  ): Promise<void> {
    const nowUs = this.#nowUs();
    const secondsBehind = waitsSinceUs === null ? 0 : Math.max(0, (nowUs - waitsSinceUs) / 1e6);
    this.#counters.noteWaiting(id, { records: behind, seconds: secondsBehind });
    if (!isSent && known !== null && nowUs - known.notedUs < NOTE_US && behind > 0) return;
    const isNoted = cursor.behind === 0 && cursor.warning === null && cursor.checkedUs !== null;
    if (!isSent && behind === 0 && isNoted) return;
    if (known !== null) known.notedUs = nowUs;
    const warning =
      behind > 0 && stream === 'calls'
        ? warningOf(behind, oldestUs, await this.#options.bounds(), nowUs)
        : null;
    if (warning !== null && warning !== cursor.warning)
      this.#options.log.warn({ destination: name }, warning);
    await this.#options.admin.cursors.noteWaiting(id, { behind, oldestUs: waitsSinceUs, warning }, nowUs);
  }

  /** Has arrivals noted before the first destination begins, and ends the notes when none is left. */
  async #wantCalls(destinations: readonly DestinationRow[], epoch: number): Promise<void> {
    const nowUs = this.#nowUs();
    if (destinations.some(({ stream }) => stream === 'calls')) {
      this.#wantedUs = nowUs;
      // The collector before this one may have ended the notes just now.
      if (this.#epoch !== epoch) await this.#options.sources.calls.begin();
    } else if (nowUs - this.#wantedUs >= UNWANTED_US) {
      await this.#options.forgetCalls();
      this.#wantedUs = nowUs;
    }
    this.#epoch = epoch;
  }

  /** Deletes from the sources what all destinations have. */
  async #prune(
    destinations: readonly DestinationRow[],
    cursors: ReadonlyMap<string, CursorRow>,
  ): Promise<void> {
    const nowUs = this.#nowUs();
    if (nowUs - this.#prunedUs < PRUNE_US) return;
    this.#prunedUs = nowUs;
    for (const [stream, source] of Object.entries(this.#options.sources)) {
      const positions = destinations
        .filter((each) => each.stream === stream)
        .map(({ id }) => cursors.get(id)?.position ?? null);
      const begun = positions.filter((position) => position !== null);
      // Notes of calls may be there for those who follow them.
      const isNoted = stream === 'calls' && positions.length === 0;
      if (begun.length > 0 || isNoted) await source.passed(Math.min(Number.MAX_SAFE_INTEGER, ...begun));
    }
  }

  #forget(isUnwanted: (id: string) => boolean): void {
    for (const [id, { delivery, abort }] of this.#known) {
      if (!isUnwanted(id)) continue;
      abort.abort();
      delivery.close();
      this.#known.delete(id);
    }
  }

  #schedule(afterMs: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#begin()
        .catch((error: Error) => {
          this.#roundsFailed += 1;
          this.#options.log.error({ error: error.message }, 'streams could not be sent: a database failed');
        })
        .then(() => this.#schedule(INTERVAL_MS));
    }, afterMs);
  }

  #nowUs(): number {
    return this.#now() * 1000;
  }
}
