/** Connects a plan on disk to the cloud, the collector and the clock, and carries it out in this process. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { directoryHolder, lockDirectory } from '../../agent/linux/directory_lock.ts';
import { bootClockUs } from '../../agent/linux/libc.ts';
import type { CredentialSettings } from '../../enforce/cloud/credential_settings.ts';
import type { Cloud, OpenCloud } from '../../enforce/cloud.ts';
import type { Findings } from '../../enforce/findings.ts';
import { type Plan, type Target, targetName } from '../../enforce/plan.ts';
import { steadyClock } from '../../enforce/run/clock.ts';
import { Journal } from '../../enforce/run/journal.ts';
import { Judge } from '../../enforce/run/judge.ts';
import type { PlanReports } from '../../enforce/run/plan_reports.ts';
import type { PlanStore } from '../../enforce/run/plan_store.ts';
import { ProgressReporter } from '../../enforce/run/progress_reporter.ts';
import { checkBeginning, Runner } from '../../enforce/run/runner.ts';
import { pastOf, Watch } from '../../enforce/run/watch.ts';
import type { NewEvent, PlanEvent } from '../../enforce/state/events.ts';
import { isFinal, type PlanState } from '../../enforce/state/step_state.ts';
import { untilSignal, withoutTerminal } from '../signals.ts';
import { visibleText } from '../terminal/visible_text.ts';
import { progressOutput } from './progress_output.ts';

const PROBE_TIMEOUT_MS = 60_000;

export interface CarryOutOptions {
  plan: Plan;
  store: PlanStore;
  findings: Findings;
  /** The collector that shows the plan's progress. */
  reports: PlanReports;
  credentials: CredentialSettings;
  /** Orders of the operator, to begin with. */
  orders: readonly NewEvent[];
  /** The plan must not have been begun. */
  isBeginning: boolean;
  onEvent: (event: PlanEvent, state: PlanState) => Promise<void> | void;
}

/**
 * Runs until nothing more happens by itself, or until SIGTERM or SIGINT. Throws `OperatorError` when another process
 * carries out the plan, or when its journal is damaged.
 */
export async function carryOut(options: CarryOutOptions): Promise<PlanState> {
  const { plan, store, findings } = options;
  const release = lockPlan(store, plan.id);
  try {
    const { journal, events } = Journal.open(store.journalOf(plan.id));
    try {
      const cloudOf = await cloudsWith(options.credentials, plan.id);
      const now = steadyClock(
        { wallMs: Date.now, bootMs: () => bootClockUs() / 1000 },
        events.at(-1)?.at ?? 0,
      );
      const runner = new Runner({
        plan,
        events,
        append: (event) => journal.append(event),
        cloudOf,
        judge: judgeOf({ plan, store, findings, cloudOf, runnerNow: now }),
        watch: new Watch({
          plan,
          findings,
          cloudOf,
          wallMs: Date.now,
          past: pastOf(events, now()),
          onProblem: sayProblem(),
        }),
        takeOrders: (obey) => store.takeOrders(plan.id, obey),
        onOrdersProblem: (problem) =>
          progressOutput.write(
            problem === null
              ? 'The orders can be read again.\n'
              : `Orders cannot be read, so nothing goes forward: ${visibleText(problem)}\n`,
          ),
        now,
        sleep: sleepUnlessAborted,
        onEvent: async (event, state) => {
          progress.note(event, state);
          await options.onEvent(event, state);
        },
      });
      if (options.isBeginning) checkBeginning(runner.state, plan.id);
      const progress = reporterOf(options, runner.state, events);
      const stop = new AbortController();
      void untilSignal().then(() => stop.abort());
      const endWithTerminal = withoutTerminal(() => stop.abort());
      try {
        return await runner.run(options.orders, stop.signal);
      } finally {
        endWithTerminal();
        await progress.close();
      }
    } finally {
      journal.close();
    }
  } finally {
    release();
  }
}

/** Reports a plan that no process carries out as it stands, so that the collector shows it. Never rejects. */
export async function reportNow(plan: Plan, store: PlanStore, reports: PlanReports): Promise<void> {
  const { state, events } = store.stateOf(plan);
  await reporterOf({ plan, store, reports }, state, events).close();
}

