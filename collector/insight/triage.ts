/** The triage of a workload as it is now: what was set, unless it ended by itself. Pure. */
import type { FoundOwner } from '../contract/owner.ts';
import type { Triage, TriageRecord, TriageState } from '../contract/triage.ts';
import { toTimestamp } from '../store/time.ts';

/** The least done first. */
const STATES: readonly TriageState[] = ['open', 'in_progress', 'exception', 'fixed'];

const UNTOUCHED: Triage = {
  state: 'open',
  ended: null,
  set: null,
  set_by: null,
  until: null,
  reason: null,
  owner: null,
  owner_by: null,
  ticket: null,
  notes: null,
};

export interface TriageFacts {
  /** Time of the last IMDSv1 call of the workload on any host; null where there is none after the last fix. */
  lastV1Us: number | null;
  /** Microseconds since 1970. */
  nowUs: number;
  /** The owner by a rule. */
  ruleOwner: FoundOwner | null;
}

/**
 * Returns the triage of one workload. It has several records where a later rule joined workloads that were apart:
 * the one that is least done counts, because a wrong `fixed` would hide a caller.
 */
export function triageOf(records: readonly TriageRecord[], facts: TriageFacts): Triage {
  const [first] = records
    .map((record) => ({ record, triage: describe(record, facts) }))
    .sort(
      (a, b) =>
        STATES.indexOf(a.triage.state) - STATES.indexOf(b.triage.state) || b.record.setUs - a.record.setUs,
    );
  const triage = first?.triage ?? UNTOUCHED;
  if (triage.owner !== null || facts.ruleOwner === null) return triage;
  return { ...triage, owner: facts.ruleOwner.owner, owner_by: 'rule' };
}

function describe(record: TriageRecord, { lastV1Us, nowUs }: TriageFacts): Triage {
  const { state, setUs, setBy, untilUs, reason, owner, ticket, notes } = record;
  const ended = endOf(record, lastV1Us, nowUs);
  return {
    state: ended === null ? state : 'open',
    ended,
    set: toTimestamp(setUs),
    set_by: setBy,
    until: untilUs === null ? null : toTimestamp(untilUs),
    reason,
    owner,
    owner_by: owner === null ? null : 'person',
    ticket,
    notes,
  };
}

function endOf(
  { state, setUs, untilUs }: TriageRecord,
  lastV1Us: number | null,
  nowUs: number,
): Triage['ended'] {
  switch (state) {
    case 'fixed':
      return lastV1Us !== null && lastV1Us > setUs ? 'called_again' : null;
    case 'exception':
      return untilUs === null || nowUs >= untilUs ? 'exception_over' : null;
    case 'open':
    case 'in_progress':
      return null;
  }
}
