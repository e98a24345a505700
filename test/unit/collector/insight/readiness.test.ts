/** Checks verdicts by examples, and by properties that always hold. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readiness as readinessModel } from '../../../../collector/contract/host.ts';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import {
  coveredFromUs,
  isCovered,
  missingOf,
  REPORT_GRACE_US,
} from '../../../../collector/insight/coverage_gaps.ts';
import type { HostEvidence } from '../../../../collector/insight/judged.ts';
import { judge, readinessOf } from '../../../../collector/insight/readiness.ts';
import { reconcileHost } from '../../../../collector/insight/reconciliation.ts';
import type { CountedCalls, HostCoverage, StoredGap } from '../../../../collector/store/store.ts';
import { toMicroseconds } from '../../../../collector/store/time.ts';
import { calls, NOON_US } from '../../../support/collector/insight/rows.ts';

const SECOND_US = 1_000_000;
const WINDOW = { sinceUs: NOON_US - 14 * DAY_US, untilUs: NOON_US };
const JUDGING = { window: WINDOW, nowUs: NOON_US, toleranceUs: 60 * SECOND_US };
const FACTS = { id: 'i-0123456789abcdef0', name: 'web-1', 'cloud.region': 'eu-west-1' };

function coverage(gaps: StoredGap[] = [], changes: Partial<HostCoverage> = {}): HostCoverage {
  return {
    hostId: FACTS.id,
    firstUs: WINDOW.sinceUs - DAY_US,
    lastUs: NOON_US - 30 * SECOND_US,
    gaps,
    boots: [],
    kernelConnections: 10,
    seenConnections: 10,
    losses: {},
    ...changes,
  };
}

function evidence(kinds: CountedCalls[] = [], changes: Partial<HostEvidence> = {}): HostEvidence {
  return {
    facts: FACTS,
    totals: kinds.length === 0 ? [] : [{ identity: '0123456789abcdef', kinds }],
    coverage: coverage(),
    cloudInstance: null,
    compared: { counts: [], seen: [] },
    ...changes,
  };
}

const gap = (fromDays: number, seconds: number, reason: StoredGap['reason']): StoredGap => {
  const startUs = NOON_US - fromDays * DAY_US;
  return { startUs, endUs: startUs + seconds * SECOND_US, reason, detail: null };
};
const readinessFor = (of: HostEvidence) => {
  const readiness = readinessOf(of, judge(of, JUDGING), JUDGING, (id) => id);
  readinessModel.parse(readiness);
  return readiness;
};
const verdict = (of: HostEvidence) => judge(of, JUDGING).verdict;
const REQUIRED = { hostId: FACTS.id, httpTokens: 'required' as const, hopLimit: 1, suppliedUs: NOON_US };
const PLAIN = calls();
const FALLBACK = calls({ fallback: 'token_unanswered' });
const REFUSED = calls({ status: 401 });

describe('verdicts', () => {
  it('ready: watched all the time, and no call without a token', () => {
    const readiness = readinessFor(evidence([calls({ version: 2 })]));
    assert.equal(readiness.verdict, 'ready');
    assert.equal(
      readiness.command,
      'aws ec2 modify-instance-metadata-options --instance-id i-0123456789abcdef0 --region eu-west-1 --http-tokens required --http-endpoint enabled',
    );
    assert.equal(readiness.coverage.percent, 100);
    assert.equal(readiness.ready_at, null);
  });

  it('many gaps, each far below the tolerance, are added up', () => {
    const second = (count: number) =>
      Array.from({ length: count }, (_, index) => gap(13 - index / 10, 1, 'agent_not_running'));
    assert.equal(verdict(evidence([], { coverage: coverage(second(60)) })), 'ready');
    assert.equal(verdict(evidence([], { coverage: coverage(second(61)) })), 'unproven');
  });

  it('a report that was not live for a part of its time counts with that part', () => {
    const part = (count: number): StoredGap[] =>
      Array.from({ length: count }, (_, index) => ({
        ...gap(13 - index / 100, 60, 'capture_not_live'),
        missingUs: 300_000,
      }));
    const tolerated = readinessFor(evidence([], { coverage: coverage(part(200)) }));
    assert.equal(tolerated.verdict, 'ready');
    assert.match(tolerated.reason, /watched except for 60 s/);
    assert.equal(tolerated.coverage.gaps[0]!.seconds, 0.3);
    const { verdict: said, coverage: seen } = readinessFor(evidence([], { coverage: coverage(part(201)) }));
    assert.equal(said, 'unproven');
    assert.ok(Math.abs(seen.window_seconds - seen.watched_seconds - 60.3) < 1e-6);
  });

  it('parts of the host that are left out are stated: more is unseen where the kernel was not asked', () => {
    for (const [losses, codes, text] of [
      [{ 'capture.one_namespace': 1 }, ['one_namespace'], /raw packets from one with a way of its own/],
      [{ 'capture.one_interface': 1 }, ['one_interface', 'one_namespace'], /raw packets by another one/],
      [
        { 'capture.one_interface': 1, 'coverage.kernel_not_asked': 1 },
        ['short_lived_namespaces', 'one_interface', 'one_namespace'],
        /only: calls by another one/,
      ],
    ] as const) {
      const {
        verdict: said,
        reason,
        limits,
      } = readinessFor(evidence([], { coverage: coverage([], { losses }) }));
      assert.equal(said, 'ready');
      assert.match(reason, text);
      assert.deepEqual(
        limits.map(({ code }) => code),
        codes,
      );
    }
  });

  it('a verdict names what it cannot rule out while reports without eBPF are in the window', () => {
    for (const changes of [
      { kernelConnections: null },
      { losses: { 'coverage.kernel_not_asked': 1 } },
    ] satisfies Partial<HostCoverage>[]) {
      const {
        verdict: said,
        reason,
        limits,
      } = readinessFor(evidence([], { coverage: coverage([], changes) }));
      assert.equal(said, 'ready');
      assert.match(reason, /cannot be ruled out/);
      assert.deepEqual(
        limits.map(({ code }) => code),
        ['short_lived_namespaces'],
      );
    }
    assert.deepEqual(readinessFor(evidence()).limits, []);
    assert.deepEqual(readinessFor(evidence([], { coverage: null })).limits, []);
  });

  it('blocked, fallback, rejected: calls that were seen count, whatever was not watched', () => {
    for (const seen of [coverage(), coverage([gap(3, 5000, 'losses')]), null]) {
      assert.equal(verdict(evidence([PLAIN], { coverage: seen })), 'blocked');
      assert.equal(verdict(evidence([PLAIN, FALLBACK], { coverage: seen })), 'blocked');
      assert.equal(verdict(evidence([FALLBACK], { coverage: seen })), 'fallback');
      assert.equal(verdict(evidence([REFUSED], { coverage: seen })), 'rejected');
    }
    const later = { firstUs: NOON_US - 60 * SECOND_US, lastUs: NOON_US - 60 * SECOND_US };
    assert.equal(verdict(evidence([PLAIN, { ...REFUSED, ...later }])), 'rejected');
    assert.equal(verdict(evidence([REFUSED, { ...PLAIN, ...later }])), 'blocked');
    const fallback = readinessFor(evidence([FALLBACK]));
    assert.match(fallback.command!, /--http-put-response-hop-limit 2$/);
    assert.match(fallback.reason, /hop limit/);
    assert.equal(readinessFor(evidence([PLAIN])).command, null);
  });

  it('a call without a token blocks, whatever its method and its caller', () => {
    assert.equal(verdict(evidence([calls({ category: 'other', status: 405 })])), 'blocked');
    assert.equal(verdict(evidence([calls({ outcome: 'unanswered', status: null })])), 'blocked');
    assert.equal(verdict(evidence([calls({ endpoint: 'ipv6' })])), 'blocked');
  });

  it('calls to endpoints of tasks and pods have no version, and blocked attempts do not count', () => {
    const harmless = [
      calls({ version: null, endpoint: 'ecs' }),
      calls({ version: null, endpoint: 'eks' }),
      calls({ version: null, outcome: 'blocked', status: null }),
    ];
    assert.equal(verdict(evidence(harmless)), 'ready');
  });

  it('enforced: tokens are required and no call was tried without; a refusal that only the cloud counted prevents it', () => {
    assert.equal(verdict(evidence([], { cloudInstance: REQUIRED, coverage: null })), 'enforced');
    const stale = { ...REQUIRED, suppliedUs: NOON_US - 100 * DAY_US };
    assert.equal(verdict(evidence([], { cloudInstance: stale, coverage: null })), 'unproven');
    assert.equal(verdict(evidence([REFUSED], { cloudInstance: REQUIRED })), 'rejected');
    assert.equal(verdict(evidence([PLAIN], { cloudInstance: REQUIRED })), 'blocked');
    const count = {
      hostId: FACTS.id,
      startUs: NOON_US - HOUR_US,
      endUs: NOON_US,
      noToken: 0,
      noTokenRejected: 2,
    };
    const compared = { counts: [count], seen: [0] };
    assert.equal(verdict(evidence([], { cloudInstance: REQUIRED, compared })), 'unproven');
  });

  it('unproven: each kind of gap is named; a restart within the tolerance is no gap', () => {
    assert.equal(verdict(evidence([], { coverage: coverage([gap(2, 59, 'agent_not_running')]) })), 'ready');
    assert.equal(
      verdict(evidence([], { coverage: coverage([gap(2, 61, 'agent_not_running')]) })),
      'unproven',
    );
    const twice = [gap(2, 40, 'boot'), gap(5, 40, 'agent_not_running')];
    assert.equal(verdict(evidence([], { coverage: coverage(twice) })), 'unproven');
    assert.equal(verdict(evidence([], { coverage: coverage([gap(2, 1, 'losses')]) })), 'unproven');
    assert.equal(verdict(evidence([], { coverage: null })), 'unproven');
    const fresh = coverage([], { firstUs: NOON_US - 3 * DAY_US });
    const readiness = readinessFor(evidence([], { coverage: fresh }));
    assert.deepEqual(
      [readiness.verdict, readiness.coverage.gaps[0]!.reason],
      ['unproven', 'not_yet_watched'],
    );
    assert.match(readiness.reason, /before its first report \(11 days\)/);
    assert.equal(readiness.command, null);
    // It can be ready when the window starts at its first report, less the tolerated minute.
    assert.equal(toMicroseconds(readiness.ready_at!), fresh.firstUs! + 14 * DAY_US - JUDGING.toleranceUs);
    const gone = coverage([], { lastUs: NOON_US - REPORT_GRACE_US - 1 });
    assert.equal(readinessFor(evidence([], { coverage: gone })).coverage.gaps[0]!.reason, 'no_report');
    assert.equal(
      verdict(evidence([], { coverage: coverage([], { lastUs: NOON_US - REPORT_GRACE_US }) })),
      'ready',
    );
  });

  it('ready again when the hour of the last call has left the window', () => {
    const { ready_at } = readinessFor(evidence([PLAIN]));
    assert.equal(toMicroseconds(ready_at!), NOON_US + 14 * DAY_US);
  });

  it('the percentage is 100 only if not a second is missing', () => {
    const { coverage: of } = readinessFor(evidence([], { coverage: coverage([gap(2, 1, 'boot')]) }));
    assert.deepEqual([of.percent, of.gap_count], [99.99, 1]);
  });

  it('only the longest gaps are listed if there are too many', () => {
    const many = Array.from({ length: 150 }, (_, index) =>
      gap(10 - index / 20, index + 1, 'agent_not_running'),
    );
    const { coverage: of } = readinessFor(evidence([], { coverage: coverage(many) }));
    assert.deepEqual([of.gap_count, of.gaps.length, of.gaps[0]!.seconds], [150, 100, 150]);
  });
});

const anyGap = fc.record({
  startUs: fc
    .integer({ min: WINDOW.sinceUs / SECOND_US, max: NOON_US / SECOND_US - 1 })
    .map((s) => s * SECOND_US),
  seconds: fc.integer({ min: 1, max: 100_000 }),
  /** 0 means the whole gap. */
  missing: fc.integer({ min: 0, max: 100 }),
  reason: fc.constantFrom<StoredGap['reason']>('agent_not_running', 'boot', 'capture_not_live', 'losses'),
});
const anyGaps = fc.array(anyGap, { maxLength: 6 }).map((gaps) =>
  gaps.map(({ startUs, seconds, missing, reason }) => ({
    startUs,
    endUs: startUs + seconds * SECOND_US,
    missingUs: missing === 0 ? undefined : Math.min(missing, seconds) * SECOND_US,
    reason,
    detail: null,
  })),
);
const anyCalls = fc.record({
  version: fc.constantFrom(1 as const, 2 as const, null),
  endpoint: fc.constantFrom<CountedCalls['endpoint']>('ipv4', 'ipv6', 'ecs', 'eks', null),
  status: fc.constantFrom(200, 401, 404, null),
  outcome: fc.constantFrom<CountedCalls['outcome']>('answered', 'unanswered', 'reset', 'truncated'),
  fallback: fc.constantFrom<CountedCalls['fallback']>(null, 'token_unanswered', 'token_refused'),
  count: fc.integer({ min: 1, max: 5 }),
  lastUs: fc.integer({ min: WINDOW.sinceUs / SECOND_US, max: NOON_US / SECOND_US }).map((s) => s * SECOND_US),
});
const anyKinds = fc.array(
  anyCalls.map((of) => calls({ ...of, firstUs: of.lastUs })),
  { maxLength: 8 },
);

