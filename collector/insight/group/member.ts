/**
 * Judges one member of a group over its life in the window: whether it was watched from its launch to its
 * end. Pure. The difference to a host's own verdict is that a member need not have lived for the whole
 * window.
 */
import type { GroupProblemCode } from '../../contract/group.ts';
import { HOUR_US, type Window } from '../../contract/window.ts';
import type { StoredGap } from '../../store/store.ts';
import type { Tally } from '../counts.ts';
import { isCovered, isNeverTolerated, REPORT_GRACE_US } from '../coverage_gaps.ts';
import type { Judging } from '../judged.ts';
import { verdictOfCalls } from '../readiness.ts';
import type { LaunchSource } from './attributes.ts';

/** Time after a boot's first report in which what runs at boot may still call. */
export const BOOT_US = 10 * 60_000_000;

/** An instance in the cloud's inventory. Null: the inventory does not say. */
export interface MemberInCloud {
  state: string | null;
  launchedUs: number | null;
  terminatedUs: number | null;
  /** When the inventory was supplied. */
  suppliedUs: number;
}

export interface Member {
  hostId: string;
  source: LaunchSource;
  /** Start of the first coverage report and end of the last one; null where no agent has reported. */
  firstUs: number | null;
  lastUs: number | null;
  /** Gaps within the window, of every reason. */
  gaps: readonly StoredGap[];
  /** First reports of boots after the host's very first report. */
  reboots: readonly number[];
  /** Its calls of the window; null without calls that are IMDSv1 or of no version. */
  calls: Tally | null;
  /** Null: the cloud's inventory does not name it. */
  cloud: MemberInCloud | null;
  /** Present metadata options, where they were supplied. */
  tokens: { value: 'optional' | 'required'; suppliedUs: number } | null;
  /**
   * Spans of whole hours for which the cloud's count of this instance was supplied, and equals what was seen.
   */
  counted: readonly Window[];
  /** Calls without a token that only the cloud counted, successful and refused ones, in the window. */
  unseen: number;
}

export type CallsVerdict = 'rejected' | 'blocked' | 'fallback';

/** The part of a member by which its group is judged. */
export interface MemberBrief extends Pick<Member, 'hostId' | 'source' | 'firstUs'> {
  calls: Pick<Tally, 'v1'> | null;
}

export interface JudgedMember<M extends MemberBrief = MemberBrief> {
  member: M;
  /** The verdict of its calls; null where none would fail. */
  calls: CallsVerdict | null;
  /** Why it was not watched for its whole life; empty where it was. */
  problems: GroupProblemCode[];
  isRunning: boolean;
  isEnforced: boolean;
  /** Start of its life, as far as it is known. It tells which member is the newest. */
  bornUs: number;
  /** Starts within the window that were seen from their first moment. */
  startsSeen: number;
}

