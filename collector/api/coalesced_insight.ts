/**
 * Insight whose answers are shared, because in the morning the page of every person is open and asks the same
 * questions.
 */
import type { Counters } from '../../protocol/records.ts';
import type { Group } from '../contract/group.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import { placesOf } from '../insight/group/fleet.ts';
import type { HostBoard, HostSelection, PageChoice } from '../insight/host_board.ts';
import type { Insight } from '../insight/insight.ts';
import { type KeptAnswers, NOTHING_KEPT } from '../insight/kept/kept_answers.ts';
import type { GroupBy, HostFilter, Question } from '../insight/question.ts';
import { selectsPlaces } from '../insight/workload_sums.ts';
import { narrows } from '../store/host_filter.ts';
import { dataAsOfUs } from '../store/reading.ts';
import { Coalesced } from './coalesced.ts';
import type { FreshAnswers, RememberedAnswers } from './parts.ts';

/**
 * An answer is kept for this many times as long as it took, so one question keeps at most some 30 % of a core
 * busy.
 */
const KEPT_PER_COST = 5;
const MAX_KEPT_MS = 30_000;
/** An answer about thousands of hosts takes megabytes. */
const MAX_ANSWERS = 32;
const MAX_BOARDS = 2;
/**
 * Verdicts follow reports that come once a minute. Somebody who turns pages slowly need not wait for those of all
 * hosts each time: older ones are shown while new ones are worked out.
 */
const BOARD_KEPT_PER_COST = 40;
/** Prometheus asks once a minute at the latest, and then always finds one. */
const MAX_BOARD_KEPT_MS = 120_000;

export interface CoalescedInsightOptions {
  /** Milliseconds of a clock that never goes back. */
  nowMs?: () => number;
  /** Answers of large fleets. Its offenders are those of `keptDays` days. */
  kept?: KeptAnswers;
  keptDays?: number;
  /** Runs when a person has changed something. */
  onChange?: () => void;
}

export class CoalescedInsight implements RememberedAnswers {
  /** Answers that are always worked out anew, for alerts and exports. */
  readonly fresh: FreshAnswers;
  readonly #answers: Coalesced;
  readonly #kept: KeptAnswers;
  readonly #keptDays: number;
  readonly #asOfUs = new WeakMap<object, number>();
  /** Boards have all hosts: no more than that of now and one of the past are kept. */
  readonly #boards: Coalesced;
  readonly #onChange: () => void;

