/**
 * Looks again and again how far the primary is and how far its standbys are. Everything that was committed before a
 * position of the primary was read is at or before it, so a standby that has replayed up to there has the data of that
 * time, by the clock of the collector. An idle primary stays where it is, and its standbys have the data of now.
 */
import type { Logger } from 'pino';
import { OperatorError } from '../../../common/operator_error.ts';
import type { DatabasePool } from './database_pool.ts';
import { isUnfit, judgeStandby, otherDatabase } from './standby_judgement.ts';
import { failureOf, type StandbyServer } from './standby_server.ts';
import {
  makeMark,
  newestMark,
  type PrimaryPosition,
  readPosition,
  type TimelineMark,
} from './timeline_marks.ts';
import { WalHistory } from './wal_history.ts';

export interface StandbyWatchOptions {
  /** One connection to the primary, of which nothing else is asked. */
  primary: DatabasePool;
  servers: readonly StandbyServer[];
  maxLagUs: number;
  /** False for a command, which changes nothing: it looks for the mark of a collector. */
  makesMarks: boolean;
  /** Null for a command, which says itself what it read. */
  log: Logger | null;
  nowUs: () => number;
}

const INTERVAL_MS = 500;
/** Positions are kept for longer than the limit, so that a lag beyond it is known. */
const KEPT_BEYOND_US = 600_000_000;
/** Marks are forgotten after a longer time. */
const MARK_KEPT_MS = 7 * 24 * 3_600_000;
/** A standby that comes and goes is logged once in this time. */
const LOG_MS = 60_000;

export class StandbyWatch {
  readonly #options: StandbyWatchOptions;
  readonly #history: WalHistory;
  readonly #loggedMs = new Map<StandbyServer, number>();
  readonly #wasFit = new Map<StandbyServer, boolean>();
  #mark: (TimelineMark & { madeMs: number }) | null = null;
  #position: PrimaryPosition | null = null;
  #checking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: StandbyWatchOptions) {
    this.#options = options;
    this.#history = new WalHistory(options.maxLagUs + KEPT_BEYOND_US);
  }

  /** Looks at all servers, and goes on looking. Resolves after the first look. */
  async start(): Promise<void> {
    await this.check();
    this.#next();
  }

  #next(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.check().then(() => this.#next()), INTERVAL_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#checking;
  }

  /** The mark that a standby must have; null where the primary has not been asked successfully yet. */
  get mark(): TimelineMark | null {
    return this.#mark;
  }

  /** Returns what `judgeStandby` demands now. */
  demands() {
    const { maxLagUs, nowUs } = this.#options;
    return { mark: this.#mark, history: this.#history, nowUs: nowUs(), maxLagUs };
  }

  /** Throws `OperatorError` (2) where a server that answers has another database than the primary. */
  requireSameDatabase(): void {
    const other = this.#options.servers.find(({ problem }) => problem?.reason === 'other_database');
    if (other === undefined) return;
    throw new OperatorError(
      2,
      `store_reader cannot be used: ${other.place} is no standby of the database in store, because ${other.problem!.text}. Name standbys of that database, with the same database name, or leave store_reader out.`,
    );
  }

  /** Looks once. Several who want that at once share the look. Never rejects. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  async #check(): Promise<void> {
    await this.#lookAtPrimary();
    await Promise.all(this.#options.servers.map((server) => this.#lookAt(server)));
  }

  async #lookAtPrimary(): Promise<void> {
    const { primary, nowUs, log } = this.#options;
    try {
      const beforeUs = nowUs();
      const found = await primary.session(readPosition);
      if (this.#position !== null && this.#position.timeline !== found.timeline) this.#history.clear();
      this.#position = found;
      this.#history.add(found.position, beforeUs - found.unwrittenMs * 1000);
      const isOld = this.#mark !== null && performance.now() - this.#mark.madeMs > MARK_KEPT_MS;
      if (this.#mark?.timeline !== found.timeline || isOld) await this.#renewMark(found.timeline);
    } catch (error) {
      // The times of its positions grow old, and with them the data of the standbys. Other parts report the primary.
      log?.debug({ reason: (error as Error).message }, 'the position of the primary could not be read');
    }
  }

  async #renewMark(timeline: number): Promise<void> {
    const { primary, makesMarks } = this.#options;
    this.#mark = null;
    const mark = makesMarks ? await makeMark(primary) : await newestMark(primary, timeline);
    this.#mark = mark === null ? null : { ...mark, madeMs: performance.now() };
  }

  async #lookAt(server: StandbyServer): Promise<void> {
    try {
      const found = await server.look(this.#mark?.mark ?? null);
      const other = this.#position === null ? null : otherDatabase(this.#position, found);
      const judgement = other ?? judgeStandby(found, this.demands());
      const isKnown = found.position !== null && found.hasMark && other === null;
      server.asOfUs = isKnown ? this.#history.timeOf(found.position!) : null;
      server.problem = isUnfit(judgement) ? judgement : null;
    } catch (error) {
      server.asOfUs = null;
      server.problem = failureOf(error) ?? {
        reason: 'away',
        text: `it does not answer: ${(error as Error).message}`,
      };
    }
    this.#logChange(server);
  }

  #logChange(server: StandbyServer): void {
    const isFit = server.problem === null;
    if (this.#stopped || this.#wasFit.get(server) === isFit) return;
    const logged = this.#loggedMs.get(server);
    if (logged !== undefined && performance.now() - logged < LOG_MS && !isFit) return;
    this.#wasFit.set(server, isFit);
    this.#loggedMs.set(server, performance.now());
    const { log } = this.#options;
    if (server.problem === null) log?.info({ standby: server.place }, 'a standby answers questions');
    else {
      const { reason, text } = server.problem;
      log?.warn({ standby: server.place, reason, detail: text }, 'a standby cannot answer questions');
    }
  }
}
