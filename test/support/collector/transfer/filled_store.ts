/**
 * A store with rows in every table of the findings: hosts of all verdicts, with calls one by one and rolled up, gaps, hops,
 * groups and figures of the cloud. Its times are before `nowUs`, so that windows of days have something to say.
 */

import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import type { CloudMember, Store, StoredBatch, StoredRecord } from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Call, HostFacts } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../calls.ts';
import { heartbeatOf } from '../insight/findings.ts';
import { call, callerOf, report, rollup } from '../store/records.ts';

export const DAY_US = 86_400_000_000;
const HOUR_US = DAY_US / 24;
const HOSTS = 8;
/** Days of coverage, and of calls. */
const DAYS = 16;
const PLACE = { account: '111122223333', region: 'eu-central-1' };

const hostOf = (number: number): HostFacts => ({
  id: `i-${String(number).padStart(17, '0')}`,
  name: number === 3 ? 'web “3” ü' : `web-${number}`,
  'cloud.account.id': PLACE.account,
  'cloud.region': PLACE.region,
  'image.id': `ami-${number % 2}`,
  tags: { team: number % 2 === 0 ? 'shop' : 'payments', 'aws:autoscaling:groupName': `group-${number % 3}` },
});

const SCRIPTS = ['/opt/shop/1.2.3/job.py', '/opt/shop/1.2.4/job.py', '/srv/backup.sh', null];

/** The calls of each host: none, so that it is ready; plain IMDSv1; fallbacks; refused calls; with hops; odd paths. */
const KINDS: readonly (readonly Partial<Call>[])[] = [
  [],
  [
    {
      'url.path': '/latest/meta-data/iam/security-credentials/web',
      'imds.category': 'credentials',
      'imds.role': 'web',
    },
  ],
  [{ 'imds.fallback': 'token_unanswered', 'imds.hops': 2, 'imds.token_hop_limit': 1 }],
  [{ 'http.response.status_code': 401, outcome: 'answered' }],
  [{ 'url.path': '/a\u0000b', 'url.query': 'x=\u0000' }, { 'url.path': '/a\ufffdb' }, { 'url.path': null }],
  [
    { 'imds.version': 2, 'imds.server_version': 2 },
    { outcome: 'blocked', 'http.response.status_code': null },
  ],
];

/** Fills an empty store. `nowUs`: microseconds since 1970. */
export async function fillStore(store: Store, nowUs: number): Promise<void> {
  const hours = Math.floor(nowUs / HOUR_US);
  for (let number = 0; number < HOSTS; number += 1) {
    const host = hostOf(number);
    for (let day = DAYS; day > 0; day -= 1) {
      const startUs = (hours - day * 24) * HOUR_US;
      await store.write([batchOf(host, number, DAYS - day + 1, startUs, nowUs)]);
    }
    if (number !== 6) await store.heartbeats([heardHost(heartbeatOf(host.id, nowUs), nowUs)]);
  }
  await fillCloud(store, nowUs);
}

function batchOf(host: HostFacts, number: number, seq: number, startUs: number, nowUs: number): StoredBatch {
  const callers = SCRIPTS.map((script) =>
    callerOf(
      makeCall({ process: processFacts({ script, pid: 100 + number, start_time: toTimestamp(startUs) }) }),
    ),
  );
  const kinds = KINDS[number % KINDS.length]!;
  const records: StoredRecord[] = kinds.flatMap((changes, kind) =>
    [0, 7, 13].map((hour) =>
      call(
        startUs + hour * HOUR_US + kind * 1_000_003 + number,
        { 'user_agent.original': hour === 7 ? null : 'Boto3/1.9 Botocore/1.12', ...changes },
        (hour + kind) % SCRIPTS.length,
      ),
    ),
  );
  records.push(
    rollup(startUs + HOUR_US, startUs + HOUR_US + 59_000_000, [{ count: 40 }, { 'url.path': '/b' }]),
  );
  // One host was not watched for some hours, and lost something.
  const untilUs = startUs + (number === 5 && seq === DAYS - 2 ? 20 : 24) * HOUR_US;
  const losses = number === 5 ? { 'decode.dropped': 2 } : {};
  records.push(report(host.id, startUs, Math.min(untilUs, nowUs), { losses }));
  if (seq === DAYS && kinds.length > 0) records.push(call(futureUs(nowUs), { 'url.path': '/future' }));
  const facts = seq > 8 && number === 2 ? { ...host, tags: { team: 'moved' } } : host;
  return { stream: `stream-${number}`, seq, host: facts, callers, records };
}

/** The embedded store compares times with the clock of its process, which may be years later than `nowUs`. */
function futureUs(nowUs: number): number {
  return Math.max(nowUs, Date.now() * 1000) + 30 * DAY_US;
}

async function fillCloud(store: Store, nowUs: number): Promise<void> {
  const startUs = Math.floor(nowUs / DAY_US - 2) * DAY_US;
  const ids = Array.from({ length: HOSTS + 1 }, (_, number) => hostOf(number).id);
  await store.putCloudCounts(
    ids.flatMap((hostId, number) =>
      [0, 1].map((day) => ({
        hostId,
        startUs: startUs + day * DAY_US,
        endUs: startUs + (day + 1) * DAY_US,
        noToken: number,
        noTokenRejected: number === 3 ? null : number % 2,
      })),
    ),
  );
  await store.putCloudInstances(
    ids.map((hostId, number) => ({
      hostId,
      httpTokens: number === 7 ? ('required' as const) : ('optional' as const),
      hopLimit: 1 + (number % 2),
      httpEndpoint: 'enabled' as const,
      suppliedUs: nowUs,
    })),
  );
  const instances = ids.map((hostId, number): CloudMember => {
    const group = `group-${number % 3}`;
    return {
      ...{ hostId, ...PLACE, state: 'running', launchedUs: startUs - 30 * DAY_US, terminatedUs: null },
      ...{ imageId: `ami-${number % 2}`, scalingGroup: group, templateId: 'lt-1', templateVersion: 2 },
      ...{ isSpot: number === 1, managedBy: null, tags: { team: 'shop' }, suppliedUs: nowUs },
    };
  });
  const metadata = { http_tokens: null, http_endpoint: null, hop_limit: null };
  const resources = [
    {
      kind: 'account_defaults' as const,
      ...PLACE,
      id: 'defaults' as const,
      ...metadata,
      http_tokens_enforced: null,
      managed_by: null,
    },
    {
      kind: 'complete_read' as const,
      ...PLACE,
      id: 'inventory' as const,
      made: new Date(nowUs / 1000).toISOString(),
    },
    {
      ...{
        kind: 'launch_template' as const,
        ...PLACE,
        id: 'lt-1',
        name: 'web',
        default_version: 1,
        latest_version: 2,
      },
      versions: [{ version: 2, image_id: 'ami-1', ...metadata }],
    },
    ...[0, 1, 2].map((number) => ({
      ...{ kind: 'scaling_group' as const, ...PLACE, id: `group-${number}`, template_id: 'lt-1' },
      ...{
        template_reference: '$Latest',
        template_version: 2,
        image_id: 'ami-1',
        other_source: null,
        instances: 3,
      },
    })),
  ];
  await store.putCloudInventory({
    instances,
    resources: resources.map((facts) => ({ facts, suppliedUs: nowUs })),
  });
}
