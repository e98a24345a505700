/**
 * Fallbacks of real programs behind container networks: which reads are fallbacks, whose they are, how far away their
 * callers are, and which hop limit is advised. Every row is a set-up that was reported in public, with its source.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { HOUR_US } from '../../collector/contract/window.ts';
import { Insight } from '../../collector/insight/insight.ts';
import { toTimestamp } from '../../collector/store/time.ts';
import { Lab } from '../../lab/lab.ts';
import { addAddress, addLink, ip, setSysctl } from '../../lab/namespaces.ts';
import type { Call } from '../../protocol/call.ts';
import { Bench } from '../support/collector/in_process.ts';
import { allOf } from '../support/collector/insight/all_of.ts';
import { newFindings } from '../support/collector/insight/findings.ts';
import { addMasqueradedBridge } from '../support/lab/masqueraded_bridge.ts';
import { nft, skip, startWatch } from '../support/lab/watch_lab.ts';

const CLIENTS = join(import.meta.dirname, '../support/lab/token_clients.py');
const IMDS = 'http://169.254.169.254/latest';
const PUT = `curl -sf --max-time 0.4 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${IMDS}/api/token`;
const read = (tag: string) =>
  `curl -s -H "X-aws-ec2-metadata-token: $T" '${IMDS}/meta-data/instance-id?${tag}'`;

interface Row {
  source: string;
  argv: (tag: string, script: (text: string) => string) => string[];
  expected: Call['imds.fallback'];
}

const client =
  (seconds: number, how = 'close') =>
  (tag: string) => ['python3', CLIENTS, tag, String(seconds), how];

/** One router away, where the hop limit is 1. */
const CONTAINER: Row[] = [
  { source: 'Istio, pkg/bootstrap/platform/aws.go: 100 ms', argv: client(0.1), expected: 'token_unanswered' },
  { source: 'DataDog/datadog-agent: 300 ms', argv: client(0.3), expected: 'token_unanswered' },
  { source: 'awslabs/collectd-cloudwatch#96: 450 ms', argv: client(0.45), expected: 'token_unanswered' },
  { source: 'boto/botocore: 1 s', argv: client(1), expected: 'token_unanswered' },
  { source: 'JuliaCloud/AWS.jl#655: resets', argv: client(0.2, 'reset'), expected: 'token_unanswered' },
  { source: 'keeps the connection open', argv: client(0.3, 'keep'), expected: 'token_unanswered' },
  { source: 'two clients of one process', argv: client(0.2, 'other'), expected: null },
  { source: 'asks for no token', argv: client(0, 'never'), expected: null },
  {
    source: 'AWS EC2 user guide: two curls of one script',
    argv: (tag, script) => ['bash', script(`T=$(${PUT})\n${read(tag)}\n`)],
    expected: 'token_unanswered',
  },
  {
    source: 'Esri/OptimizeRasters#176: a program that runs shells',
    argv: (tag, script) => [
      'python3',
      script(
        `import os\nos.system(${JSON.stringify(`${PUT}; true`)})\nos.system(${JSON.stringify(`${read(tag)}; true`)})\n`,
      ),
    ],
    expected: 'token_unanswered',
  },
  {
    source: 'a script that never asks for a token',
    argv: (tag, script) => ['bash', script(`sleep 0.6\n${read(tag)}\n`)],
    expected: null,
  },
];

