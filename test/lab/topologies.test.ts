/**
 * The table of topologies: each way to the metadata service × each kind of client × tokens optional and
 * required. In each cell the calls are those of the service's own log, named for their caller, and verdict and
 * advice are right. One lab and one watch for all of them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AdviceKind } from '../../collector/contract/advice.ts';
import { adviceOn } from '../../collector/insight/advice.ts';
import { tally } from '../../collector/insight/counts.ts';
import { workloadIdentity } from '../../collector/store/workload_identity.ts';
import { missingHere } from '../../lab/engines/need.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import type { Call } from '../../protocol/call.ts';
import { evidence, verdict } from '../support/collector/insight/evidence.ts';
import { calls as rows } from '../support/collector/insight/rows.ts';
import { addMasqueradedBridge } from '../support/lab/masqueraded_bridge.ts';
import { buildTopologies, startSidecar, type Topology } from '../support/lab/topologies.ts';
import { Watcher } from '../support/lab/watcher.ts';
import { EvasionLab, until } from './evasions/evasion_lab.ts';

const skip =
  process.getuid?.() === 0
    ? (missingHere(['nft']) ?? false)
    : 'needs root: builds network namespaces and captures packets';
const CLIENT = join(import.meta.dirname, '../support/lab/topology_clients.py');
const IMDSWATCH = join(import.meta.dirname, '../../bin/imdswatch');
const CLIENTS = ['old', 'new', 'falling', 'adapting', 'shell'] as const;
type Client = (typeof CLIENTS)[number];
const TOKENS = ['optional', 'required'] as const;

/** The verdict of a host on which only this client called, and that was watched without a gap. */
const VERDICTS: Record<(typeof TOKENS)[number], Record<Client, string>> = {
  optional: { old: 'blocked', new: 'ready', falling: 'fallback', adapting: 'blocked', shell: 'ready' },
  required: { old: 'rejected', new: 'ready', falling: 'rejected', adapting: 'ready', shell: 'ready' },
};
/** The advice for a workload that made IMDSv1 calls, or whose calls were refused. */
const ADVICE: Record<(typeof TOKENS)[number], Partial<Record<Client, AdviceKind>>> = {
  optional: { old: 'raw_http', falling: 'token_refused', adapting: 'raw_http' },
  required: { old: 'rejected', falling: 'token_refused', adapting: 'adapts' },
};
const SETTLE_TIMEOUT_MS = 30_000;
const SHELL = [
  'TOKEN=$(curl -s -m 10 $PROXY -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $0/latest/api/token)',
  'curl -s -m 10 $PROXY -o /dev/null -H "X-aws-ec2-metadata-token: $TOKEN" "$0$1"',
].join('\n');

interface Cell {
  topology: Topology;
  client: Client;
  tokens: (typeof TOKENS)[number];
  pid: number;
  made: SeenRequest[];
}

