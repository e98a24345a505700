/**
 * Says for each resource whether the hosts that it stands for are ready. Pure: the hosts and the time are given.
 * No static check knows this: the evidence comes from agents that watched the hosts.
 */
import { SCALING_GROUP_TAG, TEMPLATE_TAG } from '../common/instance_tags.ts';
import type { ChangeEffect, Finding, HostReadiness, HostSelector } from './finding.ts';

/** A host with what a collector knows of it. */
export interface WatchedHost {
  id: string;
  tags: Readonly<Record<string, string>>;
  verdict: 'ready' | 'blocked' | 'fallback' | 'rejected' | 'enforced' | 'unproven';
  /** A start of the host was seen, so that its boot is proven too. */
  startSeen: boolean;
  /** Milliseconds since 1970; null where no IMDSv1 call was ever seen. */
  lastV1: number | null;
  firstSeen: number;
  /** Titles of the workloads that call IMDSv1, worst first. */
  offenders: readonly string[];
}

const DAY_MS = 86_400_000;

/** Adds the readiness to findings whose hosts can be told. */
export function withReadiness(
  findings: readonly Finding[],
  hosts: readonly WatchedHost[],
  nowMs: number,
): Finding[] {
  return findings.map((finding) =>
    finding.hosts === undefined
      ? finding
      : { ...finding, readiness: readinessOf(finding.hosts, finding.effect, hosts, nowMs) },
  );
}

function readinessOf(
  selector: HostSelector,
  effect: ChangeEffect | undefined,
  hosts: readonly WatchedHost[],
  nowMs: number,
): HostReadiness {
  const matched = hosts.filter((host) => isMatch(host, selector));
  const count = `${matched.length} ${matched.length === 1 ? 'host' : 'hosts'}`;
  const answer = (state: HostReadiness['state'], text: string) => ({ hosts: matched.length, state, text });
  if (matched.length === 0)
    return answer(
      'unmatched',
      'No host that reports to the collector matches this resource: nothing is known.',
    );
  const blocking = matched.filter(
    ({ verdict }) => verdict === 'blocked' || verdict === 'fallback' || verdict === 'rejected',
  );
  if (blocking.length > 0) {
    const names = [...new Set(blocking.flatMap(({ offenders }) => offenders.slice(0, 1)))];
    const by = names.length === 0 ? 'IMDSv1 calls' : names.slice(0, 3).join(', ');
    const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
    return answer(
      'blocked',
      `${count}: blocked by ${by}${more} on ${blocking.length}. Do not change it yet.`,
    );
  }
  const unproven = matched.filter(({ verdict }) => verdict === 'unproven').length;
  if (unproven > 0)
    return answer(
      'unproven',
      `${count}: ${unproven} not watched long enough to be proven. Wait before you change it.`,
    );
  const quiet = matched.map(({ lastV1, firstSeen }) => nowMs - Math.max(lastV1 ?? firstSeen, 0));
  const days = Math.max(Math.floor(Math.min(...quiet) / DAY_MS), 0);
  const clause = `ready, no IMDSv1 for ${days} ${days === 1 ? 'day' : 'days'}`;
  const unstarted = matched.filter(({ startSeen }) => !startSeen).length;
  // Instances that a template launches also run what runs at boot.
  if (unstarted > 0 && effect?.how !== 'in_place')
    return answer(
      'unproven',
      `${count}: ${clause}, but no start of ${unstarted} was seen, so what runs at boot is not proven.`,
    );
  return answer('safe', `${count}, ${clause}: safe to change.`);
}

function isMatch({ id, tags }: WatchedHost, selector: HostSelector): boolean {
  if (selector.instanceIds.includes(id)) return true;
  const group = tags[SCALING_GROUP_TAG];
  if (group !== undefined && selector.autoScalingGroups.includes(group)) return true;
  const template = tags[TEMPLATE_TAG];
  if (template !== undefined && selector.launchTemplateIds.includes(template)) return true;
  const wanted = Object.entries(selector.tags);
  return wanted.length > 0 && wanted.every(([key, value]) => tags[key] === value);
}
