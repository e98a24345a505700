/** Tests that a collector goes on by itself after its PostgreSQL server has crashed and is back. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import { Access } from '../../../../collector/access/access.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import type { EndedToken } from '../../../../collector/access/token_store.ts';
import { PostgresAdminStore } from '../../../../collector/admin/postgres/postgres_admin_store.ts';
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';
import { PATIENT } from '../../../support/collector/admin/admin_stores.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const BY = { name: 'ada', sourceAddress: null };
const HOST = 'i-0123456789abcdef0';

test('an agent is told to come again while the database is away, and is known when it is back', {
  skip: NO_POSTGRES,
}, async (t) => {
  const server = await PostgresServer.start();
  t.after(() => server.close());
  const pool = new DatabasePool(parseDatabaseUrl(await server.createDatabase()), { ...PATIENT, max: 4 });
  t.after(() => pool.close());
  const options = {
    agentToken: null,
    agentTokenHost: null,
    proxy: NO_PROXY,
    secure: false,
    publicUrl: null,
  };
  const store = await PostgresAdminStore.open(pool);
  const access = await Access.open(store, options, pino({ level: 'silent' }));
  const ended: EndedToken[] = [];
  access.onTokenEnded((token) => ended.push(token));
  const credential = (await access.enrol(HOST))!;
  const headers = { authorization: `Bearer ${credential}` };
  const agent = () => access.identifyAgent({ socket: new Socket(), headers } as IncomingMessage);
  const identity = { hostId: HOST, via: 'credential' };
  assert.deepEqual(await agent(), identity);

  await server.kill();
  assert.equal(await agent(), 'unavailable');
  await assert.rejects(access.enrol('another'), /cannot be reached/);
  assert.equal(await access.signIn(`imdsw_p${'A'.repeat(43)}`, null).catch(() => 'failed'), 'failed');
  await access.poll();
  assert.ok(access.counters()['store_errors']! >= 2);

  await server.start();
  await eventually('the agent is known again', async () => (await agent()) !== 'unavailable');
  assert.deepEqual(await agent(), identity, 'with the first answer');
  const [token] = await access.tokens();
  await store.tokens.revoke(token!.id, Date.now());
  await eventually('what happened meanwhile is noticed', () => ended.length === 1);
  assert.equal(await agent(), null);
  await access.revokeToken(token!.id, BY);
  await access.close();
});
