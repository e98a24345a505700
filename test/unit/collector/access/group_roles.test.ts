import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type GroupRoles,
  grantOf,
  groupsText,
  readScopedGroup,
} from '../../../../collector/access/group_roles.ts';
import { hostScope, viewScope } from '../../../../collector/contract/host_scope.ts';
import { scopeText } from '../../../../collector/contract/host_scope_text.ts';

const ROLES: GroupRoles = {
  admins: ['a'],
  auditors: ['u'],
  viewers: ['v'],
  scoped: ['s=account:1', 's=tag:team:x', 't=tag:team:y'].map(readScopedGroup),
};

describe('the groups of a person', () => {
  it('give the highest role of all', () => {
    assert.deepEqual(grantOf(['t', 'v', 'u', 'a'], ROLES), { role: 'admin', scope: null });
    assert.deepEqual(grantOf(['t', 'v', 'u'], ROLES), { role: 'auditor', scope: null });
    assert.deepEqual(grantOf(['t', 'v'], ROLES), { role: 'viewer', scope: null });
  });
  it('add up the scopes of all groups, and of a group that is named twice', () => {
    assert.deepEqual(grantOf(['t', 's'], ROLES)?.scope, [
      { accounts: ['1'] },
      { tags: { team: ['x'] } },
      { tags: { team: ['y'] } },
    ]);
  });
  it('give nothing where none has a role, also where a name differs in case only', () => {
    for (const groups of [[], ['A'], ['a '], ['']]) assert.equal(grantOf(groups, ROLES), null);
  });
  it('are named for people, and no more of them than can be read', () => {
    assert.equal(groupsText([]), 'no group');
    assert.equal(groupsText(['x"y']), 'the group "x\\"y"');
    assert.match(groupsText(Array.from({ length: 99 }, (_, at) => `g${at}`)), /"g29" and 69 more$/);
  });
});

describe('the text of a scope', () => {
  it('joins values of one key, and demands all keys', () => {
    const text = 'CN=pay,OU=x=account:1&account:2&tag:team:a&tag:team:b&tag:env:p:q';
    assert.deepEqual(readScopedGroup(text), {
      group: 'CN=pay,OU=x',
      scope: { accounts: ['1', '2'], tags: { team: ['a', 'b'], env: ['p:q'] } },
    });
  });
  it('is refused where it says nothing, or something else', () => {
    for (const text of [
      'pay',
      'pay=',
      'pay=region:x',
      'pay=account:',
      'pay=account:1&',
      'pay=tag:team',
      '=tag:a:b',
    ]) {
      assert.throws(() => readScopedGroup(text), { name: 'OperatorError' }, text);
    }
    assert.throws(() => readScopedGroup('pay=tag:__proto__:x'), { name: 'OperatorError' });
  });
  it('is described', () => {
    assert.equal(
      scopeText([{ accounts: ['1', '2'], tags: { team: ['a'] } }, { tags: { env: ['p', 'q'] } }]),
      'account 1 or 2 with tag team=a; tag env=p or q',
    );
  });
});

describe('the schema of a scope', () => {
  it('refuses one without a condition, which would be the whole fleet', () => {
    for (const open of [{}, { tags: {} }, { accounts: [] }, { tags: { team: [] } }, { regions: ['x'] }]) {
      assert.equal(hostScope.safeParse(open).success, false, JSON.stringify(open));
    }
    assert.equal(viewScope.safeParse([]).success, false);
    assert.equal(hostScope.safeParse(JSON.parse('{"tags":{"__proto__":["x"]}}')).success, false);
  });
});
