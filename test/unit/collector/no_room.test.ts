/** Tests that people and doctor see that the disk of the database is full, and that it passes by itself. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Storage } from '../../../collector/contract/storage.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { HELLO, Peer } from '../../support/collector/peer.ts';
import { Person } from '../../support/collector/person.ts';
import { eventually } from '../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../support/postgres.ts';
import { ownDirectory } from '../../support/server_user.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const HOST = { id: 'i-full', name: 'web' };
const SKIP = NO_POSTGRES || (process.getuid?.() !== 0 && 'it mounts a small disk, which needs root');

test('a full disk of the database is shown until there is room again', { skip: SKIP }, async () => {
  const bench = new Bench();
  const disk = mkdtempSync(join(tmpdir(), 'imdswatch-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]);
  chmodSync(disk, 0o700);
  ownDirectory(disk);
  const server = await PostgresServer.start();
  try {
    await server.query('postgres', `CREATE TABLESPACE small LOCATION '${disk}'`);
    await server.query(
      'postgres',
      `CREATE DATABASE full_disk ENCODING 'UTF8' TEMPLATE template0 TABLESPACE small`,
    );
    const store = server.url('full_disk');
    const collector = await bench.collector({ store });
    const person = await Person.signIn(collector);
    const problem = async () => ((await person.json('/storage')) as Storage).problem;
    assert.equal(await problem(), null);
    const doctor = async () =>
      (
        await run(
          process.execPath,
          ['--disable-warning=ExperimentalWarning', MAIN, 'doctor', '--part', 'collector', '--json'],
          { env: { ...process.env, IMDSWATCH_STORE: store } },
        ).catch((error) => error)
      ).stdout as string;
    assert.doesNotMatch(await doctor(), /has no room/);
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(64 * 1024 * 1024).subarray(0, free(disk)));
    /** Sends calls on a new connection: a refusal closes it. */
    const send = async () => {
      const peer = await new Peer(bench, collector.address.url).hello({
        ...HELLO,
        host: HOST,
        stream: randomUUID(),
      });
      await peer.next('welcome');
      const call = (number: number) => makeCall({ host: HOST, 'url.path': `/${number}${'x'.repeat(1000)}` });
      const records = Array.from({ length: 200 }, (_, number) => ({ kind: 'call', call: call(number) }));
      peer.send({ type: 'batch', seq: 1, records });
    };
    await eventually('a batch is refused', async () => {
      await send();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return (await problem()) !== null;
    });
    assert.match(
      (await problem())!,
      /^The database has no room: it refused the last batch \d+ s ago \(.*No space/,
    );
    assert.match(await doctor(), /the database has no room for a batch: .*No space left on device/);
    rmSync(join(disk, 'ballast'));
    await eventually('batches are stored again', async () => {
      await send();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return (await problem()) === null;
    });
    assert.doesNotMatch(await doctor(), /has no room/);
  } finally {
    await bench.end();
    await server.close();
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  }
});

/** Returns the bytes that are free on a disk. */
function free(directory: string): number {
  const text = execFileSync('df', ['--output=avail', '-B1', directory], { encoding: 'utf8' });
  return Number(text.trim().split('\n').at(-1));
}
