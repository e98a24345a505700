/** Tests how signals end a command that keeps running. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

const MODULE = join(import.meta.dirname, '../../../cli/signals.ts');
/** A command that never finishes its orderly end. */
const PROGRAM = `
  import { untilSignal } from ${JSON.stringify(MODULE)};
  setInterval(() => {}, 1000);
  const ended = untilSignal();
  console.log('ready');
  console.log(await ended);`;

for (const [first, second] of [
  ['SIGTERM', 'SIGINT'],
  ['SIGINT', 'SIGTERM'],
  ['SIGTERM', 'SIGTERM'],
] as const) {
  test(`${first} begins the orderly end, and ${second} after it ends the process at once`, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'ready');
    child.kill(first);
    assert.equal((await lines.next()).value, first);
    child.kill(second);
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, second);
  });
}
