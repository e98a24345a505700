/**
 * Answers that many people ask for at once and again. A question that is being answered already waits for
 * that answer. Expensive answers are kept for a moment, and renewed in the background while people go on
 * asking.
 */
import type { Counters } from '../../protocol/records.ts';
import { currentReading, noteIn, type Reading, readingOf } from '../store/reading.ts';

export interface CoalescedOptions {
  /** Returns for how long an answer is given out that took `costMs`, and after which time it is renewed. */
  lifetime: (costMs: number) => { renewAfterMs: number; keepMs: number };
  maxAnswers: number;
  /** Milliseconds of a clock that never goes back. */
  nowMs?: () => number;
}

/** An answer that took less time is not kept, so that a page shows what has just been stored. */
const CHEAP_MS = 50;

/** A value, and from when the data is that it was made of. */
interface Read<T> {
  value: T;
  reading: Reading;
}

interface Answer {
  read: Read<unknown>;
  /** A question after this time starts a renewal. */
  renewMs: number;
  /** After this time the answer is forgotten. */
  endMs: number;
}

export class Coalesced {
  readonly #lifetime: CoalescedOptions['lifetime'];
  readonly #maxAnswers: number;
  readonly #nowMs: () => number;
  readonly #inFlight = new Map<string, Promise<Read<unknown>>>();
  /** The oldest first. */
  readonly #answers = new Map<string, Answer>();
  readonly #counters = { questions: 0, questions_shared: 0, questions_remembered: 0, renewal_failures: 0 };

  constructor({ lifetime, maxAnswers, nowMs = () => performance.now() }: CoalescedOptions) {
    this.#lifetime = lifetime;
    this.#maxAnswers = maxAnswers;
    this.#nowMs = nowMs;
  }

  /**
   * Returns the answer to the question `key`. Answers are shared: a caller must not change one. The reading of the caller
   * notes from when the data of the answer is.
   */
  async answer<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const { value, reading } = await this.#read(key, ask);
    noteIn(currentReading(), reading);
    return value;
  }

  #read<T>(key: string, ask: () => Promise<T>): Promise<Read<T>> {
    this.#counters.questions += 1;
    const nowMs = this.#nowMs();
    const known = this.#answers.get(key);
    if (known !== undefined && nowMs < known.endMs) {
      this.#counters.questions_remembered += 1;
      if (nowMs >= known.renewMs && !this.#inFlight.has(key)) this.#renew(key, ask);
      return Promise.resolve(known.read as Read<T>);
    }
    const running = this.#inFlight.get(key);
    if (running !== undefined) {
      this.#counters.questions_shared += 1;
      return running as Promise<Read<T>>;
    }
    return this.#ask(key, ask);
  }

  /**
   * Forgets all answers after a change. Answers that are being worked out now are not given to later
   * questions either.
   */
  forget(): void {
    this.#answers.clear();
    this.#inFlight.clear();
  }

  counters(): Counters {
    return { ...this.#counters, in_flight: this.#inFlight.size };
  }

  #renew(key: string, ask: () => Promise<unknown>): void {
    // Nobody waits for a renewal. If its cause lasts, the first question after the answer has ended gets the
    // error.
    this.#ask(key, ask).catch(() => {
      this.#counters.renewal_failures += 1;
    });
  }

  #ask<T>(key: string, ask: () => Promise<T>): Promise<Read<T>> {
    const beganMs = this.#nowMs();
    const pending = readingOf(ask).then(
      (read) => {
        if (this.#inFlight.get(key) === pending) {
          this.#inFlight.delete(key);
          this.#keep(key, read, beganMs);
        }
        return read;
      },
      (error) => {
        if (this.#inFlight.get(key) === pending) this.#inFlight.delete(key);
        throw error;
      },
    );
    this.#inFlight.set(key, pending);
    return pending;
  }

  #keep(key: string, read: Read<unknown>, beganMs: number): void {
    const nowMs = this.#nowMs();
    const costMs = nowMs - beganMs;
    this.#answers.delete(key);
    for (const [old, { endMs }] of this.#answers) {
      if (endMs <= nowMs || this.#answers.size >= this.#maxAnswers) this.#answers.delete(old);
    }
    if (costMs < CHEAP_MS) return;
    const { renewAfterMs, keepMs } = this.#lifetime(costMs);
    this.#answers.set(key, { read, renewMs: nowMs + renewAfterMs, endMs: nowMs + keepMs });
    setTimeout(() => {
      if (this.#answers.get(key)?.read === read) this.#answers.delete(key);
    }, keepMs).unref();
  }
}
