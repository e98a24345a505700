/** Tests what people and doctor are told of a collector whose clock is not the database's, and that it has no lease then. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, mock, test } from 'node:test';
import { promisify } from 'node:util';
import type { Storage } from '../../../../collector/contract/storage.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { Person } from '../../../support/collector/person.ts';
import { noSteppedClock, SteppedClock } from '../../../support/collector/stepped_clock.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const HOUR_SECONDS = 3600;

describe('a clock that differs from that of the database', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start();
  });
  afterEach(async () => {
    mock.restoreAll();
    await bench.end();
  });
  after(() => server?.close());

  test('is told on the page and in metrics, and the collector has its leases again when it is right', async () => {
    const collector = await bench.collector({ store: await server.createDatabase() });
    const person = await Person.signIn(collector);
    const told = async () => ((await person.json('/storage')) as Storage).clock;
    const metric = async (name: string) => {
      const line = (await person.metrics()).split('\n').find((each) => each.startsWith(`imdswatch_${name} `));
      return line === undefined ? null : Number(line.split(' ').at(-1));
    };
    const holdsAlerts = async () => (await metric('lease_held{lease="alerts"}')) === 1;
    await eventually('the collector evaluates alerts', holdsAlerts);
    assert.equal(await told(), null);
    assert.ok(Math.abs((await metric('database_clock_ahead_seconds'))!) < 30);

    const right = Date.now;
    mock.method(Date, 'now', () => right() - HOUR_SECONDS * 1000);
    await eventually('it gives the lease up', async () => !(await holdsAlerts()));
    assert.match(
      (await told())!,
      /^The clock of this collector is 3\d\d\d s behind the clock of the database\./,
    );
    assert.ok((await metric('database_clock_ahead_seconds'))! < -HOUR_SECONDS + 60);

    mock.restoreAll();
    await eventually('it has the lease again', holdsAlerts);
    await eventually('nothing is told any more', async () => (await told()) === null);
  });

  test('is found by doctor', { skip: noSteppedClock() }, async () => {
    const store = await server.createDatabase();
    await bench.collector({ store });
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-wrong-clock-'));
    try {
      const clock = new SteppedClock(directory);
      const doctor = async () => {
        const argv = [
          '--disable-warning=ExperimentalWarning',
          MAIN,
          'doctor',
          '--part',
          'collector',
          '--json',
        ];
        const env = { ...process.env, IMDSWATCH_STORE: store, ...clock.env };
        return (await run(process.execPath, argv, { env }).catch((error) => error)).stdout as string;
      };
      assert.doesNotMatch(await doctor(), /the clock of this machine/);
      clock.set(2 * HOUR_SECONDS);
      assert.match(
        await doctor(),
        /the clock of this machine is 7\d\d\d s ahead of the clock of the database/,
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
