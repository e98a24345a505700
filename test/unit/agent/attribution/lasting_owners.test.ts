/** Tests which owners of sockets are taken for the same. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LastingOwners } from '../../../../agent/attribution/lasting_owners.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';

function ownerLike(changed: Partial<SocketOwner> = {}): SocketOwner {
  return {
    ...{ pid: 4_711, startTicks: 99, name: 'app', executable: '/usr/bin/app', uid: 1_000 },
    ...{
      args: ['app', '--once'],
      argsTruncated: false,
      netns: 7,
      cgroupId: 12n,
      cgroupPaths: ['/a.service'],
    },
    ancestors: [{ pid: 1, startTicks: 3, name: 'init', executable: '/sbin/init', args: ['/sbin/init'] }],
    ...{ method: 'sock_diag', confidence: 'exact', isSelf: false },
    ...changed,
  };
}

describe('the owners of several connections', () => {
  it('are one object if nothing has changed', () => {
    const owners = new LastingOwners();
    const first = owners.sharedOwner(ownerLike());
    assert.equal(owners.sharedOwner(ownerLike()), first);
    assert.equal(owners.sharedOwner(ownerLike()), first);
  });

  const parent = { pid: 1, startTicks: 3, name: 'init', executable: '/sbin/init' };
  const changes: Partial<SocketOwner>[] = [
    { startTicks: 100 },
    { name: 'sh' },
    { executable: '/usr/bin/other' },
    { executable: null },
    { uid: 0 },
    { args: ['app'] },
    { args: null },
    { netns: null },
    { cgroupId: null },
    { cgroupPaths: ['/b.service'] },
    { workingDirectory: '/' },
    { ancestors: [] },
    { ancestors: [{ ...parent, args: ['/sbin/init', '--switched-root'] }] },
    { confidence: 'probable' },
  ];
  for (const change of changes) {
    it(`are two with another ${Object.keys(change)[0]}`, () => {
      const owners = new LastingOwners();
      owners.sharedOwner(ownerLike());
      const changed = ownerLike(change);
      assert.equal(owners.sharedOwner(changed), changed);
      assert.equal(owners.sharedOwner(ownerLike(change)), changed);
    });
  }

  it('of another process in between are not mixed up', () => {
    const owners = new LastingOwners();
    const first = owners.sharedOwner(ownerLike());
    owners.sharedOwner(ownerLike({ pid: 4_712 }));
    assert.equal(owners.sharedOwner(ownerLike()), first);
  });
});
