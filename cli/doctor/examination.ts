/** All checks in the order in which they are told, made one after the other. */
import { agent } from './agent.ts';
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
import { network } from './network.ts';
import { spool } from './spool.ts';
import { store } from './store.ts';

const OF_AGENT: readonly Check<AgentSide>[] = [
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
];
const OF_COLLECTOR: readonly Check<CollectorSide>[] = [configuration, listening, certificate, store];

export interface Told extends Finding {
  part: 'agent' | 'collector';
  check: string;
}

export async function examine(
  agentSide: AgentSide | null,
  collectorSide: CollectorSide | null,
): Promise<Told[]> {
  return [
    ...(agentSide === null ? [] : await make('agent', OF_AGENT, agentSide)),
    ...(collectorSide === null ? [] : await make('collector', OF_COLLECTOR, collectorSide)),
  ];
}

async function make<Side>(part: Told['part'], checks: readonly Check<Side>[], side: Side): Promise<Told[]> {
  const told: Told[] = [];
  for (const check of checks) {
    if (!check.applies(side)) continue;
    for (const finding of await made(check, side)) told.push({ part, check: check.name, ...finding });
  }
  return told;
}

async function made<Side>(check: Check<Side>, side: Side): Promise<Finding[]> {
  try {
    return await check.examine(side);
  } catch (error) {
    return [
      fail(`could not be checked: ${messageOf(error)}`, 'Please report this, with the output of --json.'),
    ];
  }
}

const SEVERITY: readonly Status[] = ['skip', 'ok', 'warn', 'fail'];

/** `skip` where nothing at all was checked. */
export function worst(told: readonly Told[]): Status {
  return told.reduce<Status>(
    (found, { status }) => (SEVERITY.indexOf(status) > SEVERITY.indexOf(found) ? status : found),
    'skip',
  );
}
