/**
 * Keeps the judgement of all hosts, and what is made of it, for all collectors that share a database. One of them works it
 * out again and again, and stores it. All read it, also those that have just started, so that no page waits for a judgement
 * of 100,000 hosts.
 *
 * A judgement is always worked out anew, by the functions that answer without one. Nothing is carried over from the one
 * before: hosts report every minute, and each minute that passes can change a verdict.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { GROUP_ATTRIBUTES, type GroupAttribute } from '../common/group_id.ts';
import type { Counters } from '../protocol/records.ts';
import type { AdminStore } from './admin/admin_store.ts';
import type { KeptHead } from './admin/kept_answers.ts';
import type { Lease } from './admin/lease.ts';
import type { Group } from './contract/group.ts';
import { DAY_US, type Window } from './contract/window.ts';
import type { Held } from './insight/fix_first.ts';
import type { Fleet } from './insight/group/fleet.ts';
import type { HostBoard } from './insight/host_board.ts';
import type { Insight } from './insight/insight.ts';
import type { Kept, KeptAnswers } from './insight/kept/kept_answers.ts';
import { boardOfParts, partsOfBoard } from './insight/kept/kept_board.ts';
import { fleetOfParts, partsOfFleet } from './insight/kept/kept_fleet.ts';
import { heldOfParts, partsOfHeld } from './insight/kept/kept_held.ts';
import { inParts, packParts, unpackParts } from './insight/kept/packed_parts.ts';
import type { UntriagedOffender } from './insight/offenders.ts';
import { dataAsOfUs, noteKept, noteNotKept, readingOf } from './store/reading.ts';
import type { PlaceSums, StoreQueries } from './store/store.ts';

/** A collector that has ended is replaced after this time. */
export const JUDGEMENT_LEASE_MS = 30_000;
/** A collector looks so often whether there are newer answers. */
const LOOK_MS = 5_000;
/** Time for what is under way when the collector ends. */
const STOP_MS = 2_000;
/** After a start agents deliver the records that they have kept. */
const FIRST_MS = 15_000;
/** The pause after a round is so many times as long as the round, within the bounds. */
const PAUSE_PER_COST = 4;
const MIN_PAUSE_MS = 20_000;
const MAX_PAUSE_MS = 60_000;
/** An older answer is not given: whoever asks waits for a new one, and it is counted. */
const MAX_AGE_US = 180_000_000;
/** By so much the clocks of collectors may differ. */
const MAX_AHEAD_US = 30_000_000;
/** Fewer hosts are judged within half a second when somebody asks. */
const LEAST_HOSTS = 5_000;
const ITEMS_IN_PART = 500;
const PLACES_IN_PART = 10;

interface KeptPlaces {
  window: Window;
  places: PlaceSums[];
}

export interface KeptJudgementOptions {
  admin: Pick<AdminStore, 'keptAnswers' | 'transaction' | 'leases' | 'isShared'>;
  lease: Pick<Lease, 'take' | 'start' | 'stop' | 'held'>;
  insight: Pick<Insight, 'boardWithHeld' | 'untriaged' | 'placeSums' | 'fleet' | 'groupsOf'>;
  store: Pick<StoreQueries, 'profiles' | 'hostIds'>;
  /** Returns settings, rules and release: an answer of a collector with others is not used. */
  madeWith: () => unknown;
  defaultWindowDays: number;
  log: Logger;
  leastHosts?: number;
  /** Time from one look to the next, in milliseconds. */
  lookMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** An answer in memory, with the hash of what it was made with. */
interface KnownAnswer extends Kept<unknown> {
  madeWith: string;
}

/** Reads the kept form of an answer. */
type Reader<T> = (parts: readonly unknown[], asOfUs: number) => Promise<T>;

export class KeptJudgement implements KeptAnswers {
  readonly #options: KeptJudgementOptions;
  /** That of the round which goes on. */
  #roundMadeWith = '';
  readonly #heads = new Map<string, KeptHead>();
  readonly #known = new Map<string, KnownAnswer>();
  readonly #loading = new Map<string, Promise<Kept<unknown> | null>>();
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #dueMs: number;
  readonly #startedUs: number;
  /** Tells whether the fleet is large; null until this collector has judged it. */
  #isNeeded: boolean | null = null;
  /** The end of the last round. */
  #endedMs = Number.NEGATIVE_INFINITY;
  #counters = {
    rounds: 0,
    round_failures: 0,
    rounds_not_needed: 0,
    answers_given: 0,
    too_old: 0,
    made_otherwise: 0,
    loads: 0,
    load_failures: 0,
  };

  constructor(options: KeptJudgementOptions) {
    this.#options = options;
    this.#dueMs = performance.now() + FIRST_MS;
    this.#startedUs = this.#nowUs();
  }

