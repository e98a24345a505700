/** Puts the changes of a plan in their order. Pure. */
import type { GroupFinding, HostFinding } from '../findings.ts';
import type { Evidence, Plan, PlanGroup, PlanStep, Policy } from '../plan.ts';
import type { ChosenHost, LeftOut } from './choice.ts';

/** A launch template that groups of the plan launch from. */
export interface PlannedTemplate {
  place: ChosenHost['place'];
  templateId: string;
  /** The version that the groups launch now. */
  sourceVersion: number;
  /** Every group that launches from it, in the plan or not. */
  groups: readonly string[];
  /** The version, as the groups of the plan name it. */
  references: readonly { scalingGroup: string; reference: '$Latest' | '$Default' | number }[];
}

export interface PlanParts {
  id: string;
  created: string;
  createdBy: string;
  policy: Policy;
  hosts: readonly ChosenHost[];
  leftOut: readonly LeftOut[];
  /** Instances that run, by group. A group that is not there has the hosts of the plan. */
  sizes: ReadonlyMap<string, number>;
  /** Every host with an agent, by group. */
  members: ReadonlyMap<string, readonly HostFinding[]>;
  verdicts: ReadonlyMap<string, GroupFinding>;
  templates: readonly PlannedTemplate[];
  /** Places whose account default is to require tokens. */
  accountDefaults: readonly ChosenHost['place'][];
}

/**
 * Orders the changes: hop limits first, then one canary per group, then waves of the allowed share, then templates,
 * what makes them live, and the account's default last.
 */
export function makePlan(parts: PlanParts): Plan {
  const steps: PlanStep[] = [];
  const put = (step: Omit<PlanStep, 'id'>): string => {
    const id = `s${steps.length + 1}`;
    steps.push({ id, ...step });
    return id;
  };
  const groups = groupsOf(parts);
  const raised = parts.hosts.filter(({ change }) => change.hop_limit !== undefined);
  for (const host of raised) put(instanceStep(host, 0, 'hop_limit'));
  const enforced = parts.hosts.filter(({ change }) => change.http_tokens !== undefined);
  const waves = wavesOf(enforced, groups, parts.policy);
  for (const { host, wave } of waves) put(instanceStep(host, wave, wave === 1 ? 'canary' : 'wave'));
  const after = Math.max(1, ...waves.map(({ wave }) => wave)) + 1;
  for (const template of parts.templates) putTemplate(template, after, put);
  for (const place of parts.accountDefaults) {
    put({
      target: { type: 'account_default', ...place },
      change: { http_tokens: 'required' },
      group: `place:${place.account}/${place.region}`,
      wave: after + 2,
      role: 'account',
      evidence: null,
    });
  }
  return {
    format: 1,
    id: parts.id,
    created: parts.created,
    created_by: parts.createdBy,
    policy: parts.policy,
    groups,
    steps,
    left_out: [...parts.leftOut],
  };
}

function groupsOf({ hosts, sizes, members, verdicts, templates }: PlanParts): PlanGroup[] {
  const ids = new Set([
    ...hosts.map(({ group }) => group),
    ...templates.flatMap(({ references }) => references.map(({ scalingGroup }) => `asg:${scalingGroup}`)),
  ]);
  return [...ids].sort().map((id) => {
    const planned = hosts.filter(({ group }) => group === id).map(({ finding }) => finding.hostId);
    const known = (members.get(id) ?? []).map(({ hostId }) => hostId);
    const verdict = verdicts.get(id);
    return {
      id,
      size: Math.max(sizes.get(id) ?? 0, planned.length),
      hosts: [...new Set([...planned, ...known])].sort(),
      evidence:
        verdict === undefined
          ? null
          : { verdict: verdict.verdict, reason: verdict.reason, start_seen: verdict.startSeen },
    };
  });
}

/** Returns the hosts group by group: wave 1 is the canary, and each later wave is as large as the allowed share. */
function wavesOf(
  hosts: readonly ChosenHost[],
  groups: readonly PlanGroup[],
  { max_share }: Policy,
): { host: ChosenHost; wave: number }[] {
  const ordered = [...Map.groupBy(hosts, ({ group }) => group)].flatMap(([id, members]) => {
    const size = groups.find((group) => group.id === id)?.size ?? 0;
    const share = Math.max(1, Math.floor(max_share * size));
    const [canary, ...rest] = members.toSorted(
      (a, b) => Number(b.finding.isOnline) - Number(a.finding.isOnline),
    );
    return [
      ...(canary === undefined ? [] : [{ host: canary, wave: 1 }]),
      ...rest.map((host, index) => ({ host, wave: 2 + Math.floor(index / share) })),
    ];
  });
  return ordered.sort((a, b) => a.wave - b.wave);
}

function putTemplate(
  { place, templateId, sourceVersion, groups, references }: PlannedTemplate,
  wave: number,
  put: (step: Omit<PlanStep, 'id'>) => string,
): void {
  const shared = { change: { http_tokens: 'required' as const }, evidence: null };
  const group = `asg:${references[0]!.scalingGroup}`;
  const created_by = put({
    ...shared,
    target: {
      type: 'template',
      ...place,
      template_id: templateId,
      source_version: sourceVersion,
      goes_live: references.some(({ reference }) => reference === '$Latest'),
      groups: groups.map((name) => `asg:${name}`),
    },
    group,
    wave,
    role: 'template',
  });
  const live = { ...shared, wave: wave + 1, role: 'go_live' as const };
  if (references.some(({ reference }) => reference === '$Default')) {
    put({
      ...live,
      group,
      target: { type: 'template_default', ...place, template_id: templateId, created_by },
    });
  }
  for (const { scalingGroup, reference } of references) {
    if (typeof reference !== 'number') continue;
    put({
      ...live,
      group: `asg:${scalingGroup}`,
      target: {
        type: 'group_version',
        ...place,
        scaling_group: scalingGroup,
        template_id: templateId,
        created_by,
      },
    });
  }
}

function instanceStep(
  { finding, place, group, change }: ChosenHost,
  wave: number,
  role: PlanStep['role'],
): Omit<PlanStep, 'id'> {
  return {
    target: { type: 'instance', ...place, instance_id: finding.hostId, host_name: finding.name },
    change,
    group,
    wave,
    role,
    evidence: evidenceOf(finding),
  };
}

function evidenceOf({ verdict, reason, startSeen, coveragePercent, hops }: HostFinding): Evidence {
  return { verdict, reason, start_seen: startSeen, coverage_percent: coveragePercent, hops };
}
