/** Carries out a plan in a test: the real runner and the real SDK, with a clock and a journal of the test's own. */
import { setTimeout as delay } from 'node:timers/promises';
import { openAwsWith } from '../../../enforce/cloud/aws_cloud.ts';
import type { Cloud } from '../../../enforce/cloud.ts';
import type { Plan, Target } from '../../../enforce/plan.ts';
import { Judge } from '../../../enforce/run/judge.ts';
import type { Order } from '../../../enforce/run/plan_store.ts';
import { Runner } from '../../../enforce/run/runner.ts';
import { pastOf, Watch } from '../../../enforce/run/watch.ts';
import { type NewEvent, type PlanEvent, planEvent } from '../../../enforce/state/events.ts';
import type { PlanState } from '../../../enforce/state/step_state.ts';
import type { FakeFindings } from './fake_findings.ts';

/** More events than any plan of a test has. A plan that does not end would run for ever on the test's own clock. */
const MAX_EVENTS = 5000;

/** A call that takes longer lets the test's clock go on. */
const SLOW_MS = 250;

/** Ends a runner in a test as kill -9 would: nothing is written or sent after it. */
export class Killed extends Error {}

export class PlannedRun {
  readonly journal: PlanEvent[] = [];
  readonly orders: Order[] = [];
  /** Why the orders cannot be read. */
  ordersProblem: string | null = null;
  readonly ordersProblems: (string | null)[] = [];
  nowMs: number;
  /** Called before an event is written, with the number of events that are written already. It may throw `Killed`. */
  beforeEvent: (event: PlanEvent, written: number) => void = () => {};
  /** Called after an event was written and applied. */
  afterEvent: (event: PlanEvent, state: PlanState) => void = () => {};
  probe: () => Promise<number> = async () => 0;
  /** By this much the machine's clock, which can be set, is ahead of the runner's. */
  wallAheadMs = 0;
  /** The clock goes as fast as the real one. */
  isRealTime = false;
  readonly startMs: number;
  readonly plan: Plan;
  readonly #findings: FakeFindings;
  readonly #clouds = new Map<string, Cloud>();

  constructor(plan: Plan, findings: FakeFindings, startMs: number) {
    this.plan = plan;
    this.#findings = findings;
    this.nowMs = startMs;
    this.startMs = startMs;
  }

  /** Runs until nothing more happens by itself. Throws `Killed` where the test kills the runner. */
  run(orders: readonly NewEvent[], signal: AbortSignal = new AbortController().signal): Promise<PlanState> {
    const plan = this.plan;
    const findings = this.#findings;
    const cloudOf = (target: Target) => this.#cloud(target);
    const events = [...this.journal];
    const runner = new Runner({
      plan,
      events,
      append: (event) => {
        this.beforeEvent(event, this.journal.length);
        if (this.journal.length >= MAX_EVENTS)
          throw new Error(`The plan does not end: ${JSON.stringify(event)}`);
        // The next runner has what a line of the journal has.
        this.journal.push(planEvent.parse(JSON.parse(JSON.stringify(event))));
      },
      cloudOf,
      judge: new Judge({
        plan,
        cloudOf,
        findings,
        probe: () => this.probe(),
        otherPlans: () => [],
        now: () => this.nowMs,
        runnerNow: () => this.nowMs,
      }),
      watch: new Watch({
        plan,
        findings,
        cloudOf,
        wallMs: () => this.nowMs + this.wallAheadMs,
        past: pastOf(events, this.nowMs),
      }),
      onOrdersProblem: (problem) => this.ordersProblems.push(problem),
      takeOrders: (obey) => {
        if (this.ordersProblem !== null) throw new Error(this.ordersProblem);
        for (const order of this.orders.splice(0)) obey(order);
      },
      now: () => this.nowMs,
      // The test's clock stands still while the cloud or the findings answer, unless that takes long.
      sleep: async (ms, woken, isBusy) => {
        if (this.isRealTime) return this.#sleepReally(ms, woken);
        if (isBusy) await delay(SLOW_MS, undefined, { signal: woken }).catch(() => undefined);
        if (!woken.aborted) this.nowMs += ms;
      },
      onEvent: (event, state) => this.afterEvent(event, state),
    });
    return runner.run(orders, signal);
  }

  /** Runs a new plan. */
  begin(): Promise<PlanState> {
    return this.run([{ type: 'begun', by: 'tester' }]);
  }

  async #sleepReally(ms: number, woken: AbortSignal): Promise<void> {
    const startMs = performance.now();
    await delay(ms, undefined, { signal: woken }).catch(() => undefined);
    this.nowMs += Math.ceil(performance.now() - startMs);
  }

  #cloud({ account, region }: Target): Cloud {
    const key = `${account} ${region}`;
    const open = openAwsWith({ profile: null, roles: [], externalId: null });
    const cloud = this.#clouds.get(key) ?? open({ account, region, planId: this.plan.id });
    this.#clouds.set(key, cloud);
    return cloud;
  }
}

export function statusesOf(state: PlanState): Record<string, string> {
  return Object.fromEntries(Object.entries(state.steps).map(([id, { status }]) => [id, status]));
}
