/** Tests when the catalogue is read, and by which collector. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { AdminStore } from '../../../../../collector/admin/admin_store.ts';
import { Lease } from '../../../../../collector/admin/lease.ts';
import { CATALOGUE_LEASE_MS, CatalogueWatch } from '../../../../../collector/backstage/catalogue_watch.ts';
import { onEachAdminStore, onPostgres } from '../../../../support/collector/admin/admin_stores.ts';
import { CatalogueServer, TOKEN } from '../../../../support/collector/backstage/catalogue_server.ts';
import { eventually } from '../../../../support/collector/stored.ts';

const LOOK_MS = 5;
const MINUTE_MS = 60_000;
const INTERVAL_MS = 4 * MINUTE_MS;
const DAY_MS = 24 * 3_600_000;
const log = pino({ level: 'silent' });
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-backstage-'));
const tokenFile = join(directory, 'token');
let server: CatalogueServer;
let now = 0;
before(async () => {
  server = await CatalogueServer.start([
    { name: 'a', owner: 'o', annotations: { 'imdswatch/owner-rules': 'unit:a' } },
  ]);
  writeFileSync(tokenFile, TOKEN);
});
beforeEach(() => {
  server.behaviour = 'good';
  server.asked = 0;
  now = 1_800_000_000_000;
});
after(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

const open = (admin: AdminStore) =>
  CatalogueWatch.open({
    ...{ url: server.url, tokenFile, caFile: null, intervalMs: INTERVAL_MS, admin, log, lookMs: LOOK_MS },
    lease: new Lease(admin, 'backstage', { durationMs: CATALOGUE_LEASE_MS }),
    now: () => now,
  });
/** Moves the clock to a moment at which nothing is to happen, and waits until many looks have passed. */
const passInPeace = async (ms: number) => {
  now += ms;
  await sleep(LOOK_MS * 20);
};

onEachAdminStore('readings of the catalogue', (create) => {
  test('follow the interval, and after failures ever longer times up to it', async (t) => {
    const admin = await (await create()).open();
    const watch = await open(admin);
    t.after(() => watch.stop());
    const attempts = () => (watch.counters()['reads'] ?? 0) + (watch.counters()['reads_failed'] ?? 0);
    const asked = (count: number) => eventually(`attempt ${count}`, () => attempts() === count);
    await asked(1);
    await passInPeace(INTERVAL_MS - 1);
    assert.equal(attempts(), 1);
    now += 1;
    await asked(2);
    server.behaviour = 'error';
    now += INTERVAL_MS;
    await asked(3);
    for (const [number, minutes] of [1, 2, 4, 4].entries()) {
      await eventually('the failure is known', () => watch.served().failures === number + 1);
      await passInPeace(minutes * MINUTE_MS - 1);
      assert.equal(attempts(), 3 + number, `before minute ${minutes}`);
      now += 1;
      await asked(4 + number);
    }
    // A clock that was corrected by a day must not stop the readings for a day.
    server.behaviour = 'good';
    await eventually('the failure is known', () => watch.served().failures === 5);
    now -= DAY_MS;
    await eventually('a reading', () => watch.served().failures === 0);
  });
});

onPostgres('several collectors', (create) => {
  test('read the catalogue once, and the next one goes on when the first has ended', async (t) => {
    const data = await create();
    const [here, there] = [await data.open(), await data.open()];
    const watches = await Promise.all([open(here), open(there)]);
    t.after(() => Promise.all(watches.map((watch) => watch.stop())));
    await eventually('both have the copy', () => watches.every((watch) => watch.served().entities === 1));
    assert.equal(server.asked, 1);
    now += INTERVAL_MS;
    await eventually('the next reading', () => server.asked === 2);
    // The one with the lease keeps it.
    const reader = () => watches.find((watch) => watch.counters()['reads'] === 2);
    await eventually('the same collector stores it', () => reader() !== undefined);
    await reader()!.stop();
    now += INTERVAL_MS;
    await eventually('the other one reads', () => server.asked === 3);
  });
});
