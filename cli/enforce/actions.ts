/** Subcommands of `imdswatch enforce` that make a plan, carry it out, and give orders to the process that does. */
import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { commandActorName } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { Findings } from '../../enforce/findings.ts';
import type { Plan } from '../../enforce/plan.ts';
import type { PlanReports } from '../../enforce/run/plan_reports.ts';
import type { Order } from '../../enforce/run/plan_store.ts';
import type { EventOf, NewEvent, PlanEvent } from '../../enforce/state/events.ts';
import { nextActionText } from '../../enforce/state/next_step.ts';
import { initialState, type PlanState } from '../../enforce/state/step_state.ts';
import { credentialsOf, credentialsShape } from '../settings/cloud_credentials.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { collectorAccessShape } from '../settings/collector_access_shape.ts';
import { anyCollectorShape, storeShape } from '../settings/local_collector.ts';
import { eventLine, leftOutText, planText, refusedCallsLine, statusText } from '../terminal/plan_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';
import { carryOut, reportNow, runnerOf } from './carry_out.ts';
import { noFindings } from './local_findings.ts';
import { localReports } from './local_reports.ts';
import { makePlanFrom } from './make.ts';
import type { PlanSettings } from './plan_settings.ts';
import { progressOutput } from './progress_output.ts';
import { RefusedCallLog, type RefusedCalls, refusedCallsDetail } from './refused_call_log.ts';
import { remoteReports } from './remote_reports.ts';
import { EXIT_REFUSED, exitCodeOf, type Loaded, stepsOf, storeIn, withFindings } from './shared.ts';

export const applySettings = z.object({
  yes: z.boolean().default(false).describe('Really change the instances. Without it nothing is changed.'),
  ...credentialsShape,
  ...anyCollectorShape,
});
export const resumeSettings = z.object({ ...credentialsShape, ...anyCollectorShape });
export const confirmSettings = z.object({
  reason: z.string().min(1).default('The operator has decided it.').describe('Reason, for the audit log.'),
  ...storeShape,
});
export const pauseSettings = z.object({
  reason: z.string().min(1).default('The operator has paused it.').describe('Reason, for the audit log.'),
  ...storeShape,
});
export const rollbackSettings = z.object({
  reason: z.string().min(1).default('The operator has ordered it.').describe('Reason, for the audit log.'),
  ...credentialsShape,
  ...storeShape,
  ...collectorAccessShape,
});

export async function makeAndSave(loaded: Loaded<PlanSettings>): Promise<number> {
  const { settings } = loaded;
  return withFindings(loaded, 'viewer', async (findings, reports) => {
    const made = await makePlanFrom(settings, findings, commandActorName());
    if (made.plan === null) {
      process.stdout.write(
        settings.json
          ? `${visibleJson({ plan: null, left_out: made.leftOut }, 2)}\n`
          : leftOutText(made.leftOut),
      );
      process.stderr.write('No verdict allows a change, so no plan was made.\n');
      return EXIT_REFUSED;
    }
    storeIn(settings.data_dir).save(made.plan);
    await findings.audit('enforce.plan', made.plan.id, `${made.plan.steps.length} steps`);
    await reportNow(made.plan, storeIn(settings.data_dir), reports);
    process.stdout.write(
      settings.json
        ? `${visibleJson(made.plan, 2)}\n`
        : `${planText(made.plan)}\n${nextActionText(made.plan, initialState(made.plan))}\n`,
    );
    return 0;
  });
}

export async function apply(id: string, loaded: Loaded<z.infer<typeof applySettings>>): Promise<number> {
  const { settings } = loaded;
  const applied = storeIn(settings.data_dir).load(id);
  if (!settings.yes) {
    process.stdout.write(planText(applied));
    throw new OperatorError(2, `Nothing was changed. To carry it out: imdswatch enforce apply ${id} --yes`);
  }
  return withFindings(loaded, 'admin', (findings, reports) =>
    runPlan(applied, settings, { findings, reports }, [{ type: 'begun', by: commandActorName() }], true),
  );
}

export async function resume(id: string, loaded: Loaded<z.infer<typeof resumeSettings>>): Promise<number> {
  const { settings } = loaded;
  const store = storeIn(settings.data_dir);
  const resumed = store.load(id);
  const by = commandActorName();
  if (runnerOf(store, id) !== null) return order(id, settings.data_dir, { type: 'resumed', by });
  if (store.stateOf(resumed).state.phase === 'new') {
    throw new OperatorError(1, `The plan ${id} was not begun. Begin it: imdswatch enforce apply ${id} --yes`);
  }
  return withFindings(loaded, 'admin', (findings, reports) =>
    runPlan(resumed, settings, { findings, reports }, [{ type: 'resumed', by }], false),
  );
}

