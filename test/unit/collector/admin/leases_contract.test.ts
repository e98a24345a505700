/** Tests that one of many collectors acts, and that one whose lease is over stores nothing. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { LeaseLostError } from '../../../../collector/admin/leases.ts';
import { onEachAdminStore, onPostgres } from '../../../support/collector/admin/admin_stores.ts';
import { eventually } from '../../../support/collector/stored.ts';

/** No test waits for so long. */
const LONG_MS = 600_000;

onEachAdminStore('leases', (create) => {
  test('only the holder of the latest epoch stores something', async () => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const first = (await here.leases.take('work', 'a', 0))!;
    assert.deepEqual(first, { name: 'work', holder: 'a', epoch: 1 });
    assert.deepEqual(await here.leases.take('work', 'a', 0), first, 'it is kept');
    const act = (store: AdminStore, held: typeof first, value: number) =>
      store.transaction('settings', async ({ leases, settings }) => {
        await settings.put('value', value);
        await leases.check(held);
      });
    await act(here, first, 1);
    const second = (await there.leases.take('work', 'b', LONG_MS))!;
    assert.equal(second.epoch, 2);
    await act(there, second, 2);
    await assert.rejects(act(here, first, 3), LeaseLostError);
    await assert.rejects(here.alerts.record([], [], 1, first), LeaseLostError);
    assert.equal(await here.settings.get('value'), 2);
    const others = (await here.leases.take('other work', 'a', LONG_MS))!;
    assert.equal(others.epoch, 1, 'each name is a lease of its own');
  });
});

onPostgres('leases', (create) => {
  test('a collector whose clock is not that of the database has no lease, and another one gets it at once', async () => {
    const data = await create();
    const stores = [await data.open(), await data.open()] as const;
    let aheadMs = 0;
    const noted: [number, boolean][] = [];
    const clockCheck = {
      note: (ms: number, isRight: boolean) => noted.push([Math.round(ms / 60_000), isRight]),
    };
    const wrong = new Lease(stores[0], 'work', {
      durationMs: LONG_MS,
      wallClock: () => Date.now() + aheadMs,
      clockCheck,
    });
    const right = new Lease(stores[1], 'work', { durationMs: LONG_MS });
    for (const minutes of [60, -60, 1.5, -1.5]) {
      aheadMs = 0;
      assert.notEqual(await wrong.take(), null);
      aheadMs = minutes * 60_000;
      assert.equal(await wrong.take(), null);
      assert.equal(wrong.isHeld, false);
      assert.notEqual(await right.take(), null);
      await right.stop();
    }
    assert.deepEqual(
      noted.map(([, isRight]) => isRight),
      [true, false, true, false, true, false, true, false],
    );
    assert.deepEqual([noted[1]![0], noted[3]![0]], [60, -60]);
    aheadMs = 10_000;
    assert.notEqual(await wrong.take(), null, 'a difference that no rule notices is no reason');
    await wrong.stop();
  });

  test('of many collectors that want a lease, one has it until it ends', async () => {
    const data = await create();
    const stores = await Promise.all(Array.from({ length: 3 }, () => data.open()));
    const takers = Array.from({ length: 12 }, (_, at) => ({
      leases: stores[at % 3]!.leases,
      holder: `h${at}`,
    }));
    const all = () => Promise.all(takers.map(({ leases, holder }) => leases.take('work', holder, LONG_MS)));
    const taken = (await all()).filter((held) => held !== null);
    assert.equal(taken.length, 1);
    assert.deepEqual(
      (await all()).filter((held) => held !== null),
      taken,
    );
    await data.query('UPDATE leases SET until_ms = until_ms - $1', [LONG_MS]);
    const others = takers.filter(({ holder }) => holder !== taken[0]!.holder);
    const next = await Promise.all(others.map(({ leases, holder }) => leases.take('work', holder, LONG_MS)));
    assert.deepEqual(
      next.filter((held) => held !== null).map(({ epoch }) => epoch),
      [2],
    );
    await stores[0]!.leases.release(taken[0]!);
    assert.equal(await stores[0]!.leases.take('work', 'x', LONG_MS), null, 'an old holder gives up nothing');
    await stores[0]!.leases.release(next.find((held) => held !== null)!);
    assert.equal((await stores[0]!.leases.take('work', 'x', LONG_MS))?.epoch, 3);
  });

  test('a holder that is frozen in its transaction stores nothing after another one has the lease', async () => {
    const data = await create();
    const [frozen, other] = [await data.open(), await data.open()];
    const held = (await frozen.leases.take('work', 'a', 0))!;
    const checked = Promise.withResolvers<void>();
    const thawed = Promise.withResolvers<void>();
    const late = frozen.transaction('settings', async ({ leases, settings }) => {
      await leases.check(held);
      checked.resolve();
      // The process is stopped here.
      await thawed.promise;
      await settings.put('by', 'a');
    });
    const outcome = late.then(
      () => 'stored',
      () => 'refused',
    );
    await checked.promise;
    const taking = other.leases.take('work', 'b', LONG_MS);
    const waiting =
      "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    await eventually('the other one waits', async () => (await data.query(waiting)).length > 0);
    // The server does the same after `idle_in_transaction_session_timeout`.
    await data.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()",
    );
    const next = (await taking)!;
    assert.equal(next.epoch, 2);
    await other.transaction('settings', async ({ leases, settings }) => {
      await leases.check(next);
      await settings.put('by', 'b');
    });
    thawed.resolve();
    assert.equal(await outcome, 'refused');
    assert.equal(await other.settings.get('by'), 'b');
  });

  test('a lease is kept without work, ends with its collector, and is nothing to one that was frozen', async () => {
    const data = await create();
    const stores = [await data.open(), await data.open()];
    let clockMs = 0;
    const first = new Lease(stores[0]!, 'work', { durationMs: LONG_MS, clock: () => clockMs });
    const second = new Lease(stores[1]!, 'work', { durationMs: LONG_MS });
    assert.notEqual(await first.take(), null);
    assert.equal(await second.take(), null);
    assert.deepEqual(first.state, { name: 'work', isHeld: true, epoch: 1 });
    assert.deepEqual(second.state, { name: 'work', isHeld: false, epoch: null });
    const [before] = await data.query('SELECT until_ms FROM leases');
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      let kept = 0;
      first.start(() => {
        kept += 1;
      });
      clockMs += LONG_MS / 2;
      mock.timers.tick(LONG_MS / 3);
      await eventually('the lease is kept', () => kept === 1);
      const [after] = await data.query('SELECT until_ms FROM leases');
      assert.ok(Number(after!['until_ms']) > Number(before!['until_ms']));
      clockMs += LONG_MS - 1;
      assert.equal(first.isHeld, true);
      clockMs += 1;
      assert.equal(first.isHeld, false, 'by its own clock somebody else may have it');
      assert.deepEqual(first.state, { name: 'work', isHeld: false, epoch: null });
      await first.stop();
    } finally {
      mock.timers.reset();
    }
    assert.equal((await second.take())?.epoch, 2, 'at once');
    assert.equal(second.isHeld, true);
    await second.stop();
  });
});