describe('fallbacks behind container networks', () => {
  const bench = new Bench();
  after(() => bench.end());

  it('are recognised, attributed and measured, and IMDSv1 clients do not hide behind them', {
    skip,
  }, async () => {
    const lab = await Lab.create({ name: 'fallback', ipv6: false });
    try {
      const [container] = await addMasqueradedBridge(lab);
      const nested = await addNested(lab, container!);
      const watcher = await startWatch(lab);
      let scripts = 0;
      const script = (text: string) => {
        const path = join(lab.home, `job${scripts++}`);
        writeFileSync(path, text);
        chmodSync(path, 0o755);
        return path;
      };
      const run = (namespace: string, argv: string[]) => lab.run(argv, { from: { namespace } });
      const readOf = async (tag: string, by = watcher) => {
        await by.settle(Number.POSITIVE_INFINITY, 50);
        for (let tries = 0; tries < 400; tries++) {
          const found = by.calls.find((call) => call['url.query'] === tag);
          if (found !== undefined) return found;
          await by.settle(Number.POSITIVE_INFINITY, 50);
        }
        throw new Error(`no call of ${tag}`);
      };

      await lab.metadata.set({ putResponseHopLimit: 1 });
      await Promise.all(CONTAINER.map(({ argv }, row) => run(container!, argv(`row${row}`, script))));
      for (const [row, { source, expected }] of CONTAINER.entries()) {
        const call = await readOf(`row${row}`);
        assert.equal(call['imds.fallback'], expected, source);
        assert.equal(call['imds.hops'], 1, source);
        // On a slow machine the answer may come after the client gave up. Then it shows no setting.
        assert.ok([1, null].includes(call['imds.token_hop_limit'] ?? null), source);
      }

      // eksctl-io/eksctl#7665 and pytorch/test-infra#5865: Docker in Docker, where the hop limit is 2 already.
      const byProc = await startWatch(lab, '--attribution', 'proc');
      await lab.metadata.set({ putResponseHopLimit: 2 });
      await Promise.all([
        run(nested, client(0.3)('nested')),
        run(container!, client(2)('near')),
        lab.run(client(2)('host')),
      ]);
      const far = await readOf('nested');
      assert.deepEqual(
        [far['imds.fallback'], far['imds.hops'], far['imds.token_hop_limit'], far.process?.script],
        ['token_unanswered', 2, 2, CLIENTS],
        'the first call of a new namespace',
      );
      // By /proc, the first call of a new namespace may have begun before its capture.
      assert.equal((await readOf('nested', byProc))['imds.hops'], 2, 'its copies are measured, too');
      await byProc.stop();
      for (const [tag, hops] of [['near', 1] as const, ['host', 0] as const]) {
        const call = await readOf(tag);
        assert.deepEqual(
          [call['imds.version'], call['imds.fallback'], call['imds.hops']],
          [2, null, hops],
          tag,
        );
      }

      // jtblin/kube2iam#241: a proxy that refuses token requests.
      await lab.metadata.set({ tokenAnswer: 403 });
      await run(container!, ['bash', script(`T=$(${PUT})\n${read('refused')}\n`)]);
      assert.equal((await readOf('refused'))['imds.fallback'], 'token_refused');
      // The same script again, with a token: it goes without it of its own accord.
      await lab.metadata.set({ tokenAnswer: 'normal', putResponseHopLimit: 64 });
      await run(container!, ['bash', script(`T=$(${PUT})\nT=\n${read('granted')}\n`)]);
      assert.equal((await readOf('granted'))['imds.fallback'], null);

      assert.deepEqual(watcher.invalid, []);
      await watcher.stop();
      await assertAdvice(
        watcher.calls.filter((call) => call['imds.hops'] === 2),
        3,
      );
      const near = watcher.calls.filter((call) => call['imds.token_hop_limit'] === 1);
      assert.ok(near.length > 0, 'the wire showed the setting');
      await assertAdvice(near, 2);
    } finally {
      await lab.close();
    }
  });

  /** Stores calls as if one instance had sent them, and checks the advice and the command of its verdict. */
  async function assertAdvice(calls: readonly Call[], hopLimit: number): Promise<void> {
    const { store, put } = newFindings(bench);
    const host = { id: 'i-0aaaaaaaaaaaaaaa1', name: 'web-1', 'cloud.region': 'eu-west-1' };
    const nowUs = Date.now() * 1_000;
    await put(...calls.map((call) => ({ ...call, time: toTimestamp(nowUs - HOUR_US), host })));
    const insight = new Insight(store, { readinessWindowDays: 1, silentAfterSeconds: 300 });
    const window = { sinceUs: nowUs - 24 * HOUR_US, untilUs: nowUs + HOUR_US };
    const command = new RegExp(
      `--instance-id ${host.id} --region eu-west-1 --http-put-response-hop-limit ${hopLimit}$`,
    );
    const offenders = await insight.offenders({ window });
    assert.ok(offenders.length > 0);
    for (const { id, severity, advice_headline } of offenders) {
      assert.equal(severity, 'fallback');
      assert.match(advice_headline, new RegExp(`^Raise the hop limit to ${hopLimit}:`));
      const { advice } = (await insight.offender(id, { window }))!;
      assert.match(advice.steps[0]!.code!, command);
    }
    const [judged] = await allOf(insight.allReadiness({ window }));
    assert.equal(judged!.readiness.verdict, 'fallback');
    assert.match(judged!.readiness.command!, command);
  }
});

/** Adds a network within a container's, as Docker in Docker makes it. Returns the name of its namespace. */
async function addNested(lab: Lab, container: string): Promise<string> {
  const nested = await lab.addNamespace('side3');
  await addLink(container, 'inner0', nested, 'eth0');
  await addAddress(container, 'inner0', '10.98.9.1/24');
  await addAddress(nested, 'eth0', '10.98.9.2/24');
  await ip('-n', nested, 'route', 'add', 'default', 'via', '10.98.9.1');
  setSysctl(container, 'net/ipv4/ip_forward', '1');
  await nft(
    container,
    `table ip nested {
      chain post {
        type nat hook postrouting priority 100
        ip saddr 10.98.9.0/24 masquerade
      }
    }`,
  );
  return nested;
}
