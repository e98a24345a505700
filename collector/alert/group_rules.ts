/** The alert rules about Auto Scaling groups. Pure; times are microseconds since 1970. */
import type { Group } from '../contract/group.ts';
import { DAY_US, HOUR_US } from '../contract/window.ts';
import type { AlertDraft } from './alert_draft.ts';
import type { GroupState } from './alert_state.ts';
import { short } from './alert_text.ts';

/** Shortest time between two alerts about a group. */
export const GROUP_QUIET_US = HOUR_US;
/**
 * A group with a new image or template version is unproven until three instances have started with it. An alert
 * about that would come with each release.
 */
export const GROUP_UNPROVEN_US = DAY_US;

/** `tellNew` false: groups that are seen for the first time are not reported, however they are. */
export function judgeGroups(
  groups: readonly Group[],
  before: ReadonlyMap<string, GroupState>,
  nowUs: number,
  tellNew: boolean,
  alerts: AlertDraft[],
): Map<string, GroupState> {
  return new Map(
    groups.map((group) => {
      const known = before.get(group.id);
      const state = known ?? { good: isGood(group) && !tellNew, unprovenUs: null, toldUs: null };
      return [group.id, judgeGroup(group, state, nowUs, alerts)];
    }),
  );
}

/** Returns the same object where nothing has changed. */
function judgeGroup(group: Group, state: GroupState, nowUs: number, alerts: AlertDraft[]): GroupState {
  const { good, unprovenUs, toldUs } = state;
  if (isGood(group) === good) return unprovenUs === null ? state : { ...state, unprovenUs: null };
  const isUnproven = good && group.verdict === 'unproven';
  const sinceUs = isUnproven ? (unprovenUs ?? nowUs) : null;
  const waits =
    (toldUs !== null && nowUs - toldUs < GROUP_QUIET_US) ||
    (sinceUs !== null && nowUs - sinceUs < GROUP_UNPROVEN_US);
  if (waits) return sinceUs === unprovenUs ? state : { ...state, unprovenUs: sinceUs };
  alerts.push(good ? groupNotReady(group) : groupReady(group));
  return { good: !good, unprovenUs: null, toldUs: nowUs };
}

function isGood({ verdict }: Group): boolean {
  return verdict === 'ready' || verdict === 'enforced';
}

function groupReady({ id, value, verdict, reason }: Group): AlertDraft {
  return {
    rule: 'group_ready',
    subject: id,
    severity: 'info',
    title: short(`Auto Scaling group ${value} is ${verdict}`),
    text: reason,
  };
}

function groupNotReady({ id, value, verdict, reason }: Group): AlertDraft {
  return {
    rule: 'group_not_ready',
    subject: id,
    severity: 'warning',
    title: short(`Auto Scaling group ${value} is not ready any more: ${verdict}`),
    text: `Auto Scaling group ${value} was proven safe for HttpTokens=required. This has changed: its verdict is now ${verdict}. ${reason}`,
  };
}
