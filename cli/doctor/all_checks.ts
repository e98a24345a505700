/** Runs all checks, one after the other, in the order in which their findings are shown. */
import { agent } from './agent.ts';
import { backstage } from './backstage.ts';
import { capabilities } from './capabilities.ts';
import { capture } from './capture.ts';
import { certificate } from './certificate.ts';
import {
  type AgentSide,
  type Check,
  type CollectorSide,
  type Finding,
  fail,
  messageOf,
  type Status,
} from './check.ts';
import { collectorLink } from './collector_link.ts';
import { configuration } from './configuration.ts';
import { ebpf } from './ebpf.ts';
import { engines } from './engines.ts';
import { identity } from './identity.ts';
import { kernel } from './kernel.ts';
import { listening } from './listening.ts';
import { metrics } from './metrics.ts';
import { network } from './network.ts';
import { spool } from './spool.ts';
import { store } from './store.ts';

const AGENT_CHECKS: readonly Check<AgentSide>[] = [
  configuration,
  identity,
  kernel,
  ebpf,
  capture,
  capabilities,
  network,
  engines,
  agent,
  spool,
  collectorLink,
  metrics,
];
const COLLECTOR_CHECKS: readonly Check<CollectorSide>[] = [
  configuration,
  listening,
  certificate,
  store,
  backstage,
];

export interface CheckResult extends Finding {
  part: 'agent' | 'collector';
  check: string;
}

/** Runs the checks of each side that is not null. A check that throws yields a finding with status `fail`. */
export async function runChecks(
  agentSide: AgentSide | null,
  collectorSide: CollectorSide | null,
): Promise<CheckResult[]> {
  return [
    ...(agentSide === null ? [] : await runAll('agent', AGENT_CHECKS, agentSide)),
    ...(collectorSide === null ? [] : await runAll('collector', COLLECTOR_CHECKS, collectorSide)),
  ];
}

async function runAll<Side>(
  part: CheckResult['part'],
  checks: readonly Check<Side>[],
  side: Side,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const check of checks) {
    if (!check.applies(side)) continue;
    for (const finding of await runCheck(check, side)) results.push({ part, check: check.name, ...finding });
  }
  return results;
}

async function runCheck<Side>(check: Check<Side>, side: Side): Promise<Finding[]> {
  try {
    return await check.run(side);
  } catch (error) {
    return [
      fail(
        `this check failed with an error: ${messageOf(error)}`,
        'Please report this error, with the output of "imdswatch doctor --json".',
      ),
    ];
  }
}

const SEVERITY: readonly Status[] = ['skip', 'ok', 'warn', 'fail'];

/** Returns the most serious status of all findings; `skip` when nothing was checked. */
export function worst(results: readonly CheckResult[]): Status {
  return results.reduce<Status>(
    (worst, { status }) => (SEVERITY.indexOf(status) > SEVERITY.indexOf(worst) ? status : worst),
    'skip',
  );
}