  /** Reads what there is, then goes on to look and to judge. Kept answers are never needed, so no error is thrown. */
  async start(): Promise<void> {
    this.#options.lease.start(() => {});
    await this.look();
    for (const name of this.#heads.keys()) void this.#load(name).catch(() => {});
    // Whoever finds nothing that can be used makes it without a delay.
    if (this.#heads.size > 0 && this.#usable('board') === null) this.#dueMs = performance.now();
    this.#schedule();
  }

  /** Ends. A judgement of all hosts takes longer than an end may: nothing more is stored of one that goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const patience = new AbortController();
    const late = sleep(STOP_MS, null, { signal: patience.signal, ref: false }).catch(() => null);
    await Promise.race([this.#running, late]);
    patience.abort();
    await this.#options.lease.stop();
  }

  counters(): Counters {
    return { ...this.#counters, board_age_seconds: this.#ageSeconds() };
  }

  async board(): Promise<HostBoard | null> {
    const kept = await this.#get('board');
    return kept === null ? null : (kept.value as HostBoard);
  }
  held(): Promise<Kept<Held> | null> {
    return this.#get('held') as Promise<Kept<Held> | null>;
  }
  groups(by: GroupAttribute): Promise<Kept<Group[]> | null> {
    if (typeof by !== 'string') return Promise.resolve(null);
    return this.#get(`groups ${by}`) as Promise<Kept<Group[]> | null>;
  }
  fleet(): Promise<Kept<Fleet> | null> {
    return this.#get('fleet') as Promise<Kept<Fleet> | null>;
  }
  offenders(): Promise<Kept<UntriagedOffender[]> | null> {
    return this.#get('offenders') as Promise<Kept<UntriagedOffender[]> | null>;
  }

  places(): Promise<Kept<KeptPlaces> | null> {
    return this.#get('places') as Promise<Kept<KeptPlaces> | null>;
  }

  renewSoon(): void {
    this.#dueMs = Math.min(this.#dueMs, this.#endedMs + MIN_PAUSE_MS);
  }

  /** Looks which answers are stored. */
  async look(): Promise<void> {
    try {
      const heads = await this.#options.admin.keptAnswers.heads();
      this.#heads.clear();
      for (const head of heads) this.#heads.set(head.name, head);
    } catch (error) {
      this.#counters.load_failures += 1;
      this.#options.log.debug({ reason: (error as Error).message }, 'kept answers could not be listed');
    }
  }

  /** Judges all hosts, and stores what comes of it, if this collector has the lease. */
  async round(): Promise<void> {
    const { lease, log } = this.#options;
    if ((await lease.take()) === null) return;
    const beganMs = performance.now();
    try {
      await this.#judge();
    } catch (error) {
      // The store that a judgement reads is closed by now.
      if (this.#stopped) return;
      this.#counters.round_failures += 1;
      log.warn(
        { reason: (error as Error).message },
        'all hosts could not be judged in advance; pages wait for a judgement until the next round',
      );
    }
    this.#endedMs = performance.now();
    const pauseMs = (this.#endedMs - beganMs) * PAUSE_PER_COST;
    this.#dueMs = this.#endedMs + Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, pauseMs));
  }

  async #judge(): Promise<void> {
    const { insight, admin, store, defaultWindowDays, leastHosts = LEAST_HOSTS } = this.#options;
    // A judgement takes seconds of the database, so that the hosts are counted before.
    this.#isNeeded = (await store.hostIds(null, null, leastHosts)).length >= leastHosts;
    if (!this.#isNeeded) {
      this.#counters.rounds_not_needed += 1;
      await this.look();
      if (this.#heads.size > 0) await admin.keptAnswers.clear();
      this.#heads.clear();
      this.#known.clear();
      return;
    }
    this.#roundMadeWith = this.#madeWith();
    const untilUs = Math.ceil(this.#nowUs() / 1e6) * 1e6;
    const question = { window: { sinceUs: untilUs - defaultWindowDays * DAY_US, untilUs } };
    const { board, held } = (await readingOf(() => insight.boardWithHeld(question))).value;
    await this.#keep('board', board.asOfUs, board, partsOfBoard(board));
    await this.#keep('held', board.asOfUs, held, partsOfHeld(held));
    // The data that a question reads can be older than the question.
    const askedUs = this.#nowUs();
    const { value: offenders, reading } = await readingOf(() => insight.untriaged(question));
    const offendersUs = Math.min(askedUs, reading.asOfUs ?? askedUs);
    await this.#keep('offenders', offendersUs, offenders, inParts(offenders, ITEMS_IN_PART));
    const groupsUs = this.#nowUs();
    await readingOf(async () => {
      const fleet = await insight.fleet(question);
      for (const by of GROUP_ATTRIBUTES) {
        const groups = await insight.groupsOf(fleet, by);
        const parts = inParts(groups, ITEMS_IN_PART);
        await this.#keep(`groups ${by as string}`, dataAsOfUs(groupsUs), groups, parts);
      }
      await this.#keep('fleet', dataAsOfUs(groupsUs), fleet, partsOfFleet(fleet));
    });
    // The database goes through the sums of all hosts for these, so that they are the first to fail on a busy one.
    const placesUs = this.#nowUs();
    const sums = await readingOf(() => insight.placeSums(question));
    const { window, places } = sums.value;
    const parts = [window, ...inParts(places, PLACES_IN_PART)];
    await this.#keep('places', Math.min(placesUs, sums.reading.asOfUs ?? placesUs), sums.value, parts);
    this.#counters.rounds += 1;
  }

  /** Throws `LeaseLostError` where another collector judges by now. */
  async #keep(name: string, asOfUs: number, value: unknown, parts: readonly unknown[]): Promise<void> {
    const { admin, lease } = this.#options;
    const madeWith = this.#roundMadeWith;
    const head = { name, asOfUs, madeWith };
    const packed = await packParts(parts);
    if (this.#stopped) throw new Error('this collector is ending');
    if (madeWith !== this.#madeWith()) throw new Error('the rules of owners have changed meanwhile');
    const { held } = lease;
    await admin.transaction('kept_answers', async (store) => {
      if (held !== null) await store.leases.check(held);
      await store.keptAnswers.put({ ...head, parts: packed });
    });
    this.#heads.set(name, head);
    this.#known.set(name, { value, asOfUs, madeWith });
  }

  async #get(name: string): Promise<Kept<unknown> | null> {
    const known = this.#usable(name);
    const found = known ?? (this.#isUsable(this.#heads.get(name)) ? await this.#load(name) : null);
    if (found !== null) {
      this.#counters.answers_given += 1;
      noteKept(found.asOfUs);
      return found;
    }
    const head = this.#heads.get(name);
    if (head === undefined) {
      if (this.#isNeeded ?? this.#nowUs() - this.#startedUs < MAX_AGE_US) noteNotKept('none_yet');
    } else if (head.madeWith !== this.#madeWith()) {
      this.#counters.made_otherwise += 1;
      noteNotKept('other_settings');
    } else {
      this.#counters.too_old += 1;
      noteNotKept('too_old');
    }
    return null;
  }

  #usable(name: string): Kept<unknown> | null {
    const known = this.#known.get(name);
    return this.#isUsable(known) ? known : null;
  }

  #isUsable<T extends Omit<KeptHead, 'name'>>(head: T | undefined): head is T {
    return head !== undefined && head.madeWith === this.#madeWith() && this.#isOfNow(head.asOfUs);
  }

  #isOfNow(asOfUs: number): boolean {
    const ageUs = this.#nowUs() - asOfUs;
    return ageUs >= -MAX_AHEAD_US && ageUs <= MAX_AGE_US;
  }

  /** Reads an answer from the database. Resolves to null where it is gone, or cannot be used or read. */
  #load(name: string): Promise<Kept<unknown> | null> {
    let loading = this.#loading.get(name);
    if (loading === undefined) {
      loading = this.#read(name)
        .catch((error: Error) => {
          this.#counters.load_failures += 1;
          this.#options.log.warn({ name, reason: error.message }, 'a kept answer could not be read');
          return null;
        })
        .finally(() => this.#loading.delete(name));
      this.#loading.set(name, loading);
    }
    return loading;
  }

  async #read(name: string): Promise<Kept<unknown> | null> {
    const stored = await this.#options.admin.keptAnswers.read(name);
    if (stored === null || !this.#isUsable(stored)) return null;
    const value = await this.#readerOf(name)(await unpackParts(stored.parts), stored.asOfUs);
    this.#counters.loads += 1;
    const kept = { value, asOfUs: stored.asOfUs, madeWith: stored.madeWith };
    this.#known.set(name, kept);
    return kept;
  }

  #readerOf(name: string): Reader<unknown> {
    if (name === 'held') return async (parts) => heldOfParts(parts);
    const { store } = this.#options;
    if (name === 'places')
      return async ([window, ...places]): Promise<KeptPlaces> => ({
        window: window as Window,
        places: places.flat() as PlaceSums[],
      });
    if (name === 'board') return async (parts, asOfUs) => boardOfParts(parts, asOfUs, await store.profiles());
    if (name === 'fleet') return async (parts) => fleetOfParts(parts, await store.profiles());
    return async (parts) => parts.flat();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#step().finally(() => this.#schedule());
    }, this.#options.lookMs ?? LOOK_MS);
    this.#timer.unref();
  }

  async #step(): Promise<void> {
    try {
      if (performance.now() >= this.#dueMs) await this.round();
      await this.look();
      // Answers that were asked for once are at hand for the next question.
      for (const [name, { asOfUs }] of this.#known) {
        const head = this.#heads.get(name);
        if (head === undefined) this.#known.delete(name);
        else if (head.asOfUs !== asOfUs && this.#isUsable(head)) await this.#load(name);
      }
    } catch (error) {
      // The database is away. The next step tries again, and pages meet the same error.
      this.#options.log.debug({ reason: (error as Error).message }, 'kept answers could not be renewed');
    }
  }

  #madeWith(): string {
    return createHash('sha256').update(JSON.stringify(this.#options.madeWith())).digest('hex').slice(0, 16);
  }

  #ageSeconds(): number {
    const head = this.#heads.get('board');
    return head === undefined ? 0 : Math.round((this.#nowUs() - head.asOfUs) / 1e6);
  }

  #nowUs(): number {
    return (this.#options.now ?? Date.now)() * 1000;
  }
}
