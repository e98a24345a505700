/** Settings of `imdswatch enforce plan`, and the policy and choice that follow from them. */
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { belongsTo } from '../../enforce/groups.ts';
import { type MaintenanceWindow, type Policy, policy } from '../../enforce/plan.ts';
import type { HostChoice } from '../../enforce/planning/choice.ts';
import { credentialsShape } from '../settings/cloud_credentials.ts';
import { anyCollectorShape } from '../settings/local_collector.ts';

const HOUR_SECONDS = 3600;
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const WINDOW = /^([a-z]{3})(?:-([a-z]{3}))? ([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/i;

const reason = policy.shape.no_way_back_reason.unwrap().optional();

export const planSettings = z.object({
  host: z.array(z.string().min(1)).default([]).describe('Hosts to change, by id or name.'),
  group: z
    .array(z.string().min(1))
    .default([])
    .describe('Groups to change: asg:NAME, eks-nodegroup:NAME, template:ID, image:ID, tag:KEY=VALUE.'),
  account: z.array(z.string().min(1)).default([]).describe('Only hosts of these accounts.'),
  region: z.array(z.string().min(1)).default([]).describe('Only hosts of these regions.'),
  templates: z
    .boolean()
    .default(false)
    .describe('Also change the launch templates of the Auto Scaling groups, after their instances.'),
  account_default: z
    .boolean()
    .default(false)
    .describe("Also change the account's default in each region of the plan, last of all."),
  max_share: z
    .number()
    .gt(0)
    .max(1)
    .default(0.25)
    .describe(
      'Largest share of a group that may be changed and not confirmed yet. One instance is always allowed.',
    ),
  soak_seconds: z
    .int()
    .min(1)
    .default(8 * HOUR_SECONDS)
    .describe('Watched seconds before a change counts as confirmed. Tokens and credentials live 6 hours.'),
  canary_soak_seconds: z
    .int()
    .min(1)
    .default(24 * HOUR_SECONDS)
    .describe('The same for the first host of a group.'),
  window: z
    .array(z.string().regex(WINDOW, 'must be like "Mon-Fri 08:00-16:00" (UTC)'))
    .default([])
    .describe(
      'Maintenance windows in UTC, for example "Mon-Fri 08:00-16:00". Roll-backs do not wait for one.',
    ),
  exclude_tag: z
    .array(z.string().min(1))
    .default([])
    .describe('Instances with one of these tags are not changed: KEY or KEY=VALUE.'),
  probe: z
    .array(z.string().min(1))
    .default([])
    .describe('A program and its arguments, separated by commas. It must exit with 0 before each change.'),
  alarm: z
    .array(z.string().min(1))
    .default([])
    .describe('CloudWatch alarms that must not be in the state ALARM.'),
  accept_no_way_back: reason.describe('Go on where the way back is closed. The value is the reason.'),
  accept_unproven: reason.describe(
    'Change one host although it is blocked or unproven. The value is the reason. Only with one --host.',
  ),
  accept_owned: reason.describe(
    'Change what a stack or a service owns, which may undo it. The value is the reason.',
  ),
  json: z.boolean().default(false).describe('Print JSON.'),
  ...credentialsShape,
  ...anyCollectorShape,
});
export type PlanSettings = z.infer<typeof planSettings>;

export function policyOf(settings: PlanSettings): Policy {
  return {
    max_share: settings.max_share,
    soak_seconds: settings.soak_seconds,
    canary_soak_seconds: settings.canary_soak_seconds,
    maintenance_windows: settings.window.map(maintenanceWindowOf),
    exclude_tags: settings.exclude_tag,
    probe: settings.probe.length === 0 ? null : settings.probe,
    alarms: settings.alarm,
    no_way_back_reason: settings.accept_no_way_back ?? null,
    unproven_host_reason: settings.accept_unproven ?? null,
    owned_reason: settings.accept_owned ?? null,
  };
}

/** Throws `OperatorError` (2) if nothing is chosen, or what is chosen cannot be. */
export function choiceOf({ host, group, account, region, accept_unproven }: PlanSettings): HostChoice {
  const unknown = group.find((id) => belongsTo(id, { tags: {}, imageId: null }) === null);
  if (unknown !== undefined) {
    throw new OperatorError(
      2,
      `--group is "${unknown}": use asg:NAME, eks-nodegroup:NAME, template:ID, image:ID or tag:KEY=VALUE.`,
    );
  }
  if (host.length + group.length + account.length + region.length === 0) {
    throw new OperatorError(2, 'Say what to change: --host, --group, --account or --region.');
  }
  if (accept_unproven !== undefined && (host.length !== 1 || group.length > 0)) {
    throw new OperatorError(2, '--accept-unproven is for one host. Name it with --host, and no --group.');
  }
  const given = (list: string[]) => (list.length === 0 ? null : list);
  return { hosts: given(host), groups: given(group), accounts: given(account), regions: given(region) };
}

function maintenanceWindowOf(text: string): MaintenanceWindow {
  const [, first, last, fromHour, fromMinute, toHour, toMinute] = WINDOW.exec(text)!;
  const from = dayOf(first!, text);
  const to = last === undefined ? from : dayOf(last, text);
  const count = ((to - from + 7) % 7) + 1;
  return {
    days: Array.from({ length: count }, (_, index) => (from + index) % 7),
    from_minute: Number(fromHour) * 60 + Number(fromMinute),
    to_minute: Number(toHour) * 60 + Number(toMinute),
  };
}

function dayOf(name: string, text: string): number {
  const day = DAYS.indexOf(name.toLowerCase());
  if (day < 0) throw new OperatorError(2, `--window is "${text}": "${name}" is no day. Use Sun to Sat.`);
  return day;
}
