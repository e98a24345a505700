/** Explains a group's verdict: the share that was watched, what is missing, and what to do next. Pure. */
import type { GroupProblemCode } from '../../contract/group.ts';
import { toTimestamp } from '../../store/time.ts';
import { isStartSeen, type JudgedGroup, MAX_INVENTORY_AGE_US, STARTS_NEEDED } from './judge_group.ts';

const MAX_NAMES = 3;
const MAX_SENTENCES = 4;

interface Context {
  members: number;
  /** Titles of the workloads that called without a token, most hosts first. */
  callers: readonly string[];
  /** Names of members with such calls, the first of all. */
  hosts: readonly string[];
  inventoryUs: number | null;
}

export function groupReason(judged: JudgedGroup, context: Context): string {
  const reason = reasonOf(judged, context);
  const isPart = judged.verdict !== 'unproven' && judged.problems.has('members_outside_scope');
  return isPart ? `Only instances in your scope count. ${reason}` : reason;
}

function reasonOf(judged: JudgedGroup, context: Context): string {
  const { verdict, offending } = judged;
  switch (verdict) {
    case 'blocked':
      return `${share(offending.length, context.members)} called without a token, which would fail if tokens were required.${named(context, offending.length)} One is enough: fix the callers first.`;
    case 'fallback':
      return `${share(offending.length, context.members)} fell back to calls without a token after a token request failed.${named(context, offending.length)} Fix the hop limit, or what refuses token requests, first.`;
    case 'rejected':
      return `Tokens are required already, and calls without a token of ${share(offending.length, context.members)} were refused with 401.${named(context, offending.length)} Fix the callers.`;
    case 'enforced':
      return `The cloud reports that tokens are required on every running instance, and no call without a token failed.${isStartSeen(judged) ? '' : ' No start was seen of what launches instances now: what runs at boot can still call without a token and fail.'}`;
    case 'ready':
      return `All ${context.members} instances of the window were watched from launch to end, also those that are gone. None called without a token that would fail, and the cloud's count agrees. ${startsText(judged)} Tokens can be required for the group, its launch template included.`;
    case 'unproven':
      return unprovenReason(judged, context);
  }
}

function unprovenReason(
  { problems, watched, starts }: JudgedGroup,
  { members, inventoryUs }: Context,
): string {
  const texts = [...problems].map(([code, { length }]) => problemText(code, length, { starts, inventoryUs }));
  const more = texts.length - MAX_SENTENCES;
  return [
    `${watched} of ${members} instances watched for their whole life.`,
    ...texts.slice(0, MAX_SENTENCES),
    ...(more > 0 ? [`${more} more ${more === 1 ? 'reason' : 'reasons'}.`] : []),
  ].join(' ');
}

/** Says what a reason is and what to do about it. `count`: members that it concerns. */
export function problemText(
  code: GroupProblemCode,
  count: number,
  { starts, inventoryUs }: { starts: JudgedGroup['starts']; inventoryUs: number | null },
): string {
  const instances = `${count} ${count === 1 ? 'instance' : 'instances'}`;
  switch (code) {
    case 'members_outside_scope':
      return 'The group has members outside your scope, which can still call IMDSv1. Somebody whose role has no scope must look at the whole group before tokens are required for it.';
    case 'window_not_full':
      return 'The group has not been watched for a whole window yet.';
    case 'no_inventory':
      return inventoryUs === null
        ? 'The cloud\'s inventory was not supplied for all its accounts and regions, so an instance without an agent would not be known. Run "imdswatch cloud sync" for them.'
        : `The cloud's inventory is of ${toTimestamp(inventoryUs).slice(0, 16).replace('T', ' ')} UTC, more than ${MAX_INVENTORY_AGE_US / 3_600_000_000} h old. Run "imdswatch cloud sync" again.`;
    case 'no_agent':
      return `No agent of ${instances} has reported. Install it, in the image or the launch template.`;
    case 'cloud_saw_more':
      return `The cloud counted calls without a token of ${instances} that the agent did not see. Find the cause first.`;
    case 'losses':
      return `Packets or records of ${instances} were lost. No tolerance covers that.`;
    case 'silent':
      return `${instances} stopped reporting, and the cloud does not say that ${count === 1 ? 'it' : 'they'} ended. Mend the agent, or run "imdswatch cloud sync".`;
    case 'end_unknown':
      return `${instances} ended or stopped, and the cloud does not say when. Run "imdswatch cloud sync", which reads the scaling activities.`;
    case 'launch_unknown':
      return `The launch time of ${instances} is not known, so the boot before the first report is not proven. Run "imdswatch cloud sync".`;
    case 'boot_not_counted':
      return `The boot of ${instances} was not watched from its first moment, and the cloud's count of that hour is missing. Run "imdswatch cloud sync" for the counts.`;
    case 'not_watched':
      return `${instances} had gaps beyond the tolerance.`;
    case 'starts_missing':
      return startsText({ starts });
  }
}

function startsText({ starts }: Pick<JudgedGroup, 'starts'>): string {
  const fewest = starts[0];
  if (fewest === undefined) return 'No start was seen.';
  const { launcher, imageId, templateVersion, seen } = fewest;
  const of = [
    ...(imageId === null || launcher.endsWith(imageId) ? [] : [imageId]),
    ...(templateVersion === null ? [] : [`template version ${templateVersion}`]),
  ].join(', ');
  const source = `${launcher}${of === '' ? '' : ` with ${of}`}`;
  return seen < STARTS_NEEDED
    ? `${seen} of ${STARTS_NEEDED} starts were seen of ${source}, so what runs at boot is not proven.`
    : `At least ${seen} starts were seen of what it launches now.`;
}

function share(count: number, members: number): string {
  return `${count} of ${members} instances`;
}

function named({ callers, hosts }: Context, offending: number): string {
  const texts = [
    ...(callers.length === 0 ? [] : [`Callers: ${list(callers, callers.length)}.`]),
    ...(hosts.length === 0 ? [] : [`On: ${list(hosts, offending)}.`]),
  ];
  return texts.length === 0 ? '' : ` ${texts.join(' ')}`;
}

function list(names: readonly string[], count: number): string {
  const more = count - Math.min(MAX_NAMES, names.length);
  return `${names.slice(0, MAX_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
