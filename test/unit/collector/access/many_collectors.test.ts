/** Tests tokens, codes and enrolment with several collectors on one PostgreSQL database. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import { Access } from '../../../../collector/access/access.ts';
import type { Grant } from '../../../../collector/access/principal.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import type { EndedToken } from '../../../../collector/access/token_store.ts';
import { onPostgres, type PostgresAdminData } from '../../../support/collector/admin/admin_stores.ts';
import { eventually } from '../../../support/collector/stored.ts';

const BY = { name: 'ada', sourceAddress: null };
const HOST = 'i-0123456789abcdef0';

interface Collector {
  access: Access;
  ended: EndedToken[];
}

async function collectorOn(data: PostgresAdminData): Promise<Collector> {
  const options = {
    agentToken: null,
    agentTokenHost: null,
    proxy: NO_PROXY,
    secure: false,
    publicUrl: null,
  };
  const access = await Access.open(await data.open(), options, pino({ level: 'silent' }));
  const ended: EndedToken[] = [];
  access.onTokenEnded((token) => ended.push(token));
  return { access, ended };
}

function agentOf({ access }: Collector, secret: string): ReturnType<Access['identifyAgent']> {
  const headers = { authorization: `Bearer ${secret}` };
  return access.identifyAgent({ socket: new Socket(), headers } as IncomingMessage);
}

function personOf({ access }: Collector, secret: string): ReturnType<Access['identifyUser']> {
  const authorization = `Bearer ${secret}`;
  return access.identifyUser({ authorization, cookie: null, headers: {}, remoteAddress: '192.0.2.7' });
}

onPostgres('access with many collectors', (create) => {
  test('a token that one collector revokes is refused by all at once, and its connections end', async () => {
    const data = await create();
    const collectors = await Promise.all([collectorOn(data), collectorOn(data), collectorOn(data)]);
    const [first, second] = collectors as [Collector, Collector, Collector];
    const person = await first.access.createToken({ kind: 'person', name: 'bob', role: 'viewer' }, BY);
    const agent = await first.access.createToken({ kind: 'agent', name: 'one', host_id: HOST }, BY);
    for (const each of collectors) {
      assert.equal((await personOf(each, person.secret))?.name, 'bob');
      assert.deepEqual(await agentOf(each, agent.secret), { hostId: HOST, via: 'credential' });
    }
    await second.access.revokeToken(person.token.id, BY);
    await second.access.revokeToken(agent.token.id, BY);
    for (const each of collectors) {
      assert.equal(await personOf(each, person.secret), null);
      assert.equal(await agentOf(each, agent.secret), null);
    }
    // The timer of each collector asks every second.
    for (const { ended } of collectors) await eventually('it is told', () => ended.length === 2);
    for (const { ended } of collectors) {
      assert.deepEqual(ended.map(({ id }) => id).sort(), [person.token.id, agent.token.id].sort());
    }
    const third = await first.access.createToken({ kind: 'person', name: 'eve', role: 'viewer' }, BY);
    await data.query('UPDATE tokens SET revoked_ms = 1 WHERE id = $1', [third.token.id]);
    for (const { ended } of collectors) await eventually('SQL is noticed', () => ended.length === 3);
    for (const { access } of collectors) await access.close();
  });

  test('a session of OpenID Connect has its role and scope at all collectors, and ends at all of them at once', async () => {
    const data = await create();
    const collectors = await Promise.all([collectorOn(data), collectorOn(data), collectorOn(data)]);
    const [first, second, third] = collectors as [Collector, Collector, Collector];
    const scope = [{ accounts: ['111122223333'] }];
    const open = async (grant: Grant) => {
      const person = { person: 'ada', name: 'ada', grant, idToken: 'sealed', detail: '', maxMs: 3_600_000 };
      const opened = await first.access.openSession(person, null);
      assert.ok('session' in opened);
      return opened.session;
    };
    const seen = (session: string) =>
      Promise.all(
        collectors.map(async ({ access }) => {
          const cookie = `${access.cookie.name}=${session}`;
          const found = await access.identifyUser({
            ...{ authorization: null, cookie, headers: {}, remoteAddress: '192.0.2.7' },
          });
          return found === null ? null : [found.role, found.scope];
        }),
      );
    const nobody = [null, null, null];
    const viewer = await open({ role: 'viewer', scope });
    assert.deepEqual(await seen(viewer), [
      ['viewer', scope],
      ['viewer', scope],
      ['viewer', scope],
    ]);
    // Somebody whose groups have changed has the new role with the next sign-in, and then signs out of the old one.
    const admin = await open({ role: 'admin', scope: null });
    assert.deepEqual(await seen(admin), [
      ['admin', null],
      ['admin', null],
      ['admin', null],
    ]);
    assert.equal(await second.access.signOut(viewer, null), 'sealed');
    assert.deepEqual(await seen(viewer), nobody);
    assert.equal(await third.access.signOutAll(BY), 1);
    assert.deepEqual(await seen(admin), nobody);
    for (const { access } of collectors) await access.close();
  });

  test('a sign-in link works once, at whichever collectors it is tried', async () => {
    const data = await create();
    const collectors = await Promise.all([collectorOn(data), collectorOn(data)]);
    for (let round = 0; round < 5; round += 1) {
      const code = await collectors[0]!.access.createSignInCode({ role: 'viewer', scope: null }, BY);
      const attempts = await Promise.all(
        Array.from({ length: 6 }, (_, at) => collectors[at % 2]!.access.signIn(code, `192.0.2.${at}`)),
      );
      assert.equal(attempts.filter((each) => each !== null && 'session' in each).length, 1);
    }
    for (const { access } of collectors) await access.close();
  });

  test('of many agents that claim one host, at several collectors, one gets its credential', async () => {
    const data = await create();
    const collectors = await Promise.all([collectorOn(data), collectorOn(data), collectorOn(data)]);
    const attempts = await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        collectors[at % 3]!.access.enrol(HOST, { enrolmentKey: `key of ${at}` }),
      ),
    );
    const issued = attempts.filter((credential) => credential !== null);
    assert.equal(issued.length, 1);
    for (const each of collectors) {
      assert.deepEqual(await agentOf(each, issued[0]!), { hostId: HOST, via: 'credential' });
      assert.equal(await each.access.hasCredential(HOST), true);
    }
    const others = await Promise.all(
      Array.from({ length: 30 }, (_, at) => collectors[at % 3]!.access.enrol(`host-${at}`)),
    );
    assert.equal(new Set(others).size, 30);
    assert.ok(!others.includes(null));
    for (const { access } of collectors) await access.close();
  });
});
