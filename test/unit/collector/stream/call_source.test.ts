/** Notes of arrivals are deleted only where nobody may ask for them any more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArrivalStore, WaitingArrivals } from '../../../../collector/store/arrivals.ts';
import { CallSource } from '../../../../collector/stream/call_source.ts';

/** Returns the position up to which notes were deleted. */
async function forgotten(position: number, behind: Partial<WaitingArrivals>): Promise<number> {
  const upTo: number[] = [];
  const store = {
    arrivalsBehind: async () => ({
      ...{ last: 90, storedUs: null, oldestUs: null, deletedUpTo: 20, followedUs: null },
      ...behind,
    }),
    forgetArrivals: async (to: number) => void upTo.push(to),
  } as unknown as ArrivalStore;
  await new CallSource(
    store,
    () => '',
    async () => 1000,
    () => 5000,
  ).passed(position);
  assert.equal(upTo.length, 1);
  return upTo[0]!;
}

test('destinations need the notes behind the last of them', async () => {
  assert.equal(await forgotten(40, {}), 40);
});

test('who follows calls needs the notes of all that are there', async () => {
  assert.equal(await forgotten(40, { followedUs: 1000 }), 20);
  assert.equal(await forgotten(10, { followedUs: 1000 }), 10);
  assert.equal(await forgotten(40, { followedUs: 999 }), 40, 'for as long as calls are kept');
});

test('where nobody needs notes, those are deleted that were there when that was found out', async () => {
  assert.equal(await forgotten(Number.MAX_SAFE_INTEGER, {}), 90);
});
