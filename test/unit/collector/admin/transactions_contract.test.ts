/** Tests what transactions of the admin data promise on every kind of database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import { onEachAdminStore } from '../../../support/collector/admin/admin_stores.ts';

const entry = (action: string) => ({ actor: 'a', action, subject: 's', detail: null, source_address: null });

async function actions({ auditLog }: AdminStore): Promise<string[]> {
  return (await auditLog.newest({ limit: 100 })).map(({ action }) => action).reverse();
}

onEachAdminStore('transactions', (create) => {
  test('all changes of a transaction are stored, or none', async () => {
    const store = await (await create()).open();
    const result = await store.transaction('settings', async ({ settings, auditLog }) => {
      await settings.put('kept', 1);
      await auditLog.append(entry('kept'), 1);
      return 'done';
    });
    assert.equal(result, 'done');
    const failing = store.transaction('settings', async ({ settings, auditLog }) => {
      await settings.put('kept', 2);
      await auditLog.append(entry('lost'), 2);
      assert.equal(await settings.get('kept'), 2, 'it sees its own changes');
      throw new Error('no');
    });
    await assert.rejects(failing, /^Error: no$/);
    assert.equal(await store.settings.get('kept'), 1);
    assert.deepEqual(await actions(store), ['kept']);
  });

  test('a part fails alone, also by a statement that the database refuses', async () => {
    const store = await (await create()).open();
    const session = {
      token: 'no such token',
      name: 'n',
      role: 'viewer' as const,
      scope: null,
      idToken: null,
      lastUsedMs: 1,
      expiresMs: 2,
    };
    await store.transaction('access', async (whole) => {
      await whole.auditLog.append(entry('before'), 1);
      await assert.rejects(
        whole.transaction('access', async ({ sessions, auditLog }) => {
          await auditLog.append(entry('lost'), 2);
          await sessions.insert(Buffer.from('hash'), session);
        }),
        /FOREIGN KEY|foreign key/,
      );
      await whole.transaction('access', ({ auditLog }) => auditLog.append(entry('part'), 3));
      await whole.auditLog.append(entry('after'), 4);
    });
    assert.deepEqual(await actions(store), ['before', 'part', 'after']);
  });

  test('what comes while a transaction runs is not part of it', async () => {
    const store = await (await create()).open();
    const { promise: isWritten, resolve: written } = Promise.withResolvers<void>();
    const failing = store.transaction('access', async ({ settings }) => {
      await settings.put('inside', 1);
      written();
      // The question of another request is asked while this transaction goes on.
      for (let turn = 0; turn < 20; turn += 1) await settings.get('inside');
      throw new Error('rolled back');
    });
    await isWritten;
    const seen = store.settings.get('inside');
    const put = store.settings.put('outside', 2);
    await assert.rejects(failing, /rolled back/);
    assert.equal(await seen, undefined);
    await put;
    assert.equal(await store.settings.get('outside'), 2);
  });

  test('transactions about one area read what the one before has written, in all processes', async () => {
    const data = await create();
    const stores = [await data.open(), await data.open()];
    const addOne = (store: AdminStore) =>
      store.transaction('settings', async ({ settings }) => {
        const count = ((await settings.get('count')) ?? 0) as number;
        await settings.put('count', count + 1);
      });
    await Promise.all(Array.from({ length: 40 }, (_, at) => addOne(stores[at % 2]!)));
    assert.equal(await stores[0]!.settings.get('count'), 40);
  });

  test('a transaction that fails holds up nobody', async () => {
    const store = await (await create()).open();
    const attempts = await Promise.allSettled(
      Array.from({ length: 20 }, (_, at) =>
        store.transaction('settings', async ({ settings }) => {
          await settings.put(`key ${at}`, at);
          if (at % 2 === 0) throw new Error('even');
        }),
      ),
    );
    assert.equal(attempts.filter(({ status }) => status === 'rejected').length, 10);
    const found = await Promise.all(attempts.map((_, at) => store.settings.get(`key ${at}`)));
    assert.deepEqual(
      found.filter((value) => value !== undefined),
      [1, 3, 5, 7, 9, 11, 13, 15, 17, 19],
    );
  });
});
