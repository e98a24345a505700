/**
 * Carries out a plan: does what `nextIntent` says, and writes every event to the journal before anything follows from it.
 * All decisions are in `enforce/state/` and `enforce/guards/`; this file connects them to the cloud, the collector's
 * findings and the clock.
 */
import { OperatorError } from '../../common/operator_error.ts';
import type { Cloud, CloudError } from '../cloud.ts';
import { errorText } from '../cloud_message.ts';
import type { Plan, PlanStep, Target } from '../plan.ts';
import type { NewEvent, PlanEvent } from '../state/events.ts';
import { type Intent, isUnderWay, nextIntent } from '../state/intents.ts';
import { reduce } from '../state/reduce.ts';
import { initialState, type PlanState } from '../state/step_state.ts';
import type { Judge } from './judge.ts';
import type { Order } from './plan_store.ts';
import { readTarget, sendBack, sendChange } from './target_calls.ts';
import type { Watch } from './watch.ts';

/** Refused calls and orders are looked for this often. */
const LOOK_MS = 1000;
/** AWS limits how often metadata options may be changed; no number is published. */
const BETWEEN_CHANGES_MS = 200;

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
  /** Milliseconds since 1970. */
  now: () => number;
  /** Resolves after so many milliseconds, or when `signal` is aborted. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Called after each event that changed the state, for progress and the audit log. */
  onEvent: (event: PlanEvent, state: PlanState) => Promise<void> | void;
}

export class Runner {
  readonly #parts: RunnerParts;
  #state: PlanState;
  #lookedMs = Number.NEGATIVE_INFINITY;

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
   * the state. `orders`: those of the
   * operator to begin with, `begun` for a plan that starts. Throws when an event cannot be written: nothing has followed
   * from it then.
   */
  async run(orders: readonly NewEvent[], signal: AbortSignal): Promise<PlanState> {
    if (this.#parts.events.length > 0) await this.#emit({ type: 'taken_over' });
    // Orders that nobody has followed yet are older than those of this run.
    await this.#obeyOrders();
    for (const order of orders) await this.#emit(order);
    while (!signal.aborted || this.#isRollingBack()) {
      await this.#obeyOrders();
      await this.#look();
      const intent = nextIntent(this.#parts.plan, this.#state, this.#parts.now());
      if (intent.do === 'done') break;
      await this.#follow(intent, signal);
    }
    return this.#state;
  }

  async #follow(intent: Exclude<Intent, { do: 'done' }>, signal: AbortSignal): Promise<void> {
    switch (intent.do) {
      case 'wait':
        await this.#pause(intent.untilMs - this.#parts.now(), signal);
        return;
      case 'judge':
      case 'send':
      case 'judge_soak':
        // Nothing goes forward unseen, or after a signal: roll-backs and reads need no collector.
        if (this.#parts.watch.problem !== null || signal.aborted) await this.#pause(LOOK_MS, signal);
        else if (intent.do === 'judge') await this.#judge(intent.step);
        else if (intent.do === 'send') await this.#send(intent);
        else await this.#judgeSoak(intent.step);
        return;
      case 'read':
        await this.#read(intent.step);
        return;
      case 'restore':
        await this.#restore(intent);
    }
  }

  async #judge(step: PlanStep): Promise<void> {
    const { result, findings, before, after, wayBack } = await this.#parts.judge.judge(step, this.#state);
    await this.#emit({ type: 'judged', step: step.id, result, findings, before, after, way_back: wayBack });
  }

  async #send({ step, before, after }: Extract<Intent, { do: 'send' }>): Promise<void> {
    await this.#emit({ type: 'sending', step: step.id });
    // An order or a refused call that was written meanwhile has been applied: the step may not be sent any more.
    if (this.#state.steps[step.id]!.status !== 'sent') return;
    const planId = this.#parts.plan.id;
    const answer = await sendChange(this.#cloud(step), step, { before, after }, { planId, dryRun: false });
    const outcome = answer.ok ? 'accepted' : outcomeOf(answer.error);
    const message = answer.ok ? '' : errorText(answer.error);
    await this.#emit({
      type: 'answered',
      step: step.id,
      outcome,
      message,
      after: answer.ok ? answer.value.after : null,
    });
    await this.#parts.sleep(BETWEEN_CHANGES_MS, new AbortController().signal);
  }

  async #restore({ step, before }: Extract<Intent, { do: 'restore' }>): Promise<void> {
    await this.#emit({ type: 'restoring', step: step.id });
    const { plan } = this.#parts;
    const attempt = this.#state.steps[step.id]!.attempts;
    const answer = await sendBack(this.#cloud(step), step, before, {
      planId: plan.id,
      attempt,
      dryRun: false,
    });
    const outcome = answer.ok ? 'accepted' : outcomeOf(answer.error);
    await this.#emit({
      type: 'restored',
      step: step.id,
      outcome,
      message: answer.ok ? '' : errorText(answer.error),
    });
  }

  async #read(step: PlanStep): Promise<void> {
    const read = await readTarget(this.#cloud(step), step);
    if (read.ok) {
      const { current, isPending } = read.value;
      await this.#emit({ type: 'read', step: step.id, current, is_pending: isPending });
    } else {
      await this.#emit({ type: 'read_failed', step: step.id, message: errorText(read.error) });
    }
  }

  /** Reads the value back before the end of a soak is judged: somebody may have undone it. */
  async #judgeSoak(step: PlanStep): Promise<void> {
    const own = this.#state.steps[step.id]!;
    await this.#read(step);
    if (this.#state.steps[step.id]!.status !== 'soaking') return;
    const { result, findings } = await this.#parts.judge.judgeSoak(step, own.sentMs ?? own.sinceMs);
    await this.#emit({ type: 'soak_judged', step: step.id, result, findings });
  }

  /** Looks for refused calls, and for time that was watched. */
  async #look(): Promise<void> {
    const nowMs = this.#parts.now();
    if (Math.abs(nowMs - this.#lookedMs) < LOOK_MS) return;
    this.#lookedMs = nowMs;
    for (const event of await this.#parts.watch.look(this.#state, nowMs)) await this.#emit(event);
  }

  async #obeyOrders(): Promise<void> {
    const orders: Order[] = [];
    this.#parts.takeOrders((order) => {
      // It is durable before its file is deleted.
      this.#write(order);
      orders.push(order);
    });
    for (const order of orders) await this.#parts.onEvent({ ...order, at: this.#state.nowMs }, this.#state);
  }

  #isRollingBack(): boolean {
    return Object.values(this.#state.steps).some(
      (step) => step.status === 'rolling_back' || (step.undo !== null && isUnderWay(step)),
    );
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    // A roll-back that goes on after the signal waits as before it.
    const until = signal.aborted ? new AbortController().signal : signal;
    return this.#parts.sleep(Math.max(1, Math.min(ms, LOOK_MS)), until);
  }

  #cloud({ target }: PlanStep): Cloud {
    return this.#parts.cloudOf(target);
  }

  async #emit(event: NewEvent): Promise<void> {
    const stamped = this.#write(event);
    await this.#parts.onEvent(stamped, this.#state);
  }

  #write(event: NewEvent): PlanEvent {
    const stamped = { ...event, at: Math.max(this.#parts.now(), this.#state.nowMs) } as PlanEvent;
    this.#parts.append(stamped);
    this.#state = reduce(this.#parts.plan, this.#state, stamped);
    return stamped;
  }
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
