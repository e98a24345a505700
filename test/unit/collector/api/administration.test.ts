/** Tests the audit log of admins' actions, and signing in and out. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newSession } from '../../../../collector/contract/session.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

test('actions of admins are in the audit log, without secrets; a revoked token is refused', async () => {
  const made = (await (
    await api.ask('/api/v1/tokens', {
      as: 'admin',
      method: 'POST',
      json: { kind: 'person', name: 'carol', role: 'viewer' },
    })
  ).json()) as { token: { id: string }; secret: string };
  const carol = { Authorization: `Bearer ${made.secret}` };
  assert.equal((await api.ask('/api/v1/session', { as: 'nobody', headers: carol })).status, 200);
  const revoke = { as: 'admin', method: 'DELETE' } as const;
  assert.equal((await api.ask(`/api/v1/tokens/${made.token.id}`, revoke)).status, 204);
  await problemOf(await api.ask('/api/v1/session', { as: 'nobody', headers: carol }), 401);
  await problemOf(await api.ask(`/api/v1/tokens/${made.token.id}`, revoke), 404);

  const added = (await (
    await api.ask('/api/v1/alert/destinations', {
      as: 'admin',
      method: 'POST',
      json: {
        name: 'another',
        rules: ['new_offender'],
        config: { kind: 'http', preset: 'webhook', values: { url: 'https://hooks.example.com/secret-path' } },
      },
    })
  ).json()) as { id: string };
  const path = `/api/v1/alert/destinations/${added.id}`;
  const changed = await api.ask(path, { as: 'admin', method: 'PATCH', json: { enabled: false } });
  assert.equal(((await changed.json()) as { enabled: boolean }).enabled, false);
  assert.equal((await api.ask(path, { as: 'admin', method: 'DELETE' })).status, 204);

  const answer = await (await api.ask('/api/v1/audit?limit=1000', { as: 'admin' })).text();
  const { items } = JSON.parse(answer) as { items: { actor: string; action: string; subject: string }[] };
  const done = items.filter(({ actor }) => actor === 'ada').map(({ action, subject }) => [action, subject]);
  for (const entry of [
    ['token.create', made.token.id],
    ['token.revoke', made.token.id],
    ['alert_destination.add', added.id],
    ['alert_destination.change', added.id],
    ['alert_destination.remove', added.id],
  ]) {
    assert.ok(
      done.some((given) => given.join() === entry.join()),
      entry.join(),
    );
  }
  assert.ok(!answer.includes(made.secret) && !answer.includes('secret-path'));
  assert.ok(!JSON.stringify(api.logged).includes(made.secret));

  const pages: number[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: { id: number }[]; next: string | null } = (await (
      await api.ask(`/api/v1/audit?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`, { as: 'admin' })
    ).json()) as never;
    pages.push(...page.items.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== null);
  assert.deepEqual(
    pages,
    (JSON.parse(answer) as { items: { id: number }[] }).items.map(({ id }) => id),
  );
});

test('signing in and out: the cookie works, and only from our own page', async () => {
  const own = { 'Sec-Fetch-Site': 'same-origin' };
  const secret = api.tokens.admin;
  const path = '/api/v1/session';
  for (const headers of [{ 'Sec-Fetch-Site': 'cross-site' }, { Origin: 'https://evil.example' }, {}]) {
    await problemOf(await api.ask(path, { as: 'nobody', method: 'POST', json: { secret }, headers }), 403);
  }
  const wrong = { as: 'nobody', method: 'POST', json: { secret: 'imdsw_pwrong' }, headers: own } as const;
  await problemOf(await api.ask(path, wrong), 401);
  const signedIn = await api.ask(path, { as: 'nobody', method: 'POST', json: { secret }, headers: own });
  assert.equal(signedIn.status, 201);
  newSession.strict().parse(await signedIn.json());
  const setCookie = signedIn.headers.get('set-cookie')!;
  assert.match(setCookie, /HttpOnly; SameSite=Strict/);
  const cookie = setCookie.split(';')[0]!;
  const who = await api.ask(path, { as: 'nobody', headers: { Cookie: cookie } });
  assert.deepEqual(await who.json(), { name: 'ada', role: 'admin', scope: null, via: 'session' });
  const change = {
    as: 'nobody',
    method: 'PUT',
    json: { raw_days: 7, rollup_days: 90, max_bytes: 1024 ** 3 },
  } as const;
  const forged = { Cookie: cookie, 'Sec-Fetch-Site': 'same-site' };
  await problemOf(await api.ask('/api/v1/retention', { ...change, headers: forged }), 403);
  assert.equal(
    (await api.ask('/api/v1/retention', { ...change, headers: { Cookie: cookie, ...own } })).status,
    200,
  );
  const out = await api.ask(path, { as: 'nobody', method: 'DELETE', headers: { Cookie: cookie, ...own } });
  assert.equal(out.status, 204);
  assert.match(out.headers.get('set-cookie')!, /Max-Age=0/);
  await problemOf(await api.ask(path, { as: 'nobody', headers: { Cookie: cookie } }), 401);
});

test('a destination is limited to owners, and what then reaches nobody is shown', async () => {
  const send = (method: string, path: string, json: unknown) =>
    api.ask(`/api/v1/alert/destinations${path}`, { as: 'admin', method, json });
  const config = { kind: 'http', preset: 'webhook', values: { url: 'https://hooks.example.com/owners' } };
  const owners = { patterns: ['pay-*'], unowned: false };
  const given = { name: 'for payments', rules: ['host_silent'], owners, config };
  const made = await send('POST', '', given);
  assert.equal(made.status, 201);
  const added = (await made.json()) as { id: string; owners: unknown };
  assert.deepEqual(added.owners, owners);
  const nobody = { patterns: [], unowned: false };
  await problemOf(await send('POST', '', { ...given, name: 'nobody', owners: nobody }), 400);
  await problemOf(await send('PATCH', `/${added.id}`, { owners: nobody }), 400);
  await problemOf(
    await send('POST', '', { ...given, name: 'calls', stream: 'calls', rules: undefined }),
    400,
  );

  const about = {
    title: 'Host web-1 is silent',
    rule: 'host_silent',
    subject: 'i-1',
    state: 'firing',
  } as const;
  const draft = { ...about, severity: 'warning' as const, text: 'text', object: null, hosts: [] };
  await api.alerts.record([draft], [], null);
  const listed = await api.ask('/api/v1/alert/destinations', { as: 'admin' });
  const { items, unrouted } = (await listed.json()) as {
    items: { id: string; waiting: number }[];
    unrouted: object;
  };
  assert.equal(items.find(({ id }) => id === added.id)!.waiting, 0);
  assert.deepEqual({ ...unrouted, last: null }, { count: 1, last: null, title: about.title, owner: null });
  assert.equal(api.alerts.counters()['unrouted'], 1);

  const changed = await send('PATCH', `/${added.id}`, { owners: null });
  assert.equal(((await changed.json()) as { owners: unknown }).owners, null);
  assert.equal((await send('DELETE', `/${added.id}`, undefined)).status, 204);
});
