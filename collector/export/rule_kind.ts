/** Tells what the rule of an alert is about. */
import type { AlertRule } from '../contract/alert.ts';

/** `use`: calls of IMDSv1. `readiness`: whether tokens can be required. `sensor`: the watch itself. `plan`: an enforcement. */
export type RuleKind = 'use' | 'readiness' | 'sensor' | 'plan';

const KINDS: Record<AlertRule, RuleKind> = {
  ...{ new_offender: 'use', credentials_over_v1: 'use', offender_reopened: 'use', exception_ended: 'use' },
  ...{ host_not_ready: 'readiness', group_ready: 'readiness', group_not_ready: 'readiness' },
  ...{ enforcement_undone: 'readiness', host_silent: 'sensor', coverage_lost: 'sensor' },
  ...{ plan_rolled_back: 'plan', plan_held: 'plan', plan_ended: 'plan', plan_unattended: 'plan' },
};

export function ruleKindOf(rule: AlertRule): RuleKind {
  return KINDS[rule];
}
