/**
 * Measures the verdicts of all groups over a fleet that scales: `bin/node bench/collector/groups.ts [HOSTS]`.
 * Most hosts are gone. The store is filled by its own writer, in a temporary directory, through the same
 * methods that the collector uses. Each figure is of a new question: no answer is kept in between.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAY_US, HOUR_US } from '../../collector/contract/window.ts';
import { Insight } from '../../collector/insight/insight.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import type {
  CloudCount,
  CloudInstance,
  CloudMember,
  Store,
  StoredBatch,
} from '../../collector/store/store.ts';
import { toTimestamp } from '../../collector/store/time.ts';
import type { HostFacts } from '../../protocol/call.ts';

const GONE_SHARE = 0.9;
const GROUPS = 200;
const DAYS = 14;
const LIFE_HOURS = 6;
const IN_TRANSACTION = 1000;
const ROUNDS = 9;
const PLACE = { account: '123456789012', region: 'eu-west-1' };
/** The first answer of a process, and that many more. */
const ROUNDS_OF_ONE = 9;
/** Share of hosts with a restart of their agent. */
const RESTART_SHARE = 0.1;

/** Returns an id like those of instances: neighbours in time are no neighbours in the order of ids. */
function idOf(number: number): string {
  return `i-0${createHash('sha256').update(String(number)).digest('hex').slice(0, 16)}`;
}

function factsOf(number: number): HostFacts {
  const group = number % GROUPS;
  return {
    id: idOf(number),
    name: `web-${number}`,
    'cloud.account.id': PLACE.account,
    'cloud.region': PLACE.region,
    'cloud.availability_zone': `${PLACE.region}${'abc'[number % 3]}`,
    type: 'm7g.large',
    'image.id': `ami-${group % 20}`,
    tags: {
      Name: `web-${group}`,
      team: `team-${group % 30}`,
      env: 'production',
      'aws:autoscaling:groupName': `asg-${group}`,
      'aws:ec2launchtemplate:id': `lt-${group}`,
      'aws:ec2launchtemplate:version': '7',
    },
  };
}

/** Life of a host: launch, first report and last one, in microseconds since 1970. */
function lifeOf(number: number, hosts: number, nowUs: number) {
  const isGone = number < hosts * GONE_SHARE;
  const share = number / (hosts * GONE_SHARE);
  const spanUs = DAYS * DAY_US - LIFE_HOURS * HOUR_US - DAY_US;
  const launchedUs = isGone
    ? Math.floor(nowUs - DAYS * DAY_US + HOUR_US + share * spanUs)
    : nowUs - DAY_US - (number % 300) * 1e6;
  const firstUs = launchedUs + 30e6;
  const lastUs = isGone ? launchedUs + LIFE_HOURS * HOUR_US : nowUs - 10e6;
  return { isGone, launchedUs, firstUs, lastUs };
}

async function fill(store: Store, hosts: number, nowUs: number): Promise<void> {
  for (let from = 0; from < hosts; from += IN_TRANSACTION) {
    const batches: StoredBatch[] = [];
    const counts: CloudCount[] = [];
    const options: CloudInstance[] = [];
    const members: CloudMember[] = [];
    for (let number = from; number < Math.min(hosts, from + IN_TRANSACTION); number += 1) {
      const { isGone, launchedUs, firstUs, lastUs } = lifeOf(number, hosts, nowUs);
      const host = factsOf(number);
      // One host of each group was there before the window, so that the window is full.
      const isEarly = number >= hosts - GROUPS;
      const startUs = isEarly ? nowUs - (DAYS + 1) * DAY_US : firstUs;
      batches.push(batchOf(host, startUs, lastUs, number));
      const hourUs = Math.floor(launchedUs / HOUR_US) * HOUR_US;
      for (let hour = 0; hour < LIFE_HOURS; hour += 1) {
        const at = hourUs + hour * HOUR_US;
        counts.push({ hostId: host.id, startUs: at, endUs: at + HOUR_US, noToken: 0, noTokenRejected: null });
      }
      options.push({
        hostId: host.id,
        httpTokens: 'optional',
        hopLimit: 2,
        httpEndpoint: 'enabled',
        suppliedUs: nowUs,
      });
      members.push({
        hostId: host.id,
        ...PLACE,
        state: isGone ? 'terminated' : 'running',
        launchedUs: isEarly ? startUs - 60e6 : launchedUs,
        terminatedUs: isGone ? lastUs + 5e6 : null,
        imageId: host['image.id']!,
        scalingGroup: `asg-${number % GROUPS}`,
        templateId: `lt-${number % GROUPS}`,
        templateVersion: 7,
        isSpot: false,
        managedBy: null,
        tags: host.tags!,
        suppliedUs: nowUs,
      });
    }
    await store.write(batches);
    await store.putCloudCounts(counts);
    await store.putCloudInstances(options);
    const made = new Date(nowUs / 1000).toISOString();
    const read = { kind: 'complete_read' as const, ...PLACE, id: 'inventory' as const, made };
    await store.putCloudInventory({ instances: members, resources: [{ facts: read, suppliedUs: nowUs }] });
  }
}

