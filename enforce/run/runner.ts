/**
 * Carries out a plan: does what `agendaOf` says, and writes every event to the journal before anything follows from it.
 * All decisions are in `enforce/state/` and `enforce/guards/`; this file connects them to the cloud, the collector's
 * findings and the clock.
 */
import { OperatorError } from '../../common/operator_error.ts';
import type { Cloud, CloudError } from '../cloud.ts';
import { errorText } from '../cloud_message.ts';
import type { Plan, PlanStep, Target } from '../plan.ts';
import { type Finding, type NewEvent, type PlanEvent, planEvent } from '../state/events.ts';
import { type Agenda, agendaOf, type Intent, isUnderWay } from '../state/intents.ts';
import { reduce } from '../state/reduce.ts';
import { initialState, type PlanState, type StepState } from '../state/step_state.ts';
import type { Judge, Judgement } from './judge.ts';
import type { Order } from './plan_store.ts';
import { readTargets, sendBack, sendChange } from './target_calls.ts';
import type { Watch } from './watch.ts';
import { Work } from './work.ts';

/** Refused calls and orders are looked for this often. */
const LOOK_MS = 1000;
/** Nothing goes forward when the last look that was answered is older. */
const SEEN_HOLDS_MS = 10_000;
/** AWS limits how often metadata options may be changed; no number is published. */
const BETWEEN_CHANGES_MS = 200;
/**
 * Calls of roll-backs that are under way at once. Each API has its own token bucket in an account and region (EC2
 * developer guide, "Request throttling"), so a fleet that is given back all at once would be throttled.
 */
const RESTORES_AT_ONCE = 5;

export interface RunnerParts {
  plan: Plan;
  /** Events of the journal so far. */
  events: readonly PlanEvent[];
  /** Writes an event durably. Throws if that fails. */
  append: (event: PlanEvent) => void;
  cloudOf: (target: Target) => Cloud;
  judge: Judge;
  watch: Watch;
  takeOrders: (obey: (order: Order) => void) => void;
  /** Called when orders cannot be read, and with null when they can again. Nothing goes forward meanwhile. */
  onOrdersProblem: (problem: string | null) => void;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Resolves after so many milliseconds, or when `signal` is aborted. `isBusy`: calls are under way meanwhile. */
  sleep: (ms: number, signal: AbortSignal, isBusy: boolean) => Promise<void>;
  /** Called after each event that changed the state, for progress and the audit log. */
  onEvent: (event: PlanEvent, state: PlanState) => Promise<void> | void;
}

