/** Decides if tokens can be required for a whole group, from the judgements of all its members. Pure. */
import type { GroupProblemCode } from '../../contract/group.ts';
import type { Verdict } from '../../contract/host.ts';
import { DAY_US } from '../../contract/window.ts';
import type { Judging } from '../judged.ts';
import type { LaunchSource } from './attributes.ts';
import type { JudgedMember } from './member.ts';

/** Starts that must be seen of each image and template version that instances are launched from now. */
export const STARTS_NEEDED = 3;
/** An older inventory may miss instances that were launched since. */
export const MAX_INVENTORY_AGE_US = DAY_US;

export interface GroupEvidence {
  members: readonly JudgedMember[];
  /** When a host of the group was first known, of all time. */
  firstKnownUs: number;
  /** Retention has deleted calls or gaps up to this time; null: nothing was deleted. */
  forgottenUntilUs: number | null;
  /**
   * When the inventory of the group's accounts and regions was supplied, the oldest of them; null: not of
   * all.
   */
  inventoryUs: number | null;
  /** The group has members which whoever asks may not see. */
  hasMembersOutside: boolean;
  /** Sources of Auto Scaling groups, by launcher, where the cloud says what they launch from now. */
  launchesNow: ReadonlyMap<string, Pick<LaunchSource, 'imageId' | 'templateVersion'>>;
}

export interface SeenStarts extends Omit<LaunchSource, 'place'> {
  seen: number;
}

export interface JudgedGroup {
  verdict: Verdict;
  /** Members by reason. A reason about the group as a whole has none. */
  problems: Map<GroupProblemCode, readonly JudgedMember[]>;
  starts: SeenStarts[];
  /** Those with calls that would fail, or that failed. */
  offending: readonly JudgedMember[];
  watched: number;
  /** When the group has been watched for a whole window; null where it has. */
  windowFullAtUs: number | null;
}

/** Proof against it counts before missing proof for it, and one member is enough for either. */
export function judgeGroup(evidence: GroupEvidence, judging: Judging): JudgedGroup {
  const { members, firstKnownUs, forgottenUntilUs, inventoryUs } = evidence;
  const { sinceUs, untilUs } = judging.window;
  const problems = new Map<GroupProblemCode, readonly JudgedMember[]>();

  if (evidence.hasMembersOutside) problems.set('members_outside_scope', []);
  const watchedFromUs = Math.max(firstKnownUs, forgottenUntilUs ?? Number.NEGATIVE_INFINITY);
  const windowFullAtUs = watchedFromUs <= sinceUs ? null : watchedFromUs + untilUs - sinceUs;
  if (windowFullAtUs !== null) problems.set('window_not_full', []);
  if (inventoryUs === null || judging.nowUs - inventoryUs > MAX_INVENTORY_AGE_US)
    problems.set('no_inventory', []);
  for (const member of members) {
    for (const code of member.problems) {
      const known = problems.get(code) as JudgedMember[] | undefined;
      if (known === undefined) problems.set(code, [member]);
      else known.push(member);
    }
  }
  const starts = startsOf(members, evidence.launchesNow);
  if (starts.length === 0 || starts.some(({ seen }) => seen < STARTS_NEEDED))
    problems.set('starts_missing', []);
  const offending = members.filter(({ calls }) => calls !== null);
  return {
    verdict: verdictOf(),
    problems,
    starts,
    offending,
    watched: members.filter((member) => member.problems.length === 0).length,
    windowFullAtUs,
  };

  function verdictOf(): Verdict {
    for (const verdict of ['blocked', 'fallback', 'rejected'] as const) {
      if (offending.some(({ calls }) => calls === verdict)) return verdict;
    }
    const running = members.filter(({ isRunning }) => isRunning);
    const isEnforced = ({ isEnforced: required, member }: JudgedMember) =>
      required && member.firstUs !== null;
    const isAllKnown = !problems.has('no_inventory') && !problems.has('members_outside_scope');
    if (running.length > 0 && running.every(isEnforced) && isAllKnown) return 'enforced';
    return members.length > 0 && problems.size === 0 ? 'ready' : 'unproven';
  }
}

/** Returns whether a start was seen of everything that launches instances of the group now. */
export function isStartSeen({ starts }: Pick<JudgedGroup, 'starts'>): boolean {
  return starts.length > 0 && starts.every(({ seen }) => seen > 0);
}

/**
 * Counts the starts of what each launcher launches from now: what the cloud says, else the source of its
 * newest member. A launcher without a running member counts only where nothing of the group runs.
 */
function startsOf(members: readonly JudgedMember[], launchesNow: GroupEvidence['launchesNow']): SeenStarts[] {
  const isAnyRunning = members.some(({ isRunning }) => isRunning);
  const byLauncher = Map.groupBy(members, ({ member }) => member.source.launcher);
  const starts: SeenStarts[] = [];
  for (const [launcher, launched] of byLauncher) {
    if (isAnyRunning && !launched.some(({ isRunning }) => isRunning)) continue;
    const newest = launched.reduce((a, b) => (b.bornUs > a.bornUs ? b : a)).member.source;
    const now = launchesNow.get(launcher);
    const source = {
      launcher,
      imageId: now?.imageId ?? newest.imageId,
      templateVersion: now?.templateVersion ?? newest.templateVersion,
    };
    const seen = launched
      .filter(
        ({ member }) =>
          member.source.imageId === source.imageId &&
          member.source.templateVersion === source.templateVersion,
      )
      .reduce((sum, { startsSeen }) => sum + startsSeen, 0);
    starts.push({ ...source, seen });
  }
  return starts.sort((a, b) => a.seen - b.seen || (a.launcher < b.launcher ? -1 : 1));
}
