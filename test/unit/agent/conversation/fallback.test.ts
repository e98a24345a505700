/** Tests the states of clients, without packets; `test/unit/agent/fallbacks.test.ts` has whole stories. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ClientKey, FallbackWatch } from '../../../../agent/conversation/fallback.ts';

const SECOND_US = 1_000_000;
const key = (name: string, isProcess = true): ClientKey => ({
  key: name,
  lastsUs: 60 * SECOND_US,
  isProcess,
});
const A = [key('a')];

describe('the state of a client', () => {
  it('lasts from its failure until its time is over', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 120 * SECOND_US }), fc.boolean(), (laterUs, isRefused) => {
        const watch = new FallbackWatch();
        const request = watch.addTokenRequest(A, 0);
        if (isRefused) watch.refuse(request, SECOND_US);
        else watch.giveUp(request, SECOND_US, 1);
        const found = watch.fallbackOf(A, SECOND_US + laterUs);
        const expected = isRefused
          ? { reason: 'token_refused', answerHopLimit: null }
          : { reason: 'token_unanswered', answerHopLimit: 1 };
        assert.deepEqual(found, laterUs <= 60 * SECOND_US ? expected : null);
      }),
    );
  });
  it('ends with a granted token, also of a request that was given up before', () => {
    const watch = new FallbackWatch();
    const request = watch.addTokenRequest(A, 0);
    watch.giveUp(request, 10, null);
    assert.equal(watch.fallbackOf(A, 20)?.reason, 'token_unanswered');
    watch.grant(request);
    assert.equal(watch.fallbackOf(A, 30), null);
  });
  it('does not begin with a request of which a part was not seen', () => {
    const watch = new FallbackWatch();
    watch.dismiss(watch.addTokenRequest(A, 0));
    assert.equal(watch.fallbackOf(A, SECOND_US), null);
  });
  it('is decided by the first key that is known', () => {
    const watch = new FallbackWatch();
    watch.giveUp(watch.addTokenRequest([key('job', false)], 0), 10, null);
    const both = [key('process'), key('job', false)];
    assert.equal(watch.fallbackOf(both, 20)?.reason, 'token_unanswered');
    watch.grant(watch.addTokenRequest([key('process')], 30));
    assert.equal(watch.fallbackOf(both, 40), null, 'the process has a token of its own');
  });
  it('waits only under the key of a process, which may do two things at one time', () => {
    const watch = new FallbackWatch();
    watch.addTokenRequest([key('a'), key('b', false)], 0);
    assert.equal(watch.fallbackOf(A, SECOND_US)?.reason, 'token_unanswered');
    assert.equal(watch.fallbackOf(A, 10_000), null, 'its answer may be on the way');
    assert.equal(watch.fallbackOf(A, 61 * SECOND_US), null, 'not for ever');
    assert.equal(watch.fallbackOf([key('b', false)], SECOND_US), null);
  });
  it('is kept for a bounded number of clients, the latest ones', () => {
    const watch = new FallbackWatch();
    for (let n = 0; n < 20_000; n++) watch.giveUp(watch.addTokenRequest([key(`${n}`)], n), n, null);
    assert.equal(watch.fallbackOf([key('0')], SECOND_US), null);
    assert.equal(watch.fallbackOf([key('19999')], SECOND_US)?.reason, 'token_unanswered');
  });
});