function batchOf(host: HostFacts, firstUs: number, lastUs: number, number: number): StoredBatch {
  const bootId = randomUUID();
  const report = (startUs: number, endUs: number) => ({
    kind: 'coverage' as const,
    coverage: {
      id: idAt(endUs),
      host_id: host.id,
      boot_id: bootId,
      start: toTimestamp(startUs),
      end: toTimestamp(endUs),
      live_ms: (endUs - startUs) / 1000,
      kernel_connections: 10,
      seen_connections: 10,
      losses: {},
    },
  });
  const middleUs = Math.floor((firstUs + lastUs) / 2);
  const pauseUs = number % Math.round(1 / RESTART_SHARE) === 0 ? 5e6 : 0;
  const batch: StoredBatch = {
    stream: randomUUID(),
    seq: 1,
    host,
    callers: [],
    records: [report(firstUs, middleUs), report(middleUs + pauseUs, lastUs)],
  };
  const isOffender = number % GROUPS < GROUPS / 10 && Math.floor(number / GROUPS) % 10 === 0;
  if (isOffender) addCall(batch, middleUs, number);
  return batch;
}

function addCall(batch: StoredBatch, timeUs: number, number: number): void {
  batch.callers.push({
    process: null,
    container: null,
    k8s: null,
    systemd: null,
    'attribution.method': 'none',
    'attribution.confidence': 'none',
  });
  batch.records.push({
    kind: 'call',
    caller: 0,
    call: {
      id: idAt(timeUs),
      time: toTimestamp(timeUs),
      'imds.version': 1,
      'imds.kind': 'read',
      'imds.category': 'metadata',
      'imds.role': null,
      'imds.endpoint': 'ipv4',
      'imds.server_version': 1,
      'imds.fallback': null,
      'http.request.method': 'GET',
      'url.path': '/latest/meta-data/instance-id',
      'url.query': null,
      'user_agent.original': `tool-${number % 5}`,
      'http.response.status_code': 200,
      outcome: 'answered',
      duration_ms: 1,
      'source.address': '10.0.0.5',
      'source.port': 40_000,
      'destination.address': '169.254.169.254',
      'destination.port': 80,
    },
  });
}

/** Returns a UUIDv7 of a time. */
function idAt(us: number): string {
  const time = Math.floor(us / 1000)
    .toString(16)
    .padStart(12, '0');
  const random = randomUUID().replaceAll('-', '');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(1, 4)}-8${random.slice(5, 8)}-${random.slice(8, 20)}`;
}

const hosts = Number(process.argv[2] ?? 100_000);
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-groups-'));
let store = openStore(directory);
try {
  const nowUs = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
  const started = performance.now();
  await fill(store, hosts, nowUs);
  console.log(`${hosts} hosts stored in ${Math.round((performance.now() - started) / 1000)} s`);
  const insightOf = (of: Store) =>
    new Insight(of, { readinessWindowDays: DAYS, silentAfterSeconds: 300, now: () => nowUs / 1000 });
  const window = { sinceUs: nowUs - DAYS * DAY_US, untilUs: nowUs };
  for (const by of ['asg', 'template', 'image', 'account', { tag: 'team' }] as const) {
    // A new store has read nothing yet, like a collector that was just started.
    await store.close();
    store = openStore(directory);
    const insight = insightOf(store);
    const took: number[] = [];
    const usedUs = () => process.cpuUsage().user + process.cpuUsage().system;
    const beganUs = usedUs();
    let groups: Awaited<ReturnType<Insight['groups']>> = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = performance.now();
      groups = await insight.groups(by, { window });
      took.push(performance.now() - before);
    }
    const usedMs = (usedUs() - beganUs) / 1000 / ROUNDS;
    const first = took[0]!;
    took.sort((a, b) => a - b);
    const verdicts = Object.entries(Object.groupBy(groups, ({ verdict }) => verdict));
    const members = groups.reduce((sum, group) => sum + group.members, 0);
    const gone = members - groups.reduce((sum, group) => sum + group.running, 0);
    console.log(
      `${JSON.stringify(by)}: ${groups.length} groups, ${members} members, ${gone} of them gone; ` +
        `${verdicts.map(([verdict, of]) => `${of!.length} ${verdict}`).join(', ')}; ` +
        `first ${Math.round(first)} ms, median ${Math.round(took[ROUNDS >> 1]!)} ms, slowest ${Math.round(took.at(-1)!)} ms, ` +
        `processor ${Math.round(usedMs)} ms`,
    );
    if (by === 'asg') {
      const unproven = groups.find(({ verdict }) => verdict === 'unproven');
      if (unproven !== undefined) console.log(unproven.reason);
    }
  }
  const insight = insightOf(store);
  const took: number[] = [];
  for (let round = 0; round <= ROUNDS_OF_ONE; round += 1) {
    const before = performance.now();
    const found = await insight.group('asg:asg-7', { window });
    took.push(performance.now() - before);
    if (found?.members !== hosts / GROUPS) throw new Error(`asg:asg-7 has ${found?.members} members.`);
  }
  const [first, ...more] = took;
  more.sort((a, b) => a - b);
  console.log(
    `one group: first ${Math.round(first!)} ms, median ${Math.round(more[ROUNDS_OF_ONE >> 1]!)} ms, slowest ${Math.round(more.at(-1)!)} ms`,
  );
  console.log(
    `cores ${availableParallelism()}, load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  );
} finally {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
}
