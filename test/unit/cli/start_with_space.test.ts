/** A collector whose disk is full at the start waits for space under a service manager, and fails without one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startWithSpace } from '../../../cli/start_with_space.ts';
import type { Collector } from '../../../collector/main.ts';
import { DiskFullError } from '../../../collector/store/sqlite/disk_full.ts';

const full = () => new DiskFullError('/data/imdswatch.db', '/nowhere', null);
const never = new Promise(() => {});
const collector = {} as Collector;

function manager(isListening: boolean) {
  const told: string[] = [];
  return { isListening, told, stillStarting: (status: string) => told.push(status) };
}
function logger() {
  const errors: string[] = [];
  return { errors, error: (text: string) => errors.push(text), info: () => {} } as never as {
    errors: string[];
  } & Parameters<typeof startWithSpace>[0]['log'];
}

test('it is started again when there is space, and the error is logged once', async () => {
  const systemd = manager(true);
  const log = logger();
  let attempts = 0;
  const start = async () => {
    attempts += 1;
    if (attempts < 4) throw full();
    return collector;
  };
  assert.equal(await startWithSpace({ start, manager: systemd, end: never, log, retryMs: 1 }), collector);
  assert.deepEqual([attempts, systemd.told.length, log.errors.length], [4, 3, 1]);
  assert.match(log.errors[0]!, /its disk is full.*waits for space/);
});

test('it ends while it waits when it is asked to', async () => {
  const start = () => Promise.reject(full());
  const end = Promise.resolve('SIGTERM');
  assert.equal(await startWithSpace({ start, manager: manager(true), end, log: logger() }), null);
});

test('without a service manager, and for other errors, it fails', async () => {
  const start = () => Promise.reject(full());
  const log = logger();
  await assert.rejects(startWithSpace({ start, manager: manager(false), end: never, log }), DiskFullError);
  const broken = () => Promise.reject(new Error('port'));
  await assert.rejects(startWithSpace({ start: broken, manager: manager(true), end: never, log }), /port/);
});
