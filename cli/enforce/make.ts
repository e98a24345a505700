/** Makes a plan from the collector's findings and the cloud's groups. */
import { randomBytes } from 'node:crypto';
import { OperatorError } from '../../common/operator_error.ts';
import type { GroupFinding, HostFinding } from '../../enforce/findings.ts';
import { belongsTo, ownGroup, scalingGroupOf } from '../../enforce/groups.ts';
import type { Plan } from '../../enforce/plan.ts';
import {
  allowedChanges,
  type ChosenHost,
  isChosen,
  type LeftOut,
  noHostText,
} from '../../enforce/planning/choice.ts';
import { makePlan } from '../../enforce/planning/make_plan.ts';
import { survey } from '../../enforce/planning/survey.ts';
import { credentialsOf } from '../settings/cloud_credentials.ts';
import { cloudsWith } from './carry_out.ts';
import type { OpenFindings } from './local_findings.ts';
import { choiceOf, type PlanSettings, policyOf } from './plan_settings.ts';

/** Bounds the time to read a plan's journal, which grows with the square of this. */
const MAX_STEPS = 2000;

/**
 * Returns the plan, or only what was left out where nothing may be changed. Throws `OperatorError` if no host was chosen.
 */
export async function makePlanFrom(
  settings: PlanSettings,
  findings: OpenFindings,
  createdBy: string,
): Promise<{ plan: Plan | null; leftOut: LeftOut[] }> {
  const choice = choiceOf(settings);
  const policy = policyOf(settings);
  const all = await findings.hosts(null);
  const chosen = all.filter((finding) => isChosen(finding, choice));
  if (chosen.length === 0) throw new OperatorError(1, noHostText(all, choice));
  const isByHost = choice.hosts !== null;
  const verdicts = await groupVerdicts(chosen, findings);
  const { changed, leftOut } = allowedChanges(chosen, all, verdicts, policy);
  refuseSharedNames(changed);
  const id = `p-${randomBytes(6).toString('hex')}`;
  const groups = [...Map.groupBy(changed, ({ group }) => group)].map(([group, [first]]) => ({
    group,
    place: first!.place,
  }));
  // Groups whose instances require tokens already may still have a template that does not.
  if (settings.templates && !isByHost) {
    for (const finding of chosen) {
      if (finding.verdict !== 'enforced' || finding.account === null || finding.region === null) continue;
      const place = { account: finding.account, region: finding.region };
      const group = ownGroup(finding.tags, place);
      if (!groups.some((each) => each.group === group)) groups.push({ group, place });
    }
  }
  const cloudOf = await cloudsWith(credentialsOf(settings), id);
  const surveyed = await survey(groups, cloudOf, { withTemplates: settings.templates && !isByHost });
  const places = Map.groupBy(groups, ({ place }) => `${place.account}/${place.region}`);
  const plan = makePlan({
    id,
    created: new Date().toISOString(),
    createdBy,
    policy,
    hosts: changed,
    leftOut: [...leftOut, ...surveyed.leftOut],
    sizes: surveyed.sizes,
    members: membersOf(all, groups),
    verdicts,
    templates: surveyed.templates,
    accountDefaults: settings.account_default ? [...places.values()].map(([first]) => first!.place) : [],
  });
  if (plan.steps.length > MAX_STEPS) {
    throw new OperatorError(
      1,
      `The plan has ${plan.steps.length} steps, and the most are ${MAX_STEPS}. Make several: choose groups, accounts or regions.`,
    );
  }
  return { plan: plan.steps.length === 0 ? null : plan, leftOut: plan.left_out };
}

/** Judges the Auto Scaling groups of the hosts. A group of which the collector knows nothing is absent. */
async function groupVerdicts(
  hosts: readonly HostFinding[],
  findings: OpenFindings,
): Promise<Map<string, GroupFinding>> {
  const verdicts = new Map<string, GroupFinding>();
  for (const { account, region, tags } of hosts) {
    if (account === null || region === null) continue;
    const group = ownGroup(tags, { account, region });
    if (scalingGroupOf(group) === null || verdicts.has(group)) continue;
    const verdict = await findings.group(group, { account, region });
    if (verdict !== null) verdicts.set(group, verdict);
  }
  return verdicts;
}

/** A plan counts the share of a group by its name, so a name must stand for one group. */
function refuseSharedNames(changed: readonly ChosenHost[]): void {
  for (const [group, members] of Map.groupBy(changed, (host) => host.group)) {
    const places = new Set(members.map(({ place }) => `${place.account}/${place.region}`));
    if (places.size > 1) {
      throw new OperatorError(
        1,
        `The group ${group} exists in ${[...places].join(' and ')}. Make a plan for each: use --account and --region.`,
      );
    }
  }
}

function membersOf(
  all: readonly HostFinding[],
  groups: readonly { group: string; place: { account: string; region: string } }[],
): Map<string, HostFinding[]> {
  return new Map(
    groups.map(({ group, place }) => [
      group,
      all.filter((finding) =>
        group.startsWith('none:') ? ownGroup(finding.tags, place) === group : belongsTo(group, finding),
      ),
    ]),
  );
}
