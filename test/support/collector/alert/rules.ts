import type { AlertDraft } from '../../../../collector/alert/alert_draft.ts';
import { type AlertState, EMPTY_STATE } from '../../../../collector/alert/alert_state.ts';
import { evaluate, type Findings } from '../../../../collector/alert/evaluate.ts';
import type { Group } from '../../../../collector/contract/group.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import type { EndedTriage } from '../../../../collector/insight/triage_reader.ts';
import { MINUTE_US, NOON_US } from './findings.ts';

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
      coverage?: NonNullable<Findings['hosts']>['coverage'];
      endedTriage?: EndedTriage[];
      groups?: Group[] | null;
    },
    nowUs: number,
  ): AlertDraft[] {
    const judged = hosts === null ? null : { all: hosts, coverage };
    const findings = { offenders, endedTriage, hosts: judged, groups };
    const { alerts, after } = evaluate(this.state, findings, nowUs);
    this.state = after;
    return alerts;
  }
}
