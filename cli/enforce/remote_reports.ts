/** Reports plans to a collector on another machine. */
import type { PlanReports } from '../../enforce/run/plan_reports.ts';
import { planReportAnswer } from '../../protocol/plan_report.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';

/** The end of a process waits 5 s for its last report. */
const TIMEOUT_MS = 4000;

export function remoteReports(client: CollectorClient): PlanReports {
  return {
    send: (planId, report) =>
      client.change('POST', `/plans/${planId}`, report, planReportAnswer, { timeoutMs: TIMEOUT_MS }),
  };
}
