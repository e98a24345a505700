/** The port through which a runner reports the progress of plans. One file for each way to the collector implements it. */
import type { PlanReport, PlanReportAnswer } from '../../protocol/plan_report.ts';

export interface PlanReports {
  /** Resolves when the collector has stored the report. Rejects if it cannot be reached, or refuses the report. */
  send(planId: string, report: PlanReport): Promise<PlanReportAnswer>;
}
