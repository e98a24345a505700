/**
 * The alert rules: they compare the findings with the state of the last evaluation. Pure. A change that must
 * wait for a quiet time to end is not forgotten: its state stays as it was, so the next evaluation finds the
 * same change again.
 */
import type { Group } from '../contract/group.ts';
import type { Host, Verdict } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import { DAY_US, HOUR_US } from '../contract/window.ts';
import type { EndedTriage } from '../insight/triage_reader.ts';
import type { HostCoverage } from '../store/store.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';
import type { AlertState, HostState, OffenderState } from './alert_state.ts';
import * as text from './alert_text.ts';
import { judgeGroups } from './group_rules.ts';

/** A workload that fetches role credentials over IMDSv1 is reported again after a pause of this length. */
export const CREDENTIALS_QUIET_US = DAY_US;
/**
 * Shortest time between two alerts about a host that changes between ready and not ready, or silent and not
 * silent.
 */
export const FLAPPING_QUIET_US = HOUR_US;
export const COVERAGE_QUIET_US = DAY_US;
/** The capture of a host has recovered after this time without a loss. */
export const COVERAGE_RECOVERED_US = HOUR_US;
/** More alerts of one rule in one evaluation are replaced by one alert that sums them up. */
export const MAX_ALERTS_OF_ONE_RULE = 10;

export interface Findings {
  offenders: readonly Offender[];
  /** Workloads that were fixed and call again, and those whose exception is over. */
  endedTriage: readonly EndedTriage[];
  /** All hosts. Null just after a start, when hosts have not had the time to report and cannot be judged. */
  hosts: { all: readonly Host[]; coverage: readonly Pick<HostCoverage, 'hostId' | 'gaps'>[] } | null;
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
  const hostAlerts: AlertDraft[] = [];
  const hostStates = hosts === null ? before.hosts : judgeHosts(hosts, before.hosts, nowUs, hostAlerts);
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
      ...bounded(hostAlerts, before.begun.hosts ? MAX_ALERTS_OF_ONE_RULE : 1),
      ...bounded(groupAlerts, MAX_ALERTS_OF_ONE_RULE),
    ],
    after: {
      begun: {
        offenders: true,
        hosts: before.begun.hosts || hosts !== null,
        groups: before.begun.groups || groups !== null,
      },
      offenders: offenderStates,
      hosts: hostStates,
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

function judgeHosts(
  { all, coverage }: NonNullable<Findings['hosts']>,
  before: AlertState['hosts'],
  nowUs: number,
  alerts: AlertDraft[],
): Map<string, HostState> {
  const gapsByHost = new Map(coverage.map(({ hostId, gaps }) => [hostId, gaps]));
  return new Map(
    all.map((host) => {
      const state = judgeHost(host, gapsByHost.get(host.id) ?? [], before.get(host.id), nowUs, alerts);
      return [host.id, state];
    }),
  );
}

function judgeHost(
  host: Host,
  gaps: HostCoverage['gaps'],
  known: HostState | undefined,
  nowUs: number,
  alerts: AlertDraft[],
): HostState {
  const state: HostState = {
    good: false,
    notReadyToldUs: null,
    silent: false,
    silentToldUs: null,
    loss: null,
    ...known,
  };
  judgeVerdict(host, state, nowUs, alerts);
  judgeSilence(host, state, nowUs, alerts);
  judgeLosses(host, gaps, state, nowUs, alerts);
  return known !== undefined && sameState(known, state) ? known : state;
}

function judgeVerdict(host: Host, state: HostState, nowUs: number, alerts: AlertDraft[]): void {
  if (isGood(host.verdict)) {
    state.good = true;
    return;
  }
  // A silent host is unproven because it is silent, and the `host_silent` alert says so.
  if (!state.good || host.state === 'silent' || !hasPassed(state.notReadyToldUs, FLAPPING_QUIET_US, nowUs))
    return;
  alerts.push(text.hostNotReady(host));
  state.good = false;
  state.notReadyToldUs = nowUs;
}

function judgeSilence(host: Host, state: HostState, nowUs: number, alerts: AlertDraft[]): void {
  if (host.state === 'online') {
    if (state.silent) alerts.push(text.hostBack(host));
    state.silent = false;
    return;
  }
  // A host that never sent a heartbeat cannot go silent.
  if (state.silent || host.last_heartbeat === null) return;
  if (!hasPassed(state.silentToldUs, FLAPPING_QUIET_US, nowUs)) return;
  alerts.push(text.hostSilent(host));
  state.silent = true;
  state.silentToldUs = nowUs;
}

function judgeLosses(
  host: Host,
  gaps: HostCoverage['gaps'],
  state: HostState,
  nowUs: number,
  alerts: AlertDraft[],
): void {
  const lost = gaps.filter(
    ({ reason, endUs }) =>
      (reason === 'losses' || reason === 'capture_not_live') && endUs > (state.loss?.endUs ?? 0),
  );
  const last = lost.reduce<(typeof lost)[number] | null>(
    (latest, gap) => (latest === null || gap.endUs > latest.endUs ? gap : latest),
    null,
  );
  if (last === null) return;
  const endUs = Math.min(last.endUs, nowUs);
  if (state.loss !== null) {
    if (endUs <= state.loss.endUs) return;
    const firstUs = Math.min(...lost.map(({ startUs }) => startUs));
    const recovered = firstUs - state.loss.endUs >= COVERAGE_RECOVERED_US;
    if (!recovered && nowUs - state.loss.toldUs < COVERAGE_QUIET_US) {
      state.loss = { endUs, toldUs: state.loss.toldUs };
      return;
    }
  }
  alerts.push(text.coverageLost(host, last));
  state.loss = { endUs, toldUs: nowUs };
}

function isGood(verdict: Verdict): boolean {
  return verdict === 'ready' || verdict === 'enforced';
}

function hasPassed(toldUs: number | null, quietUs: number, nowUs: number): boolean {
  return toldUs === null || nowUs - toldUs >= quietUs;
}

function sameState(left: HostState, right: HostState): boolean {
  return (
    left.good === right.good &&
    left.notReadyToldUs === right.notReadyToldUs &&
    left.silent === right.silent &&
    left.silentToldUs === right.silentToldUs &&
    left.loss?.endUs === right.loss?.endUs &&
    left.loss?.toldUs === right.loss?.toldUs
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