function reporterOf(
  { plan, store, reports }: Pick<CarryOutOptions, 'plan' | 'store' | 'reports'>,
  state: PlanState,
  events: readonly PlanEvent[],
): ProgressReporter {
  const onProblem = (message: string | null) =>
    progressOutput.write(
      message === null
        ? 'The collector has the progress of the plan again.\n'
        : `The progress could not be reported, so the collector does not show it. It is tried again: ${visibleText(message)}\n`,
    );
  return new ProgressReporter({ plan, events, state, reports: remembering(store, reports), onProblem });
}

/** Remembers beside the plan what the collector has stored, so that `status` can say what it lacks. */
function remembering(store: PlanStore, reports: PlanReports): PlanReports {
  let known: number | null = null;
  return {
    send: async (planId, report) => {
      const answer = await reports.send(planId, report);
      if (!report.has_more && report.sequence !== known) {
        store.saveReported(planId, { sequence: report.sequence, at: new Date().toISOString() });
        known = report.sequence;
      }
      return answer;
    },
  };
}

/** Says when the collector is away, because the plan waits meanwhile, and for how long it was. */
function sayProblem(): (problem: string | null) => void {
  let sinceMs = 0;
  return (problem) => {
    if (problem !== null) sinceMs = performance.now();
    const seconds = Math.round((performance.now() - sinceMs) / 1000);
    progressOutput.write(
      problem === null
        ? `The collector answers again, after ${seconds} s. Time that agents vouch for counts.\n`
        : `The collector cannot be asked, so nothing goes forward and no time counts as watched: ${visibleText(problem)}\n`,
    );
  };
}

/** Returns the pid of the process that carries out the plan; null if none does. */
export function runnerOf(store: PlanStore, id: string): number | null {
  return directoryHolder(store.directoryOf(id));
}

/** Takes the plan's lock. Throws `OperatorError` when a living process has it. */
export function lockPlan(store: PlanStore, id: string): () => void {
  return lockDirectory(store.directoryOf(id), {
    contested: `Another process is about to carry out the plan ${id}. Try again.`,
    heldBy: (pid) => `The process ${pid} carries out the plan ${id}. Wait for it, or stop it first.`,
  });
}

export function judgeOf({
  plan,
  store,
  findings,
  cloudOf,
  runnerNow = Date.now,
}: {
  plan: Plan;
  store: PlanStore;
  findings: Findings;
  cloudOf: (target: Target) => Cloud;
  /** The clock of the runner. Default: this machine's. */
  runnerNow?: () => number;
}): Judge {
  return new Judge({
    plan,
    cloudOf,
    findings,
    probe: runProbe,
    otherPlans: (target) => otherPlans(store, plan.id, target),
    now: Date.now,
    runnerNow,
  });
}

/** Opens each account and region once. The SDK is loaded here, by the commands that need it only. */
export async function cloudsWith(
  credentials: CredentialSettings,
  planId: string,
): Promise<(place: { account: string; region: string }) => Cloud> {
  const { openAwsWith } = await import('../../enforce/cloud/aws_cloud.ts');
  const open: OpenCloud = openAwsWith(credentials);
  const clouds = new Map<string, Cloud>();
  return ({ account, region }) => {
    const key = `${account} ${region}`;
    const cloud = clouds.get(key) ?? open({ account, region, planId });
    clouds.set(key, cloud);
    return cloud;
  };
}

/** Other plans that were begun and that have a step for the target which is not at its end. */
function otherPlans(store: PlanStore, id: string, target: Target): string[] {
  return store.ids().filter((other) => {
    if (other === id) return false;
    const plan = store.load(other);
    const { state } = store.stateOf(plan);
    if (state.phase === 'new') return false;
    return plan.steps.some(
      (step) => targetName(step.target) === targetName(target) && !isFinal(state.steps[step.id]!),
    );
  });
}

/** Runs the operator's probe without a shell. */
function runProbe([program, ...args]: readonly string[]): Promise<number | string> {
  return new Promise((resolve) => {
    execFile(program!, args, { timeout: PROBE_TIMEOUT_MS }, (error) => {
      if (error === null) resolve(0);
      else resolve(typeof error.code === 'number' ? error.code : error.message);
    });
  });
}

async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
