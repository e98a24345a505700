/** Checks properties of verdicts that always hold, and the comparison with the cloud's count. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { coveredFromUs, isCovered, missingOf } from '../../../../collector/insight/coverage_gaps.ts';
import { judge } from '../../../../collector/insight/readiness.ts';
import { reconcileHost } from '../../../../collector/insight/reconciliation.ts';
import type { CountedCalls, StoredGap } from '../../../../collector/store/store.ts';
import {
  coverage,
  evidence,
  FACTS,
  JUDGING,
  readinessFor,
  SECOND_US,
  verdict,
  WINDOW,
} from '../../../support/collector/insight/evidence.ts';
import { calls, NOON_US } from '../../../support/collector/insight/rows.ts';

function gapsOf(startSeconds: fc.Arbitrary<number>, detail: fc.Arbitrary<string | null>) {
  const gap = fc.record({
    startUs: startSeconds.map((s) => s * SECOND_US),
    seconds: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 100_000 })),
    /** 0 means the whole gap. */
    missing: fc.integer({ min: 0, max: 100 }),
    reason: fc.constantFrom<StoredGap['reason']>('agent_not_running', 'boot', 'capture_not_live', 'losses'),
    detail,
  });
  return fc.array(gap, { maxLength: 6 }).map((gaps) =>
    gaps.map(({ startUs, seconds, missing, reason, detail }) => ({
      startUs,
      endUs: startUs + seconds * SECOND_US,
      missingUs: missing === 0 ? undefined : Math.min(missing, seconds) * SECOND_US,
      reason,
      detail,
    })),
  );
}
const LAST_SECOND = NOON_US / SECOND_US - 1;
const anyGaps = gapsOf(
  fc.integer({ min: WINDOW.sinceUs / SECOND_US, max: LAST_SECOND }),
  fc.constant<string | null>(null),
);
/** Gaps of which several have the same times and reasons. */
const crowdedGaps = gapsOf(
  fc.integer({ min: LAST_SECOND - 1, max: LAST_SECOND }),
  fc.constantFrom(null, 'upgraded'),
);
const anyCalls = fc.record({
  version: fc.constantFrom(1 as const, 2 as const, null),
  endpoint: fc.constantFrom<CountedCalls['endpoint']>('ipv4', 'ipv6', 'ecs', 'eks', null),
  status: fc.constantFrom(200, 401, 404, null),
  outcome: fc.constantFrom<CountedCalls['outcome']>('answered', 'unanswered', 'reset', 'truncated'),
  category: fc.constantFrom<CountedCalls['category']>('metadata', 'credentials', 'other', 'other-cloud'),
  fallback: fc.constantFrom<CountedCalls['fallback']>(null, 'token_unanswered', 'token_refused', 'adapted'),
  answeredBy: fc.constantFrom(null, 'host' as const),
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
          ({ version, endpoint, category, fallback, answeredBy }) =>
            version === 1 &&
            answeredBy !== 'host' &&
            (endpoint === 'ipv4' || endpoint === 'ipv6') &&
            category !== 'other-cloud' &&
            fallback !== 'adapted',
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
      fc.property(anyKinds, fc.oneof(anyGaps, crowdedGaps), (kinds, gaps) => {
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
