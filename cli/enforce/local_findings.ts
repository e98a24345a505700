/** The collector's findings for the enforcement, read from its files on this machine. */

import type { EnforcementHost } from '../../collector/contract/enforcement.ts';
import { DAY_US } from '../../collector/contract/window.ts';
import {
  type JudgingOptions,
  type LocalFindings,
  openForReading,
  plansUnderWay,
  type StorePlace,
  withAdmin,
} from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { Findings } from '../../enforce/findings.ts';
import { describeTarget } from '../../enforce/run/describe_progress.ts';
import { createLogger } from '../log.ts';
import { callOf, hostOf } from './served_findings.ts';

const HOSTS_AT_ONCE = 500;

export interface OpenFindings extends Findings {
  close(): Promise<void>;
}

/** Throws `OperatorError` where there are no findings. */
export async function openFindings(place: StorePlace, options: JudgingOptions): Promise<OpenFindings> {
  const { enforcement, insight, close } = await openForReading(place, options);
  return {
    hosts: async (ids) =>
      (ids === null ? await allHosts(enforcement) : await enforcement.hosts(ids)).map(hostOf),
    group: async (id, { account, region }) => {
      const nowUs = Date.now() * 1000;
      // Verdicts of groups are over the readiness window that ends with the window of the question.
      const window = { sinceUs: nowUs - options.readinessWindowDays * DAY_US, untilUs: nowUs };
      const found = await insight.group(id, { window }, { accounts: [account], regions: [region] });
      return found === null
        ? null
        : { id, verdict: found.verdict, reason: found.reason, startSeen: found.start_seen };
    },
    refusedCalls: async (sinceMs, watched) => (await enforcement.refusedCalls(sinceMs, watched)).map(callOf),
    newHosts: (place, sinceMs) => enforcement.newHosts(place, sinceMs),
    acceptedCalls: async (hostIds, sinceMs) =>
      (await enforcement.acceptedCalls(hostIds, sinceMs)).map(callOf),
    hostsOfCaller: (callerId) => enforcement.hostsOfCaller(callerId),
    watched: (hostIds, span) => enforcement.watched(hostIds, span),
    otherPlans: async (planId, target) => plansUnderWay(place, describeTarget(target), planId),
    audit: (action, subject, detail) => audit(place, action, subject, detail),
    close,
  };
}

/** Judges all hosts, some hundred at a time. */
async function allHosts(enforcement: LocalFindings['enforcement']): Promise<EnforcementHost[]> {
  const found: EnforcementHost[] = [];
  for (let after: string | null = null; ; ) {
    const page = await enforcement.hostsAfter(after, HOSTS_AT_ONCE);
    found.push(...page.items);
    if (page.next === null) return found;
    after = page.next;
  }
}

/**
 * Stands for a collector that is not asked, as during a roll-back: nothing can go forward with it. `place`: the data of a
 * collector on this machine, whose audit log is written all the same; null for none.
 */
export function noFindings(place: StorePlace | null): Findings {
  const refuse = async (): Promise<never> => {
    throw new OperatorError(1, 'The collector is not asked during a roll-back.');
  };
  return {
    hosts: refuse,
    group: refuse,
    refusedCalls: refuse,
    newHosts: refuse,
    acceptedCalls: refuse,
    hostsOfCaller: refuse,
    watched: refuse,
    otherPlans: refuse,
    audit: async (action, subject, detail) => {
      if (place !== null) await audit(place, action, subject, detail);
    },
  };
}

async function audit(place: StorePlace, action: string, subject: string, detail: string): Promise<void> {
  await withAdmin(place, createLogger('warn', 'enforce'), (admin) => admin.audit(action, subject, detail));
}