export class Runner {
  readonly #parts: RunnerParts;
  #state: PlanState;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** When the collector answered last. */
  #seenMs = Number.NEGATIVE_INFINITY;
  /** Why an event could not be written. Nothing follows after that. */
  #failure: { error: unknown } | null = null;
  #ordersProblem: string | null = null;
  #waker = new AbortController();
  /** The end of each task makes the runner look at what is due. */
  readonly #work = new Work({
    ended: () => this.#waker.abort(),
    failed: (error) => {
      this.#failure ??= { error };
    },
  });

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#state = parts.events.reduce(
      (state, event) => reduce(parts.plan, state, event),
      initialState(parts.plan),
    );
  }

  get state(): PlanState {
    return this.#state;
  }

  /**
   * Runs until nothing more happens by itself, or until `signal` is aborted and no roll-back is under way, and returns
   * the state. `orders`: those of the operator to begin with, `begun` for a plan that starts. Throws when an event cannot
   * be written: nothing has followed from it then.
   */
  async run(orders: readonly NewEvent[], signal: AbortSignal): Promise<PlanState> {
    const wake = () => this.#waker.abort();
    signal.addEventListener('abort', wake);
    try {
      if (this.#parts.events.length > 0) await this.#emit({ type: 'taken_over' });
      // Orders that nobody has followed yet are older than those of this run.
      await this.#obeyOrders();
      for (const order of orders) await this.#emit(order);
      while (this.#failure === null && (!signal.aborted || this.#isRollingBack())) {
        this.#waker = new AbortController();
        await this.#obeyOrders();
        const agenda = agendaOf(this.#parts.plan, this.#state, this.#parts.now());
        const isFirstLook = this.#lookedMs === Number.NEGATIVE_INFINITY;
        if (agenda.isDone && this.#work.isIdle && !isFirstLook) break;
        // A look that takes longer than the time between two would keep a plan that is done from its end.
        if (!agenda.isDone || isFirstLook) this.#startLook();
        this.#follow(agenda, signal);
        const restMs = Math.max(1, Math.min(agenda.untilMs - this.#parts.now(), LOOK_MS));
        await this.#parts.sleep(restMs, this.#waker.signal, !this.#work.isIdle);
      }
    } finally {
      signal.removeEventListener('abort', wake);
      // A call that is under way ends first, so that its answer is in the journal.
      await this.#work.settle();
    }
    if (this.#failure !== null) throw this.#failure.error;
    return this.#state;
  }

  /** Begins what is due and not under way: roll-backs and reads side by side, and one thing that goes forward. */
  #follow({ due }: Agenda, signal: AbortSignal): void {
    const reads: PlanStep[] = [];
    for (const intent of due) {
      const { step } = intent;
      switch (intent.do) {
        case 'read':
          if (!this.#work.isBusy(step)) reads.push(step);
          break;
        case 'restore':
          if (this.#work.isBusy(step) || this.#work.count('restore') >= RESTORES_AT_ONCE) break;
          this.#work.start('restore', [step], this.#restore(intent));
          break;
        case 'judge':
        case 'send':
        case 'judge_soak':
          if (this.#work.count('forward') > 0 || this.#work.isBusy(step) || !this.#mayGoForward(signal))
            break;
          if (intent.do === 'judge') this.#work.start('forward', [], this.#judge(step));
          else if (intent.do === 'send') this.#work.start('forward', [step], this.#send(intent));
          else this.#work.start('forward', [], this.#judgeSoak(step));
      }
    }
    for (const steps of Map.groupBy(reads, ({ target }) => `${target.account}/${target.region}`).values()) {
      this.#work.start('read', steps, this.#read(steps));
    }
  }

  /** Nothing goes forward unseen, or after a signal: roll-backs and reads need no collector. */
  #mayGoForward(signal: AbortSignal): boolean {
    const isSeen = Math.abs(this.#parts.now() - this.#seenMs) <= SEEN_HOLDS_MS;
    return !signal.aborted && this.#parts.watch.problem === null && this.#ordersProblem === null && isSeen;
  }

  async #judge(step: PlanStep): Promise<void> {
    const { judge } = this.#parts;
    const judgement = await judge.judge(step, this.#state).catch((error: unknown) => notJudged(error));
    const { result, findings, before, after, wayBack } = judgement;
    await this.#emit({ type: 'judged', step: step.id, result, findings, before, after, way_back: wayBack });
  }

  async #send({ step, before, after }: Extract<Intent, { do: 'send' }>): Promise<void> {
    await this.#emit({ type: 'sending', step: step.id });
    // An order or a refused call that was written meanwhile has been applied: the step may not be sent any more.
    if (this.#state.steps[step.id]!.status !== 'sent') return;
    const options = { planId: this.#parts.plan.id, dryRun: false };
    const answer = await sendChange(this.#cloud(step), step, { before, after }, options);
    const outcome = answer.ok ? 'accepted' : outcomeOf(answer.error);
    const message = answer.ok ? '' : errorText(answer.error);
    await this.#emit({
      type: 'answered',
      step: step.id,
      outcome,
      message,
      after: answer.ok ? answer.value.after : null,
    });
    await this.#parts.sleep(BETWEEN_CHANGES_MS, new AbortController().signal, false);
  }

  async #restore({ step, before }: Extract<Intent, { do: 'restore' }>): Promise<void> {
    await this.#emit({ type: 'restoring', step: step.id });
    const { plan } = this.#parts;
    const { attempts: attempt, isEndpointOn } = this.#state.steps[step.id]!;
    const options = { planId: plan.id, attempt, isEndpointOn, dryRun: false };
    const answer = await sendBack(this.#cloud(step), step, before, options);
    const outcome = answer.ok ? 'accepted' : outcomeOf(answer.error);
    await this.#emit({
      type: 'restored',
      step: step.id,
      outcome,
      message: answer.ok ? '' : errorText(answer.error),
    });
  }

  /** Reads steps of one account and region. */
  async #read(steps: readonly PlanStep[]): Promise<void> {
    const asked = steps.map((step) => ({ step, own: this.#state.steps[step.id]! }));
    const reads = await readTargets(this.#cloud(steps[0]!), steps);
    for (const { step, own } of asked) {
      // A description of before is no answer about what has been sent since.
      if (!isSameStage(own, this.#state.steps[step.id]!)) continue;
      const read = reads.get(step.id)!;
      if (read.ok) {
        const { current, isPending } = read.value;
        await this.#emit({ type: 'read', step: step.id, current, is_pending: isPending });
      } else {
        await this.#emit({ type: 'read_failed', step: step.id, message: errorText(read.error) });
      }
    }
  }

  /** Reads the value back before the end of a soak is judged: somebody may have undone it. */
  async #judgeSoak(step: PlanStep): Promise<void> {
    const own = this.#state.steps[step.id]!;
    await this.#read([step]);
    if (this.#state.steps[step.id]!.status !== 'soaking') return;
    const { result, findings } = await this.#parts.judge.judgeSoak(step, own.sentMs ?? own.sinceMs);
    await this.#emit({ type: 'soak_judged', step: step.id, result, findings });
  }

  /** Looks for refused calls, and for time that was watched. A slow guard or a slow call delays it not. */
  #startLook(): void {
    const nowMs = this.#parts.now();
    if (this.#work.count('look') > 0 || Math.abs(nowMs - this.#lookedMs) < LOOK_MS) return;
    this.#lookedMs = nowMs;
    this.#work.start('look', [], this.#look(nowMs));
  }

  async #look(nowMs: number): Promise<void> {
    const events = await this.#parts.watch.look(this.#state, nowMs);
    for (const event of events) await this.#emit(event);
    if (this.#parts.watch.problem === null) this.#seenMs = this.#parts.now();
  }

  async #obeyOrders(): Promise<void> {
    const orders: Order[] = [];
    let problem: string | null = null;
    try {
      this.#parts.takeOrders((order) => {
        // It is durable before its file is deleted.
        this.#write(order);
        orders.push(order);
      });
    } catch (error) {
      if (this.#failure !== null) throw error;
      // A roll-back does not end because an order cannot be read.
      problem = (error as Error).message;
    }
    if (problem !== this.#ordersProblem) this.#parts.onOrdersProblem(problem);
    this.#ordersProblem = problem;
    for (const order of orders) await this.#parts.onEvent({ ...order, at: this.#state.nowMs }, this.#state);
  }

  #isRollingBack(): boolean {
    return Object.values(this.#state.steps).some(
      (step) => step.status === 'rolling_back' || (step.undo !== null && isUnderWay(step)),
    );
  }

  #cloud({ target }: PlanStep): Cloud {
    return this.#parts.cloudOf(target);
  }

  async #emit(event: NewEvent): Promise<void> {
    const stamped = this.#write(event);
    await this.#parts.onEvent(stamped, this.#state);
  }

  #write(event: NewEvent): PlanEvent {
    if (this.#failure !== null) throw this.#failure.error;
    let stamped: PlanEvent;
    try {
      // The next runner reads what is written, so texts are cut to their bounds first.
      stamped = planEvent.parse({ ...event, at: Math.max(this.#parts.now(), this.#state.nowMs) });
      this.#parts.append(stamped);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    this.#state = reduce(this.#parts.plan, this.#state, stamped);
    return stamped;
  }
}

/** A collector that goes away while it is asked makes the step wait. */
function notJudged(error: unknown): Judgement {
  const text = `The step could not be judged: ${(error as Error).message}`;
  const findings: Finding[] = [{ guard: 'collector', result: 'wait', text }];
  return { result: 'wait', findings, before: null, after: null, wayBack: 'unknown' };
}

/** Returns whether nothing was sent or decided about a step between two states. Watched time may have grown. */
function isSameStage(a: StepState, b: StepState): boolean {
  return a.status === b.status && a.restore === b.restore && a.sentMs === b.sentMs;
}

function outcomeOf({ kind }: CloudError): 'throttled' | 'lost' | 'failed' {
  return kind === 'throttled' || kind === 'lost' ? kind : 'failed';
}

/** Throws `OperatorError` if the plan cannot be begun in its present state. */
export function checkBeginning(state: PlanState, id: string): void {
  if (state.phase === 'new') return;
  throw new OperatorError(
    1,
    `The plan ${id} was begun already. "imdswatch enforce status ${id}" shows it, "imdswatch enforce resume ${id}" goes on.`,
  );
}
