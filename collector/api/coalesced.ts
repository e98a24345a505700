/**
 * Insight for many who ask at once: who asks what is being worked out already gets the same answer. Everybody's page is
 * open in the morning, and asks the same.
 */
import type { Counters } from '../../protocol/records.ts';
import type { Insight } from '../insight/insight.ts';
import type { InsightAnswers } from './parts.ts';

export class CoalescedInsight implements InsightAnswers {
  readonly #insight: InsightAnswers;
  readonly #inFlight = new Map<string, Promise<unknown>>();
  #counters = { questions: 0, questions_shared: 0 };

  constructor(insight: InsightAnswers) {
    this.#insight = insight;
  }

  overview(...question: Parameters<Insight['overview']>): ReturnType<Insight['overview']> {
    return this.#once('overview', question, () => this.#insight.overview(...question));
  }
  offenders(...question: Parameters<Insight['offenders']>): ReturnType<Insight['offenders']> {
    return this.#once('offenders', question, () => this.#insight.offenders(...question));
  }
  offender(...question: Parameters<Insight['offender']>): ReturnType<Insight['offender']> {
    return this.#once('offender', question, () => this.#insight.offender(...question));
  }
  hosts(...question: Parameters<Insight['hosts']>): ReturnType<Insight['hosts']> {
    return this.#once('hosts', question, () => this.#insight.hosts(...question));
  }
  host(...question: Parameters<Insight['host']>): ReturnType<Insight['host']> {
    return this.#once('host', question, () => this.#insight.host(...question));
  }
  groups(...question: Parameters<Insight['groups']>): ReturnType<Insight['groups']> {
    return this.#once('groups', question, () => this.#insight.groups(...question));
  }
  reconciliation(...question: Parameters<Insight['reconciliation']>): ReturnType<Insight['reconciliation']> {
    return this.#once('reconciliation', question, () => this.#insight.reconciliation(...question));
  }

  counters(): Counters {
    return { ...this.#counters, in_flight: this.#inFlight.size };
  }

  /** Answers are shared: nobody changes one. */
  #once<T>(method: string, question: unknown[], ask: () => Promise<T>): Promise<T> {
    this.#counters.questions += 1;
    const key = JSON.stringify([method, question]);
    const running = this.#inFlight.get(key);
    if (running !== undefined) {
      this.#counters.questions_shared += 1;
      return running as Promise<T>;
    }
    const answer = ask().finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, answer);
    return answer;
  }
}