export function confirm(
  id: string,
  steps: readonly string[],
  { data_dir, reason }: z.infer<typeof confirmSettings>,
): number {
  const confirmed = storeIn(data_dir).load(id);
  return order(id, data_dir, {
    type: 'confirmed_by',
    by: commandActorName(),
    reason,
    steps: stepsOf(confirmed, steps),
  });
}

export async function rollback(
  id: string,
  named: readonly string[],
  { settings, given }: Loaded<z.infer<typeof rollbackSettings>>,
): Promise<number> {
  const store = storeIn(settings.data_dir);
  const undone = store.load(id);
  const by = commandActorName();
  const steps = stepsOf(undone, named);
  const { reason } = settings;
  if (runnerOf(store, id) !== null) {
    return order(id, settings.data_dir, { type: 'rollback_ordered', by, reason, steps });
  }
  // Nothing goes forward meanwhile, and the collector is not needed.
  const orders: NewEvent[] = [
    { type: 'paused', by, reason },
    { type: 'rollback_ordered', by, reason, steps },
  ];
  const client = collectorClientOf(settings, given);
  const reports = client === null ? localReports(settings) : remoteReports(client);
  const findings = noFindings(client === null ? settings : null);
  return runPlan(undone, settings, { findings, reports }, orders, false).finally(() => client?.close());
}

export function pause(id: string, settings: z.infer<typeof pauseSettings>): number {
  return order(id, settings.data_dir, { type: 'paused', by: commandActorName(), reason: settings.reason });
}

/** Leaves an order for the process that carries out the plan. */
function order(id: string, dataDir: string, left: Order): number {
  const store = storeIn(dataDir);
  store.load(id);
  store.leaveOrder(id, `${Date.now().toString().padStart(15, '0')}-${randomUUID()}`, left);
  const runner = runnerOf(store, id);
  process.stderr.write(
    runner === null
      ? `No process carries out the plan ${id} now. The order is followed when one does.\n`
      : `The process ${runner} carries out the plan ${id}. It follows the order within a second.\n`,
  );
  return 0;
}

async function runPlan(
  carried: Plan,
  settings: Parameters<typeof credentialsOf>[0] & { data_dir: string },
  { findings, reports }: { findings: Findings; reports: PlanReports },
  orders: readonly NewEvent[],
  isBeginning: boolean,
): Promise<number> {
  const refusedCalls = new RefusedCallLog();
  const tellRefusedCalls = async (found: readonly RefusedCalls[]) => {
    for (const calls of found) {
      progressOutput.write(refusedCallsLine(calls));
      await auditEvent(findings, carried.id, 'refused_call', refusedCallsDetail(calls));
    }
  };
  const state = await carryOut({
    plan: carried,
    store: storeIn(settings.data_dir),
    findings,
    reports,
    credentials: credentialsOf(settings),
    orders,
    isBeginning,
    onEvent: async (event, after) => {
      await tellRefusedCalls(refusedCalls.due(event.at));
      if (event.type === 'refused_call') {
        const calls = refusedCalls.note(event);
        if (calls !== null) await tellRefusedCalls([calls]);
        return;
      }
      const line = eventLine(carried, event, after);
      if (line !== null) progressOutput.write(line);
      if (isAudited(event)) await auditEvent(findings, carried.id, event.type, auditDetail(event, after));
    },
  }).finally(() => tellRefusedCalls(refusedCalls.due(Number.POSITIVE_INFINITY)));
  await progressOutput.flush();
  process.stdout.write(statusText(carried, state, null));
  return exitCodeOf(state);
}

/** Writes to the collector's audit log. A roll-back does not wait for a log that cannot be written: the journal has it. */
async function auditEvent(
  findings: Findings,
  id: string,
  type: PlanEvent['type'],
  detail: string,
): Promise<void> {
  try {
    await findings.audit(`enforce.${type}`, id, detail);
  } catch (error) {
    progressOutput.write(
      `The audit log could not be written, so only the plan's journal has this: ${visibleText((error as Error).message)}\n`,
    );
  }
}

/** Reads and observations are in the journal alone. */
function isAudited({ type }: PlanEvent): boolean {
  return type !== 'read' && type !== 'read_failed' && type !== 'observed' && type !== 'earlier_calls';
}

function auditDetail(event: Exclude<PlanEvent, EventOf<'refused_call'>>, state: PlanState): string {
  if ('step' in event) {
    const { status: now, reason } = state.steps[event.step]!;
    return `${event.step} ${now}${reason === null ? '' : `: ${reason}`}`;
  }
  return 'reason' in event ? (event.reason ?? '') : '';
}
