/**
 * Findings of AWS Security Hub (AWS Security Finding Format, schema 2018-10-08), about EC2 instances only: other hosts have no
 * ARN. There is one finding for each account and Region, because a finding belongs to one (Security Hub partner guide,
 * "Guidelines for using the BatchImportFindings API").
 */
import { VERSION } from '../../common/version.ts';
import type { Finding, FindingHost, OffenderFinding, VerdictFinding } from '../contract/finding.ts';
import type { Verdict } from '../contract/host.ts';
import type { Severity } from '../contract/offender.ts';
import { compact, compactOrNull } from './compact.ts';
import { isInstanceId, partitionOf } from './instance.ts';
import type { Json, JsonObject } from './json.ts';
import type { Shape } from './shape.ts';
import { wellFormed } from './well_formed.ts';

/** Limits of the API reference, "AwsSecurityFinding", and of the partner guide. */
const MAX = {
  ...{
    title: 256,
    description: 1024,
    recommendation: 512,
    resources: 32,
    tags: 50,
    tagKey: 128,
    tagValue: 256,
  },
  ...{ productValue: 2048, processName: 64, processPath: 512 },
  /** A finding has at most 240 KB. */
  bytes: 230_000,
} as const;

type Label = 'INFORMATIONAL' | 'LOW' | 'MEDIUM' | 'HIGH';
const OFFENDER_LABELS: Record<Severity, Label> = {
  ...{
    credentials: 'HIGH',
    v1: 'MEDIUM',
    fallback: 'LOW',
    rejected: 'INFORMATIONAL',
    blocked: 'INFORMATIONAL',
  },
  ...{ stale_token: 'INFORMATIONAL', adapts: 'INFORMATIONAL', none: 'INFORMATIONAL' },
};
const VERDICTS: Record<Verdict, { label: Label; status: 'PASSED' | 'WARNING' | 'FAILED' | 'NOT_AVAILABLE' }> =
  {
    ready: { label: 'INFORMATIONAL', status: 'PASSED' },
    enforced: { label: 'INFORMATIONAL', status: 'PASSED' },
    fallback: { label: 'LOW', status: 'WARNING' },
    blocked: { label: 'MEDIUM', status: 'FAILED' },
    rejected: { label: 'INFORMATIONAL', status: 'FAILED' },
    unproven: { label: 'INFORMATIONAL', status: 'NOT_AVAILABLE' },
  };
const BEST_PRACTICES =
  'Software and Configuration Checks/AWS Security Best Practices/Runtime Behavior Analysis';
const CREDENTIAL_ACCESS = 'TTPs/Credential Access';

export const asff: Shape = {
  name: 'asff',
  streams: ['findings'],
  toValues: (item) => {
    const clean = wellFormed(item);
    return clean.stream === 'findings' ? findingsOf(clean.finding) : [];
  },
};

interface Place {
  account: string;
  region: string;
}
interface Instance extends FindingHost, Place {
  account: string;
  region: string;
}

function findingsOf(finding: Finding): JsonObject[] {
  switch (finding.type) {
    case 'offender':
      return [
        ...Map.groupBy(
          finding.hosts.filter(isInstance),
          ({ account, region }) => `${account}/${region}`,
        ).values(),
      ].map((instances) => offenderFinding(finding, instances));
    case 'verdict':
      return isInstance(finding.host) ? [verdictFinding(finding, finding.host)] : [];
    case 'sensor':
      // Nothing is wrong with the instance: its watch is.
      return [];
  }
}

function isInstance(host: FindingHost): host is Instance {
  return isInstanceId(host.id) && host.region !== null && /^\d{12}$/.test(host.account ?? '');
}

function offenderFinding(finding: OffenderFinding, instances: readonly Instance[]): JsonObject {
  const { offender } = finding;
  const isCredentials = offender.severity === 'credentials';
  const more =
    instances.length > MAX.resources
      ? ` ${instances.length} instances, of which ${MAX.resources} are listed.`
      : '';
  return findingObject(finding, instances, {
    id: offender.id,
    rule: isCredentials ? 'credentials_over_v1' : 'new_offender',
    label: OFFENDER_LABELS[offender.severity],
    original: offender.severity,
    types: isCredentials ? [BEST_PRACTICES, CREDENTIAL_ACCESS] : [BEST_PRACTICES],
    description: `${shortened(finding.text, MAX.description - more.length)}${more}`,
    advice: offender.advice_headline,
    process: processOf(finding, instances),
    compliance: null,
    fields: {
      'imdswatch/offender': offender.id,
      'imdswatch/workload': offender.title,
      'imdswatch/calls_v1': String(offender.calls_v1),
      'imdswatch/credentials_over_v1': String(offender.credentials_over_v1),
      'imdswatch/host_count': String(offender.host_count),
      'imdswatch/roles': offender.roles_v1.join(', '),
      'imdswatch/container_image': offender.container_image,
      'imdswatch/owner': offender.triage.owner,
      'imdswatch/triage': offender.triage.state,
    },
  });
}

