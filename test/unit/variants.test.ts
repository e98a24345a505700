/** The runner itself: a test that depends on the date, the time zone or the locale fails, and is named. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { filesOf, LEFT_OUT, variants } from '../variants.ts';

const RUNNER = join(import.meta.dirname, '../run.ts');
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-variants-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const chosen = variants();
const noClock = chosen.some(({ env }) => 'FAKETIME' in env) ? false : 'needs faketime';

/** Runs one file of tests as `npm test -- --variants FILE` would. */
function runTests(body: string): { status: number | null; out: string } {
  const file = join(directory, 'fixture.test.mjs');
  writeFileSync(file, `import assert from 'node:assert/strict';\nimport { test } from 'node:test';\n${body}`);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [RUNNER, '--variants', file], {
    env: { ...env, TZ: 'UTC', LANG: 'en_US.UTF-8', LC_ALL: 'en_US.UTF-8', NO_COLOR: '1', LD_PRELOAD: '' },
    encoding: 'utf8',
  });
  return { status, out: stdout };
}

/** Returns the failed tests as the closing list names them. */
const failures = (out: string) => [
  ...new Set(out.split('\n').flatMap((line) => line.match(/^✖ (\[.*\] \w+)/)?.[1] ?? [])),
];

test('a test that depends on the date fails under another clock, and runs once', { skip: noClock }, () => {
  const soon = Date.now() + 30 * 86_400_000;
  const { status, out } = runTests(`
    test('dated', () => assert.ok(Date.now() < ${soon}));
    test('undated', () => assert.ok(performance.now() > 0));`);
  assert.equal(status, 1, out);
  const clocks = chosen.filter(({ env }) => 'FAKETIME' in env);
  assert.equal(clocks.length, 1);
  assert.deepEqual(
    failures(out),
    clocks.map(({ name }) => `[${name}] dated`),
  );
  assert.equal(out.match(/^ℹ tests /gm)?.length, 1, 'one summary');
  assert.match(out, /^ℹ tests 2\nℹ suites 0\nℹ pass 1\nℹ fail 1$/m);
});

test('a test that depends on the time zone or the locale fails there too', { skip: noClock }, () => {
  const { status, out } = runTests(`
    test('zoned', () => assert.equal(new Date(0).getHours(), 0));
    test('worded', () => assert.equal((1.5).toLocaleString(), '1.5'));
    test('neither', () => assert.equal(new Date(0).getTime(), 0));`);
  assert.equal(status, 1, out);
  assert.deepEqual(failures(out), [
    '[clock +4000 d, TZ Pacific/Kiritimati, LANG=de_DE] zoned',
    '[clock +4000 d, TZ Pacific/Kiritimati, LANG=de_DE] worded',
  ]);
});

test('the files that are left out exist, and the others run', () => {
  for (const file of Object.keys(LEFT_OUT)) assert.ok(existsSync(file), file);
  const files = ['test/system/web/plans.test.ts', 'test/unit/collector/offenders.test.ts'].map((name) =>
    resolve(name),
  );
  for (const variant of chosen) {
    const expected = variant.only === null ? files.slice(1) : files.slice(0, 1);
    assert.deepEqual(filesOf(variant, files), expected, variant.name);
  }
});
