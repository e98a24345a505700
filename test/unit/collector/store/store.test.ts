/** The embedded store stores records and returns them, through its threads. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store } from '../../../../collector/store/store.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ALL, ALL_CALLS, call, host, stream } from '../../../support/collector/store/records.ts';
import { testStore } from '../../../support/collector/store/store_contract.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');

function open(dataDir = bench.directory()): { dataDir: string; store: Store } {
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  return { dataDir, store };
}

testStore(async () => open().store);

test('kinds are bounded: past that, new roles and user agents are counted without them and kept on the calls', async () => {
  const dataDir = bench.directory();
  const database = openForWriting(dataDir, FINDINGS);
  database.exec(`INSERT INTO kinds (key, class, category, outcome, last_us)
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 19995)
    SELECT 'made ' || n, 1, 'other', 'answered', 0 FROM number`);
  database.close();
  const { store } = open(dataDir);
  const records = Array.from({ length: 20 }, (_, index) =>
    call(NOON_US, { 'user_agent.original': `agent ${index}` }),
  );
  await store.write([stream(A)(...records)]);
  const { kinds } = (await store.identityTotals(ALL))[0]!;
  assert.equal(kinds.length, 6);
  assert.equal(kinds.find(({ userAgent }) => userAgent === null)!.count, 15);
  const { calls } = await store.calls(ALL_CALLS, 100, null);
  assert.ok(calls.every((found) => found['user_agent.original']?.startsWith('agent ')));
});