  constructor(
    insight: FreshAnswers,
    { nowMs, kept = NOTHING_KEPT, keptDays = 0, onChange = () => {} }: CoalescedInsightOptions = {},
  ) {
    this.fresh = insight;
    this.#kept = kept;
    this.#keptDays = keptDays;
    this.#onChange = onChange;
    const lifetime = (costMs: number) => {
      const keepMs = Math.min(costMs * KEPT_PER_COST, MAX_KEPT_MS);
      return { keepMs, renewAfterMs: keepMs / 2 };
    };
    const clock = nowMs === undefined ? {} : { nowMs };
    this.#answers = new Coalesced({ lifetime, maxAnswers: MAX_ANSWERS, ...clock });
    this.#boards = new Coalesced({
      lifetime: (costMs) => ({
        keepMs: Math.min(costMs * BOARD_KEPT_PER_COST, MAX_BOARD_KEPT_MS),
        renewAfterMs: Math.min(costMs * KEPT_PER_COST, MAX_KEPT_MS),
      }),
      maxAnswers: MAX_BOARDS,
      ...clock,
    });
  }

  asOfUs(answer: object): number {
    return this.#asOfUs.get(answer) ?? dataAsOfUs(Date.now() * 1000);
  }

  overview(question: Question, filter: HostFilter): ReturnType<Insight['overview']> {
    return this.#share('overview', [question, filter], async () => {
      const [board, groups] = await Promise.all([this.#board(question), this.#keptGroups(question, filter)]);
      const verdicts = groups?.map(({ verdict }) => verdict);
      return this.fresh.overview(question, filter, board, verdicts);
    });
  }
  offenders(question: Question, filter: HostFilter = {}): ReturnType<Insight['offenders']> {
    const { sinceUs, untilUs } = question.window;
    const isKept = endsNow(question.window) && untilUs - sinceUs === this.#keptDays * DAY_US;
    return this.#share('offenders', [question, filter], async () => {
      if (isKept && !narrows(filter)) {
        const kept = await this.#kept.offenders();
        if (kept !== null) return this.#madeOf(kept.asOfUs, await this.fresh.offendersOf(kept.value));
      } else if (isKept && selectsPlaces(filter)) {
        const kept = await this.#kept.places();
        if (kept !== null) {
          const untriaged = await this.fresh.untriagedOf(kept.value, filter);
          return this.#madeOf(kept.asOfUs, await this.fresh.offendersOf(untriaged));
        }
      }
      return this.fresh.offenders(question, filter);
    });
  }
  offender(...question: Parameters<Insight['offender']>): ReturnType<Insight['offender']> {
    return this.#share('offender', question, () => this.fresh.offender(...question));
  }
  async hostPage(
    question: Question,
    selection: HostSelection,
    page: PageChoice,
  ): ReturnType<Insight['hostPage']> {
    return this.fresh.hostPage(question, selection, page, await this.#board(question));
  }
  host(...question: Parameters<Insight['host']>): ReturnType<Insight['host']> {
    return this.#share('host', question, () => this.fresh.host(...question));
  }
  readinessGroups(
    by: GroupBy,
    question: Question,
    filter: HostFilter = {},
  ): ReturnType<Insight['readinessGroups']> {
    return this.#share('readinessGroups', [by, question, filter], async () => {
      const board = endsNow(question.window) ? await this.#kept.board() : null;
      if (board === null) return this.fresh.readinessGroups(by, question, filter);
      return this.#madeOf(board.asOfUs, await this.fresh.readinessGroups(by, question, filter, board));
    });
  }
  group(...question: Parameters<Insight['group']>): ReturnType<Insight['group']> {
    return this.#share('group', question, () => this.fresh.group(...question));
  }
  async groups(...question: Parameters<Insight['groups']>): ReturnType<Insight['groups']> {
    const [by, { window }, filter = {}] = question;
    const kept = isAboutAll({ window }, filter) ? await this.#kept.groups(by) : null;
    if (kept !== null) return this.#madeOf(kept.asOfUs, kept.value);
    return this.#share('groups', question, async () => {
      const fleet = endsNow(window) ? await this.#kept.fleet() : null;
      if (fleet === null) return this.fresh.groups(...question);
      return this.#madeOf(fleet.asOfUs, await this.fresh.groupsOf(fleet.value, by, filter));
    });
  }
  fixFirst(question: Question, filter: HostFilter = {}, limit?: number): ReturnType<Insight['fixFirst']> {
    return this.#share('fixFirst', [question, filter, limit], async () => {
      const held = isAboutAll(question, filter) ? await this.#kept.held() : null;
      if (held === null) return this.fresh.fixFirst(question, filter, limit);
      return this.fresh.fixFirstOf(held.value, held.asOfUs, limit);
    });
  }
  burnDown(...question: Parameters<Insight['burnDown']>): ReturnType<Insight['burnDown']> {
    return this.#share('burnDown', question, () => this.fresh.burnDown(...question));
  }
  reconciliation(...question: Parameters<Insight['reconciliation']>): ReturnType<Insight['reconciliation']> {
    return this.#share('reconciliation', question, () => this.fresh.reconciliation(...question));
  }

  /**
   * Forgets all answers, so that whoever changed something sees the change at once. What is kept of large fleets is renewed
   * soon instead, and its time is told.
   */
  forget(): void {
    this.#onChange();
    this.#answers.forget();
    this.#boards.forget();
    this.#kept.renewSoon();
  }

  counters(): Counters {
    const boards = this.#boards.counters();
    return Object.fromEntries(
      Object.entries(this.#answers.counters()).map(([name, count]) => [name, count + boards[name]!]),
    );
  }

  /** Returns the Auto Scaling groups that were judged in advance; null where there are none, or a filter divides them. */
  async #keptGroups(question: Question, filter: HostFilter): Promise<Group[] | null> {
    if (isAboutAll(question, filter)) return (await this.#kept.groups('asg'))?.value ?? null;
    const places = placesOf(filter);
    const fleet = places !== null && endsNow(question.window) ? await this.#kept.fleet() : null;
    return fleet === null ? null : this.fresh.groupsOf(fleet.value, 'asg', places!);
  }

  /** Verdicts are about the readiness window, so that only the end of the question's window counts. */
  async #board(question: Question): Promise<HostBoard> {
    const { untilUs } = question.window;
    const isNow = endsNow(question.window);
    const kept = isNow ? await this.#kept.board() : null;
    if (kept !== null) return kept;
    const key = isNow ? 'now' : String(untilUs);
    return this.#boards.answer(key, () => this.fresh.board(question));
  }

  #share<T>(method: string, question: unknown[], ask: () => Promise<T>): Promise<T> {
    return this.#answers.answer(JSON.stringify([method, question.map(asKey)]), async () => {
      const beganUs = Date.now() * 1000;
      return this.#madeOf(beganUs, await ask());
    });
  }

  /** Remembers when an answer was worked out, unless that is known. */
  #madeOf<T>(asOfUs: number, answer: T): T {
    if (typeof answer === 'object' && answer !== null && !this.#asOfUs.has(answer))
      this.#asOfUs.set(answer, asOfUs);
    return answer;
  }
}

/** Tells whether a question is about all hosts as they are now. */
function isAboutAll({ window }: Question, filter: HostFilter): boolean {
  return endsNow(window) && !narrows(filter);
}

/** The end of a window that ends now is rounded up to a whole second. */
const END_NOW_US = 1_000_000;

/**
 * Returns the part of a question that decides the answer. "The last 14 days" is the same question a second
 * later, and its answer says when its window ends. A window that ends now and is whole days long came from
 * such a question.
 */
function asKey(part: unknown): unknown {
  if (typeof part !== 'object' || part === null || !('window' in part)) return part;
  const window = part.window as Window;
  return endsNow(window) ? { lastUs: window.untilUs - window.sinceUs } : window;
}

/** Tells whether a window ends now and is whole days long. */
function endsNow({ sinceUs, untilUs }: Window): boolean {
  const isNow = Math.abs(untilUs - Date.now() * 1000) <= END_NOW_US;
  return isNow && (untilUs - sinceUs) % DAY_US === 0;
}
