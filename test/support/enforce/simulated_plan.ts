/**
 * Runs a plan against a simulated cloud. Each decision about what happens next is a number, so that a property test can
 * shrink a history. A decision of 0, and every decision after the last one, is the benign one.
 */
import assert from 'node:assert/strict';
import type { Plan, PlanStep, Recorded, Target } from '../../../enforce/plan.ts';
import { compare } from '../../../enforce/state/compare.ts';
import type { PlanEvent } from '../../../enforce/state/events.ts';
import { agendaOf, allowedAtRisk } from '../../../enforce/state/intents.ts';
import { Progress } from '../../../enforce/state/progress.ts';
import { reduce } from '../../../enforce/state/reduce.ts';
import { initialState, type PlanState, type Status } from '../../../enforce/state/step_state.ts';
import { valuesAfter } from '../../../enforce/state/values.ts';
import { OPTIONAL } from './plans.ts';

/** `lost_late`, `killed_late`: the call had its effect all the same. `killed`: the runner ended. */
const OUTCOMES = ['accepted', 'lost_late', 'lost', 'throttled', 'failed', 'killed', 'killed_late'] as const;

type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never;

export class SimulatedPlan {
  state: PlanState;
  readonly events: PlanEvent[] = [];
  readonly world = new Map<string, Recorded>();
  /** Targets that somebody else has changed, or that are gone. */
  readonly disturbed = new Set<string>();
  /** Statuses that some step has had. */
  readonly reached = new Set<Status>();
  readonly #plan: Plan;
  readonly #decisions: readonly number[];
  #next = 0;
  #nowMs = 1_000_000;
  /** Descriptions may show these values, of before the latest change, for a while. */
  readonly #old = new Map<string, { value: Recorded; untilMs: number }>();
  #isRefusedSinceResume = false;
  /** Ends of roll-back calls whose answers have not come yet. */
  readonly #underWay: (() => void)[] = [];

  constructor(plan: Plan, decisions: readonly number[]) {
    this.#plan = plan;
    this.#decisions = decisions;
    this.state = initialState(plan);
    for (const { target } of plan.steps) this.world.set(keyOf(target), initialValues(target));
    this.emit({ type: 'begun', by: 'tester' });
  }

  get isExhausted(): boolean {
    return this.#next >= this.#decisions.length;
  }

  /** Lets one thing happen. Returns false when nothing more happens by itself. */
  advance(): boolean {
    switch (this.#decide(14)) {
      case 9:
        this.#refuse();
        return true;
      case 10:
        this.emit({ type: 'paused', by: 'tester', reason: 'because' });
        return true;
      case 11:
        this.#isRefusedSinceResume = false;
        this.emit({ type: 'resumed', by: 'tester' });
        return true;
      case 12:
        this.#order();
        return true;
      case 13:
        this.#disturb();
        return true;
      default:
        return this.#follow();
    }
  }

