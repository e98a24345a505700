/** Findings, audit entries and alerts as log records of OpenTelemetry. */
import type { AuditEntry } from '../contract/administration.ts';
import type { Alert } from '../contract/alert.ts';
import type { Finding, FindingHost, OffenderFinding } from '../contract/finding.ts';
import { toMicroseconds } from '../store/time.ts';
import { compact } from './compact.ts';
import type { Json, JsonObject } from './json.ts';
import { offenderFacts } from './offender_facts.ts';
import { hostResource } from './otlp_call.ts';
import { OTLP_COLLECTOR, OTLP_LEVELS, type OtlpValue } from './otlp_value.ts';

type Fields = { readonly [key: string]: Json | undefined };

export function otlpFinding(finding: Finding): OtlpValue {
  return recordOf(finding.time, 'imdswatch.finding', finding.text, finding.severity, {
    resource: finding.type === 'offender' ? OTLP_COLLECTOR : resourceOf(finding.host),
    attributes: {
      'log.record.uid': finding.id,
      'imdswatch.finding.key': finding.key,
      'imdswatch.finding.type': finding.type,
      'imdswatch.finding.change': finding.change,
      'imdswatch.finding.title': finding.title,
      'imdswatch.finding.link': finding.link,
      'imdswatch.first_seen': finding.first_seen,
      'imdswatch.last_seen': finding.last_seen,
      ...subjectOf(finding),
    },
  });
}

export function otlpAudit(entry: AuditEntry): OtlpValue {
  const { actor, action, subject, detail } = entry;
  const body = `${actor}: ${action} ${subject}${detail === null ? '' : ` (${detail})`}`;
  return recordOf(entry.time, 'imdswatch.audit', body, 'info', {
    resource: OTLP_COLLECTOR,
    attributes: {
      'log.record.uid': `audit-${entry.id}`,
      'user.name': actor,
      'client.address': entry.source_address,
      'imdswatch.audit.action': action,
      'imdswatch.audit.subject': subject,
      'imdswatch.audit.detail': detail,
    },
  });
}

export function otlpAlert(alert: Alert): OtlpValue {
  const { object } = alert;
  return recordOf(alert.time, 'imdswatch.alert', alert.text, alert.severity, {
    resource: OTLP_COLLECTOR,
    attributes: {
      'log.record.uid': alert.id,
      'imdswatch.alert.rule': alert.rule,
      'imdswatch.alert.subject': alert.subject,
      'imdswatch.alert.dedup_key': alert.dedup_key,
      'imdswatch.alert.state': alert.state,
      'imdswatch.alert.ends': alert.ends,
      'imdswatch.alert.started': alert.started,
      'imdswatch.alert.ended': alert.ended,
      'imdswatch.alert.title': alert.title,
      'imdswatch.alert.link': alert.link,
      'imdswatch.object.type': object?.type,
      'imdswatch.object.id': object?.id,
      'imdswatch.object.name': object?.name,
      'imdswatch.object.owner': object?.owner,
      'imdswatch.object.tags': object === null ? null : object.tags,
      'imdswatch.accounts': object?.accounts,
      'imdswatch.regions': object?.regions,
      'imdswatch.hosts': alert.hosts.map(({ id }) => id),
    },
  });
}

function recordOf(
  time: string,
  name: string,
  body: string,
  severity: keyof typeof OTLP_LEVELS,
  { resource, attributes }: { resource: JsonObject; attributes: Fields },
): OtlpValue {
  const us = toMicroseconds(time);
  return {
    resource,
    time_us: us,
    observed_us: us,
    ...OTLP_LEVELS[severity],
    event_name: name,
    body,
    attributes: compact(attributes),
  };
}

function subjectOf(finding: Finding): Fields {
  switch (finding.type) {
    case 'offender':
      return offenderFields(finding);
    case 'verdict':
      return {
        'imdswatch.host.verdict': finding.verdict,
        'imdswatch.host.reason': finding.reason,
        'imdswatch.host.coverage_percent': finding.coverage_percent,
        ...settingsOf(finding.host),
      };
    case 'sensor':
      return { 'imdswatch.finding.rule': finding.rule, ...settingsOf(finding.host) };
  }
}

/** The host's attributes are those of a call's host. */
function resourceOf(host: FindingHost): JsonObject {
  const { id, name, account, region, zone, type, image_id, tags } = host;
  return hostResource({
    id,
    name,
    ...(account === null ? {} : { 'cloud.account.id': account }),
    ...(region === null ? {} : { 'cloud.region': region }),
    ...(zone === null ? {} : { 'cloud.availability_zone': zone }),
    ...(type === null ? {} : { type }),
    ...(image_id === null ? {} : { 'image.id': image_id }),
    tags,
  });
}

function settingsOf({ http_tokens, hop_limit }: FindingHost): Fields {
  return { 'imdswatch.host.http_tokens': http_tokens, 'imdswatch.host.hop_limit': hop_limit };
}

function offenderFields({ offender, hosts }: OffenderFinding): Fields {
  const { accounts, regions, ...facts } = offenderFacts(offender);
  const own = { ...facts, roles_v1: offender.roles_v1, advice: offender.advice_headline };
  return {
    ...Object.fromEntries(
      Object.entries(own).map(([name, value]): [string, Json] => [`imdswatch.offender.${name}`, value]),
    ),
    'imdswatch.offender.k8s_namespace': offender.k8s_namespace,
    'imdswatch.accounts': accounts,
    'imdswatch.regions': regions,
    'imdswatch.hosts': hosts.map(({ id }) => id),
  };
}