describe('topologies × clients × tokens', { skip }, () => {
  let lab: Lab;
  let programs: Programs;
  let watcher: Watcher;
  const cells: Cell[] = [];
  let missing: string[] = [];

  before(async () => {
    lab = await Lab.create({ name: 'topology', ipv6: false });
    programs = await findPrograms();
    const built = await buildTopologies(lab, programs);
    missing = built.missing;
    const flags = ['--json', '--attribution', 'ebpf', '--max-namespaces', '32'];
    const engines = ['--docker-socket', 'none', '--cri-socket', 'none'];
    watcher = await Watcher.start(lab, [IMDSWATCH, 'watch', ...flags, ...engines]);
    for (const tokens of TOKENS) {
      await lab.metadata.set({ httpTokens: tokens });
      for (const topology of built.topologies) {
        for (const client of CLIENTS) cells.push(await run(topology, client, tokens));
      }
    }
    const made = cells.reduce((sum, cell) => sum + cell.made.length, 0);
    await watcher.settle(made);
    await watcher.stop();
  });
  after(() => lab?.close());

  async function run(topology: Topology, client: Client, tokens: Cell['tokens']): Promise<Cell> {
    const { from, proxy } = topology;
    const target = `/latest/meta-data/instance-id?row=${cells.length}`;
    const before = (await lab.metadata.log()).length;
    const options = { from, env: { PROXY: proxy === undefined ? '' : `-x http://${proxy}` } };
    const argv =
      client === 'shell'
        ? ['bash', '-c', SHELL, 'http://169.254.169.254', target]
        : [programs.python3, CLIENT, client, target, ...(proxy === undefined ? [] : [proxy])];
    const { pid, status, stderr } = await lab.run(argv, options);
    assert.equal(status, 0, `${topology.name}, ${client}: ${stderr}`);
    return { topology, client, tokens, pid, made: (await lab.metadata.log()).slice(before) };
  }

  /** Returns the calls of a cell in the order in which they began. */
  function callsOf(row: number): Call[] {
    return watcher.calls
      .filter(({ 'url.query': query }) => query === `row=${row}`)
      .sort((a, b) => (a.time < b.time ? -1 : 1));
  }

  it('counts each request that the service saw once, and no other', () => {
    const served = cells.flatMap(({ made }) => made);
    const kindOf = (method: string | null, version: number | null, status: number | null) =>
      `${method} v${version} ${status}`;
    const count = (list: string[]) =>
      Object.fromEntries(
        [...Map.groupBy(list, (each) => each)].map(([key, all]) => [key, all.length]).sort(),
      );
    assert.deepEqual(
      count(
        watcher.calls.map((call) =>
          kindOf(call['http.request.method'], call['imds.version'], call['http.response.status_code']),
        ),
      ),
      count(served.map(({ method, version, status }) => kindOf(method, version, status))),
      watcher.complaints,
    );
    assert.doesNotMatch(watcher.complaints, /were lost/);
  });

  it('has each cell as the service has it, named for its caller, with the right verdict and advice', (t) => {
    const wrong: string[] = [];
    for (const [row, { topology, client, tokens, pid, made }] of cells.entries()) {
      const where = `${topology.name} (${topology.source}), ${client}, tokens ${tokens}`;
      const calls = callsOf(row);
      const reads = made.filter(({ method }) => method === 'GET');
      const seen = calls.map((call) => `v${call['imds.version']} ${call['http.response.status_code']}`);
      const expected = reads.map(({ version, status }) => `v${version} ${status}`);
      if (seen.join() !== expected.join())
        wrong.push(`${where}: ${seen.join()}; the service: ${expected.join()}`);
      for (const call of calls) {
        const problem = namedWrongly(call, topology, pid);
        if (problem !== null) wrong.push(`${where}: ${problem}`);
      }
      const said = verdict(evidence(calls.map(rowOf)));
      const advice = ADVICE[tokens][client];
      const advised = advice === undefined ? undefined : adviceFor(calls);
      // The code of a proxy's clients is not the proxy's.
      const right = topology.named === 'relay' && advice === 'raw_http' ? 'unknown' : advice;
      if (advised !== right) wrong.push(`${where}: advice ${advised}, not ${right}`);
      if (said !== VERDICTS[tokens][client]) wrong.push(`${where}: ${said}, not ${VERDICTS[tokens][client]}`);
    }
    for (const program of missing) t.diagnostic(`${program} is not installed: its topology is left out`);
    assert.deepEqual(wrong, []);
  });
});

describe('a host whose pods all use a redirecting sidecar', { skip }, () => {
  let watched: EvasionLab;
  let pods: string[];
  before(async () => {
    watched = await EvasionLab.open('meshready', { isStrict: true });
    pods = await addMasqueradedBridge(watched.lab);
    const programs = await findPrograms();
    for (const pod of pods) await startSidecar(watched.lab, programs, pod);
    await watched.watch({ flags: ['--attribution', 'ebpf', '--max-namespaces', '32'] });
  });
  after(() => watched?.close());

  async function runInEachPod(client: Client): Promise<void> {
    for (const namespace of pods) {
      const argv = ['python3', CLIENT, client, `/latest/meta-data/instance-id?${client}`];
      const { status, stderr } = await watched.lab.run(argv, { from: { namespace } });
      assert.equal(status, 0, stderr);
    }
  }
  const verdictWith = async (version: 'calls_v1' | 'calls_v2', count: number): Promise<string> => {
    await until(`${count} ${version}`, SETTLE_TIMEOUT_MS, async () => {
      return ((await watched.host())?.readiness[version] ?? 0) >= count;
    });
    const { readiness } = (await watched.host())!;
    assert.equal(readiness[version], count);
    assert.deepEqual(readiness.coverage.gaps, []);
    return readiness.verdict;
  };

  it('is ready while they use IMDSv2, and blocked by one that does not', async () => {
    for (let round = 0; round < 3; round++) await runInEachPod('new');
    assert.equal(await verdictWith('calls_v2', 3 * pods.length * 2), 'ready');
    await runInEachPod('old');
    assert.equal(await verdictWith('calls_v1', pods.length), 'blocked');
    const { offenders } = (await watched.host())!.readiness;
    assert.deepEqual(
      offenders.map(({ title, calls_v1 }) => [title, calls_v1]),
      [[CLIENT, pods.length]],
      'the application and not its sidecar',
    );
  });
});