describe('properties', () => {
  it('a host with any call without a token in the window is never ready', () => {
    fc.assert(
      fc.property(anyKinds, anyGaps, (kinds, gaps) => {
        const of = evidence(kinds, { coverage: coverage(gaps) });
        const v1 = kinds.some(
          ({ version, endpoint }) => version === 1 && (endpoint === 'ipv4' || endpoint === 'ipv6'),
        );
        const said = verdict(of);
        if (v1) assert.ok(['blocked', 'fallback', 'rejected'].includes(said), said);
        else assert.ok(['ready', 'unproven'].includes(said), said);
      }),
    );
  });

  it('a host with more unwatched than is tolerated, or any loss, is never ready', () => {
    fc.assert(
      fc.property(anyGaps, (gaps) => {
        const of = evidence([], { coverage: coverage(gaps) });
        const { watched, verdict: said } = judge(of, JUDGING);
        const isBad =
          watched.missingUs > JUDGING.toleranceUs || gaps.some(({ reason }) => reason === 'losses');
        assert.equal(said, isBad ? 'unproven' : 'ready');
        if (gaps.length > 0) assert.ok(watched.missingUs > 0);
        const longest = Math.max(0, ...gaps.map((of) => Math.min(missingOf(of), NOON_US - of.startUs)));
        assert.ok(watched.missingUs >= longest);
      }),
    );
  });

  it('the order of rows changes nothing', () => {
    fc.assert(
      fc.property(anyKinds, anyGaps, (kinds, gaps) => {
        const one = evidence(kinds, { coverage: coverage(gaps) });
        const other = evidence(kinds.toReversed(), { coverage: coverage(gaps.toReversed()) });
        assert.deepEqual(readinessFor(one), readinessFor(other));
      }),
    );
  });

  it('ready_at is the first second at which the host is ready', () => {
    fc.assert(
      fc.property(anyGaps, (gaps) => {
        const lengthUs = 14 * DAY_US;
        const atUs = coveredFromUs(gaps, lengthUs, JUDGING.toleranceUs);
        if (atUs === Number.NEGATIVE_INFINITY) return;
        const coveredAt = (us: number) => {
          const cut = gaps
            .map((of) => ({ ...of, startUs: Math.max(of.startUs, us - lengthUs) }))
            .filter(({ startUs, endUs }) => endUs > startUs);
          return isCovered({ gaps: cut }, JUDGING.toleranceUs);
        };
        assert.ok(coveredAt(atUs));
        assert.ok(!coveredAt(atUs - SECOND_US));
      }),
    );
  });
});

