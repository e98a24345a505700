/** The facts that guards judge, gathered by the runner for one step at one time. */
import type {
  InstanceDescription,
  LaunchTemplate,
  LaunchTemplateVersion,
  NoTokenCounts,
  Outcome,
} from '../cloud.ts';
import type { GroupFinding, HostFinding } from '../findings.ts';
import type { AccountDefaults, Plan, PlanStep } from '../plan.ts';

export interface StepFacts {
  plan: Plan;
  step: PlanStep;
  /** Milliseconds since 1970. */
  nowMs: number;
  /** Milliseconds that AWS's clock is ahead of the plan's, about zero where both are right. */
  clockAheadMs: number;
  /** The account that the credentials belong to. */
  callerAccount: Outcome<string>;
  accountDefaults: Outcome<AccountDefaults>;
  /** Dry runs of the change and of the way back. Null: AWS has no dry run for this call. */
  forward: Outcome<unknown> | null;
  back: Outcome<unknown> | null;
  /** Other plans of this machine that are under way and that have the same target. */
  otherPlans: readonly string[];
  /** Auto Scaling groups that the step touches and whose instance refresh is under way, with its status. */
  refreshes: Outcome<{ group: string; status: string }[]>;
  alarmsNotGreen: Outcome<string[]>;
  /** The probe's exit code; null without a probe. A text says why it could not be run. */
  probe: number | string | null;
}

export interface InstanceFacts extends StepFacts {
  /** Null: the instance does not exist. */
  description: Outcome<InstanceDescription | null>;
  describedMs: number;
  /** Null: no agent of this host has ever reported. */
  finding: HostFinding | null;
  /** The verdict about its Auto Scaling group. Null: it has none, or the collector knows nothing about it. */
  group: GroupFinding | null;
  /** CloudWatch's count of the last hours, and the calls of the same hours that agents saw. */
  counts: Outcome<NoTokenCounts | null>;
  /** Unconfirmed instances of the group besides this one, and how many are allowed. */
  atRisk: number;
  allowedAtRisk: number;
}

/** For templates, their default, a group's version and an account's default. */
export interface SharedFacts extends StepFacts {
  /** The groups that the change concerns. Null: the collector has no verdict about one. */
  groups: readonly { id: string; finding: GroupFinding | null }[];
  /** The template as it is now. Null where the step has none. */
  template: Outcome<LaunchTemplate> | null;
  /** Version that is changed, or that goes live. Null where the step has no template. */
  version: Outcome<LaunchTemplateVersion> | null;
  /** Tags of instances that were launched from the template, which show who owns it. */
  memberTags: readonly Readonly<Record<string, string>>[];
}
