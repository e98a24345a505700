/**
 * Insight for many who ask at once and again. Who asks what is being worked out already gets the same answer; an answer that was
 * dear is given out again for a moment, and worked out anew behind the back of those who go on asking. Everybody's page is open
 * in the morning, and asks the same.
 */
import type { Counters } from '../../protocol/records.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type { Insight } from '../insight/insight.ts';
import type { InsightAnswers, RememberedAnswers } from './parts.ts';

/** An answer is given out again for this many times as long as it took: one question keeps some 30 % of a core busy at most. */
const KEPT_PER_COST = 5;
const MAX_KEPT_MS = 5_000;
/** What costs less is asked anew: then a page shows what has just come. */
const CHEAP_MS = 50;
/** Of thousands of hosts an answer takes megabytes. */
const MAX_ANSWERS = 32;

interface Answer {
  value: unknown;
  /** From when on whoever asks has it worked out anew, and when it is forgotten. */
  renewMs: number;
  endMs: number;
}

export class CoalescedInsight implements RememberedAnswers {
  /** What others than the page ask: alerts, exports. */
  readonly fresh: InsightAnswers;
  readonly #inFlight = new Map<string, Promise<unknown>>();
  /** The oldest first. */
  readonly #answers = new Map<string, Answer>();
  readonly #nowMs: () => number;
  #counters = { questions: 0, questions_shared: 0, questions_remembered: 0, renewal_failures: 0 };

  /** `nowMs`: milliseconds that never go back. */
  constructor(insight: InsightAnswers, nowMs: () => number = () => performance.now()) {
    this.fresh = insight;
    this.#nowMs = nowMs;
  }

  overview(...question: Parameters<Insight['overview']>): ReturnType<Insight['overview']> {
    return this.#answer('overview', question, () => this.fresh.overview(...question));
  }
  offenders(...question: Parameters<Insight['offenders']>): ReturnType<Insight['offenders']> {
    return this.#answer('offenders', question, () => this.fresh.offenders(...question));
  }
  offender(...question: Parameters<Insight['offender']>): ReturnType<Insight['offender']> {
    return this.#answer('offender', question, () => this.fresh.offender(...question));
  }
  hosts(...question: Parameters<Insight['hosts']>): ReturnType<Insight['hosts']> {
    return this.#answer('hosts', question, () => this.fresh.hosts(...question));
  }
  host(...question: Parameters<Insight['host']>): ReturnType<Insight['host']> {
    return this.#answer('host', question, () => this.fresh.host(...question));
  }
  groups(...question: Parameters<Insight['groups']>): ReturnType<Insight['groups']> {
    return this.#answer('groups', question, () => this.fresh.groups(...question));
  }
  reconciliation(...question: Parameters<Insight['reconciliation']>): ReturnType<Insight['reconciliation']> {
    return this.#answer('reconciliation', question, () => this.fresh.reconciliation(...question));
  }

  /** Something was changed by hand: whoever did it sees it at once. Answers that are being worked out do not count either. */
  forget(): void {
    this.#answers.clear();
    this.#inFlight.clear();
  }

  counters(): Counters {
    return { ...this.#counters, in_flight: this.#inFlight.size };
  }

  /** Answers are shared: nobody changes one. */
  #answer<T>(method: string, question: unknown[], ask: () => Promise<T>): Promise<T> {
    this.#counters.questions += 1;
    const key = JSON.stringify([method, question.map(asKey)]);
    const nowMs = this.#nowMs();
    const known = this.#answers.get(key);
    if (known !== undefined && nowMs < known.endMs) {
      this.#counters.questions_remembered += 1;
      if (nowMs >= known.renewMs && !this.#inFlight.has(key)) this.#renew(key, ask);
      return Promise.resolve(known.value as T);
    }
    const running = this.#inFlight.get(key);
    if (running !== undefined) {
      this.#counters.questions_shared += 1;
      return running as Promise<T>;
    }
    return this.#ask(key, ask);
  }

  #renew(key: string, ask: () => Promise<unknown>): void {
    // Nobody waits for it: who asks after the answer has ended is told what is wrong.
    this.#ask(key, ask).catch(() => {
      this.#counters.renewal_failures += 1;
    });
  }

  #ask<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const askedMs = this.#nowMs();
    const asked = ask().then(
      (value) => {
        if (this.#inFlight.get(key) === asked) {
          this.#inFlight.delete(key);
          this.#keep(key, value, askedMs);
        }
        return value;
      },
      (error) => {
        if (this.#inFlight.get(key) === asked) this.#inFlight.delete(key);
        throw error;
      },
    );
    this.#inFlight.set(key, asked);
    return asked;
  }

  #keep(key: string, value: unknown, askedMs: number): void {
    const nowMs = this.#nowMs();
    const costMs = nowMs - askedMs;
    this.#answers.delete(key);
    for (const [old, { endMs }] of this.#answers) {
      if (endMs <= nowMs || this.#answers.size >= MAX_ANSWERS) this.#answers.delete(old);
    }
    if (costMs < CHEAP_MS) return;
    const keptMs = Math.min(costMs * KEPT_PER_COST, MAX_KEPT_MS);
    this.#answers.set(key, { value, renewMs: nowMs + keptMs / 2, endMs: nowMs + keptMs });
    setTimeout(() => {
      if (this.#answers.get(key)?.value === value) this.#answers.delete(key);
    }, keptMs).unref();
  }
}

/** Now is rounded up to a whole second. */
const END_NOW_US = 1_000_000;

/**
 * "The last 14 days" is the same question a second later, and its answer says when it ends. A window that ends now and is whole days
 * long was asked for so.
 */
function asKey(part: unknown): unknown {
  if (typeof part !== 'object' || part === null || !('window' in part)) return part;
  const { sinceUs, untilUs } = part.window as Window;
  const spanUs = untilUs - sinceUs;
  const endsNow = Math.abs(untilUs - Date.now() * 1000) <= END_NOW_US;
  return endsNow && spanUs % DAY_US === 0 ? { lastUs: spanUs } : { sinceUs, untilUs };
}