describe("the cloud's count", () => {
  const hours = (...pairs: [cloud: number, ours: number][]) => {
    const counts = pairs.map(([noToken], index) => ({
      hostId: FACTS.id,
      startUs: NOON_US - (20 - index) * HOUR_US,
      endUs: NOON_US - (19 - index) * HOUR_US,
      noToken,
      noTokenRejected: null,
    }));
    return { counts, seen: pairs.map(([, ours]) => ours) };
  };

  it('a count above the calls that were seen is a gap that is never tolerated', () => {
    const of = evidence([], { compared: hours([0, 0], [1, 0], [0, 0]) });
    const readiness = readinessFor(of);
    assert.equal(readiness.verdict, 'unproven');
    assert.equal(readiness.coverage.gaps[0]!.reason, 'cloud_saw_more');
    assert.match(readiness.reason, /1 call without a token that the agent did not see/);
    assert.equal(readiness.cloud!.metadata_no_token, 1);
    assert.equal(verdict(evidence([], { compared: hours([0, 0], [0, 0]) })), 'ready');
  });

  it('a call at the edge of two hours may be in either', () => {
    assert.equal(reconcileHost(hours([0, 1], [1, 0]))!.unseen, 0);
    assert.equal(reconcileHost(hours([1, 0], [0, 1]))!.unseen, 0);
    assert.equal(reconcileHost(hours([0, 1], [0, 0], [1, 0]))!.unseen, 1);
    assert.equal(reconcileHost({ counts: [], seen: [] }), null);
  });

  it('the calls that only the cloud counted are at least the difference of the sums', () => {
    const pair = fc.tuple(fc.nat(20), fc.nat(20));
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 12 }), (pairs) => {
        const found = reconcileHost(hours(...pairs))!;
        assert.ok(found.unseen >= found.metadataNoToken - found.seenNoToken);
        assert.ok(found.unseen <= pairs.reduce((sum, [cloud, ours]) => sum + Math.max(0, cloud - ours), 0));
        assert.equal(found.unseen > 0, found.gaps.length > 0);
      }),
    );
  });
});
