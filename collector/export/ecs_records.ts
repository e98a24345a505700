/** Findings, audit entries and alerts as documents of ECS 9.4. */
import type { AuditEntry } from '../contract/administration.ts';
import type { Alert } from '../contract/alert.ts';
import type { Finding, FindingHost, OffenderFinding } from '../contract/finding.ts';
import { type AuditMeaning, meaningOf } from './audit_meaning.ts';
import { compact } from './compact.ts';
import { addressFields, distinct, documentOf, ECS_SEVERITY, hostFields, labelsOf } from './ecs_base.ts';
import { isInstanceId } from './instance.ts';
import type { Json, JsonObject } from './json.ts';
import { offenderFacts } from './offender_facts.ts';
import { type RuleKind, ruleKindOf } from './rule_kind.ts';

type Fields = { readonly [key: string]: Json | undefined };

/** A finding about a large fleet names so many hosts. */
const MAX_HOSTS = 100;

/** MITRE ATT&CK: credentials that a metadata service delivers. It says what lies open, not that an attack was seen. */
const CREDENTIALS_THREAT = {
  framework: 'MITRE ATT&CK',
  tactic: { id: ['TA0006'], name: ['Credential Access'] },
  technique: {
    id: ['T1552'],
    name: ['Unsecured Credentials'],
    subtechnique: { id: ['T1552.005'], name: ['Cloud Instance Metadata API'] },
  },
};

const CATEGORIES: Record<RuleKind, string> = {
  ...{ use: 'intrusion_detection', readiness: 'configuration', sensor: 'host', plan: 'configuration' },
};

export function ecsFinding(finding: Finding): JsonObject {
  const kinds = { offender: 'use', verdict: 'readiness', sensor: 'sensor' } as const;
  const { id, key, change, type, title, text, severity } = finding;
  return compact({
    ...documentOf({
      time: finding.time,
      message: text,
      dataset: 'findings',
      event: {
        id,
        kind: type === 'verdict' ? 'state' : 'alert',
        category: [CATEGORIES[kinds[type]]],
        type: ['info'],
        action: `${type}-${change}`,
        severity: ECS_SEVERITY[severity],
        start: finding.first_seen,
        end: finding.last_seen,
        url: finding.link,
      },
    }),
    rule: { id: `imdswatch/${ruleOf(finding)}`, name: ruleOf(finding) },
    ...subjectOf(finding, { key, change, type, title }),
  });
}

function ruleOf(finding: Finding): string {
  if (finding.type === 'sensor') return finding.rule;
  if (finding.type === 'verdict') return 'verdict';
  return finding.offender.severity === 'credentials' ? 'credentials_over_v1' : 'new_offender';
}

function subjectOf(finding: Finding, own: JsonObject): Fields {
  if (finding.type === 'offender') return offenderFields(finding, own);
  const { host } = finding;
  const judged =
    finding.type === 'verdict'
      ? { verdict: finding.verdict, reason: finding.reason, coverage_percent: finding.coverage_percent }
      : {};
  return {
    ...hostFields(host, isInstanceId(host.id)),
    labels: labelsOf(host.tags),
    related: relatedHosts([host]),
    imdswatch: {
      finding: own,
      ...judged,
      ...compact({ http_tokens: host.http_tokens, hop_limit: host.hop_limit, image_id: host.image_id }),
    },
  };
}

function offenderFields({ offender, hosts, process }: OffenderFinding, own: JsonObject): Fields {
  const caller = process?.process;
  return {
    threat: offender.severity === 'credentials' ? CREDENTIALS_THREAT : null,
    process: caller
      ? compact({
          pid: caller.pid,
          start: caller.start_time,
          name: caller.name,
          executable: caller['executable.path'],
          args: caller.command_args,
          args_count: caller.command_args?.length,
        })
      : null,
    related: relatedHosts(hosts),
    imdswatch: {
      finding: own,
      offender: compact({
        ...offenderFacts(offender),
        kubernetes_namespace: offender.k8s_namespace,
        roles_v1: offender.roles_v1,
        advice: offender.advice_headline,
      }),
    },
  };
}

function relatedHosts(hosts: readonly Pick<FindingHost, 'id' | 'name'>[]): JsonObject | null {
  const names = distinct(hosts.slice(0, MAX_HOSTS).flatMap(({ id, name }) => [id, name]));
  return names === null ? null : { hosts: names };
}

const AUDIT_EVENTS: Record<AuditMeaning, { category: string[]; type: string[] }> = {
  sign_in: { category: ['authentication'], type: ['start'] },
  sign_out: { category: ['authentication'], type: ['end'] },
  create: { category: ['iam', 'configuration'], type: ['creation'] },
  update: { category: ['iam', 'configuration'], type: ['change'] },
  delete: { category: ['iam', 'configuration'], type: ['deletion'] },
  other: { category: ['iam', 'configuration'], type: ['info'] },
};

export function ecsAudit(entry: AuditEntry): JsonObject {
  const { id, time, actor, action, subject, detail, source_address: address } = entry;
  const source = address === null ? null : addressFields(address);
  const ip = source?.['ip'];
  return compact({
    ...documentOf({
      time,
      message: `${actor}: ${action} ${subject}${detail === null ? '' : ` (${detail})`}`,
      dataset: 'audit',
      event: {
        ...{ id: `audit-${id}`, kind: 'event', ...AUDIT_EVENTS[meaningOf(action)], action },
        ...{ outcome: 'success', sequence: id },
      },
    }),
    user: { name: actor },
    source,
    related: compact({ user: distinct([actor]), ip: typeof ip === 'string' ? [ip] : null }),
    imdswatch: { audit: compact({ subject, detail }) },
  });
}

export function ecsAlert(alert: Alert): JsonObject {
  const { rule, object, state, subject, dedup_key, ends, title, hosts } = alert;
  const named = object?.type === 'host' ? [...hosts, object] : hosts;
  return compact({
    ...documentOf({
      time: alert.time,
      message: alert.text,
      dataset: 'alerts',
      event: {
        id: alert.id,
        kind: 'alert',
        category: [CATEGORIES[ruleKindOf(rule)]],
        type: ['info'],
        action: `${rule}-${state}`,
        severity: ECS_SEVERITY[alert.severity],
        start: alert.started,
        end: alert.ended,
        url: alert.link,
      },
    }),
    rule: { id: `imdswatch/${rule}`, name: rule },
    threat: rule === 'credentials_over_v1' ? CREDENTIALS_THREAT : null,
    labels: labelsOf(object?.tags),
    related: relatedHosts(named),
    imdswatch: {
      alert: { ...{ state, subject, dedup_key, ends, title } },
      ...(object === null ? {} : { object: objectFields(object) }),
    },
  });
}

function objectFields({ tags: _, ...object }: NonNullable<Alert['object']>): JsonObject {
  return compact(object);
}
