/** Plans about the fleet of the page's tests: one that was rolled back, one that soaks, one that is done, one not begun. */
import { openAdmin } from '../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { PlanReport, PlanStepReport } from '../../../protocol/plan_report.ts';
import { planReport, stepReport } from '../enforce/reports.ts';
import { FLEET } from './fleet.ts';

export const ROLLED_BACK_PLAN = 'p-0a0000000001';
export const SOAKING_PLAN = 'p-0a0000000002';
export const DONE_PLAN = 'p-0a0000000003';
export const MADE_PLAN = 'p-0a0000000004';
/** A plan whose process has ended without a word. */
export const SILENT_PLAN = 'p-0a0000000005';

/** Returns a step about the host with this index in the fleet. */
export function fleetStep(
  number: number,
  index: number,
  given: Partial<PlanStepReport> = {},
): PlanStepReport {
  const { id, name } = FLEET[index]!.facts;
  const place = { account: '123456789012', region: 'eu-central-1' };
  return stepReport(number, { target: { type: 'instance', ...place, id, name }, ...given });
}

/** Stores the plans, in a data_dir whose collector does not run yet or runs. `workload`: id of a caller that was refused. */
export async function writePlans(dataDir: string, nowMs: number, workload: string): Promise<void> {
  const database = openAdmin(dataDir);
  const { plans } = new SqliteAdminStore(database);
  const ago = (minutes: number) => new Date(nowMs - minutes * 60_000).toISOString();
  const put = async (id: string, steps: PlanStepReport[], given: Partial<PlanReport>, reportedAgo = 0) => {
    const head = { created: ago(600), created_by: 'command:ada', begun: ago(590), begun_by: 'command:ada' };
    const report = planReport(steps, { phase_since: ago(30), ...head, ...given });
    await plans.report(id, report, 'command:ada', nowMs - reportedAgo * 60_000);
  };
  const refusal = {
    host: FLEET[7]!.facts.id,
    caller_id: workload,
    caller: '/opt/backup/bin/backup-agent',
    at: ago(31),
  };
  const reason = `${refusal.caller} called without a token on ${refusal.host} and was refused.`;
  await put(
    ROLLED_BACK_PLAN,
    [
      fleetStep(1, 7, { state: 'rolled_back', since: ago(30), refusal, reason, group: 'asg:edge' }),
      fleetStep(2, 8, { state: 'held', since: ago(31), refusal, reason, group: 'asg:edge' }),
      fleetStep(3, 9, { state: 'held', since: ago(31), refusal, reason, group: 'asg:edge' }),
      stepReport(4, {
        target: {
          type: 'template',
          account: '123456789012',
          region: 'eu-central-1',
          id: 'lt-0a1b2c3d4e5f60718',
          name: null,
        },
        group: 'asg:edge',
        wave: 3,
        role: 'template',
        verdict: null,
      }),
    ],
    {
      phase: 'paused',
      phase_reason: `${reason} Look at it, then resume the plan for its other groups.`,
      is_carried_out: false,
    },
  );
  await put(
    SOAKING_PLAN,
    [
      fleetStep(1, 0, { state: 'confirmed', since: ago(120) }),
      fleetStep(2, 1, { state: 'soaking', since: ago(90), soak_percent: 25 }),
      fleetStep(3, 2, { state: 'pending', since: ago(0) }),
      fleetStep(4, 3, {
        state: 'waiting',
        since: ago(3),
        wave: 3,
        reason: 'It is outside of every maintenance window.',
      }),
    ],
    { created: ago(200) },
  );
  await put(DONE_PLAN, [fleetStep(1, 14, { state: 'confirmed', since: ago(2000) })], {
    created: ago(4000),
    phase: 'ended',
    is_carried_out: false,
  });
  await put(MADE_PLAN, [fleetStep(1, 6)], {
    ...{
      created: ago(10),
      begun: null,
      begun_by: null,
      phase: 'made',
      is_carried_out: false,
      left_out_count: 3,
    },
  });
  await put(
    SILENT_PLAN,
    [fleetStep(1, 5, { state: 'soaking', since: ago(60), soak_percent: 40 })],
    { created: ago(100) },
    20,
  );
  database.close();
}
