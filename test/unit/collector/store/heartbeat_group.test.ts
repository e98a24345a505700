import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HeartbeatGroup,
  type ReceivedHeartbeat,
} from '../../../../collector/store/sqlite/heartbeat_group.ts';

const beat = (host_id: string, receivedUs: number) =>
  ({ heartbeat: { host_id }, receivedUs }) as unknown as ReceivedHeartbeat;

test('heartbeats share a transaction; of one host the first and the newest are written', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const groups: string[][] = [];
  const group = new HeartbeatGroup((stored) =>
    groups.push(stored.map(({ heartbeat, receivedUs }) => `${heartbeat.host_id} ${receivedUs}`)),
  );
  const answers = [beat('a', 1), beat('b', 2), beat('a', 3), beat('a', 4)].map((each) => group.add(each));
  t.mock.timers.tick(99);
  assert.deepEqual(groups, []);
  t.mock.timers.tick(1);
  await Promise.all(answers);
  assert.deepEqual(groups, [['a 1', 'a 4', 'b 2']]);
  await group.settled();
});

test('many hosts wait for a second, and few again for a tenth', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sizes: number[] = [];
  const group = new HeartbeatGroup((stored) => sizes.push(stored.length));
  const round = async (hosts: number, waitMs: number) => {
    const answers = Array.from({ length: hosts }, (_, host) => group.add(beat(`${host}`, host)));
    const before = sizes.length;
    t.mock.timers.tick(waitMs - 1);
    assert.equal(sizes.length, before, 'not earlier');
    t.mock.timers.tick(1);
    await Promise.all(answers);
  };
  await round(10, 100);
  await round(100, 1000);
  await round(1, 1000);
  await round(1, 100);
  assert.deepEqual(sizes, [10, 100, 1, 1]);
});

test('a group that cannot be stored is refused, and the next one is stored', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let fault: Error | null = new Error('disk full');
  const group = new HeartbeatGroup(() => {
    if (fault !== null) throw fault;
  });
  const refused = group.add(beat('a', 1));
  const settled = group.settled();
  t.mock.timers.tick(100);
  await assert.rejects(refused, /disk full/);
  await settled;
  fault = null;
  const stored = group.add(beat('a', 2));
  t.mock.timers.tick(100);
  await stored;
});
