/**
 * The alert rules: they compare the findings with the state of the last evaluation. Pure. A change that must
 * wait for a quiet time to end is not forgotten: its state stays as it was, so the next evaluation finds the
 * same change again.
 */
import type { Group } from '../contract/group.ts';
import type { Offender } from '../contract/offender.ts';
import { DAY_US } from '../contract/window.ts';
import type { EndedTriage } from '../insight/triage_reader.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';
import type { AlertState, OffenderState } from './alert_state.ts';
import * as text from './alert_text.ts';
import { judgeGroups } from './group_rules.ts';
import type { HostRules } from './host_rules.ts';

/** A workload that fetches role credentials over IMDSv1 is reported again after a pause of this length. */
export const CREDENTIALS_QUIET_US = DAY_US;
/** More alerts of one rule in one evaluation are replaced by one alert that sums them up. */
export const MAX_ALERTS_OF_ONE_RULE = 10;

export interface Findings {
  offenders: readonly Offender[];
  /** Workloads that were fixed and call again, and those whose exception is over. */
  endedTriage: readonly EndedTriage[];
  /** The rules about hosts, with all hosts. Null just after a start, when hosts have not had the time to report. */
  hosts: HostRules | null;
  /** All Auto Scaling groups. Null when `hosts` is. */
  groups: readonly Group[] | null;
}

/** Returns the alerts to send and the new state. `nowUs`: microseconds since 1970. */
export function evaluate(
  before: AlertState,
  { offenders, endedTriage, hosts, groups }: Findings,
  nowUs: number,
): { alerts: AlertDraft[]; after: AlertState } {
  const offenderAlerts: AlertDraft[] = [];
  const offenderStates = new Map(before.offenders);
  for (const offender of offenders) {
    if (offender.calls_v1 === 0) continue;
    // The workload may be known by the id of one of its releases, which was its id in earlier releases of
    // imdswatch.
    const ids = [offender.id, ...offender.releases.map(({ id }) => id)];
    const known = ids.map((id) => before.offenders.get(id)).find((state) => state !== undefined);
    const state = judgeOffender(offender, known, nowUs, offenderAlerts);
    if (state !== before.offenders.get(offender.id)) offenderStates.set(offender.id, state);
  }
  const groupAlerts: AlertDraft[] = [];
  const groupStates =
    groups === null
      ? before.groups
      : judgeGroups(groups, before.groups, nowUs, before.begun.groups, groupAlerts);
  const triageAlerts: AlertDraft[] = [];
  const triageStates = judgeTriage(endedTriage, before.triage, triageAlerts);
  return {
    alerts: [
      ...bounded(triageAlerts, MAX_ALERTS_OF_ONE_RULE),
      ...bounded(offenderAlerts, before.begun.offenders ? MAX_ALERTS_OF_ONE_RULE : 1),
      ...bounded(hosts?.alerts ?? [], before.begun.hosts ? MAX_ALERTS_OF_ONE_RULE : 1),
      ...bounded(groupAlerts, MAX_ALERTS_OF_ONE_RULE),
    ],
    after: {
      begun: {
        offenders: true,
        hosts: before.begun.hosts || hosts !== null,
        groups: before.begun.groups || groups !== null,
      },
      offenders: offenderStates,
      hosts: hosts?.states ?? before.hosts,
      groups: groupStates,
      triage: triageStates,
    },
  };
}

function judgeOffender(
  offender: Offender,
  known: OffenderState | undefined,
  nowUs: number,
  alerts: AlertDraft[],
): OffenderState {
  if (known === undefined) alerts.push(text.newOffender(offender));
  const credentials = known?.credentials ?? null;
  if (offender.last_credentials_over_v1 === null) return known ?? { credentials };
  // The clock of a host may be ahead. A time in the future must not make every later call look old.
  const lastUs = Math.min(toMicroseconds(offender.last_credentials_over_v1), nowUs);
  if (credentials === null) {
    alerts.push(text.credentialsOverV1(offender, null));
    return { credentials: { lastUs, toldUs: nowUs } };
  }
  if (lastUs <= credentials.lastUs) return known!;
  if (lastUs - credentials.lastUs < CREDENTIALS_QUIET_US) {
    return { credentials: { lastUs, toldUs: credentials.toldUs } };
  }
  if (nowUs - credentials.toldUs < CREDENTIALS_QUIET_US) return known!;
  alerts.push(text.credentialsOverV1(offender, credentials.lastUs));
  return { credentials: { lastUs, toldUs: nowUs } };
}

/** A triage that ended is reported once. Somebody who sets it again makes a new one. */
function judgeTriage(
  ended: readonly EndedTriage[],
  before: AlertState['triage'],
  alerts: AlertDraft[],
): AlertState['triage'] {
  return new Map(
    ended.map((each) => {
      const known = before.get(each.id);
      if (known !== undefined && known.toldOf === each.triage.set) return [each.id, known];
      alerts.push(text.triageEnded(each));
      return [each.id, { toldOf: each.triage.set }];
    }),
  );
}

/** Replaces the alerts of a rule by one that sums them up, where there are more than `most`. */
export function bounded(alerts: readonly AlertDraft[], most: number): AlertDraft[] {
  // Hosts that are back and hosts that went silent are summed up separately.
  const groups = Map.groupBy(alerts, ({ rule, severity }) => `${rule} ${severity === 'info'}`);
  return [...groups.values()].flatMap((group) =>
    group.length > most ? [text.summary(group[0]!.rule, group)] : group,
  );
}
