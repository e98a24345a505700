/** The alert rules about Auto Scaling groups. Pure; times are microseconds since 1970. */
import type { Group } from '../contract/group.ts';
import { DAY_US, HOUR_US } from '../contract/window.ts';
import { type AlertDraft, firing, resolved } from './alert_draft.ts';
import { groupObject } from './alert_objects.ts';
import type { GroupState } from './alert_state.ts';
import { short, subjectGone } from './alert_text.ts';

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
  const after = new Map(
    groups.map((group) => {
      const known = before.get(group.id);
      const state = known ?? { good: isGood(group) && !tellNew, unprovenUs: null, toldUs: null };
      return [group.id, judgeGroup(group, state, nowUs, alerts)];
    }),
  );
  for (const [id, { isOpen }] of before) {
    if (isOpen && !after.has(id)) alerts.push(subjectGone('group_not_ready', id));
  }
  return after;
}

/** Returns the same object where nothing has changed. */
function judgeGroup(group: Group, state: GroupState, nowUs: number, alerts: AlertDraft[]): GroupState {
  const { good, unprovenUs, toldUs, isOpen } = state;
  if (isGood(group) === good) return unprovenUs === null ? state : { ...state, unprovenUs: null };
  const isUnproven = good && group.verdict === 'unproven';
  const sinceUs = isUnproven ? (unprovenUs ?? nowUs) : null;
  const waits =
    (toldUs !== null && nowUs - toldUs < GROUP_QUIET_US) ||
    (sinceUs !== null && nowUs - sinceUs < GROUP_UNPROVEN_US);
  if (waits) return sinceUs === unprovenUs ? state : { ...state, unprovenUs: sinceUs };
  if (isOpen && !good) alerts.push(groupReadyAgain(group));
  alerts.push(good ? groupNotReady(group) : groupReady(group));
  return { good: !good, unprovenUs: null, toldUs: nowUs, ...(good ? { isOpen: true as const } : {}) };
}

function isGood({ verdict }: Group): boolean {
  return verdict === 'ready' || verdict === 'enforced';
}

function groupReady(group: Group): AlertDraft {
  const { id, value, verdict, reason } = group;
  const title = short(`Auto Scaling group ${value} is ${verdict}`);
  return firing(
    { rule: 'group_ready', subject: id, severity: 'info', title, text: reason },
    groupObject(group),
  );
}

function groupReadyAgain(group: Group): AlertDraft {
  const { id, value, verdict, reason } = group;
  const title = short(`Auto Scaling group ${value} is ${verdict} again`);
  return resolved(
    { rule: 'group_not_ready', subject: id, severity: 'warning', title, text: reason },
    groupObject(group),
  );
}

function groupNotReady(group: Group): AlertDraft {
  const { id, value, verdict, reason } = group;
  return firing(
    {
      rule: 'group_not_ready',
      subject: id,
      severity: 'warning',
      title: short(`Auto Scaling group ${value} is not ready any more: ${verdict}`),
      text: `Auto Scaling group ${value} was proven safe for HttpTokens=required. This has changed: its verdict is now ${verdict}. ${reason}`,
    },
    groupObject(group),
  );
}
