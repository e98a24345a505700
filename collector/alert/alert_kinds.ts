/** The facts that all alerts of one rule share. */
import type { Alert, AlertRule } from '../contract/alert.ts';

interface AlertKind {
  /** The part of the page that shows the subject. */
  page: 'offenders' | 'hosts' | 'groups' | 'plans';
  /** False: the rule reports an event. Nothing follows that says that it is over. */
  ends: boolean;
  /** Severity of an alert that says that something is over, where the alert that began is not known any more. */
  severity: Alert['severity'];
}

export const ALERT_KINDS: Record<AlertRule, AlertKind> = {
  new_offender: { page: 'offenders', ends: true, severity: 'warning' },
  credentials_over_v1: { page: 'offenders', ends: true, severity: 'critical' },
  offender_reopened: { page: 'offenders', ends: true, severity: 'warning' },
  exception_ended: { page: 'offenders', ends: true, severity: 'warning' },
  host_not_ready: { page: 'hosts', ends: true, severity: 'warning' },
  host_silent: { page: 'hosts', ends: true, severity: 'warning' },
  coverage_lost: { page: 'hosts', ends: true, severity: 'warning' },
  group_ready: { page: 'groups', ends: false, severity: 'info' },
  group_not_ready: { page: 'groups', ends: true, severity: 'warning' },
  enforcement_undone: { page: 'hosts', ends: true, severity: 'critical' },
  plan_rolled_back: { page: 'plans', ends: false, severity: 'critical' },
  plan_held: { page: 'plans', ends: true, severity: 'warning' },
  plan_ended: { page: 'plans', ends: false, severity: 'info' },
  plan_unattended: { page: 'plans', ends: true, severity: 'warning' },
};
