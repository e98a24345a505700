/** A call and a finding that have every field. */
import type { OffenderFinding } from '../../../../collector/contract/finding.ts';
import { finding } from '../../../../collector/contract/finding.ts';
import { type ServedCall, servedCall } from '../../../../collector/contract/served_call.ts';
import { HOST, makeCall, processFacts } from '../calls.ts';

const PROGRAM = {
  pid: 500,
  name: 'envoy',
  'executable.path': '/usr/bin/envoy',
  script: '/etc/envoy.py',
  'owner.uid': 7,
};

export function fullCall(): ServedCall {
  const call = makeCall({
    id: '01900000-0000-7000-8000-000000000001',
    time: '2026-11-22T08:00:00.000000Z',
    'imds.category': 'credentials',
    'imds.role': 'app',
    'imds.fallback': 'token_refused',
    'imds.hops': 1,
    'imds.token_hop_limit': 2,
    'url.query': 'a=b',
    duration_ms: 12.5,
    answered_by: 'service',
    'answered_by.evidence': 'departure',
    'answered_by.confidence': 'exact',
    via: { kind: 'redirect', ...PROGRAM },
    'caller.role': 'relay',
    'caller.connection': 'handed',
    opener: PROGRAM,
    process: processFacts({ script: '/srv/app/run.sh', title: 'worker' }),
    container: {
      id: 'ab'.repeat(32),
      name: 'app',
      'image.name': 'registry.example/app:1',
      runtime: 'containerd',
    },
    k8s: {
      ...{ 'pod.uid': '0f8fad5b-d9cb-469f-a165-70867728950e', 'pod.name': 'app-1', 'namespace.name': 'shop' },
      'container.name': 'main',
    },
    host: {
      ...{ ...HOST, 'cloud.account.id': '123456789012', 'cloud.region': 'eu-central-1', type: 'm5.large' },
      ...{
        'cloud.availability_zone': 'eu-central-1a',
        'image.id': 'ami-0123456789abcdef0',
        tags: { team: 'shop' },
      },
    },
  });
  return servedCall.parse({ ...call, offender: '0123456789abcdef' });
}

export function fullFinding(): OffenderFinding {
  const { process, container, k8s, systemd, time, ...call } = fullCall();
  const { id, name } = HOST;
  return finding.parse({
    ...{
      id: '11111111-1111-4111-8111-111111111111',
      key: 'offender/0123456789abcdef',
      type: 'offender',
      change: 'new',
    },
    ...{
      time,
      first_seen: time,
      last_seen: time,
      severity: 'critical',
      title: 'run.sh',
      text: 'It reads credentials.',
    },
    link: 'https://imdswatch.example/offenders/0123456789abcdef',
    offender: {
      ...{ id: '0123456789abcdef', severity: 'credentials', attributed: true, title: 'run.sh' },
      ...{ executable: '/usr/bin/curl', name: 'curl', script: '/srv/app/run.sh', user: 'app', uid: null },
      ...{ container_image: 'registry.example/app', systemd_unit: 'app.service', k8s_namespace: 'shop' },
      ...{
        k8s_container: 'main',
        source_address: null,
        helpers: [],
        started_by: null,
        entry: null,
        releases: [],
      },
      ...{
        calls_v1: 7,
        calls_v2: 3,
        blocked_attempts: 0,
        credentials_over_v1: 2,
        last_credentials_over_v1: time,
      },
      ...{
        credentials_over_v1_attempts: 2,
        rejected_v1: 0,
        adapted_v1: 0,
        refused_tokens: 0,
        other_cloud_calls: 0,
      },
      ...{
        answered_by_host_v1: 0,
        acts_for_others: false,
        fallbacks: { token_unanswered: 0, token_refused: 0 },
      },
      ...{ categories_v1: {}, roles_v1: ['app'], user_agents: ['curl/8.5.0'], clients: [], host_count: 1 },
      ...{ hosts_freed: 1, hosts: [{ id, name }], accounts: ['123456789012'], regions: ['eu-central-1'] },
      ...{ first_seen: time, last_seen: time, first_v1: time, last_v1: time, trend_v1: [7] },
      ...{ advice_kind: 'raw_http', advice_headline: 'Ask for a token first.' },
      triage: {
        ...{ state: 'open', ended: null, set: null, set_by: null, until: null, reason: null, owner: 'shop' },
        ...{ owner_by: 'rule', ticket: null, notes: null },
      },
    },
    hosts: [
      {
        ...{
          id,
          name,
          account: '123456789012',
          region: 'eu-central-1',
          zone: 'eu-central-1a',
          type: 'm5.large',
        },
        ...{
          image_id: 'ami-0123456789abcdef0',
          tags: { team: 'shop' },
          http_tokens: 'optional',
          hop_limit: 1,
        },
      },
    ],
    process: {
      ...{ host: { id, name }, last_seen: time, process, container, k8s, systemd },
      'attribution.method': call['attribution.method'],
      'attribution.confidence': call['attribution.confidence'],
    },
  }) as OffenderFinding;
}
