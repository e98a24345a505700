/** The state that the rules keep between evaluations, and its conversion to database rows. */
import type { SubjectChange, SubjectRow } from '../admin/alert_subjects.ts';

/**
 * `isOpen`: an alert has said that it calls, and none that it stopped. Absent: it was reported by a release that did not
 * tell of the end.
 */
export interface OffenderState {
  isOpen?: boolean;
  credentials: { lastUs: number; toldUs: number; isOpen?: true } | null;
}

export interface HostState {
  /** The host was proven safe, and no alert has said yet that it no longer is. */
  good: boolean;
  notReadyToldUs: number | null;
  /** A `host_not_ready` alert is open for this host. */
  notReady?: true;
  /** A `host_silent` alert is open for this host. */
  silent: boolean;
  silentToldUs: number | null;
  /** `isOpen`: a `coverage_lost` alert is open for this host. */
  loss: { endUs: number; toldUs: number; isOpen?: true } | null;
}

export interface GroupState {
  /** The group was proven safe, and no alert has said yet that it no longer is. */
  good: boolean;
  /** When a good group was first found unproven. */
  unprovenUs: number | null;
  toldUs: number | null;
  /** A `group_not_ready` alert is open for this group. */
  isOpen?: true;
}

/** An alert was sent about the triage that somebody set at this time, and that ended by itself. */
export interface TriageAlertState {
  toldOf: string | null;
  /** The rule of that alert; absent where an earlier release has sent it. */
  rule?: 'offender_reopened' | 'exception_ended';
}

/** Entries are replaced, never changed, so an entry that is still the same object needs no writing. */
export interface AlertState {
  /**
   * True once offenders, hosts or groups were evaluated. The findings of the first evaluation are summed up in
   * one alert; groups that are ready in it are not reported.
   */
  begun: { offenders: boolean; hosts: boolean; groups: boolean };
  offenders: ReadonlyMap<string, OffenderState>;
  hosts: ReadonlyMap<string, HostState>;
  groups: ReadonlyMap<string, GroupState>;
  /** By workload. */
  triage: ReadonlyMap<string, TriageAlertState>;
}

/** The kinds of subjects that this state is made of. */
export const STATE_KINDS = ['offender', 'host', 'group', 'triage', 'begun'] as const;

export const EMPTY_STATE: AlertState = {
  begun: { offenders: false, hosts: false, groups: false },
  offenders: new Map(),
  hosts: new Map(),
  groups: new Map(),
  triage: new Map(),
};

export function stateOf(rows: readonly SubjectRow[]): AlertState {
  const offenders = new Map<string, OffenderState>();
  const hosts = new Map<string, HostState>();
  const groups = new Map<string, GroupState>();
  const triage = new Map<string, TriageAlertState>();
  const begun = { offenders: false, hosts: false, groups: false };
  for (const { kind, id, state } of rows) {
    if (kind === 'offender') offenders.set(id, state as OffenderState);
    else if (kind === 'host') hosts.set(id, state as HostState);
    else if (kind === 'group') groups.set(id, state as GroupState);
    else if (kind === 'triage') triage.set(id, state as TriageAlertState);
    else if (kind === 'begun' && (id === 'offenders' || id === 'hosts' || id === 'groups')) begun[id] = true;
  }
  return { begun, offenders, hosts, groups, triage };
}

/**
 * Returns the rows that differ. Hosts and groups that are not in the store any more are forgotten, and so is triage that has not
 * ended. Offenders are kept
 * for ever, because the first call of a workload is reported only once.
 */
export function changedSubjects(before: AlertState, after: AlertState): SubjectChange[] {
  const changed: SubjectChange[] = [];
  for (const kind of ['offenders', 'hosts', 'groups'] as const) {
    if (after.begun[kind] && !before.begun[kind])
      changed.push({ kind: 'begun', id: kind, before: null, state: true });
  }
  addChanged(changed, 'offender', before.offenders, after.offenders);
  addChanged(changed, 'host', before.hosts, after.hosts);
  addDeleted(changed, 'host', before.hosts, after.hosts);
  addChanged(changed, 'group', before.groups, after.groups);
  addDeleted(changed, 'group', before.groups, after.groups);
  addChanged(changed, 'triage', before.triage, after.triage);
  addDeleted(changed, 'triage', before.triage, after.triage);
  return changed;
}

function addChanged(
  changed: SubjectChange[],
  kind: string,
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): void {
  for (const [id, state] of after) {
    const known = before.get(id) ?? null;
    if (known !== state) changed.push({ kind, id, before: known, state });
  }
}

function addDeleted(
  changed: SubjectChange[],
  kind: string,
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): void {
  for (const [id, known] of before) {
    if (!after.has(id)) changed.push({ kind, id, before: known, state: null });
  }
}