  emit(event: Unstamped<PlanEvent>): void {
    const stamped = { ...event, at: this.#nowMs } as PlanEvent;
    this.events.push(stamped);
    this.state = reduce(this.#plan, this.state, stamped);
    for (const { status } of Object.values(this.state.steps)) this.reached.add(status);
    // A roll-back of what was confirmed makes more of a group unconfirmed, and nothing else does.
    for (const { id } of stamped.type === 'sending' ? this.#plan.groups : []) {
      const atRisk = new Progress(this.#plan, this.state).atRisk(id);
      assert.ok(atRisk <= allowedAtRisk(this.#plan, id), `${atRisk} instances of ${id} are unconfirmed`);
    }
  }

  #decide(count: number): number {
    const decision = this.#decisions[this.#next] ?? 0;
    this.#next += 1;
    return decision % count;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#decide(items.length)]!;
  }

  #follow(): boolean {
    const { due, untilMs, isDone } = agendaOf(this.#plan, this.state, this.#nowMs);
    if (due.length === 0) {
      if (this.#end()) return true;
      if (isDone) return false;
      this.#pass(Math.max(1000, untilMs - this.#nowMs));
      return true;
    }
    // The runner does these side by side, so any of them may come first.
    const intent = this.#decide(3) === 2 ? this.#pick(due) : due[0]!;
    switch (intent.do) {
      case 'judge':
        this.#judge(intent.step);
        return true;
      case 'send':
        this.#send(intent.step, intent.after);
        return true;
      case 'read':
        this.#read(intent.step);
        return true;
      case 'restore':
        this.#restore(intent.step, intent.before);
        return true;
      case 'judge_soak': {
        if (this.#decide(4) !== 3) this.#read(intent.step);
        const result = this.#pick(['pass', 'wait', 'roll_back'] as const);
        this.emit({ type: 'soak_judged', step: intent.step.id, result, findings: [] });
        if (result === 'wait') this.#pass(30_000);
        return true;
      }
    }
  }

  /** Lets a call that is under way end. Returns whether there was one. */
  #end(): boolean {
    const finish = this.#underWay.shift();
    finish?.();
    return finish !== undefined;
  }

  #pass(ms: number): void {
    this.#nowMs += ms;
    const share = this.#pick([1, 0.5, 0, 5]);
    const watched = Object.fromEntries(
      Object.entries(this.state.steps).map(([id, { sinceMs }]) => [id, (this.#nowMs - sinceMs) * share]),
    );
    // A soak may stand still, and say so, until an agent reports or something is launched.
    const waits = this.#decide(3) === 2 ? { [this.#pick(this.#plan.steps).id]: 'It waits.' } : {};
    this.emit({ type: 'observed', watched: this.#decide(5) === 4 ? {} : watched, waits });
  }

  #judge({ id, target, change }: PlanStep): void {
    const before = this.world.get(keyOf(target)) ?? null;
    const result =
      before === null ? 'refuse' : this.#pick(['pass', 'pass', 'wait', 'refuse', 'skip'] as const);
    const wayBack = this.#pick(['proven', 'proven', 'waived', 'unknown'] as const);
    // A skip means that the target has the value already.
    const isSame = before !== null && sameValue(valuesAfter({ change }, before, 7), before);
    this.emit({
      type: 'judged',
      step: id,
      result: isSame ? 'skip' : result === 'skip' ? 'refuse' : result,
      findings: [],
      before,
      after: before === null ? null : valuesAfter({ change }, before, 7),
      way_back: wayBack,
    });
  }

  #send({ id, target, change }: PlanStep, after: Recorded): void {
    assert.equal(this.state.phase, 'running', 'a change is sent while the plan is paused');
    assert.ok(!this.#isRefusedSinceResume, 'a change is sent after a refused call');
    this.emit({ type: 'sending', step: id });
    const judged = this.events.findLast((event) => event.type === 'judged' && event.step === id);
    assert.ok(judged?.type === 'judged' && judged.before !== null, 'nothing was recorded before the change');
    const isWaived = judged.way_back === 'waived' && this.#plan.policy.no_way_back_reason !== null;
    assert.ok(judged.way_back === 'proven' || isWaived, 'a change is sent without a proven way back');
    // A call may be refused, and an order may come, while the change is under way.
    if (this.#decide(8) === 7) this.#refuse();
    if (this.#decide(8) === 7) this.#order();
    const outcome = this.#pick(OUTCOMES);
    const current = this.world.get(keyOf(target));
    if (current !== undefined && ['accepted', 'lost_late', 'killed_late'].includes(outcome)) {
      this.#set(target, applied(current, change, after));
    }
    this.#answer('answered', id, current === undefined ? 'failed' : outcome);
  }

  #restore({ id }: PlanStep, before: Recorded): void {
    const recorded = this.events.findLast((event) => event.type === 'judged' && event.step === id);
    assert.deepEqual(
      before,
      recorded?.type === 'judged' ? recorded.before : null,
      'another value is given back',
    );
    assert.ok(this.state.steps[id]!.isWritten, 'something is given back that was not changed');
    const read = this.events.findLast((event) => event.type === 'read' && event.step === id);
    assert.ok(read?.type === 'read' && read.current !== null, 'something is given back that was not read');
    const planned = this.#plan.steps.find((each) => each.id === id)!;
    const { result } = compare(planned, before, this.state.steps[id]!.after!, read.current);
    assert.notEqual(result, 'other', "somebody else's value is replaced");
    if (read.current.type === 'instance') {
      const isOn = read.current.options.http_endpoint === 'enabled';
      assert.equal(this.state.steps[id]!.isEndpointOn, isOn, 'the endpoint is not sent as it was seen last');
    }
    this.emit({ type: 'restoring', step: id });
    const finish = () => this.#finishRestore(planned, before);
    // Other things may happen before its answer.
    if (this.#decide(3) === 2) this.#underWay.push(finish);
    else finish();
  }

  #finishRestore(planned: PlanStep, before: Recorded): void {
    const { id, target } = planned;
    const outcome = this.#pick(OUTCOMES);
    const current = this.world.get(keyOf(target));
    if (current !== undefined && ['accepted', 'lost_late', 'killed_late'].includes(outcome)) {
      this.#set(target, givenBack(planned, current, before));
    }
    this.#answer('restored', id, current === undefined ? 'failed' : outcome);
  }

  #answer(type: 'answered' | 'restored', step: string, outcome: string): void {
    if (outcome.startsWith('killed')) {
      this.#underWay.length = 0;
      this.emit({ type: 'taken_over' });
      return;
    }
    const known = outcome.startsWith('lost') ? 'lost' : (outcome as 'accepted' | 'throttled' | 'failed');
    if (type === 'answered') this.emit({ type, step, outcome: known, message: '', after: null });
    else this.emit({ type, step, outcome: known, message: '' });
  }

  #read({ id, target }: PlanStep): void {
    if (this.#decide(6) === 5) {
      this.emit({ type: 'read_failed', step: id, message: 'no answer' });
      return;
    }
    const key = keyOf(target);
    const old = this.#old.get(key);
    const isStale = old !== undefined && old.untilMs > this.#nowMs && this.#decide(2) === 1;
    const current = isStale ? old.value : (this.world.get(key) ?? null);
    this.emit({ type: 'read', step: id, current, is_pending: this.#decide(4) === 3 });
  }

  #set(target: Target, value: Recorded): void {
    const key = keyOf(target);
    this.#old.set(key, { value: this.world.get(key)!, untilMs: this.#nowMs + 30_000 });
    this.world.set(key, value);
  }

  #refuse(): void {
    const step = this.#pick(this.#plan.steps);
    const others = this.#pick(this.#plan.steps);
    // An instance that the plan does not know may have been launched with a step that concerns launches.
    const isEffect = step.target.type !== 'instance';
    const wasRunning = this.state.phase === 'running';
    this.emit({
      type: 'refused_call',
      host: step.target.type === 'instance' ? step.target.instance_id : 'i-new',
      groups: isEffect ? [] : [step.group],
      effect_of: isEffect ? [step.id] : [],
      caller: { id: 'c', title: 'old-agent' },
      call: 'call',
      also_on: others.target.type === 'instance' ? [others.target.instance_id] : [],
    });
    if (wasRunning && this.state.phase === 'paused') this.#isRefusedSinceResume = true;
    const isOurs = wasRunning ? this.state.phase === 'paused' : this.#isRefusedSinceResume;
    if (!isOurs) return;
    for (const each of this.#plan.steps) {
      const isConcerned = isEffect ? each.id === step.id : each.group === step.group;
      if (!isConcerned || each.change.http_tokens === undefined) continue;
      const { status, undo } = this.state.steps[each.id]!;
      const isLeft = ['pending', 'applied', 'soaking', 'confirmed'].includes(status);
      assert.ok(!isLeft && (status !== 'sent' || undo !== null), `${each.id} of the group stays ${status}`);
    }
  }

  #order(): void {
    const { id } = this.#pick(this.#plan.steps);
    if (this.#decide(2) === 0) {
      this.emit({ type: 'rollback_ordered', by: 'tester', reason: 'because', steps: [id] });
    } else {
      this.emit({ type: 'confirmed_by', by: 'tester', steps: [id] });
    }
  }

  /** Somebody else changes a target, or it ceases to exist. */
  #disturb(): void {
    const { target } = this.#pick(this.#plan.steps);
    const key = keyOf(target);
    const current = this.world.get(key);
    if (current === undefined) return;
    this.disturbed.add(key);
    if (this.#decide(3) === 2 && target.type === 'instance') this.world.delete(key);
    else if (current.type === 'instance') {
      const { options } = current;
      const tokens = options.http_tokens === 'required' ? 'optional' : 'required';
      this.#set(target, {
        ...current,
        options: {
          ...options,
          ...this.#pick([{ http_tokens: tokens }, { hop_limit: 9 }, { http_endpoint: 'disabled' }] as const),
        },
      });
    }
  }
}

export function keyOf(target: Target): string {
  switch (target.type) {
    case 'instance':
      return target.instance_id;
    case 'template':
    case 'template_default':
      return `${target.type} ${target.template_id}`;
    case 'group_version':
      return target.scaling_group;
    case 'account_default':
      return 'account';
  }
}

function initialValues({ type }: Target): Recorded {
  switch (type) {
    case 'instance':
      return { type, options: OPTIONAL };
    case 'template':
      return {
        type,
        version: 6,
        options: OPTIONAL,
        rest_sha256: 'ab'.repeat(32),
        default_version: 6,
        latest_version: 6,
      };
    case 'template_default':
      return { type, version: 6 };
    case 'group_version':
      return { type, reference: 6 };
    case 'account_default': {
      const { http_protocol_ipv6: _, ...defaults } = OPTIONAL;
      return {
        type,
        defaults: { ...defaults, http_tokens: null, http_tokens_enforced: null, managed_by: null },
      };
    }
  }
}

function applied(current: Recorded, change: PlanStep['change'], after: Recorded): Recorded {
  if (current.type === 'instance') return valuesAfter({ change }, current, null);
  return newVersion(current, after);
}

function givenBack({ change }: PlanStep, current: Recorded, before: Recorded): Recorded {
  if (current.type !== 'instance' || before.type !== 'instance') return newVersion(current, before);
  const options = { ...current.options };
  if (change.http_tokens !== undefined) options.http_tokens = before.options.http_tokens;
  if (change.hop_limit !== undefined) options.hop_limit = before.options.hop_limit;
  return { ...current, options };
}

/** Template versions cannot be changed: each change makes one. */
function newVersion(current: Recorded, values: Recorded): Recorded {
  if (current.type !== 'template' || values.type !== 'template') return values;
  const version = current.latest_version + 1;
  return { ...values, version, latest_version: version };
}

/** Compares the values alone, without numbers of versions. */
function sameValue(a: Recorded, b: Recorded): boolean {
  const core = (value: Recorded) =>
    JSON.stringify('options' in value ? value.options : 'defaults' in value ? value.defaults : value);
  return core(a) === core(b);
}
