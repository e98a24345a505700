/**
 * The alert rules about hosts. Pure; times are microseconds since 1970. Of most hosts of a fleet nothing has
 * changed, so that the rules look closely only at those of which something can have.
 */
import type { Host, Verdict } from '../contract/host.ts';
import { DAY_US, HOUR_US } from '../contract/window.ts';
import type { HostCoverage } from '../store/store.ts';
import type { AlertDraft } from './alert_draft.ts';
import type { AlertState, HostState } from './alert_state.ts';
import * as text from './alert_text.ts';

/**
 * Shortest time between two alerts about a host that changes between ready and not ready, or silent and not
 * silent.
 */
export const FLAPPING_QUIET_US = HOUR_US;
export const COVERAGE_QUIET_US = DAY_US;
/** The capture of a host has recovered after this time without a loss. */
export const COVERAGE_RECOVERED_US = HOUR_US;
/** The part of a judged host that shows whether the rules must look at it. */
export interface HostGlance {
  id: string;
  verdict: Verdict;
  isSilent: boolean;
  /** When its last heartbeat arrived. */
  receivedUs: number | null;
  /** End of its last loss; null where there is none. It may be later than that of `HostCoverage`, never earlier. */
  lastLossUs: number | null;
}

/** Makes one evaluation of all hosts. */
export class HostRules {
  readonly alerts: AlertDraft[] = [];
  /** Hosts that are not in the store any more have no state. */
  readonly states = new Map<string, HostState>();
  readonly #before: AlertState['hosts'];
  readonly #nowUs: number;

  constructor(before: AlertState['hosts'], nowUs: number) {
    this.#before = before;
    this.#nowUs = nowUs;
  }

  /** Returns whether a host must be given to `look`. The state of one that must not stays as it is. */
  mayHaveChanged(host: HostGlance): boolean {
    const known = this.#before.get(host.id);
    if (known === undefined || isNews(host, known, this.#nowUs)) return true;
    this.states.set(host.id, known);
    return false;
  }

  /** `coverage`: of these hosts, over the last day. */
  look(hosts: readonly Host[], coverage: readonly Pick<HostCoverage, 'hostId' | 'gaps'>[]): void {
    const gapsByHost = new Map(coverage.map(({ hostId, gaps }) => [hostId, gaps]));
    for (const host of hosts) {
      const gaps = gapsByHost.get(host.id) ?? [];
      const state = judgeHost(host, gaps, this.#before.get(host.id), this.#nowUs, this.alerts);
      this.states.set(host.id, state);
    }
  }

  /** Resolves what is open for hosts that are not in the store any more. All hosts must have been looked at. */
  end(): void {
    for (const [id, { notReady, silent, loss }] of this.#before) {
      if (this.states.has(id)) continue;
      if (notReady) this.alerts.push(text.subjectGone('host_not_ready', id));
      if (silent) this.alerts.push(text.subjectGone('host_silent', id));
      if (loss?.isOpen) this.alerts.push(text.subjectGone('coverage_lost', id));
    }
  }
}

function isNews(host: HostGlance, { good, silent, loss }: HostState, nowUs: number): boolean {
  if (isGood(host.verdict) !== good) return true;
  // A host that never sent a heartbeat cannot go silent.
  if (host.isSilent !== silent && (silent || host.receivedUs !== null)) return true;
  if (loss?.isOpen && !host.isSilent && nowUs - loss.endUs >= COVERAGE_RECOVERED_US) return true;
  return host.lastLossUs !== null && host.lastLossUs > (loss?.endUs ?? 0);
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
    if (state.notReady) alerts.push(text.hostReadyAgain(host));
    delete state.notReady;
    return;
  }
  // A silent host is unproven because it is silent, and the `host_silent` alert says so.
  if (!state.good || host.state === 'silent' || !hasPassed(state.notReadyToldUs, FLAPPING_QUIET_US, nowUs))
    return;
  alerts.push(text.hostNotReady(host));
  state.good = false;
  state.notReady = true;
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
  if (last === null) {
    const { loss } = state;
    if (!loss?.isOpen || host.state === 'silent' || nowUs - loss.endUs < COVERAGE_RECOVERED_US) return;
    alerts.push(text.coverageRecovered(host, loss.endUs));
    state.loss = { endUs: loss.endUs, toldUs: loss.toldUs };
    return;
  }
  const endUs = Math.min(last.endUs, nowUs);
  if (state.loss !== null) {
    if (endUs <= state.loss.endUs) return;
    const firstUs = Math.min(...lost.map(({ startUs }) => startUs));
    const recovered = firstUs - state.loss.endUs >= COVERAGE_RECOVERED_US;
    if (!recovered && nowUs - state.loss.toldUs < COVERAGE_QUIET_US) {
      state.loss = { ...state.loss, endUs };
      return;
    }
  }
  alerts.push(text.coverageLost(host, last));
  state.loss = { endUs, toldUs: nowUs, isOpen: true };
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
    left.notReady === right.notReady &&
    left.silent === right.silent &&
    left.silentToldUs === right.silentToldUs &&
    left.loss?.endUs === right.loss?.endUs &&
    left.loss?.toldUs === right.loss?.toldUs &&
    left.loss?.isOpen === right.loss?.isOpen
  );
}
