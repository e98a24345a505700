/**
 * Reports a plan's progress to the collector, beside the runner: nothing that is carried out waits for a report. A
 * report that fails is sent again later, with what has changed since. Only the latest state is ever sent, so a collector
 * that is away for long costs no memory.
 */
import { MAX_STEPS_OF_REPORT, type PlanReport, type PlanStepReport } from '../../protocol/plan_report.ts';
import type { Plan } from '../plan.ts';
import type { PlanEvent } from '../state/events.ts';
import type { PlanState, StepState } from '../state/step_state.ts';
import { describeStep, phaseOf, timeOf } from './describe_progress.ts';
import type { PlanReports } from './plan_reports.ts';

/** Changes within this time share a report. */
const GATHER_MS = 300;
/** A process that carries out a plan shows by a report that it is alive. */
const ALIVE_MS = 30_000;
const LONGEST_DELAY_MS = 30_000;
/** Time for the last report when the process ends. */
const CLOSE_MS = 3000;

export interface ProgressReporterParts {
  plan: Plan;
  /** Events of the journal so far, and the state that follows from them. */
  events: readonly PlanEvent[];
  state: PlanState;
  reports: PlanReports;
  /** Called when a report fails after one that did not, and when a report has arrived again (null). */
  onProblem: (message: string | null) => void;
}

export class ProgressReporter {
  readonly #parts: ProgressReporterParts;
  #state: PlanState;
  #events: number;
  #begun: { at: number; by: string } | null;
  #phase: { name: PlanReport['phase']; sinceMs: number };
  /** Steps as the collector has them, as JSON. */
  readonly #sent = new Map<string, string>();
  /** Sequence of the last report that the collector has stored. Null: none yet. */
  #stored: number | null = null;
  /** Steps as they were described last. A step whose state is the same object needs no new description. */
  readonly #described = new Map<string, { of: StepState; step: PlanStepReport; json: string }>();
  #isCarriedOut = true;
  #sending: Promise<boolean> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failures = 0;
  #isClosed = false;

  constructor(parts: ProgressReporterParts) {
    this.#parts = parts;
    this.#state = parts.state;
    this.#events = parts.events.length;
    const begun = parts.events.find((event) => event.type === 'begun');
    this.#begun = begun?.type === 'begun' ? { at: begun.at, by: begun.by } : null;
    const sinceMs = parts.events.at(-1)?.at ?? Date.parse(parts.plan.created);
    this.#phase = { name: phaseOf(parts.plan, parts.state), sinceMs };
  }

  /** Takes an event that was written, and the state after it. Returns at once. */
  note(event: PlanEvent, state: PlanState): void {
    if (event.type === 'begun' && this.#begun === null) this.#begun = { at: event.at, by: event.by };
    this.#state = state;
    this.#events += 1;
    const name = phaseOf(this.#parts.plan, state);
    if (name !== this.#phase.name) this.#phase = { name, sinceMs: state.nowMs };
    if (this.#failures === 0) this.#schedule(GATHER_MS);
  }

  /** Sends what has changed, and then that no process carries out the plan. Waits 3 s at most, and never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#isCarriedOut = false;
    const last = (async () => {
      await this.#sending;
      await this.#flush();
    })();
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS);
    });
    await Promise.race([last, tooLong]);
    clearTimeout(timer);
  }

  #schedule(ms: number): void {
    if (this.#isClosed || this.#sending !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const covered = this.#events;
      this.#sending = this.#flush();
      void this.#sending.then((hasArrived) => {
        this.#sending = null;
        if (!hasArrived) this.#schedule(Math.min(LONGEST_DELAY_MS, 500 * 2 ** Math.min(this.#failures, 10)));
        else this.#schedule(this.#events > covered ? GATHER_MS : ALIVE_MS);
      });
    }, ms);
    // The plan keeps the process running, not its reports.
    this.#timer.unref();
  }

  /** Returns whether the collector has everything now. */
  async #flush(): Promise<boolean> {
    const { plan, onProblem } = this.#parts;
    const state = this.#state;
    const head = this.#head();
    try {
      const changed = this.#changedSteps(state);
      // Without any step the report shows that the process is alive.
      for (let from = 0; from === 0 || from < changed.length; from += MAX_STEPS_OF_REPORT) {
        const steps = changed.slice(from, from + MAX_STEPS_OF_REPORT);
        await this.#send({ ...head, steps, has_more: from + steps.length < changed.length });
      }
      if (this.#sent.size < plan.steps.length) throw new Error('The collector has lost steps of the plan.');
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1) onProblem((error as Error).message);
      return false;
    }
    if (this.#failures > 0) onProblem(null);
    this.#failures = 0;
    return true;
  }

  async #send(report: PlanReport): Promise<void> {
    const { plan, reports } = this.#parts;
    const { steps, sequence_before: before } = await reports.send(plan.id, report);
    for (const step of report.steps) this.#sent.set(step.id, JSON.stringify(step));
    // A collector whose database was restored from a backup has fewer steps, or older ones: everything is sent again.
    const isOlder = this.#stored !== null && (before === null || before < this.#stored);
    if (steps < this.#sent.size || isOlder) this.#sent.clear();
    this.#stored = report.sequence;
  }

  #changedSteps(state: PlanState): PlanStepReport[] {
    const { plan } = this.#parts;
    return plan.steps.flatMap(({ id }, position) => {
      const of = state.steps[id]!;
      let described = this.#described.get(id);
      if (described?.of !== of) {
        const step = describeStep(plan, state, position);
        described = { of, step, json: JSON.stringify(step) };
        this.#described.set(id, described);
      }
      return this.#sent.get(id) === described.json ? [] : [described.step];
    });
  }

  #head(): Omit<PlanReport, 'steps' | 'has_more'> {
    const { plan } = this.#parts;
    return {
      sequence: this.#events,
      created: timeOf(Date.parse(plan.created)),
      created_by: plan.created_by,
      begun: this.#begun === null ? null : timeOf(this.#begun.at),
      begun_by: this.#begun?.by ?? null,
      phase: this.#phase.name,
      phase_since: timeOf(this.#phase.sinceMs),
      phase_reason: this.#phase.name === 'paused' ? this.#state.pausedReason : null,
      is_carried_out: this.#isCarriedOut,
      step_count: plan.steps.length,
      left_out_count: plan.left_out.length,
    };
  }
}
