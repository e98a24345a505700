/** Makes findings from a number. They are valid by the schemas of the contract. */

import type { Advice } from '../../../../collector/contract/advice.ts';
import type { Reconciliation } from '../../../../collector/contract/cloud.ts';
import type { BurnDown, FixFirst } from '../../../../collector/contract/fix_first.ts';
import type { Group, GroupDetail, GroupMember } from '../../../../collector/contract/group.ts';
import type { Host, HostDetail, Overview, Readiness, Verdict } from '../../../../collector/contract/host.ts';
import type { Offender, OffenderDetail, Severity } from '../../../../collector/contract/offender.ts';
import { NO_TRIAGE } from '../triage.ts';

const FROM = '2026-11-01T00:00:00.000000Z';
const TO = '2026-11-15T00:00:00.000000Z';
const SEVERITIES: Severity[] = ['credentials', 'v1', 'fallback', 'rejected', 'blocked', 'none'];
const VERDICTS: Verdict[] = ['ready', 'blocked', 'fallback', 'rejected', 'enforced', 'unproven'];

export function makeOffender(number: number, changes: Partial<Offender> = {}): Offender {
  return {
    id: number.toString(16).padStart(16, '0'),
    severity: SEVERITIES[number % SEVERITIES.length]!,
    attributed: true,
    title: `/opt/app/${number}`,
    executable: `/opt/app/${number}`,
    name: null,
    script: null,
    user: number % 2 === 0 ? 'app' : null,
    uid: number % 2 === 0 ? null : 1000,
    container_image: null,
    systemd_unit: `app-${number}.service`,
    k8s_namespace: null,
    k8s_container: null,
    source_address: null,
    helpers: [],
    started_by: null,
    entry: null,
    releases: [],
    calls_v1: number,
    calls_v2: 2,
    blocked_attempts: 0,
    credentials_over_v1: 1,
    credentials_over_v1_attempts: 1,
    last_credentials_over_v1: FROM,
    rejected_v1: 0,
    adapted_v1: 0,
    refused_tokens: 0,
    other_cloud_calls: 0,
    answered_by_host_v1: 0,
    acts_for_others: false,
    fallbacks: { token_unanswered: 0, token_refused: 0 },
    categories_v1: { credentials: 1 },
    roles_v1: ['web'],
    user_agents: ['Boto3/1.0 Botocore/1.0'],
    clients: [{ name: 'Boto3', version: '1.0' }],
    host_count: 1,
    hosts_freed: number % 4,
    hosts: [{ id: 'i-1', name: 'web-1' }],
    accounts: ['111122223333'],
    regions: ['eu-central-1'],
    first_seen: FROM,
    last_seen: TO,
    first_v1: FROM,
    last_v1: number === 3 ? null : `2026-11-10T00:00:00.${String(number).padStart(6, '0')}Z`,
    trend_v1: [0, number],
    advice_kind: 'upgrade',
    advice_headline: 'Upgrade Boto3',
    triage: NO_TRIAGE,
    ...changes,
  };
}

export function makeFixFirst(): FixFirst {
  const { id, title, severity, triage } = makeOffender(1);
  const fix = {
    id,
    title,
    severity,
    triage,
    hosts: 3,
    frees: 2,
    freed: 2,
    freed_watched: 1,
    freed_groups: 1,
  };
  return {
    window: { from: FROM, to: TO },
    as_of: TO,
    held_hosts: 4,
    waiting_hosts: 0,
    excepted_hosts: 1,
    unidentified_hosts: 0,
    held_groups: 2,
    agentless_groups: 0,
    fixes: [fix],
  };
}

export function makeBurnDown(): BurnDown {
  const unknown = {
    kind: 'unknown' as const,
    reason: 'too_few_weeks' as const,
    expected: null,
    earliest: null,
    latest: null,
  };
  return {
    window_days: 14,
    days: [{ day: FROM, hosts: 3, offenders: 2, complete: false }],
    weeks: [],
    forecast: { hosts: unknown, offenders: unknown },
  };
}

const ADVICE: Advice = {
  kind: 'upgrade',
  client: 'Boto3',
  versions_seen: ['1.0'],
  minimum_version: '1.13',
  fallback_off_since: null,
  headline: 'Upgrade Boto3',
  explanation: 'This release speaks IMDSv1 only.',
  steps: [{ text: 'Upgrade.', code: 'pip install -U boto3', language: 'shell' }],
  source: 'https://example.com/boto3',
};
const TIMELINE = { bucket_seconds: 3600, points: [{ time: FROM, v1: 1, v1_credentials: 1, v2: 0 }] };

