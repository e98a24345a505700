/** Reports plans to the collector's database on this machine. */
import { commandActorName, type StorePlace, storePlanReport } from '../../collector/local.ts';
import type { PlanReports } from '../../enforce/run/plan_reports.ts';

export function localReports(place: StorePlace): PlanReports {
  return {
    send: async (planId, report) => storePlanReport(place, planId, report, commandActorName()),
  };
}
