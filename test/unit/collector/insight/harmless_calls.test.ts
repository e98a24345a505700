/**
 * Checks what verdicts, severities and advice make of calls that are no use of IMDSv1: requests for other
 * clouds, refused reads of clients that adapt, and refused tokens. Each rule is checked in both directions.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HOUR_US } from '../../../../collector/contract/window.ts';
import { adviceOn } from '../../../../collector/insight/advice.ts';
import { tally } from '../../../../collector/insight/counts.ts';
import { judge, readinessOf } from '../../../../collector/insight/readiness.ts';
import { severityOf } from '../../../../collector/insight/severity.ts';
import type { CountedCalls } from '../../../../collector/store/store.ts';
import {
  coverage,
  evidence,
  FACTS,
  JUDGING,
  REQUIRED,
  readinessFor,
  verdict,
} from '../../../support/collector/insight/evidence.ts';
import { calls, identity, NOON_US } from '../../../support/collector/insight/rows.ts';

const OTHER_CLOUD = calls({ category: 'other-cloud', status: 404 });
const ADAPTED = calls({ status: 401, fallback: 'adapted' });
const REFUSED_TOKEN = calls({ version: 2, status: 401 });
const RENEWED_TOKEN = calls({ version: 2, status: 401, fallback: 'adapted' });
const BY_HOST = calls({ answeredBy: 'host', category: 'credentials' });
const START = { boots: [{ id: 'b', firstUs: NOON_US - 24 * HOUR_US, lastUs: NOON_US }] };

const anyTime = fc.integer({ min: 1, max: 300 }).map((hours) => NOON_US - hours * HOUR_US);
const anyHarmless: fc.Arbitrary<CountedCalls> = fc
  .record({
    of: fc.constantFrom(OTHER_CLOUD, ADAPTED, REFUSED_TOKEN, RENEWED_TOKEN, BY_HOST),
    status: fc.constantFrom(200, 401, 404, null),
    endpoint: fc.constantFrom<CountedCalls['endpoint']>('ipv4', 'ipv6'),
    count: fc.integer({ min: 1, max: 9 }),
    lastUs: anyTime,
  })
  .map(({ of, status, endpoint, count, lastUs }) => ({
    ...of,
    status: of === OTHER_CLOUD || of === BY_HOST ? status : 401,
    endpoint,
    count,
    firstUs: lastUs,
    lastUs,
  }));
const anyCall: fc.Arbitrary<CountedCalls> = fc
  .record({
    version: fc.constantFrom<CountedCalls['version']>(1, 2),
    category: fc.constantFrom<CountedCalls['category']>('metadata', 'credentials', 'role-list', 'other'),
    status: fc.constantFrom(200, 401, 404, null),
    fallback: fc.constantFrom<CountedCalls['fallback']>(null, 'token_unanswered', 'token_refused'),
    lastUs: anyTime,
  })
  .map((of) => calls({ ...of, firstUs: of.lastUs }));
const list = (of: fc.Arbitrary<CountedCalls>) => fc.array(of, { maxLength: 6 });
const adviceFor = (kinds: CountedCalls[]) =>
  adviceOn({ identity: identity(), kinds, calls: tally(kinds), hosts: [], hops: [], paths: [] });

describe('calls that are no use of IMDSv1', () => {
  it('change no verdict, neither to ready nor away from it', () => {
    fc.assert(
      fc.property(list(anyCall), list(anyHarmless), fc.boolean(), (kinds, harmless, isEnforced) => {
        const cloudInstance = isEnforced ? REQUIRED : null;
        const alone = verdict(evidence(kinds, { cloudInstance }));
        assert.equal(verdict(evidence([...kinds, ...harmless], { cloudInstance })), alone);
      }),
    );
  });

  it('are those that something on the host answered, and only those', () => {
    const byHost = calls({ answeredBy: 'host', status: 401 });
    const byService = calls({ answeredBy: null, status: 200 });
    assert.deepEqual([verdict(evidence([byHost])), verdict(evidence([byService]))], ['ready', 'blocked']);
    assert.equal(severityOf(tally([byHost, BY_HOST])), 'none');
    assert.equal(tally([byHost, BY_HOST]).answeredByHost, byHost.count + BY_HOST.count);
  });

  it('are counted apart, and never as IMDSv1 calls, credentials or refusals', () => {
    fc.assert(
      fc.property(list(anyCall), list(anyHarmless), (kinds, harmless) => {
        const alone = tally(kinds);
        const both = tally([...kinds, ...harmless]);
        for (const field of ['v1', 'plainV1', 'rejectedV1', 'credentialsV1', 'lastV1Us'] as const) {
          assert.equal(both[field], alone[field], field);
        }
        const sum = harmless.reduce((total, { count }) => total + count, 0);
        const counted = (of: typeof both) => of.v1 + of.v2 + of.otherCloud + of.adaptedV1 + of.answeredByHost;
        assert.equal(counted(both) - counted(alone), sum);
      }),
    );
  });

  it('any other call without a token keeps a host from being ready', () => {
    fc.assert(
      fc.property(anyCall, list(anyHarmless), (call, harmless) => {
        const said = verdict(evidence([{ ...call, version: 1 }, ...harmless]));
        assert.ok(['blocked', 'fallback', 'rejected'].includes(said), said);
      }),
    );
  });
});

describe('requests for other clouds', () => {
  it('make no offender, and are named in the reason', () => {
    const readiness = readinessFor(evidence([{ ...OTHER_CLOUD, count: 5 }]));
    assert.equal(readiness.verdict, 'ready');
    assert.deepEqual(readiness.offenders, []);
    assert.deepEqual([readiness.calls_v1, readiness.other_cloud_calls], [0, 5]);
    assert.match(readiness.reason, /5 requests looked for another cloud/);
    assert.equal(severityOf(tally([OTHER_CLOUD])), 'none');
    assert.match(adviceFor([OTHER_CLOUD]).headline, /another cloud/);
  });
});

describe('a client that adapts', () => {
  it('is not rejected, and the reason says what it did', () => {
    const readiness = readinessFor(evidence([ADAPTED, calls({ version: 2 })], { cloudInstance: REQUIRED }));
    assert.equal(readiness.verdict, 'enforced');
    assert.deepEqual([readiness.calls_v1, readiness.rejected_v1, readiness.adapted_v1], [0, 0, 1]);
    assert.match(readiness.reason, /took a token and succeeded/);
    assert.equal(severityOf(tally([ADAPTED])), 'adapts');
    assert.equal(adviceFor([ADAPTED]).kind, 'adapts');
  });

  it('is rejected by one refusal that it did not answer with a token', () => {
    const kinds = [ADAPTED, calls({ status: 401 })];
    assert.equal(verdict(evidence(kinds)), 'rejected');
    assert.equal(severityOf(tally(kinds)), 'rejected');
  });

  it('blocks a host where tokens are optional, which says that it adapted elsewhere', () => {
    const of = evidence([calls()]);
    const titleOf = () => '/opt/agent';
    const known = readinessOf(of, judge(of, JUDGING), JUDGING, titleOf, new Set(['0123456789abcdef']));
    assert.equal(known.verdict, 'blocked');
    assert.match(known.reason, /On other hosts, .* \/opt\/agent took a token after a 401 and succeeded/);
    const unknown = readinessOf(of, judge(of, JUDGING), JUDGING, titleOf);
    assert.doesNotMatch(unknown.reason, /other hosts/);
    assert.match(adviceFor([calls(), ADAPTED]).explanation, /then took a token and succeeded/);
  });
});

describe('a refused token', () => {
  it('is a finding of its own: no IMDSv1 call, and never nothing to do', () => {
    const readiness = readinessFor(
      evidence([REFUSED_TOKEN], { cloudInstance: REQUIRED, coverage: coverage([], START) }),
    );
    assert.equal(readiness.verdict, 'enforced');
    assert.match(readiness.reason, /its token is refused/);
    assert.doesNotMatch(readiness.reason, /Nothing is left to do/);
    assert.deepEqual(
      readiness.offenders.map(({ severity, calls_v1 }) => [severity, calls_v1]),
      [['stale_token', 0]],
    );
    fc.assert(
      fc.property(list(anyCall), (kinds) => {
        const advice = adviceFor([...kinds, REFUSED_TOKEN]);
        assert.notEqual(advice.kind, 'none');
        assert.match(advice.explanation, /its token is refused/);
        assert.doesNotMatch(advice.headline, /Nothing/);
      }),
    );
  });

  it('is none where the client took a new token at once', () => {
    assert.equal(severityOf(tally([RENEWED_TOKEN])), 'none');
    assert.match(adviceFor([RENEWED_TOKEN]).headline, /took a new token/);
    assert.equal(tally([RENEWED_TOKEN]).refusedTokens, 0);
  });

  it('is not confused with a refused token request', () => {
    assert.equal(tally([calls({ version: 2, status: 401, category: 'token' })]).refusedTokens, 0);
  });
});

describe("the cloud's count of refusals", () => {
  const compared = (noTokenRejected: number, seenRefused: number) => ({
    counts: [
      {
        hostId: FACTS.id,
        startUs: NOON_US - 2 * HOUR_US,
        endUs: NOON_US - HOUR_US,
        noToken: 0,
        noTokenRejected,
      },
    ],
    seen: [0],
    seenRefused: [seenRefused],
  });

  it('agrees where the agent saw the refused calls, and leaves the host unproven otherwise', () => {
    for (const cloudInstance of [null, REQUIRED]) {
      const good = cloudInstance === null ? 'ready' : 'enforced';
      assert.equal(verdict(evidence([ADAPTED], { compared: compared(1, 1), cloudInstance })), good);
      assert.equal(verdict(evidence([ADAPTED], { compared: compared(2, 1), cloudInstance })), 'unproven');
    }
  });
});
