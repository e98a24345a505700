/** Tests that unwatched time is counted exactly, in every interval. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Unfollowed } from '../../../../agent/coverage/unfollowed.ts';

const tuple = (localPort: number) => ({
  localAddress: '10.0.0.1',
  localPort,
  remoteAddress: '169.254.169.254',
  remotePort: 80,
});

describe('what is not watched', () => {
  it('counts a connection that no capture follows until the kernel reports its end', () => {
    const unfollowed = new Unfollowed();
    unfollowed.advanceTo(0);
    unfollowed.addSockets(7, [tuple(1), tuple(2)], null, 1_000);
    const first = unfollowed.counters(6_000)['not_followed_ms']!;
    assert.ok(first >= 5_000 && first <= 5_001, `${first}`);
    unfollowed.deleteSocket(7, tuple(1), 7_000);
    unfollowed.deleteSocket(8, tuple(2), 7_000); // the same addresses in another namespace
    const second = unfollowed.counters(11_000)['not_followed_ms']!;
    assert.ok(second - first >= 5_000, 'the other one still lives');
    unfollowed.deleteSocket(7, tuple(2), 11_000);
    assert.equal(unfollowed.counters(60_000)['not_followed_ms'], second);
    assert.equal(unfollowed.isAny, false);
  });

  it('counts a connection that ended at once', () => {
    const unfollowed = new Unfollowed();
    unfollowed.addSockets(7, [tuple(1)], null, 1_000);
    unfollowed.deleteSocket(7, tuple(1), 1_000);
    assert.ok(unfollowed.counters(1_000)['not_followed_ms']! > 0);
  });

  it('keeps only the sockets that a look into the namespace finds', () => {
    const unfollowed = new Unfollowed();
    unfollowed.addSockets(7, [tuple(1), tuple(2)], null, 0);
    unfollowed.keepOnlySockets(7, [tuple(2)], 1_000);
    assert.equal(unfollowed.counters(1_000)['connections_not_followed'], 1);
    unfollowed.keepOnlySockets(7, [], 2_000);
    assert.equal(unfollowed.hasSocketsOf(7), false);
  });

  it('keeps the namespace of connections beyond its bound', () => {
    const unfollowed = new Unfollowed();
    const many = Array.from({ length: 5_000 }, (_, at) => tuple(at));
    unfollowed.addSockets(7, many, null, 0);
    for (const each of many) unfollowed.deleteSocket(7, each, 1_000);
    assert.equal(unfollowed.hasSocketsOf(7), true);
    unfollowed.keepOnlySockets(7, [], 2_000);
    assert.equal(unfollowed.hasSocketsOf(7), false);
  });

  it('counts a namespace from the time on in which it may have been unwatched, and only once', () => {
    const unfollowed = new Unfollowed();
    unfollowed.advanceTo(0);
    unfollowed.addUnwatched(7, 4_000, 10_000);
    assert.equal(unfollowed.counters(10_000)['not_watched_ms'], 6_000);
    unfollowed.addUnwatched(7, 10_000, 20_000); // found so once more
    assert.equal(unfollowed.counters(20_000)['not_watched_ms'], 16_000);
    unfollowed.deleteUnwatched(7, 21_000);
    assert.equal(unfollowed.counters(60_000)['not_watched_ms'], 17_000);
    unfollowed.addUnwatchedTime(8, 55_000, 60_000);
    assert.equal(unfollowed.counters(90_000)['not_watched_ms'], 22_000);
  });
});
