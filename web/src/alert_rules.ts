/** The names of the alert rules, for the list of destinations and for the form of a new one. */
import type { AlertRule } from '../../collector/contract/alert.ts';

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

/** The part of the page that shows what an alert is about. */
export const PAGE_OF: Record<AlertRule, 'offenders' | 'hosts' | 'groups' | 'plans'> = {
  new_offender: 'offenders',
  credentials_over_v1: 'offenders',
  host_not_ready: 'hosts',
  host_silent: 'hosts',
  coverage_lost: 'hosts',
  group_ready: 'groups',
  group_not_ready: 'groups',
  offender_reopened: 'offenders',
  exception_ended: 'offenders',
  enforcement_undone: 'hosts',
  plan_rolled_back: 'plans',
  plan_held: 'plans',
  plan_ended: 'plans',
  plan_unattended: 'plans',
};
