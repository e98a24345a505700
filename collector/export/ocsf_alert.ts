/** Alerts as events of OCSF 1.5.0: Compliance Finding (2003) for rules about readiness, else Detection Finding (2004). */
import type { Alert } from '../contract/alert.ts';
import { compact } from './compact.ts';
import type { JsonObject } from './json.ts';
import { baseOf, FINDING_ACTIVITIES, milliseconds, OCSF_CLASSES, OCSF_SEVERITY } from './ocsf_base.ts';
import { CREDENTIALS_ATTACK, EC2_8, RESOLVED } from './ocsf_finding.ts';
import { cloudObject, tagObjects } from './ocsf_objects.ts';
import { type RuleKind, ruleKindOf } from './rule_kind.ts';

/** Captions of the kinds of findings. */
export const FINDING_TYPES: Record<RuleKind, string> = {
  ...{ use: 'IMDSv1 use', readiness: 'IMDSv2 readiness', sensor: 'Sensor health', plan: 'Enforcement plan' },
};

export function ocsfAlert(alert: Alert): JsonObject {
  const { rule, state, object } = alert;
  const kind = ruleKindOf(rule);
  const isCompliance = kind === 'readiness';
  const isResolved = state === 'resolved';
  const base = baseOf(isCompliance ? OCSF_CLASSES.complianceFinding : OCSF_CLASSES.detectionFinding, {
    activity: isResolved ? FINDING_ACTIVITIES.resolved : FINDING_ACTIVITIES.new,
    severity: OCSF_SEVERITY[alert.severity],
    time: alert.time,
    metadata: { uid: alert.id, correlation_uid: alert.dedup_key },
    profiles: ['cloud', 'security_control'],
  });
  const passes = isResolved || rule === 'group_ready';
  const resources = [...(object === null ? [] : [objectResource(object)]), ...alert.hosts.map(hostResource)];
  return compact({
    ...base,
    message: alert.text,
    finding_info: compact({
      uid: `imdswatch/${alert.dedup_key}`,
      title: alert.title,
      desc: alert.text,
      types: [FINDING_TYPES[kind]],
      analytic: { uid: `imdswatch/${rule}`, name: rule, type_id: 1, type: 'Rule' },
      first_seen_time: milliseconds(alert.started ?? alert.time),
      last_seen_time: milliseconds(alert.ended ?? alert.time),
      src_url: alert.link,
    }),
    ...(isResolved ? RESOLVED : { status_id: 1, status: 'New' }),
    is_alert: isResolved ? null : true,
    attacks: rule === 'credentials_over_v1' ? [CREDENTIALS_ATTACK] : null,
    compliance: isCompliance
      ? {
          control: EC2_8,
          standards: ['AWS Foundational Security Best Practices v1.0.0'],
          ...(passes ? { status_id: 1, status: 'Pass' } : { status_id: 3, status: 'Fail' }),
          status_detail: alert.text,
        }
      : null,
    cloud: cloudObject({ account: object?.account ?? null, region: object?.region ?? null }),
    resources: resources.length === 0 ? null : resources,
    unmapped: compact({ state, ends: alert.ends, subject: alert.subject, owner: object?.owner }),
  });
}

function objectResource({ id, name, type, tags, region }: NonNullable<Alert['object']>): JsonObject {
  return compact({ uid: id, name, type: `imdswatch ${type}`, region, tags: tagObjects(tags) });
}

function hostResource({ id, name }: Alert['hosts'][number]): JsonObject {
  return { uid: id, name, type: 'imdswatch host' };
}
