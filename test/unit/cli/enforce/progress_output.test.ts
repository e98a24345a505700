/** A runner goes on when nobody reads what it prints, and when its terminal is lost. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProgressOutput } from '../../../../cli/enforce/progress_output.ts';

const ROOT = join(import.meta.dirname, '../../../..');

test('a terminal that was stopped holds nobody up, and costs a bounded memory', async () => {
  const gate = Promise.withResolvers<void>();
  const parts: string[] = [];
  const output = new ProgressOutput(async (bytes) => {
    await gate.promise;
    const part = bytes.subarray(0, 700_000);
    parts.push(part.toString());
    return part.length;
  });
  const line = `${'x'.repeat(99_999)}\n`;
  for (let count = 0; count < 20; count += 1) output.write(line);
  await output.flush(1);
  assert.deepEqual(parts, []);
  gate.resolve();
  await output.flush();
  const written = parts.join('');
  assert.equal(written.match(/x{99999}\n/g)?.length, 11);
  assert.match(written, /9 lines were left out\.\n/);
});

test('an error of a write ends nothing, and a full pipe is tried again', async () => {
  const errors = ['EAGAIN', 'EPIPE', 'EIO'];
  const parts: string[] = [];
  const output = new ProgressOutput(async (bytes) => {
    const code = errors.shift();
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    parts.push(bytes.toString());
    return bytes.length;
  });
  for (const text of ['one\n', 'two\n', 'three\n']) {
    output.write(text);
    await output.flush();
  }
  assert.deepEqual(parts, ['three\n']);
});

test('a process whose readers have gone and whose terminal is closed goes on to its end', async () => {
  const script = `
    import { progressOutput } from '${join(ROOT, 'cli/enforce/progress_output.ts')}';
    import { withoutTerminal } from '${join(ROOT, 'cli/signals.ts')}';
    const stop = new AbortController();
    withoutTerminal(() => stop.abort());
    progressOutput.write('begun\\n');
    await new Promise((resolve) => process.stdin.once('data', resolve));
    process.kill(process.pid, 'SIGHUP');
    process.kill(process.pid, 'SIGHUP');
    for (let count = 0; count < 3; count += 1) {
      progressOutput.write('restored\\n');
      process.stdout.write('status\\n');
      process.stderr.write('warning\\n');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    process.exitCode = stop.signal.aborted ? 5 : 1;
    process.stdin.destroy();
  `;
  const child = spawn(join(ROOT, 'bin/node'), ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  await once(child.stderr, 'data');
  child.stdout.destroy();
  child.stderr.destroy();
  child.stdin.write('go\n');
  assert.deepEqual(await ended, [5, null]);
});
