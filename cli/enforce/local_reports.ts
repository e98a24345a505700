/** Reports plans to the collector's database on this machine. */
import { commandActorName, storePlanReport } from '../../collector/local.ts';
import type { PlanReports } from '../../enforce/run/plan_reports.ts';

export function localReports(dataDir: string): PlanReports {
  return {
    send: async (planId, report) => storePlanReport(dataDir, planId, report, commandActorName()),
  };
}
