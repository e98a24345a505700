/** The triage of a workload that nobody has looked at. */
import type { Triage } from '../../../collector/contract/triage.ts';

export const NO_TRIAGE: Triage = {
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
