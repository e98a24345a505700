import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const MODULE = pathToFileURL(`${import.meta.dirname}/../../../lab/reset_connection.ts`).href;

/** The program whose server ends a connection and resets it in the same turn, and which must exit by itself then. */
const PROGRAM = `
import { connect, createServer } from 'node:net';
import { resetConnection } from '${MODULE}';
const server = createServer((socket) => {
  socket.on('error', () => {});
  if (process.argv[1] === 'ending') socket.end();
  resetConnection(socket);
  server.close();
});
server.listen(0, '127.0.0.1', () => {
  const client = connect(server.address().port, '127.0.0.1');
  client.on('error', ({ code }) => console.log(code));
  client.resume();
});`;

for (const [state, output] of [
  ['open', 'ECONNRESET\n'],
  ['ending', ''],
] as const) {
  test(`a connection that is ${state} is closed, and the process can exit`, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, state], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let printed = '';
    child.stdout.on('data', (chunk) => {
      printed += chunk;
    });
    const [code, signal] = await once(child, 'close');
    assert.deepEqual({ code, signal, printed }, { code: 0, signal: null, printed: output });
  });
}
