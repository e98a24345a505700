/** Tests that a request and its copy behind a user-mode network are joined in any order, and nothing else is. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { UserNetworkCalls } from '../../../agent/user_network_calls.ts';

const GET = { method: 'GET', path: '/latest/', query: null, userAgent: 'curl', hasToken: false };

describe('user-mode networks', () => {
  it('join each request with one copy, whichever is handled first, and keep one call of each', () => {
    const any = fc.array(
      fc.record({ path: fc.constantFrom('/a', '/b'), hasToken: fc.boolean(), isSent: fc.boolean() }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(any, (requests) => {
        const calls = new UserNetworkCalls<number>();
        const held = requests.map(({ path, hasToken, isSent }, at) => {
          const facts = { ...GET, path, hasToken };
          return isSent ? calls.addSent(at, facts, at) : calls.addMade(at, facts, at);
        });
        calls.finish();
        for (const [at, { partner, isDecided }] of held.entries()) {
          assert.equal(isDecided, true);
          if (partner === null) continue;
          const [own, other] = [requests[at]!, requests[partner.caller]!];
          assert.notEqual(own.isSent, other.isSent);
          assert.deepEqual(
            [own.path, own.hasToken],
            [other.path, other.hasToken],
            'the same version and place',
          );
          assert.equal(partner.partner, held[at]);
        }
        // A kind of request that was made or sent stays on record: only a copy of it is left out.
        const kindOf = (at: number) => `${requests[at]!.path} ${requests[at]!.hasToken}`;
        const kept = held.flatMap(({ partner, isSent, caller }) =>
          partner !== null && !isSent ? [] : [kindOf(caller)],
        );
        assert.deepEqual([...new Set(kept)].sort(), [...new Set(requests.map((_, at) => kindOf(at)))].sort());
      }),
    );
  });

  it('decide when no copy comes within half a second, and not before', () => {
    const calls = new UserNetworkCalls<string>();
    const said: string[] = [];
    calls.addSent('slirp', GET, 0).whenDecided(() => said.push('decided'));
    assert.equal(calls.tick(400_000), true);
    assert.deepEqual(said, []);
    assert.equal(calls.tick(600_000), false);
    assert.deepEqual(said, ['decided']);
    assert.equal(calls.addMade('app', GET, 700_000).partner, null);
  });

  it('keep a bounded number of requests', () => {
    const calls = new UserNetworkCalls<number>();
    const first = calls.addMade(0, { ...GET, path: '/first' }, 0);
    for (let at = 1; at <= 256; at++) calls.addMade(at, GET, 0);
    assert.equal(first.isDecided, true);
  });
});
