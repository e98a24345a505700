import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { type AlertState, EMPTY_STATE } from '../../../../collector/alert/alert_state.ts';
import { evaluate } from '../../../../collector/alert/evaluate.ts';
import { type HostGlance, HostRules } from '../../../../collector/alert/host_rules.ts';
import type { Group } from '../../../../collector/contract/group.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import type { HostSummary } from '../../../../collector/insight/hosts.ts';
import type { EndedTriage } from '../../../../collector/insight/triage_reader.ts';
import type { HostCoverage } from '../../../../collector/store/store.ts';
import { boardOf } from '../api/host_pages.ts';
import { MINUTE_US, NOON_US } from './findings.ts';

type Coverage = readonly Pick<HostCoverage, 'hostId' | 'gaps'>[];

/** Returns the rules with these hosts, of which they look at those that may have changed. */
export function hostRules(
  { hosts: before }: AlertState,
  hosts: readonly Host[],
  coverage: Coverage,
  nowUs: number,
): HostRules {
  const rules = new HostRules(before, nowUs);
  const glances = glancesNow(hosts, coverage);
  rules.look(
    hosts.filter((_, index) => rules.mayHaveChanged(glances[index]!)),
    coverage,
  );
  return rules;
}

export async function* glancesOf(hosts: readonly Host[], coverage: Coverage) {
  yield glancesNow(hosts, coverage);
}

function glancesNow(hosts: readonly Host[], coverage: Coverage): (HostSummary & HostGlance)[] {
  return boardOf(hosts).hosts.map((host) => {
    const ends = coverage
      .filter(({ hostId }) => hostId === host.id)
      .flatMap(({ gaps }) => gaps)
      .flatMap(({ reason, endUs }) => (reason === 'losses' || reason === 'capture_not_live' ? [endUs] : []));
    return { ...host, lastLossUs: ends.length === 0 ? null : Math.max(...ends) };
  });
}

/** Makes evaluations in a row, on a store that was empty at the first one. */
export class Rules {
  state: AlertState = EMPTY_STATE;
  constructor() {
    this.evaluateAt({}, NOON_US - MINUTE_US);
  }

  evaluateAt(
    {
      offenders = [],
      hosts = [],
      coverage = [],
      endedTriage = [],
      groups = [],
    }: {
      offenders?: Offender[];
      hosts?: Host[] | null;
      coverage?: Coverage;
      endedTriage?: EndedTriage[];
      groups?: Group[] | null;
    },
    nowUs: number,
  ): AlertDraft[] {
    const rules = hosts === null ? null : hostRules(this.state, hosts, coverage, nowUs);
    const findings = { offenders, endedTriage, hosts: rules, groups };
    const { alerts, after } = evaluate(this.state, findings, nowUs);
    this.state = after;
    return alerts;
  }
}
