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
import type { AlertState, OffenderState, TriageAlertState } from './alert_state.ts';
import * as text from './alert_text.ts';
import { judgeGroups } from './group_rules.ts';
import type { HostRules } from './host_rules.ts';

/** A workload that fetches role credentials over IMDSv1 is reported again after a pause of this length. */
export const CREDENTIALS_QUIET_US = DAY_US;
/** An offender that was not seen to call for this time, which is the window of the findings, has stopped. */
export const OFFENDER_QUIET_DAYS = 14;
/** More alerts of one rule in one evaluation are replaced by one alert that sums them up, for people. */
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
  const offenderStates = judgeOffenders(offenders, before, nowUs, offenderAlerts);
  hosts?.end();
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

function judgeOffenders(
  offenders: readonly Offender[],
  { offenders: before, begun }: AlertState,
  nowUs: number,
  alerts: AlertDraft[],
): Map<string, OffenderState> {
  const after = new Map(before);
  const calling = new Set<string>();
  for (const offender of offenders) {
    if (offender.calls_v1 === 0) continue;
    // The workload may be known by the id of one of its releases, which was its id in earlier releases of
    // imdswatch.
    const ids = [offender.id, ...offender.releases.map(({ id }) => id)];
    for (const id of ids) calling.add(id);
    const known = ids.map((id) => before.get(id)).find((state) => state !== undefined);
    const state = judgeOffender(offender, known, nowUs, alerts);
    if (state !== before.get(offender.id)) after.set(offender.id, state);
  }
  // The first evaluation covers all times, and tells nothing about the last days.
  if (!begun.offenders) return after;
  for (const [id, { isOpen, credentials }] of before) {
    if (calling.has(id) || (!isOpen && !credentials?.isOpen)) continue;
    if (credentials?.isOpen) alerts.push(text.credentialsQuiet(id, OFFENDER_QUIET_DAYS));
    if (isOpen) alerts.push(text.offenderQuiet(id, OFFENDER_QUIET_DAYS));
    after.set(id, { isOpen: false, credentials: closed(credentials) });
  }
  return after;
}

/** Returns the same object where nothing has changed. */
function judgeOffender(
  offender: Offender,
  known: OffenderState | undefined,
  nowUs: number,
  alerts: AlertDraft[],
): OffenderState {
  if (known === undefined || known.isOpen === false) {
    alerts.push(text.newOffender(offender, known !== undefined));
  }
  const before = known?.credentials ?? null;
  const credentials = judgeCredentials(offender, before, nowUs, alerts);
  return known?.isOpen && credentials === before ? known : { isOpen: true, credentials };
}

/** Returns the same object where nothing has changed. */
function judgeCredentials(
  offender: Offender,
  known: OffenderState['credentials'],
  nowUs: number,
  alerts: AlertDraft[],
): OffenderState['credentials'] {
  if (offender.last_credentials_over_v1 === null) {
    if (known?.isOpen) alerts.push(text.credentialsQuiet(offender.id, OFFENDER_QUIET_DAYS));
    return closed(known);
  }
  // The clock of a host may be ahead. A time in the future must not make every later call look old.
  const lastUs = Math.min(toMicroseconds(offender.last_credentials_over_v1), nowUs);
  if (known === null) {
    alerts.push(text.credentialsOverV1(offender, null));
    return { lastUs, toldUs: nowUs, isOpen: true };
  }
  if (lastUs <= known.lastUs) return known;
  if (lastUs - known.lastUs < CREDENTIALS_QUIET_US) return { ...known, lastUs };
  if (nowUs - known.toldUs < CREDENTIALS_QUIET_US) return known;
  alerts.push(text.credentialsOverV1(offender, known.lastUs));
  return { lastUs, toldUs: nowUs, isOpen: true };
}

function closed(known: OffenderState['credentials']): OffenderState['credentials'] {
  return known?.isOpen ? { lastUs: known.lastUs, toldUs: known.toldUs } : known;
}

/** A triage that ended is reported once. Somebody who sets it again makes a new one. */
function judgeTriage(
  ended: readonly EndedTriage[],
  before: AlertState['triage'],
  alerts: AlertDraft[],
): AlertState['triage'] {
  const after = new Map<string, TriageAlertState>();
  for (const each of ended) {
    const known = before.get(each.id);
    if (known !== undefined && known.toldOf === each.triage.set) {
      after.set(each.id, known);
      continue;
    }
    const rule = each.triage.ended === 'called_again' ? 'offender_reopened' : 'exception_ended';
    alerts.push(text.triageEnded(each, rule));
    after.set(each.id, { toldOf: each.triage.set, rule });
  }
  for (const [id, { rule }] of before) {
    // One that has ended by the other rule now has an alert of its own.
    if (rule !== undefined && after.get(id)?.rule !== rule) alerts.push(text.triageSetAgain(rule, id));
  }
  return after;
}

/** Replaces the alerts of a rule by one that sums them up, where there are more than `most`. */
export function bounded(alerts: readonly AlertDraft[], most: number): AlertDraft[] {
  // Hosts that are back and hosts that went silent are summed up separately.
  const groups = Map.groupBy(alerts, ({ rule, state }) => `${rule} ${state}`);
  return [...groups.values()].flatMap((group) =>
    group.length > most ? [text.summary(group[0]!.rule, group)] : group,
  );
}
