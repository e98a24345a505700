/** Makes the findings about one host: its verdict, that its agent is silent, and that its capture loses something. */
import type { FindingState } from '../admin/finding_rows.ts';
import { coverageLost } from '../alert/alert_text.ts';
import type { Finding, FindingHost } from '../contract/finding.ts';
import type { Host } from '../contract/host.ts';
import type { HostSummary } from '../insight/hosts.ts';
import type { StoreQueries } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { isLossOpen, type OpenLoss } from './open_loss.ts';
import type { WantedFinding } from './reported_change.ts';

export type HostGlance = HostSummary & { lastLossUs: number | null };

export const lossKey = (id: string) => `coverage_lost/${id}`;

/** Returns the findings of a host that go on and may be reported, without their descriptions. */
export function goingOn(
  { id, verdict, isSilent, lastLossUs }: HostGlance,
  nowUs: number,
): Pick<FindingState, 'key' | 'state' | 'minor'>[] {
  const found = [{ key: `verdict/${id}`, state: verdict as string, minor: '' }];
  if (isSilent) found.push({ key: `host_silent/${id}`, state: '', minor: '' });
  if (lastLossUs !== null && isLossOpen(lastLossUs, nowUs))
    found.push({ key: lossKey(id), state: '', minor: String(lastLossUs) });
  return found;
}

export interface DescribedHost {
  host: Host;
  facts: FindingHost;
  glance: HostGlance;
  /** Its latest losses; null where nothing is lost now. */
  loss: OpenLoss | null;
  link: string | null;
}

export function findingsAbout({ host, facts, glance, loss, link }: DescribedHost): WantedFinding[] {
  const { id, name, verdict, state } = host;
  const common = { first_seen: host.first_seen, last_seen: host.last_seen, link };
  const { severity, reason } = VERDICTS[verdict];
  const wanted: WantedFinding[] = [
    {
      key: `verdict/${id}`,
      state: verdict,
      minor: '',
      make: async (given) => ({
        ...{ ...given, ...common, type: 'verdict', severity, verdict, reason, host: facts },
        title: `Host ${name} is ${verdict}`,
        text: `Host ${name} (${id}): ${reason}`,
        coverage_percent: host.coverage_percent,
      }),
    },
  ];
  if (state === 'silent') {
    wanted.push({
      key: `host_silent/${id}`,
      state: '',
      minor: '',
      make: async (given) => ({
        ...{ ...given, ...common, type: 'sensor', rule: 'host_silent', severity: 'warning', host: facts },
        title: `Host ${name} is silent`,
        text: `The agent of host ${name} (${id}) does not report, last at ${host.last_heartbeat ?? host.last_seen}. Calls on it are not seen.`,
      }),
    });
  }
  if (loss !== null) {
    const { title, text } = coverageLost(host, loss.last);
    wanted.push({
      key: lossKey(id),
      state: '',
      minor: String(glance.lastLossUs),
      make: async (given) => ({
        ...{ ...given, type: 'sensor', rule: 'coverage_lost', severity: 'warning', host: facts, title, text },
        first_seen: toTimestamp(loss.startUs),
        last_seen: toTimestamp(loss.last.endUs),
        link,
      }),
    });
  }
  return wanted;
}

const VERDICTS: Record<Host['verdict'], { severity: Finding['severity']; reason: string }> = {
  ready: {
    severity: 'info',
    reason: 'No IMDSv1 call was seen while it was watched. Tokens can be required.',
  },
  enforced: { severity: 'info', reason: 'Tokens are required, and nobody called without one.' },
  blocked: {
    severity: 'warning',
    reason: 'Workloads call IMDSv1 there. Fix them before tokens are required.',
  },
  fallback: {
    severity: 'warning',
    reason: 'Clients that support IMDSv2 fell back to IMDSv1. Fix the hop limit first.',
  },
  rejected: {
    severity: 'warning',
    reason: 'Tokens are required, and calls without one are refused: something is broken.',
  },
  unproven: { severity: 'info', reason: 'It was not watched all the time, so nothing is proven.' },
};

export async function hostsOf(
  store: Pick<StoreQueries, 'hosts' | 'cloudInstances'>,
  ids: readonly string[],
): Promise<FindingHost[]> {
  const [hosts, instances] = await Promise.all([store.hosts(ids), store.cloudInstances(ids)]);
  const options = new Map(instances.map((each) => [each.hostId, each]));
  return hosts.map(({ facts }) => ({
    ...{ id: facts.id, name: facts.name, tags: facts.tags ?? {}, type: facts.type ?? null },
    account: facts['cloud.account.id'] ?? null,
    region: facts['cloud.region'] ?? null,
    zone: facts['cloud.availability_zone'] ?? null,
    image_id: facts['image.id'] ?? null,
    http_tokens: options.get(facts.id)?.httpTokens ?? null,
    hop_limit: options.get(facts.id)?.hopLimit ?? null,
  }));
}
