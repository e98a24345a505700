/** Findings as events of OCSF 1.5.0: Detection Finding (2004) and, for verdicts, Compliance Finding (2003). */
import type { Finding, FindingHost, OffenderFinding, VerdictFinding } from '../contract/finding.ts';
import type { Verdict } from '../contract/host.ts';
import { compact } from './compact.ts';
import { isInstanceId, partitionOf } from './instance.ts';
import type { Json, JsonObject } from './json.ts';
import { baseOf, FINDING_ACTIVITIES, milliseconds, OCSF_CLASSES, OCSF_SEVERITY } from './ocsf_base.ts';
import { cloudObject, deviceObject, processObject, tagObjects, userObject } from './ocsf_objects.ts';
import { offenderFacts } from './offender_facts.ts';

type Fields = { readonly [key: string]: Json | undefined };

/** A finding about a large fleet stays far below the 1 MB that receivers take for one event. */
const MAX_RESOURCES = 100;
const RULE = 1;

/** MITRE ATT&CK v16: credentials that a metadata service delivers. It says what lies open, not that an attack was seen. */
export const CREDENTIALS_ATTACK = {
  tactic: { uid: 'TA0006', name: 'Credential Access' },
  technique: { uid: 'T1552', name: 'Unsecured Credentials' },
  sub_technique: { uid: 'T1552.005', name: 'Cloud Instance Metadata API' },
};

/** The control of AWS Security Hub that looks at the setting of an instance; a verdict looks at its use. */
export const EC2_8 = 'EC2.8';

const TRIAGE_STATUS = {
  open: { status_id: 1, status: 'New' },
  in_progress: { status_id: 2, status: 'In Progress' },
  exception: { status_id: 3, status: 'Suppressed' },
  fixed: { status_id: 2, status: 'In Progress' },
} as const;
export const RESOLVED = { status_id: 4, status: 'Resolved' };

const COMPLIANCE: Record<Verdict, { status_id: number; status: string }> = {
  ready: { status_id: 1, status: 'Pass' },
  enforced: { status_id: 1, status: 'Pass' },
  fallback: { status_id: 2, status: 'Warning' },
  blocked: { status_id: 3, status: 'Fail' },
  rejected: { status_id: 3, status: 'Fail' },
  unproven: { status_id: 0, status: 'Unknown' },
};

export function ocsfFinding(finding: Finding): JsonObject {
  switch (finding.type) {
    case 'offender':
      return offenderEvent(finding);
    case 'verdict':
      return verdictEvent(finding);
    case 'sensor':
      return compact({
        ...eventOf(OCSF_CLASSES.detectionFinding, finding, ['cloud', 'security_control']),
        finding_info: infoOf(finding, finding.rule, 'Sensor health'),
        ...statusOf(finding.change, { status_id: 1, status: 'New' }),
        ...hostFields(finding.host),
      });
  }
}

function offenderEvent(finding: OffenderFinding): JsonObject {
  const { offender, hosts, process, change } = finding;
  const isCredentials = offender.severity === 'credentials';
  const caller = process === null ? null : processObject(process);
  const profiles = [
    'cloud',
    ...(caller?.['container'] === undefined ? [] : ['container']),
    'security_control',
  ];
  const only = (values: readonly string[]) => (values.length === 1 ? values[0]! : null);
  const resources = [
    ...hosts.slice(0, MAX_RESOURCES).map(instanceResource),
    ...offender.roles_v1.map((role) => ({ uid: role, name: role, type: 'AWS::IAM::Role' })),
  ];
  return compact({
    ...eventOf(OCSF_CLASSES.detectionFinding, finding, profiles),
    finding_info: infoOf(finding, isCredentials ? 'credentials_over_v1' : 'new_offender', 'IMDSv1 use'),
    ...statusOf(change, TRIAGE_STATUS[offender.triage.state]),
    is_alert: change === 'new' ? true : null,
    attacks: isCredentials ? [CREDENTIALS_ATTACK] : null,
    cloud: cloudObject({ account: only(offender.accounts), region: only(offender.regions) }),
    evidences: caller === null ? null : [compact({ process: caller, user: userObject(process!.process!) })],
    resources: resources.length === 0 ? null : resources,
    remediation: { desc: offender.advice_headline },
    unmapped: {
      offender: compact({ ...offenderFacts(offender), k8s_namespace: offender.k8s_namespace }),
      evidence_host: process?.host.id ?? null,
    },
  });
}

function verdictEvent(finding: VerdictFinding): JsonObject {
  const { host, verdict, reason, coverage_percent } = finding;
  return compact({
    ...eventOf(OCSF_CLASSES.complianceFinding, finding, ['cloud', 'security_control']),
    finding_info: infoOf(finding, 'verdict', 'IMDSv2 readiness'),
    ...statusOf(finding.change, { status_id: 1, status: 'New' }),
    compliance: {
      control: EC2_8,
      standards: ['AWS Foundational Security Best Practices v1.0.0'],
      ...COMPLIANCE[verdict],
      status_code: verdict,
      status_detail: reason,
    },
    device: deviceObject(factsOf(host)),
    ...hostFields(host),
    unmapped: compact({ coverage_percent, http_tokens: host.http_tokens, hop_limit: host.hop_limit }),
  });
}

function eventOf(
  ofClass: Parameters<typeof baseOf>[0],
  finding: Finding,
  profiles: readonly string[],
): JsonObject {
  const { change, severity, time, id, key, text } = finding;
  const activity = FINDING_ACTIVITIES[change];
  const metadata = { uid: id, correlation_uid: key };
  const base = baseOf(ofClass, { activity, severity: OCSF_SEVERITY[severity], time, metadata, profiles });
  return { ...base, message: text };
}

function infoOf(finding: Finding, rule: string, type: string): JsonObject {
  return compact({
    uid: `imdswatch/${finding.key}`,
    title: finding.title,
    desc: finding.text,
    types: [type],
    analytic: { uid: `imdswatch/${rule}`, name: rule, type_id: RULE, type: 'Rule' },
    first_seen_time: milliseconds(finding.first_seen),
    last_seen_time: milliseconds(finding.last_seen),
    modified_time: milliseconds(finding.time),
    src_url: finding.link,
  });
}

function statusOf(change: Finding['change'], open: { status_id: number; status: string }) {
  return change === 'resolved' ? RESOLVED : open;
}

/** The host of a finding about one host. */
function hostFields(host: FindingHost): Fields {
  return {
    cloud: cloudObject({ account: host.account, region: host.region, zone: host.zone }),
    resources: [instanceResource(host)],
  };
}

function instanceResource(host: FindingHost): JsonObject {
  const { id, name, account, region, zone, tags } = host;
  const isInstance = isInstanceId(id);
  const partition = region === null ? null : partitionOf(region);
  const hasArn = isInstance && account !== null && region !== null;
  return compact({
    uid: hasArn ? `arn:${partition}:ec2:${region}:${account}:instance/${id}` : id,
    uid_alt: hasArn ? id : null,
    name,
    hostname: name,
    type: isInstance ? 'AWS::EC2::Instance' : null,
    region,
    zone,
    cloud_partition: isInstance ? partition : null,
    tags: tagObjects(tags),
  });
}

function factsOf({ id, name, region, zone, image_id }: FindingHost) {
  return {
    id,
    name,
    ...(region === null ? {} : { 'cloud.region': region }),
    ...(zone === null ? {} : { 'cloud.availability_zone': zone }),
    ...(image_id === null ? {} : { 'image.id': image_id }),
  };
}