/** Judges a member. What is before its launch and after its end needs no proof. */
export function judgeMember(member: Member, judging: Judging): JudgedMember<Member> {
  const { sinceUs, untilUs } = judging.window;
  const { firstUs, lastUs, cloud, tokens } = member;
  const problems: GroupProblemCode[] = [];
  const gaps: StoredGap[] = [];
  let startsSeen = 0;
  const isReporting = lastUs !== null && untilUs - lastUs <= REPORT_GRACE_US;
  const ended = cloud?.terminatedUs ?? null;
  const isSaidToRun = ended === null && (cloud?.state === 'running' || cloud?.state === 'pending');

  if (member.unseen > 0) problems.push('cloud_saw_more');
  if (firstUs === null || lastUs === null) problems.push('no_agent');
  else {
    judgeStart(firstUs);
    judgeReboots(firstUs);
    judgeEnd(lastUs);
    const aheadUs = lastUs - judging.nowUs;
    if (aheadUs > REPORT_GRACE_US)
      gaps.push(gapOf(Math.max(sinceUs, untilUs - aheadUs), untilUs, 'no_report'));
    for (const gap of member.gaps) if (gap.reason !== 'boot') gaps.push(gap);
    if (gaps.some(({ reason }) => isNeverTolerated(reason))) problems.push('losses');
    else if (gaps.length > 0 && !isCovered({ gaps }, judging.toleranceUs)) problems.push('not_watched');
  }
  return {
    member,
    calls: member.calls === null ? null : verdictOfCalls(member.calls),
    problems,
    isRunning: isReporting ? ended === null || ended > untilUs : isSaidToRun,
    isEnforced: tokens?.value === 'required' && tokens.suppliedUs >= sinceUs && member.unseen === 0,
    bornUs: Math.min(cloud?.launchedUs ?? Number.POSITIVE_INFINITY, firstUs ?? Number.POSITIVE_INFINITY),
    startsSeen,
  };

  function judgeStart(first: number): void {
    if (first <= sinceUs) return;
    const launchedUs = cloud?.launchedUs ?? null;
    // The cloud gives the latest launch: after a stop and a start it says nothing about the first one.
    if (launchedUs === null || launchedUs > first) problems.push('launch_unknown');
    else if (launchedUs < sinceUs) gaps.push(gapOf(sinceUs, first, 'not_yet_watched'));
    else if (isCounted(member.counted, launchedUs, bootEndUs(first))) startsSeen += 1;
    else problems.push('boot_not_counted');
  }

  function judgeReboots(first: number): void {
    if (member.gaps.length === 0 && member.reboots.length === 0) return;
    const boots = member.gaps.filter(({ reason }) => reason === 'boot');
    const isSeen = ({ startUs, endUs }: StoredGap) => isCounted(member.counted, startUs, bootEndUs(endUs));
    const unseen = boots.filter((gap) => !isSeen(gap));
    const within = member.reboots.filter((us) => us > first && us >= sinceUs && us < untilUs);
    const seen = within.filter((us) => {
      const before = boots.filter(({ startUs, endUs }) => startUs <= us && endUs >= us);
      return before.length > 0 ? before.every(isSeen) : isCounted(member.counted, us, bootEndUs(us));
    });
    startsSeen += seen.length;
    const isMissing = unseen.length > 0 || seen.length < within.length;
    if (isMissing && !problems.includes('boot_not_counted')) problems.push('boot_not_counted');
  }

  /**
   * Returns when a boot was watched without a break. No tolerance hides a boot, so a gap soon after its first
   * report belongs to it.
   */
  function bootEndUs(firstReportUs: number): number {
    return member.gaps.reduce(
      (latest, { startUs, endUs }) =>
        startUs < firstReportUs + BOOT_US && endUs > firstReportUs ? Math.max(latest, endUs) : latest,
      firstReportUs,
    );
  }

  function judgeEnd(last: number): void {
    if (isReporting || (ended !== null && ended <= last)) return;
    if (ended !== null) {
      const endUs = Math.min(ended, untilUs);
      if (!isCounted(member.counted, last, endUs))
        gaps.push(gapOf(Math.max(last, sinceUs), endUs, 'no_report'));
    } else problems.push(isSaidToRun || (cloud?.state ?? null) === null ? 'silent' : 'end_unknown');
  }
}

/** Returns whether the cloud's counts cover every hour that a span touches. An empty span needs none. */
function isCounted(counted: readonly Window[], fromUs: number, toUs: number): boolean {
  if (toUs <= fromUs) return true;
  let reachedUs = Math.floor(fromUs / HOUR_US) * HOUR_US;
  const endUs = Math.ceil(toUs / HOUR_US) * HOUR_US;
  const isOrdered =
    counted.length < 2 || (counted.length === 2 && counted[0]!.sinceUs <= counted[1]!.sinceUs);
  const ordered = isOrdered ? counted : counted.toSorted((a, b) => a.sinceUs - b.sinceUs);
  for (const { sinceUs, untilUs } of ordered) {
    if (sinceUs <= reachedUs && untilUs > reachedUs) reachedUs = untilUs;
  }
  return reachedUs >= endUs;
}

function gapOf(startUs: number, endUs: number, reason: StoredGap['reason']): StoredGap {
  return { startUs, endUs, reason, detail: null };
}
