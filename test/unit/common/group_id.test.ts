/** Names of groups: what they can stand for, and that reading one gives what it was made of. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  GROUP_ATTRIBUTES,
  type GroupAttribute,
  groupId,
  parseGroupAttribute,
  readGroupId,
} from '../../../common/group_id.ts';
import { belongsTo } from '../../../enforce/groups.ts';

const attribute = fc.oneof(
  fc.constantFrom<GroupAttribute>(...GROUP_ATTRIBUTES),
  fc.string({ minLength: 1 }).map((tag) => ({ tag })),
);

describe('ids of groups', () => {
  it('give the attribute and the value that they were made of', () => {
    fc.assert(
      fc.property(attribute, fc.string({ minLength: 1 }), (by, value) => {
        const read = readGroupId(groupId(by, value)).map((each) => JSON.stringify(each));
        assert.ok(read.includes(JSON.stringify({ by, value })));
      }),
    );
  });

  it('name nothing without an attribute and a value', () => {
    for (const text of ['', 'asg', 'asg:', ':web', 'tag:', 'tag:team', 'tag:=x', 'none:1/r', 'constructor:x'])
      assert.deepEqual(readGroupId(text), [], text);
    assert.deepEqual(parseGroupAttribute('image_id'), 'image');
    assert.equal(parseGroupAttribute('tag:'), null);
  });

  it('choose the instances of an enforcement: the key of a tag may have =', () => {
    const tags = { 'aws:autoscaling:groupName': 'web', 'eks:nodegroup-name': 'n', 'a=b': 'c', team: '' };
    const member = { tags, imageId: 'ami-1' };
    for (const [group, expected] of [
      ['asg:web', true],
      ['asg:api', false],
      ['eks-nodegroup:n', true],
      ['template:lt-1', false],
      ['image:ami-1', true],
      ['tag:a=b=c', true],
      ['tag:a=c', false],
      ['tag:team', true],
      ['tag:team=', true],
      ['tag:constructor', false],
      ['account:1', null],
      ['web', null],
      ['tag:', null],
    ] as const)
      assert.equal(belongsTo(group, member), expected, group);
  });
});