export function makeOffenderDetail(number: number): OffenderDetail {
  return {
    ...makeOffender(number),
    window: { from: FROM, to: TO },
    advice: ADVICE,
    all_hosts: [],
    paths_v1: [{ path: '/latest/meta-data/', calls: 1, last_seen: TO }],
    timeline: TIMELINE,
    processes: [],
  };
}

export function makeHost(number: number, changes: Partial<Host> = {}): Host {
  return {
    id: `i-${String(number).padStart(4, '0')}`,
    name: `web-${number}`,
    account: '111122223333',
    region: 'eu-central-1',
    zone: null,
    type: null,
    image_id: null,
    tags: { team: 'payments' },
    state: number % 2 === 0 ? 'online' : 'silent',
    agent_version: '0.1.0',
    attribution_method: 'ebpf',
    first_seen: FROM,
    last_seen: TO,
    last_heartbeat: TO,
    clock_skew_seconds: -0.5,
    verdict: VERDICTS[number % VERDICTS.length]!,
    start_seen: true,
    coverage_percent: 100,
    gap_count: 0,
    calls_v1: number,
    offender_count: 1,
    last_v1: null,
    ...changes,
  };
}

const READINESS: Readiness = {
  verdict: 'blocked',
  reason: 'One workload calls IMDSv1.',
  window: { from: FROM, to: TO },
  coverage: {
    watched_seconds: 1,
    window_seconds: 2,
    percent: 50,
    gaps: [],
    gap_count: 0,
    kernel_connections: null,
    seen_connections: 1,
  },
  limits: [],
  boots: [],
  boot_count: 0,
  start_seen: false,
  calls_v1: 1,
  calls_v2: 0,
  rejected_v1: 0,
  adapted_v1: 0,
  refused_tokens: 0,
  other_cloud_calls: 0,
  answered_by_host_v1: 0,
  blocked_attempts: 0,
  last_v1: TO,
  offenders: [],
  cloud: null,
  ready_at: null,
  command: null,
  command_notes: [],
};

export function makeHostDetail(number: number): HostDetail {
  return { ...makeHost(number), readiness: READINESS, timeline: TIMELINE, heartbeat: null };
}

export function makeOverview(): Overview {
  const verdicts = { ready: 1, blocked: 2, fallback: 0, rejected: 0, enforced: 0, unproven: 3 };
  return {
    window: { from: FROM, to: TO },
    hosts: { total: 6, online: 4, silent: 2, verdicts },
    groups: { by: 'asg', total: 2, verdicts: { ...verdicts, blocked: 1, unproven: 0 } },
    calls: { v1: 1, v2: 2, credentials_over_v1: 1, rejected_v1: 0 },
    offenders: 1,
    timeline: TIMELINE,
    silent_hosts: [{ id: 'i-1', name: 'web-1', last_heartbeat: null }],
  };
}

export function makeGroup(): Group {
  return {
    id: 'tag:team=a/b',
    by: 'tag:team',
    value: 'a/b',
    accounts: ['123456789012'],
    regions: ['eu-west-1'],
    verdict: 'unproven',
    reason: '1 of 2 instances watched for their whole life.',
    window: { from: FROM, to: TO },
    members: 2,
    running: 1,
    watched: 1,
    offending: 0,
    calls_v1: 0,
    offenders: [],
    problems: [{ code: 'no_agent', members: 1, text: 'No agent.', examples: [{ id: 'i-1', name: 'web-1' }] }],
    start_seen: true,
    starts: [{ launcher: 'asg:web', image_id: 'ami-1', template_version: '7', seen: 2, needed: 3 }],
    limits: [],
    window_full_at: null,
    inventory_at: TO,
  };
}

export function makeGroupDetail(): GroupDetail {
  const verdicts = { ready: 1, blocked: 0, fallback: 0, rejected: 0, enforced: 0, unproven: 0 };
  const instance: GroupMember = {
    id: 'i-1',
    name: 'web-1',
    state: 'no_agent',
    is_running: true,
    launched: FROM,
    first_report: null,
    last_report: null,
    ended: null,
    starts_seen: 0,
    calls_v1: 0,
    image_id: 'ami-1',
    template_version: '7',
  };
  const command = 'aws ec2 modify-instance-metadata-options --instance-id i-2 --http-tokens required';
  return { ...makeGroup(), instances: [instance], verdicts, command, command_notes: ['Look first.'] };
}

export function makeReconciliation(id: string): Reconciliation {
  return {
    id,
    name: null,
    result: 'agrees',
    metadata_no_token: 1,
    seen_no_token: 1,
    unseen: 0,
    metadata_no_token_rejected: null,
    hours: 1,
    from: FROM,
    to: TO,
    unseen_in: [],
  };
}