function verdictFinding(finding: VerdictFinding, instance: Instance): JsonObject {
  const { verdict, reason, coverage_percent } = finding;
  const { label, status } = VERDICTS[verdict];
  return findingObject(finding, [instance], {
    id: `verdict/${instance.id}`,
    ...{ rule: 'verdict', label, original: verdict, types: [BEST_PRACTICES] },
    description: shortened(finding.text, MAX.description),
    ...{ advice: reason, process: null },
    compliance: { Status: status, RelatedRequirements: ['AWS Foundational Security Best Practices EC2.8'] },
    fields: { 'imdswatch/verdict': verdict, 'imdswatch/coverage_percent': String(coverage_percent) },
  });
}

interface Parts {
  id: string;
  rule: string;
  label: Label;
  original: string;
  types: string[];
  description: string;
  advice: string;
  process: JsonObject | null;
  compliance: JsonObject | null;
  fields: Readonly<Record<string, string | null>>;
}

function findingObject(finding: Finding, instances: readonly Instance[], parts: Parts): JsonObject {
  const { account, region } = instances[0]!;
  const partition = partitionOf(region);
  const severity = { Label: parts.label, Original: parts.original };
  const made = (withTags: boolean): JsonObject =>
    compact({
      SchemaVersion: '2018-10-08',
      Id: `imdswatch/${parts.id}/${account}/${region}`,
      ProductArn: `arn:${partition}:securityhub:${region}:${account}:product/${account}/default`,
      GeneratorId: `imdswatch/${parts.rule}`,
      AwsAccountId: account,
      Types: parts.types,
      FirstObservedAt: finding.first_seen,
      LastObservedAt: finding.last_seen,
      CreatedAt: finding.first_seen,
      UpdatedAt: finding.time,
      Severity: severity,
      Title: shortened(finding.title, MAX.title) || parts.rule,
      Description: parts.description || parts.rule,
      Remediation: {
        Recommendation: compact({ Text: textOf(parts.advice, MAX.recommendation), Url: finding.link }),
      },
      SourceUrl: finding.link,
      ProductFields: productFields(parts.fields),
      Resources: instances.slice(0, MAX.resources).map((instance) => resourceOf(instance, withTags)),
      Process: parts.process,
      Compliance: parts.compliance,
      RecordState: finding.change === 'resolved' ? 'ARCHIVED' : 'ACTIVE',
      FindingProviderFields: { Severity: severity, Types: parts.types },
    });
  const whole = made(true);
  return Buffer.byteLength(JSON.stringify(whole)) <= MAX.bytes ? whole : made(false);
}

function productFields(fields: Readonly<Record<string, string | null>>): JsonObject {
  const own = Object.entries(fields).map(([key, value]) => [
    key,
    value === null ? null : textOf(value, MAX.productValue),
  ]);
  return { ProviderName: 'imdswatch', ProviderVersion: VERSION, ...compact(Object.fromEntries(own)) };
}

function resourceOf(instance: Instance, withTags: boolean): JsonObject {
  const { id, account, region, type, image_id, http_tokens, hop_limit } = instance;
  const partition = partitionOf(region);
  const options = compactOrNull({ HttpTokens: http_tokens, HttpPutResponseHopLimit: hop_limit });
  const details = compactOrNull({ Type: type, ImageId: image_id, MetadataOptions: options });
  return compact({
    Type: 'AwsEc2Instance',
    Id: `arn:${partition}:ec2:${region}:${account}:instance/${id}`,
    Partition: partition,
    Region: region,
    Tags: withTags ? tagsOf(instance.tags) : null,
    Details: details === null ? null : { AwsEc2Instance: details },
  });
}

/** A tag with characters that the format does not take is left out. */
function tagsOf(tags: Readonly<Record<string, string>>): JsonObject | null {
  const allowed = /^[\p{L}\p{N}\p{Zs}+\-=._:/@]*$/u;
  const fit = Object.entries(tags)
    .filter(
      ([key, value]) =>
        key !== '' &&
        key.length <= MAX.tagKey &&
        allowed.test(key) &&
        value.length <= MAX.tagValue &&
        allowed.test(value),
    )
    .slice(0, MAX.tags);
  return fit.length === 0 ? null : Object.fromEntries(fit);
}

/** The latest process, if it ran on one of these instances. */
function processOf({ process }: OffenderFinding, instances: readonly Instance[]): JsonObject | null {
  const facts = process?.process;
  if (!facts || !instances.some(({ id }) => id === process?.host.id)) return null;
  const path = facts['executable.path'];
  const fields: { readonly [key: string]: Json | undefined } = {
    Name: textOf(facts.name, MAX.processName),
    Path: path === null ? null : textOf(path, MAX.processPath),
    Pid: facts.pid,
    ParentPid: facts.ancestors[0]?.pid,
    LaunchedAt: facts.start_time,
  };
  return compact(fields);
}

/** The format takes no empty texts. */
function textOf(text: string, max: number): string | null {
  return /\S/.test(text) ? shortened(text, max) : null;
}

/** Cuts a text to so many UTF-16 units. Half of a surrogate pair at the end goes with what is cut. */
function shortened(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
