import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Enrolment, Enrolments } from '../../../../collector/access/enrolments.ts';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';

/** Enrolments whose transactions take a moment, with the groups that were stored. */
function slowStore(): { enrolments: Enrolments; groups: string[][]; most: () => number } {
  const groups: string[][] = [];
  let running = 0;
  let most = 0;
  const admin: Pick<AdminStore, 'transaction'> = {
    async transaction(_area, work) {
      running += 1;
      most = Math.max(most, running);
      await sleep(30);
      const result = await work({} as AdminStore);
      running -= 1;
      return result;
    },
  };
  const issue = async (_: AdminStore, some: readonly Enrolment[]) => {
    groups.push(some.map(({ hostId }) => hostId));
    if (some.some(({ hostId }) => hostId === 'no place')) throw new Error('disk full');
    return some.map(({ hostId, claim }) =>
      hostId === 'refused' ? null : `${hostId} ${claim.sourceAddress}`,
    );
  };
  return { enrolments: new Enrolments(admin, issue, () => {}), groups, most: () => most };
}

test('agents that come while others are enrolled wait, and share the next transaction', async () => {
  const { enrolments, groups, most } = slowStore();
  const enrolled: Promise<string | null>[] = [];
  for (let host = 0; host < 300; host += 1) {
    enrolled.push(enrolments.enrol(`i-${host}`, { sourceAddress: `10.0.0.${host}` }));
    if (host % 50 === 49) await sleep(15);
  }
  enrolled.push(enrolments.enrol('refused', {}));
  const credentials = await Promise.all(enrolled);
  assert.equal(most(), 1);
  assert.ok(groups.length < 8, `${groups.length} transactions`);
  assert.equal(credentials.pop(), null);
  assert.deepEqual(
    credentials,
    Array.from({ length: 300 }, (_, host) => `i-${host} 10.0.0.${host}`),
  );
});

test('agents that claim the same host are in different transactions, in their order', async () => {
  const { enrolments, groups } = slowStore();
  const claims = ['first', 'second', 'third'].map((sourceAddress) => ({ sourceAddress }));
  const credentials = await Promise.all(claims.map((claim) => enrolments.enrol('i-1', claim)));
  assert.deepEqual(credentials, ['i-1 first', 'i-1 second', 'i-1 third']);
  assert.deepEqual(groups, [['i-1'], ['i-1'], ['i-1']]);
});

test('a transaction that fails refuses its agents, and the next one is tried', async () => {
  const { enrolments } = slowStore();
  const settled = await Promise.allSettled(['no place', 'i-1'].map((host) => enrolments.enrol(host, {})));
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(await enrolments.enrol('i-1', {}), 'i-1 undefined');
});
