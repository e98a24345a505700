/** Tests what the store says an acknowledgement is worth: by settings, and on a real server with a standby. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabasePool } from '../../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../../collector/store/postgres/database_url.ts';
import {
  judgeDurability,
  readDurability,
  requiredStandbys,
} from '../../../../../collector/store/postgres/durability.ts';
import { NO_POSTGRES, PostgresServer } from '../../../../support/postgres.ts';

const SAFE = { commit: 'on', required: 1, fsync: true, present: 2 };

test('standbys that must confirm are counted', () => {
  const texts = {
    '': 0,
    'a, b': 1,
    '2 (a, b, c)': 2,
    'FIRST 3 (*)': 3,
    'ANY 1 (a, b)': 1,
    'any 2(a,b,c)': 2,
    '*': 1,
  };
  for (const [text, count] of Object.entries(texts)) assert.equal(requiredStandbys(text), count, text);
});

for (const [changes, expected] of [
  [{}, { copies: 2, isSafe: true, text: /on the disks of 2 machines: 1 standby/ }],
  [
    { required: 2, present: 1 },
    { copies: 3, isSafe: true, text: /Only 1 of them follow/ },
  ],
  [{ present: null }, { copies: 2, isSafe: true, text: /must confirm it\.$/ }],
  [{ commit: 'remote_apply' }, { copies: 2, isSafe: true, text: /2 machines/ }],
  [{ commit: 'remote_write' }, { copies: 1, isSafe: true, text: /in the memory of 1 others/ }],
  [{ commit: 'local' }, { copies: 1, isSafe: false, text: /synchronous_commit is local/ }],
  [{ required: 0 }, { copies: 1, isSafe: false, text: /synchronous_standby_names is empty/ }],
  [{ commit: 'off' }, { copies: 0, isSafe: false, text: /synchronous_commit is off/ }],
  [{ fsync: false }, { copies: 0, isSafe: false, text: /fsync is off/ }],
] as const) {
  test(`${JSON.stringify(changes)} is judged`, () => {
    const { copies, isSafe, text } = judgeDurability({ ...SAFE, ...changes });
    assert.deepEqual([copies, isSafe], [expected.copies, expected.isSafe]);
    assert.match(text, expected.text);
  });
}

test('a server with a standby that must confirm', { skip: NO_POSTGRES }, async () => {
  const primary = await PostgresServer.start({ settings: ['fsync = on'] });
  const standby = await PostgresServer.startStandby(primary, 'second');
  const pool = new DatabasePool(parseDatabaseUrl(primary.url('postgres')));
  const read = () => pool.session(readDurability);
  try {
    assert.deepEqual([(await read()).copies, (await read()).isSafe], [1, false]);
    await primary.query('postgres', `ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (second)'`);
    await primary.query('postgres', 'SELECT pg_reload_conf()');
    const deadline = performance.now() + 60_000;
    for (;;) {
      const { copies, required, present } = await read();
      if (copies === 2 && required === 1 && present === 1) break;
      assert.equal(performance.now() < deadline, true, JSON.stringify(await read()));
      await sleep(50);
    }
    // The checkpointer tells all processes of the setting before its next checkpoint; until then a commit waits for nobody.
    await primary.query('postgres', 'CHECKPOINT');
    await pool.transaction((session) => session.query('CREATE TABLE confirmed (a int)'));
    assert.deepEqual(await standby.query('postgres', 'SELECT count(*)::integer AS rows FROM confirmed'), [
      { rows: 0 },
    ]);
  } finally {
    await pool.close();
    await standby.close();
    await primary.close();
  }
});
