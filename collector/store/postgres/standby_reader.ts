/**
 * Answers questions of people from a standby, so that heavy ones do not slow the primary. Where no standby can answer,
 * the primary does, and each time that is counted with its reason. What decides an action is never asked here.
 */
import type { Logger } from 'pino';
import { type StandbyProblem, standbyProblem } from '../../contract/storage.ts';
import { currentReading, noteView, type Reading } from '../reading.ts';
import type { StoreQueries } from '../store.ts';
import { DatabasePool, type Session } from './database_pool.ts';
import type { DatabaseAddress } from './database_url.ts';
import { PostgresReader } from './postgres_reader.ts';
import { isUnfit, judgeStandby, type Unfit } from './standby_judgement.ts';
import { ask, failureOf, StandbyServer } from './standby_server.ts';
import { StandbyWatch } from './standby_watch.ts';
import { VIEW, type Views } from './views.ts';

export interface StandbyReaderOptions {
  /** The database that takes changes. */
  primary: DatabaseAddress;
  /** Its standbys. Each host is one. */
  standbys: DatabaseAddress;
  maxLagSeconds: number;
  /** Connections for questions at each standby. */
  readers: number;
  applicationName: string;
  /** False for a command, which changes nothing. */
  makesMarks: boolean;
  log: Logger | null;
  /** Closes what the views of the primary use. */
  onClose?: () => Promise<void>;
  nowUs?: () => number;
}

export interface StandbyState {
  place: string;
  /** From when its data was at the last look. Microseconds since 1970; null where that is not known. */
  asOfUs: number | null;
  /** Null where it can answer. */
  problem: Unfit | null;
}

export interface ReaderState {
  standbys: StandbyState[];
  maxLagSeconds: number;
  /** Questions to the store that a standby answered. */
  answered: number;
  /** Those that the primary answered, by the reason. */
  byPrimary: Record<StandbyProblem, number>;
}

/** The reason of questions to the primary is logged once in this time. */
const LOG_MS = 60_000;
const WATCH_STATEMENT_MS = 5_000;

export class StandbyReader extends PostgresReader implements StoreQueries {
  readonly #views: StandbyViews;

  private constructor(views: StandbyViews) {
    super(views);
    this.#views = views;
  }

