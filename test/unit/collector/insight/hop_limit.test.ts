/** Tests the advised hop limit: in set-ups that were reported, and as properties. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  advisedHopLimit,
  type HopEvidence,
  hopEvidence,
  hopLimitFor,
  hopLimitSteps,
} from '../../../../collector/insight/hop_limit.ts';

const HOST = { id: 'i-0123456789abcdef0', name: 'web-1', 'cloud.region': 'eu-west-1' };
const at = (hops: number | null, setting: number | null): HopEvidence => ({ host: HOST, hops, setting });
const measured = (hops: number, tokenHopLimit: number | null, lastUs: number) => ({
  identity: 'a',
  hostId: HOST.id,
  hops,
  tokenHopLimit,
  lastUs,
});
const supplied = (hopLimit: number | null, suppliedUs: number) => ({
  hostId: HOST.id,
  httpTokens: null,
  hopLimit,
  httpEndpoint: null,
  suppliedUs,
});

describe('the advised hop limit', () => {
  const reports: [string, HopEvidence, ReturnType<typeof hopLimitFor>][] = [
    ['buildkite/elastic-ci-stack-for-aws#857: a Docker bridge', at(1, 1), { action: 'raise', hopLimit: 2 }],
    [
      'adamchainz/ec2-metadata#380: bridge, from an older agent',
      at(null, 1),
      { action: 'raise', hopLimit: 2 },
    ],
    ['eksctl-io/eksctl#7665: Docker in Docker in a pod', at(2, 2), { action: 'raise', hopLimit: 3 }],
    ['pytorch/test-infra#5865: a build in Docker', at(2, 1), { action: 'raise', hopLimit: 3 }],
    ['kubermatic/kubeone#3328: Cilium', at(null, 2), { action: 'raise', hopLimit: 3 }],
    ['aws/amazon-cloudwatch-agent#480: kops', at(2, null), { action: 'raise', hopLimit: 3 }],
    ['three routers', at(3, 2), { action: 'raise', hopLimit: 4 }],
    ['aws/aws-sdk-go-v2#460: on the host, a firewall', at(0, 1), { action: 'enough' }],
    ['a proxy drops the answer', at(1, 2), { action: 'enough' }],
    ['nothing is known', at(null, null), { action: 'measure' }],
    ['the largest setting', at(null, 64), { action: 'measure' }],
  ];
  for (const [source, evidence, expected] of reports) {
    it(source, () => assert.deepEqual(hopLimitFor(evidence), expected));
  }
  const number = fc.option(fc.integer({ min: 0, max: 32 }), { nil: null });
  const setting = fc.option(fc.integer({ min: 1, max: 64 }), { nil: null });
  it('reaches the client, is above the setting, and is no larger than it must be', () => {
    fc.assert(
      fc.property(number, setting, (hops, now) => {
        const verdict = hopLimitFor({ hops, setting: now });
        if (verdict.action === 'raise') {
          assert.ok(verdict.hopLimit > (now ?? 1) && verdict.hopLimit <= 64);
          assert.equal(verdict.hopLimit, hops === null ? now! + 1 : hops + 1);
        } else if (verdict.action === 'enough') assert.ok(hops !== null && hops + 1 <= (now ?? 1));
        else assert.ok(hops === null && (now === null || now === 64));
      }),
    );
  });
  it('is the largest of all workloads and hosts', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(number, setting)), (pairs) => {
        const evidence = pairs.map(([hops, now]) => at(hops, now));
        const limit = advisedHopLimit(evidence);
        const each = evidence.map(hopLimitFor).map((one) => (one.action === 'raise' ? one.hopLimit : 0));
        assert.equal(limit ?? 0, Math.max(0, ...each));
      }),
    );
  });
});

describe('the evidence', () => {
  it('is the farthest distance, and the latest setting that is known', () => {
    const find = (...args: Parameters<typeof hopEvidence> extends [unknown, ...infer R] ? R : never) => {
      const { hops, setting: now } = hopEvidence(HOST, ...args);
      return [hops, now];
    };
    assert.deepEqual(find([], null), [null, null]);
    assert.deepEqual(find([], supplied(2, 5)), [null, 2]);
    assert.deepEqual(find([measured(1, 1, 10), measured(2, 2, 20)], null), [2, 2]);
    assert.deepEqual(find([measured(2, 1, 10), measured(1, 2, 20)], null), [2, 2]);
    assert.deepEqual(find([measured(1, 1, 10)], supplied(3, 5)), [1, 1], 'the wire showed it later');
    assert.deepEqual(find([measured(1, 1, 10)], supplied(3, 15)), [1, 3]);
    assert.deepEqual(find([measured(1, null, 10)], supplied(2, 5)), [1, 2]);
    assert.deepEqual(find([measured(1, null, 10)], supplied(null, 5)), [1, null]);
  });
});

describe('the steps', () => {
  const texts = (evidence: HopEvidence[]) =>
    hopLimitSteps(evidence).map(({ text, code }) => `${text} ${code ?? ''}`);
  it('name the limit with its reason, and the alternatives', () => {
    const [raise, hostNetwork, none] = texts([at(2, 2)]);
    assert.match(raise!, /^Raise the hop limit to 3\. 2 routers .* the limit is 2 now\./);
    assert.match(
      raise!,
      /--instance-id i-0123456789abcdef0 --region eu-west-1 --http-put-response-hop-limit 3$/,
    );
    assert.match(hostNetwork!, /network of the host/);
    assert.match(none!, /no metadata.*AWS_EC2_METADATA_DISABLED=true$/);
  });
  it('have each host with its own limit', () => {
    const other = { host: { ...HOST, id: 'i-0aaaaaaaaaaaaaaa1' }, hops: 1, setting: 1 };
    const [three, two] = texts([at(2, 2), other]);
    assert.match(three!, /i-0123456789abcdef0 .*limit 3$/);
    assert.match(two!, /i-0aaaaaaaaaaaaaaa1 .*limit 2$/);
  });
  it('say what to measure if nothing is known', () => {
    for (const evidence of [[], [at(null, null)]]) {
      const [measure, look] = texts(evidence);
      assert.match(measure!, /^Measure how far .* tcpdump /);
      assert.match(look!, /describe-instances/);
      assert.ok(!texts(evidence).some((text) => /--http-put-response-hop-limit/.test(text)), 'no number');
    }
  });
  it('advise no higher limit where the setting is enough', () => {
    for (const evidence of [at(0, null), at(1, 2)]) {
      assert.deepEqual(
        hopLimitSteps([evidence]).map(({ code }) => code),
        ['nft list ruleset; iptables -S; iptables -t nat -S'],
      );
    }
  });
});
