/** Tests what `watch` does with lines that nobody reads, in a process of its own on a real pipe. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const MODULE = new URL('../../../../cli/terminal/line_output.ts', import.meta.url).href;
const MIB = 1_048_576;
/** Four times the heap of the process: it would end if it kept the lines. */
const LINES = 1_024;
const LINE_BYTES = MIB / 4;
const HEAP_MIB = 64;

const WRITER = `
import { LiveOutput } from ${JSON.stringify(MODULE)};
const output = new LiveOutput();
for (let number = 0; number < ${LINES}; number++) {
  // Each line is memory of its own.
  output.write(Buffer.alloc(${LINE_BYTES} - 1, 65 + (number % 26)).toString('latin1'));
  await new Promise(setImmediate);
}
const { dropped } = output;
const unreadBytes = await output.end();
process.stderr.write(JSON.stringify({ dropped, unreadBytes }));
process.exit(0);
`;

test('lines that nobody reads are dropped and counted beyond 4 MiB', async () => {
  const writer = spawn(
    process.execPath,
    [`--max-old-space-size=${HEAP_MIB}`, '--input-type=module', '--eval', WRITER],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const [said, [status]] = await Promise.all([text(writer.stderr!), once(writer, 'exit')]);
  writer.stdout!.destroy();
  assert.equal(status, 0, said.slice(0, 500));
  const { dropped, unreadBytes } = JSON.parse(said);
  // The last line is taken while there is room for its first byte.
  const most = 4 * MIB + LINE_BYTES;
  assert.ok(unreadBytes > 3 * MIB && unreadBytes <= most, `${unreadBytes} bytes are kept`);
  // The pipe and the own buffer of the reader hold less than 2 MiB.
  const keptLines = unreadBytes / LINE_BYTES;
  assert.ok(dropped <= LINES - keptLines && dropped > LINES - keptLines - 8, `${dropped} lines are dropped`);
});
