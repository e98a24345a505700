import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { readScopedGroup } from '../../../../collector/access/group_roles.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import { AccessBench } from '../../../support/collector/access/access_bench.ts';

const open: AccessBench[] = [];
const bench = async (...options: Parameters<typeof AccessBench.open>) => {
  const made = await AccessBench.open(...options);
  open.push(made);
  return made;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

describe("a reverse proxy's header", () => {
  const proxy = {
    ...NO_PROXY,
    userHeader: 'X-Forwarded-User',
    trustedAddresses: ['10.1.0.0/24', 'fd00::5'],
    admins: ['carol'],
  };
  it('is trusted from the proxy only', async () => {
    const b = await bench({ proxy });
    const headers = { 'x-forwarded-user': 'carol' };
    const carol = { name: 'carol', role: 'admin', scope: null, via: 'proxy', tokenId: null };
    for (const remoteAddress of ['10.1.0.9', '::ffff:10.1.0.9', 'fd00::5', 'fd00:0::0:5']) {
      assert.deepEqual(await b.identifyUser({ headers, remoteAddress }), carol, remoteAddress);
    }
    for (const remoteAddress of ['10.1.1.9', '127.0.0.1', '::1', 'fd00::6', '', null, undefined, 'x']) {
      assert.equal(await b.identifyUser({ headers, remoteAddress }), null, String(remoteAddress));
    }
    assert.equal(b.access.counters()['proxy_headers_ignored'], 8);
  });
  it('gives the role admin only to the configured users', async () => {
    const b = await bench({ proxy });
    for (const [user, role] of [
      ['carol', 'admin'],
      ['Carol', 'viewer'],
      ['dave', 'viewer'],
    ] as const) {
      assert.equal(
        (await b.identifyUser({ headers: { 'x-forwarded-user': user }, remoteAddress: '10.1.0.1' }))?.role,
        role,
      );
    }
  });
  it('gives the role auditor to the configured users', async () => {
    const b = await bench({ proxy: { ...proxy, auditors: ['dave'] } });
    const found = await b.identifyUser({
      headers: { 'x-forwarded-user': 'dave' },
      remoteAddress: '10.1.0.1',
    });
    assert.equal(found?.role, 'auditor');
  });
  it('names groups, which then decide who gets in', async () => {
    const groups = {
      admins: ['ops'],
      auditors: ['audit'],
      viewers: ['staff'],
      scoped: [readScopedGroup('pay=account:1&tag:team:payments'), readScopedGroup('shop=tag:team:shop')],
    };
    const b = await bench({ proxy: { ...proxy, groupsHeader: 'X-Groups', groups } });
    const as = (user: string, of: string | undefined) =>
      b.identifyUser({
        headers: { 'x-forwarded-user': user, ...(of !== undefined && { 'x-groups': of }) },
        remoteAddress: '10.1.0.1',
      });
    const grant = async (of: string) => {
      const { role, scope } = (await as('dave', of))!;
      return [role, scope];
    };
    assert.deepEqual(await grant('staff, ops'), ['admin', null]);
    assert.deepEqual(await grant('staff,audit'), ['auditor', null]);
    assert.deepEqual(await grant('pay,staff'), ['viewer', null], 'the whole fleet counts before a scope');
    assert.deepEqual(await grant('pay'), ['viewer', [{ accounts: ['1'], tags: { team: ['payments'] } }]]);
    assert.deepEqual((await grant(' pay , shop'))[1]?.length, 2, 'scopes add up');
    assert.equal((await as('carol', undefined))?.role, 'admin', 'a user who is named needs no group');
    for (const none of [undefined, '', 'Ops', 'opsx']) {
      await assert.rejects(() => as('dave', none), { name: 'NoRoleError', message: /proxy_viewer_groups/ });
    }
    await assert.rejects(() => as('dave', 'Ops'), /the group "Ops"/);
    assert.equal(b.access.counters()['proxy_users_without_role'], 5);
  });
  it('is refused if it could be two headers, or is not a valid name', async () => {
    const b = await bench({ proxy });
    for (const user of [
      'eve, carol',
      'carol,eve',
      '',
      'command:root',
      ' carol',
      'ca\trol',
      'x'.repeat(201),
      'caröl',
    ]) {
      assert.equal(
        await b.identifyUser({ headers: { 'x-forwarded-user': user }, remoteAddress: '10.1.0.1' }),
        null,
        user,
      );
    }
    const twice = new Headers([
      ['X-Forwarded-User', 'eve'],
      ['x-forwarded-user', 'carol'],
    ]);
    assert.equal(await b.identifyUser({ headers: twice, remoteAddress: '10.1.0.1' }), null);
    assert.equal(b.access.counters()['proxy_headers_refused'], 9);
  });
  it('is ignored if none is configured', async () => {
    const b = await bench();
    assert.equal(
      await b.identifyUser({ headers: { 'x-forwarded-user': 'carol' }, remoteAddress: '127.0.0.1' }),
      null,
    );
  });
  it('gives the address of the client, and ignores addresses that the client added', async () => {
    const b = await bench({ proxy });
    const from = (forwarded: string, remote = '10.1.0.1') =>
      b.access.clientAddress({ 'x-forwarded-for': forwarded }, remote);
    assert.equal(from('203.0.113.5'), '203.0.113.5');
    assert.equal(from('1.2.3.4, 203.0.113.5'), '203.0.113.5');
    assert.equal(from('1.2.3.4, 203.0.113.5, 10.1.0.7'), '203.0.113.5');
    assert.equal(from('1.2.3.4, <script>'), '10.1.0.1');
    assert.equal(from(''), '10.1.0.1');
    assert.equal(from('1.2.3.4', '198.51.100.1'), '198.51.100.1');
  });
});
