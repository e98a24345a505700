/** Instances are put back into their groups by the activities, whatever their order. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { type GroupActivity, memberships } from '../../../../enforce/cloud/membership.ts';

const hours = (count: number) => new Date(Date.UTC(2026, 0, 1, count));
const launch = (id: string, at: number, isSuccessful = true): GroupActivity => ({
  group: 'web',
  description: `Launching a new EC2 instance: ${id}`,
  isSuccessful,
  start: hours(at),
  end: hours(at + 1),
});
const end = (id: string, at: number): GroupActivity => ({
  ...launch(id, at),
  description: `Terminating EC2 instance: ${id}`,
});

it('gives every life the same from any order of the activities', () => {
  const activities = [
    launch('i-00000001', 1),
    end('i-00000001', 5),
    launch('i-00000002', 2),
    end('i-00000003', 3),
    launch('i-00000004', 4, false),
    { ...launch('', 6), description: 'Attaching an existing EC2 instance: i-0123456789abcdef0' },
    {
      ...launch('', 6),
      description: 'Launching a new EC2 instance.  Status Reason: no capacity',
      isSuccessful: false,
    },
  ];
  const expected = [
    ['i-00000001', hours(1).toISOString(), hours(6).toISOString()],
    ['i-00000002', hours(2).toISOString(), null],
    ['i-00000003', null, hours(4).toISOString()],
    ['i-00000004', null, null],
    ['i-0123456789abcdef0', null, null],
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(activities, { minLength: activities.length }), (shuffled) => {
      const found = memberships(shuffled).map((of) => [of.instanceId, of.launched, of.terminated]);
      assert.deepEqual(found.sort(), expected);
    }),
  );
});
