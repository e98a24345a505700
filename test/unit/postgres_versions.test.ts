/** `npm run test:postgres`: which files it runs, and the table that it ends with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testFilesThatUse } from '../postgres/files.ts';
import { summary } from '../postgres/summary.ts';
import type { RunResults } from '../test_totals.ts';

const RESULTS: RunResults = {
  files: 2,
  passed: 10,
  failed: 0,
  skipped: [],
  passedAgain: [],
  durationMs: 90_000,
};

test('files that use a module by another module are found, and others are not', () => {
  const found = testFilesThatUse('test/support/postgres.ts', ['test/unit/collector']);
  const directly = 'test/unit/collector/store/postgres/failover.test.ts';
  // It has its servers from test/support/collector/admin.
  const byAnother = 'test/unit/collector/admin/leases_contract.test.ts';
  for (const file of [directly, byAnother]) assert.ok(found.includes(file), `${file} in ${found}`);
  assert.equal(found.includes('test/unit/collector/store/postgres/database_url.test.ts'), false);
});

test('the table names each version, each skipped test with its reason, and what passed at the second time', () => {
  const skipped = [
    { name: 'one', reason: 'there is no PgBouncer' },
    { name: 'two', reason: '' },
  ];
  const { lines, hasFailed } = summary(
    [
      { version: '16.14', results: { ...RESULTS, skipped, passedAgain: ['three'] } },
      { version: '17.10', results: RESULTS },
    ],
    2,
  );
  assert.equal(hasFailed, false);
  assert.deepEqual(lines, [
    'PostgreSQL  files   passed  failed  skipped  passed when run again  minutes',
    '16.14       2 of 2  10      0       2        1                      1.5',
    '17.10       2 of 2  10      0       0        0                      1.5',
    '16.14 skipped: one: there is no PgBouncer',
    '16.14 skipped: two: no reason given',
    '16.14 passed when run again: three',
  ]);
});

for (const [what, results] of [
  ['a test failed', { ...RESULTS, failed: 1 }],
  ['a file did not run', { ...RESULTS, files: 1 }],
  ['no test ran', { ...RESULTS, passed: 0 }],
  ['the run ended without a result', null],
] as const) {
  test(`a version has failed where ${what}`, () => {
    const runs = [
      { version: '16.14', results: RESULTS },
      { version: '17.10', results },
    ];
    assert.equal(summary(runs, 2).hasFailed, true);
  });
}