  /**
   * Looks at the standbys, and goes on looking. `views`: those of the primary. Throws `OperatorError` (2) where a standby
   * that answers has another database.
   */
  static async open(views: Views, options: StandbyReaderOptions): Promise<StandbyReader> {
    const opened = new StandbyViews(views, options);
    try {
      await opened.start();
      return new StandbyReader(opened);
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  /** From now on, only answers that have everything that was stored until now come from a standby. */
  requireNews(): void {
    this.#views.requireNews();
  }

  state(): ReaderState {
    return this.#views.state();
  }

  /** Looks at all servers now. */
  look(): Promise<void> {
    return this.#views.look();
  }

  close(): Promise<void> {
    return this.#views.close();
  }
}

/** A standby that a transaction cannot be begun on. */
class UnfitError extends Error {
  readonly unfit: Unfit;

  constructor(unfit: Unfit) {
    super(unfit.text);
    this.unfit = unfit;
  }
}

class StandbyViews implements Views {
  readonly #primary: Views;
  readonly #position: DatabasePool;
  readonly #servers: StandbyServer[];
  readonly #watch: StandbyWatch;
  readonly #maxLagSeconds: number;
  readonly #onClose: (() => Promise<void>) | undefined;
  readonly #log: Logger | null;
  readonly #nowUs: () => number;
  readonly #byPrimary = Object.fromEntries(standbyProblem.options.map((reason) => [reason, 0])) as Record<
    StandbyProblem,
    number
  >;
  readonly #logged = new Map<StandbyProblem, { atMs: number; questions: number }>();
  #answered = 0;
  #changedUs = 0;
  #preferred: StandbyServer | null = null;

  constructor(primary: Views, options: StandbyReaderOptions) {
    const { standbys, readers, applicationName, maxLagSeconds, makesMarks, log } = options;
    this.#primary = primary;
    this.#log = log;
    this.#onClose = options.onClose;
    this.#nowUs = options.nowUs ?? (() => Date.now() * 1000);
    this.#maxLagSeconds = maxLagSeconds;
    this.#position = new DatabasePool(options.primary, {
      max: 1,
      applicationName,
      statementMs: WATCH_STATEMENT_MS,
    });
    this.#servers = standbys.hosts.map(
      (host) => new StandbyServer({ ...standbys, hosts: [host] }, { readers, applicationName }),
    );
    this.#watch = new StandbyWatch({
      primary: this.#position,
      servers: this.#servers,
      maxLagUs: maxLagSeconds * 1e6,
      makesMarks,
      log,
      nowUs: this.#nowUs,
    });
  }

  async start(): Promise<void> {
    await this.#watch.start();
    this.#watch.requireSameDatabase();
  }

  requireNews(): void {
    this.#changedUs = this.#nowUs();
  }

  look(): Promise<void> {
    return this.#watch.check();
  }

  state(): ReaderState {
    return {
      standbys: this.#servers.map(({ place, asOfUs, problem }) => ({ place, asOfUs, problem })),
      maxLagSeconds: this.#maxLagSeconds,
      answered: this.#answered,
      byPrimary: { ...this.#byPrimary },
    };
  }

  async close(): Promise<void> {
    await this.#watch.stop();
    await Promise.all([this.#position.close(), ...this.#servers.map((server) => server.close())]);
    await this.#onClose?.();
  }

  async view<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const reading = currentReading();
    // A question outside a reading could be answered by several servers, and time could go back in it.
    if (reading === undefined) return this.#primary.view(work);
    // The newest that the question has read by now. Parts that are read at the same time need not be as new.
    const newestUs = reading.newestUs;
    const server = this.#choose();
    if (isUnfitChoice(server)) return this.#byThePrimary(work, reading, server);
    let asOfUs = 0;
    try {
      const answer = await server.questions.transaction(work, VIEW, async (session) => {
        asOfUs = await this.#requireFit(session, reading, newestUs);
      });
      this.#answered += 1;
      const lagUs = Math.max(0, this.#nowUs() - asOfUs);
      noteView(reading, { asOfUs, lagUs, problem: null });
      return answer;
    } catch (error) {
      const unfit = error instanceof UnfitError ? error.unfit : failureOf(error);
      if (unfit === null) throw error;
      // The next look says whether it is there again.
      if (unfit.reason === 'away') server.problem = unfit;
      return this.#byThePrimary(work, reading, unfit);
    }
  }

  /** Keeps to one standby while it can answer, because another one may have older data. */
  #choose(): StandbyServer | Unfit {
    const fit = this.#servers.filter(({ problem }) => problem === null);
    if (this.#preferred !== null && fit.includes(this.#preferred)) return this.#preferred;
    this.#preferred = fit.toSorted((a, b) => (b.asOfUs ?? 0) - (a.asOfUs ?? 0))[0] ?? null;
    return this.#preferred ?? this.#servers[0]!.problem!;
  }

  /** Returns from when the data is that a transaction sees which begins now. Throws `UnfitError`. */
  async #requireFit(session: Session, reading: Reading, newestUs: number): Promise<number> {
    const found = await ask(session, this.#watch.mark?.mark ?? null);
    const judgement = judgeStandby(found, this.#watch.demands());
    if (isUnfit(judgement)) throw new UnfitError(judgement);
    const { asOfUs } = judgement;
    if (asOfUs < this.#changedUs) {
      throw new UnfitError({
        reason: 'changed',
        text: 'it has not replayed a change that was just made here',
      });
    }
    if (asOfUs < newestUs) {
      // After the primary has answered a part, it answers the rest.
      const [reason = 'behind'] = reading.problems;
      throw new UnfitError({ reason, text: 'its data is older than what the answer has already' });
    }
    return asOfUs;
  }

  async #byThePrimary<T>(
    work: (session: Session) => Promise<T>,
    reading: Reading,
    { reason, text }: Unfit,
  ): Promise<T> {
    this.#byPrimary[reason] += 1;
    this.#logReason(reason, text);
    const beganUs = this.#nowUs();
    const answer = await this.#primary.view(work);
    noteView(reading, { asOfUs: beganUs, lagUs: 0, problem: reason });
    return answer;
  }

  #logReason(reason: StandbyProblem, text: string): void {
    // That is as it should be, and passes within a second.
    if (reason === 'changed') return;
    const nowMs = performance.now();
    const last = this.#logged.get(reason);
    if (last !== undefined && nowMs - last.atMs < LOG_MS) return;
    const questions = this.#byPrimary[reason] - (last?.questions ?? 0);
    this.#logged.set(reason, { atMs: nowMs, questions: this.#byPrimary[reason] });
    this.#log?.warn(
      { reason, detail: text, questions },
      'the primary answered questions that were meant for a standby',
    );
  }
}

function isUnfitChoice(choice: StandbyServer | Unfit): choice is Unfit {
  return !(choice instanceof StandbyServer);
}