describe('a pod with a redirecting sidecar, without type information of the kernel', { skip }, () => {
  for (const way of ['tracepoint', 'proc']) {
    it(`calls itself, once, as the service has it: ${way}`, () => callsItself(way));
  }

  async function callsItself(way: string): Promise<void> {
    const lab = await Lab.create({ name: 'meshproc', ipv6: false });
    try {
      const [pod = ''] = await addMasqueradedBridge(lab);
      await startSidecar(lab, await findPrograms(), pod);
      const flags = ['--json', '--attribution', way, '--docker-socket', 'none', '--cri-socket', 'none'];
      const watcher = await Watcher.start(lab, [IMDSWATCH, 'watch', ...flags]);
      // By /proc a busy machine finds who asks and who sends on while both wait. The program on a tracepoint has recorded it.
      if (way === 'proc') await lab.metadata.set({ delayMs: 500 });
      const pids: number[] = [];
      for (const target of ['/latest/meta-data/mesh/1', '/latest/meta-data/mesh/2']) {
        const { status, stderr, pid } = await lab.run(['python3', CLIENT, 'old', target], {
          from: { namespace: pod },
        });
        assert.equal(status, 0, stderr);
        pids.push(pid);
      }
      const served = (await lab.metadata.log()).filter(({ target }) => target?.includes('/mesh/'));
      await until('the calls', SETTLE_TIMEOUT_MS, async () => watcher.calls.length >= served.length);
      await watcher.stop();
      assert.equal(served.length, 2);
      assert.deepEqual(
        watcher.calls.map((call) => [call['url.path'], call.process?.pid, call.via?.kind]),
        served.map(({ target }, n) => [target, pids[n], 'redirect']),
        watcher.complaints,
      );
    } finally {
      await lab.close();
    }
  }
});

function adviceFor(calls: Call[]): AdviceKind {
  const kinds = calls.map(rowOf);
  const [{ host, ...facts }] = calls as [Call];
  const identity = { id: '', ...workloadIdentity(facts, host.id, calls[0]!['source.address']) };
  return adviceOn({ identity, kinds, calls: tally(kinds), hosts: [], hops: [], paths: [] }).kind;
}

function namedWrongly(call: Call, { named }: Topology, pid: number): string | null {
  const { process, via } = call;
  if (call.answered_by !== 'service') return `answered by ${call.answered_by}`;
  if (named === 'relay')
    return call['caller.role'] === 'relay' || via != null ? null : 'not marked as a relay';
  const isCaller = process?.pid === pid || process?.ancestors.some((parent) => parent.pid === pid) === true;
  if (!isCaller) return `named ${process?.name}[${process?.pid}], not ${pid}`;
  const kind = via?.kind ?? 'caller';
  return kind === named ? null : `via ${kind}, not ${named}`;
}

/** The call as a row of the store. */
function rowOf(call: Call) {
  return rows({
    version: call['imds.version'],
    endpoint: call['imds.endpoint'],
    category: call['imds.category'],
    status: call['http.response.status_code'],
    outcome: call.outcome,
    fallback: call['imds.fallback'],
    answeredBy: call.answered_by === 'host' ? 'host' : null,
    callerRole: call['caller.role'] ?? null,
    userAgent: call['user_agent.original'],
  });
}
