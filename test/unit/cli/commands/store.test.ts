/** Tests `imdswatch store check` and `store copy` as commands: output, exit codes, both directions. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { fillStore } from '../../../support/collector/transfer/filled_store.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';

const MAIN = fileURLToPath(new URL('../../../../cli/main.ts', import.meta.url));
const NOW_US = Date.UTC(2026, 10, 20, 12, 34) * 1000;

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function store(...args: string[]): Promise<Result> {
  // The variables of a faked clock, time zone or locale stay.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('IMDSWATCH_')),
  );
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'store', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  const result: Result = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    result.stdout += data;
  });
  child.stderr.on('data', (data) => {
    result.stderr += data;
  });
  result.code = await new Promise((resolve) => child.on('close', resolve));
  return result;
}

describe('imdswatch store', () => {
  const bench = new Bench();
  let filled: string;
  let server: PostgresServer | null = null;
  before(async () => {
    filled = bench.directory();
    const findings = openStore(filled);
    await fillStore(findings, NOW_US);
    await findings.close();
    openAdmin(filled).close();
    if (NO_POSTGRES === false) server = await PostgresServer.start();
  });
  after(async () => {
    await bench.end();
    await server?.close();
  });

  it('check exits with 0 for a good store, 1 where something differs, 2 for wrong use', async () => {
    const good = await store('check', '--data-dir', filled);
    assert.deepEqual([good.code, good.stderr], [0, '']);
    assert.match(good.stdout, /^Store: .*\n(equal {6}.*\n)+$/);
    const changed = bench.directory();
    await store('copy', '--from', filled, '--to', changed);
    const database = new DatabaseSync(join(changed, FINDINGS.file));
    database.exec('UPDATE fleet_daily SET count = count + 1 WHERE class = 1');
    database.close();
    const bad = await store('check', '--store', changed, '--against', filled, '--json');
    assert.equal(bad.code, 1);
    const { checked, against } = JSON.parse(bad.stdout);
    const broken = checked.filter(({ different }: { different: number }) => different > 0);
    assert.equal(broken.length, 1);
    const [{ name, different, differences }] = broken;
    assert.equal(name, 'fleet_daily');
    assert.ok(different >= differences.length && differences.length > 0);
    const [{ day, found, expected }] = differences;
    assert.match(day, /^2026-11-\d\d$/);
    assert.equal(found, expected + 1);
    const tables = against.tables.filter(({ isSame }: { isSame: boolean }) => !isSame);
    assert.deepEqual(
      tables.map(({ one }: { one: { table: string } }) => one.table),
      ['fleet_daily'],
    );
    const wrong = await store('check', '--store', filled, '--against', filled);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /Both stores are the same place/);
    const missing = await store('check', '--store', bench.directory());
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /There is no store at/);
  });

  it('copy moves a store to PostgreSQL and back, and check finds all three equal', {
    skip: NO_POSTGRES,
  }, async () => {
    const [url, back] = [await server!.createDatabase(), bench.directory()];
    const there = await store('copy', '--from', filled, '--to', url);
    assert.equal(there.code, 0, there.stderr);
    assert.match(there.stdout, /^TABLE +ROWS +SUM +CHECKSUM/);
    assert.match(there.stderr, /All \d+ tables are equal in both stores/);
    const again = await store('copy', '--from', url, '--to', back, '--json');
    assert.equal(again.code, 0, again.stderr);
    assert.ok(JSON.parse(again.stdout).every(({ isSame }: { isSame: boolean }) => isSame));
    for (const [one, other] of [
      [url, filled],
      [back, url],
    ] as const) {
      const compared = await store('check', '--store', one, '--against', other);
      assert.equal(compared.code, 0, compared.stdout + compared.stderr);
      assert.match(compared.stdout, /Compared with .*:\nTABLE/);
      assert.doesNotMatch(compared.stdout, /DIFFERENT/);
    }
  });
});
