/** The names of the alert rules, for the list of destinations and for the form of a new one. */
import type { AlertRule } from '../../collector/contract/administration.ts';

export const ALERT_RULES: Record<AlertRule, string> = {
  new_offender: 'New offender',
  credentials_over_v1: 'Credentials over IMDSv1',
  host_not_ready: 'Host no longer ready',
  host_silent: 'Host silent',
  coverage_lost: 'Coverage lost',
  group_ready: 'Group ready',
  group_not_ready: 'Group no longer ready',
  offender_reopened: 'Fixed offender calls again',
  exception_ended: 'Exception ended',
  enforcement_undone: 'Enforcement undone',
  plan_rolled_back: 'Plan rolls back',
  plan_held: 'Plan holds a step',
  plan_ended: 'Plan ended',
  plan_unattended: 'Plan without its process',
};
