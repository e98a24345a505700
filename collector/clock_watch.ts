/** Tells operators where the clock of this collector is not the clock of the database that collectors share. */
import type { Logger } from 'pino';
import type { ClockCheck } from './admin/lease.ts';

/** A clock that stays wrong is logged once in this time. */
const LOG_MS = 10 * 60_000;
const LEFT_TO_OTHERS =
  'it evaluates no alert rules, sends no alerts and no streams, and deletes no old records';

export class ClockWatch implements ClockCheck {
  readonly #log: Logger;
  readonly #nowMs: () => number;
  #aheadMs: number | null = null;
  #isRight = true;
  #loggedMs = Number.NEGATIVE_INFINITY;

  /** `nowMs`: the monotonic clock. */
  constructor(log: Logger, nowMs: () => number = () => performance.now()) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** By how much the clock was ahead when it was last compared; null before that, and for an embedded store. */
  get aheadSeconds(): number | null {
    return this.#aheadMs === null ? null : this.#aheadMs / 1000;
  }

  /** Says what is wrong, and what this collector leaves to others; null where the clock is right. */
  get problem(): string | null {
    if (this.#isRight) return null;
    const aheadMs = this.#aheadMs!;
    return `The clock of this collector is ${secondsOf(aheadMs)} s ${sideOf(aheadMs)} the clock of the database. Until the difference is at most 60 s, ${LEFT_TO_OTHERS}. Another collector whose clock is right does this work. Synchronise both clocks by NTP.`;
  }

  note(aheadMs: number, isRight: boolean): void {
    this.#aheadMs = aheadMs;
    const wasRight = this.#isRight;
    this.#isRight = isRight;
    if (isRight) {
      if (!wasRight) this.#log.info('the clock of this collector agrees with the database again');
      return;
    }
    if (!wasRight && this.#nowMs() - this.#loggedMs < LOG_MS) return;
    this.#loggedMs = this.#nowMs();
    this.#log.error(
      { seconds: secondsOf(aheadMs) },
      `the clock of this collector is ${sideOf(aheadMs)} the clock of the database: until the difference is at most 60 s, ${LEFT_TO_OTHERS}. Synchronise both clocks by NTP`,
    );
  }
}

function sideOf(aheadMs: number): string {
  return aheadMs > 0 ? 'ahead of' : 'behind';
}

function secondsOf(milliseconds: number): number {
  return Math.round(Math.abs(milliseconds) / 1000);
}
