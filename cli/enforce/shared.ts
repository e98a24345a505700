/** Exit codes of `imdswatch enforce` beside those of every command, and what its subcommands share. */
import { join } from 'node:path';
import type { StorePlace } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { Plan } from '../../enforce/plan.ts';
import type { PlanReports } from '../../enforce/run/plan_reports.ts';
import { PlanStore } from '../../enforce/run/plan_store.ts';
import type { PlanState } from '../../enforce/state/step_state.ts';
import { type CollectorAccessSettings, collectorClientOf } from '../settings/collector_access.ts';
import { judgingOptions } from '../settings/local_collector.ts';
import { type OpenFindings, openFindings } from './local_findings.ts';
import { localReports } from './local_reports.ts';
import { openRemoteFindings } from './remote_findings.ts';
import { remoteReports } from './remote_reports.ts';

export const EXIT_REFUSED = 4;
export const EXIT_ROLLED_BACK = 5;
export const EXIT_DRIFT = 6;

/** 5: something was rolled back or is stuck. 4: a guard refused, or something is held. */
export function exitCodeOf({ steps }: PlanState): number {
  const statuses = new Set(Object.values(steps).map((each) => each.status));
  if (statuses.has('drifted')) return EXIT_DRIFT;
  if (statuses.has('rolled_back') || statuses.has('rolling_back')) return EXIT_ROLLED_BACK;
  return statuses.has('refused') || statuses.has('failed') || statuses.has('held') ? EXIT_REFUSED : 0;
}

/** Returns the named steps, or all. Throws `OperatorError` (2) for a step that the plan has not. */
export function stepsOf(of: Plan, named: readonly string[]): string[] {
  const known = of.steps.map(({ id }) => id);
  const unknown = named.find((id) => !known.includes(id));
  if (unknown !== undefined) {
    throw new OperatorError(
      2,
      `The plan ${of.id} has no step "${unknown}". "imdswatch enforce status ${of.id}" lists them.`,
    );
  }
  return named.length === 0 ? known : [...named];
}

/** Settings of a command, and the names of those that a flag or the environment gives. */
export interface Loaded<S> {
  settings: S;
  given: ReadonlySet<string>;
}

/** Opens the findings of the collector that `--collector` names, or of its files here. `needs`: the role of the token. */
export async function withFindings(
  { settings, given }: Loaded<Parameters<typeof judgingOptions>[0] & CollectorAccessSettings & StorePlace>,
  needs: 'viewer' | 'admin',
  work: (findings: OpenFindings, reports: PlanReports) => Promise<number>,
): Promise<number> {
  const client = collectorClientOf(settings, given);
  const findings =
    client === null
      ? await openFindings(settings, judgingOptions(settings))
      : await openRemoteFindings(client, needs);
  try {
    return await work(findings, client === null ? localReports(settings) : remoteReports(client));
  } finally {
    await findings.close();
  }
}

export function storeIn(dataDir: string): PlanStore {
  return new PlanStore(join(dataDir, 'plans'));
}
