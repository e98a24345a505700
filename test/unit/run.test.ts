/** The runner itself: what takes too long is ended, and what fails once runs again and is named. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually } from '../support/collector/stored.ts';

const RUNNER = join(import.meta.dirname, '../run.ts');
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-run-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Writes a file of tests. Returns its path. */
function writeFixture(body: string, name: string): string {
  const file = join(directory, name);
  const head = [
    `import assert from 'node:assert/strict';`,
    `import { spawn } from 'node:child_process';`,
    `import { existsSync, writeFileSync } from 'node:fs';`,
    `import { test } from 'node:test';`,
  ];
  writeFileSync(file, [...head, body].join('\n'));
  return file;
}

/** Runs files of tests, given by their bodies, as `npm test -- FILE…` would. */
function runTests(bodies: readonly string[], ...flags: string[]): { status: number | null; out: string } {
  const files = bodies.map((body, at) => writeFixture(body, `fixture${at}.test.mjs`));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [RUNNER, ...flags, ...files], {
    env: { ...env, NO_COLOR: '1' },
    encoding: 'utf8',
  });
  return { status, out: stdout };
}

const isRunning = (pid: number) => existsSync(`/proc/${pid}/exe`);

test('a test that passes when its file runs again does not fail the run, and is named with its error', () => {
  const flag = JSON.stringify(join(directory, 'flag'));
  const { status, out } = runTests([
    `test('good', () => {});
     test('now and then', () => {
       if (existsSync(${flag})) return;
       writeFileSync(${flag}, '');
       assert.equal(1, 2, 'the first time');
     });`,
  ]);
  assert.equal(status, 0, out);
  assert.match(out, /FAILED: now and then in .*fixture0\.test\.mjs: the first time/);
  assert.match(out, /PASSED WHEN IT RAN AGAIN: now and then\. It had failed: AssertionError.*the first time/);
  assert.match(out, /^ℹ tests 2\nℹ suites 0\nℹ pass 2\nℹ fail 0$/m);
});

test('the results for a program say what passed, failed, was skipped and why', () => {
  const results = join(directory, 'results.json');
  const flag = JSON.stringify(join(directory, 'second'));
  runTests(
    [
      `test('good', () => {}); test('left out', { skip: 'no server' }, () => {}); test('bad', () => assert.equal(1, 2));`,
      `test('now and then', () => { if (!existsSync(${flag})) { writeFileSync(${flag}, ''); throw new Error('once'); } });`,
    ],
    '--results',
    results,
  );
  const { durationMs, ...said } = JSON.parse(readFileSync(results, 'utf8'));
  assert.ok(durationMs > 0);
  assert.deepEqual(said, {
    files: 2,
    passed: 2,
    failed: 1,
    skipped: [{ name: 'left out', reason: 'no server' }],
    passedAgain: ['now and then'],
  });
});

test('a test that fails again fails the run, and is counted once', () => {
  const { status, out } = runTests([`test('bad', () => assert.equal(1, 2)); test('good', () => {});`]);
  assert.equal(status, 1, out);
  assert.match(out, /^ℹ tests 2\nℹ suites 0\nℹ pass 1\nℹ fail 1$/m);
  assert.match(out, /failing tests:.*✖ bad/s);
});

test('a file that does not end by itself ends with its tests', () => {
  const { status, out } = runTests([`test('good', () => {}); setInterval(() => {}, 1000);`]);
  assert.equal(status, 0, out);
});

test('a file that takes too long is ended, and has failed', () => {
  const { status, out } = runTests([`test('spins', () => { for (;;); });`], '--file-limit', '2');
  assert.equal(status, 1, out);
  assert.match(out, /ended at the limit of 2 s: .*fixture0\.test\.mjs/);
  assert.match(out, /^ℹ fail 1$/m);
});

test('a run that takes too long is ended, and has failed', () => {
  const spins = `test('spins', () => { for (;;); });`;
  const { status, out } = runTests([spins, spins, spins], '--run-limit', '2');
  assert.equal(status, 130, out);
  assert.match(out, /ended at the run's limit of 2 s: .*fixture0\.test\.mjs/);
});

test('what a test left running is ended, and named', async () => {
  const pidFile = join(directory, 'pid');
  const { status, out } = runTests([
    `test('forgets', () => {
       const child = spawn('sleep', ['600'], { stdio: 'ignore', detached: true });
       child.unref();
       writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));
     });`,
  ]);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  assert.equal(status, 0, out);
  assert.match(out, new RegExp(`left running by a test, and ended: ${pid} sleep 600`));
  await eventually('the end of the process', () => !isRunning(pid));
});

test('a run that is ended by a signal while files of both kinds run names what has failed until then', async () => {
  const waits = (name: string) =>
    `test('outer ${name}', async (t) => {
       await t.test('inner ${name}', async () => {
         writeFileSync(${JSON.stringify(directory)} + '/begun-${name}', '');
         await new Promise((resolve) => setTimeout(resolve, 600_000));
       });
     });`;
  mkdirSync(join(directory, 'test/lab'), { recursive: true });
  const files = [
    writeFixture(`test('bad', () => assert.equal(1, 2));`, 'bad.test.mjs'),
    writeFixture(waits('beside'), 'beside.test.mjs'),
    writeFixture(waits('alone'), 'test/lab/alone.test.mjs'),
  ];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = { env: { ...env, NO_COLOR: '1' }, cwd: directory };
  const child = spawn(process.execPath, [RUNNER, ...files], options);
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
    });
  }
  const closed = once(child, 'close');
  const isBegun = (name: string) => existsSync(join(directory, `begun-${name}`));
  await eventually(
    'all files run',
    () => isBegun('beside') && isBegun('alone') && out.includes('FAILED: bad'),
  );
  child.kill('SIGTERM');
  const [status] = await closed;
  assert.equal(status, 130, out);
  assert.match(out, /failing tests:.*✖ bad/s);
  assert.match(out, /^ℹ fail 3$/m);
});
