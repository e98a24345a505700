/** Tests a start with a full disk: the collector waits under a service manager, and fails without one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startWithSpace } from '../../../cli/start_with_space.ts';
import type { Collector } from '../../../collector/main.ts';
import { DiskFullError } from '../../../collector/store/sqlite/disk_full.ts';

const full = () => new DiskFullError('/data/imdswatch.db', '/nowhere', null);
const never = new Promise(() => {});
const collector = {} as Collector;

function manager(isListening: boolean) {
  const statuses: string[] = [];
  return { isListening, statuses, stillStarting: (status: string) => statuses.push(status) };
}
function logger() {
  const errors: string[] = [];
  return { errors, error: (text: string) => errors.push(text), info: () => {} } as never as {
    errors: string[];
  } & Parameters<typeof startWithSpace>[0]['log'];
}

test('starts again when the disk has space, and logs the error once', async () => {
  const systemd = manager(true);
  const log = logger();
  let attempts = 0;
  const start = async () => {
    attempts += 1;
    if (attempts < 4) throw full();
    return collector;
  };
  assert.equal(await startWithSpace({ start, manager: systemd, stop: never, log, retryMs: 1 }), collector);
  assert.deepEqual([attempts, systemd.statuses.length, log.errors.length], [4, 3, 1]);
  assert.match(log.errors[0]!, /its disk is full.*waits until the disk has free space/);
});

test('returns null on a stop while it waits', async () => {
  const start = () => Promise.reject(full());
  const stop = Promise.resolve('SIGTERM');
  assert.equal(await startWithSpace({ start, manager: manager(true), stop, log: logger() }), null);
});

test('fails without a service manager, and for other errors', async () => {
  const start = () => Promise.reject(full());
  const log = logger();
  await assert.rejects(startWithSpace({ start, manager: manager(false), stop: never, log }), DiskFullError);
  const broken = () => Promise.reject(new Error('port'));
  await assert.rejects(startWithSpace({ start: broken, manager: manager(true), stop: never, log }), /port/);
});
