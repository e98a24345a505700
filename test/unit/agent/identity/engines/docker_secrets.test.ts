/** An engine's answer may hold the environment of a container, and no error message may quote it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { DockerClient } from '../../../../../agent/identity/engines/docker.ts';

it('the error about an answer that cannot be read does not quote it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'docker-secrets-'));
  const path = join(directory, 'docker.sock');
  const server = createServer((_, response) => response.end('Planted-hunter2-Password')).listen(path);
  await once(server, 'listening');
  const client = new DockerClient(path);
  try {
    await assert.rejects(client.inspect('a'.repeat(64), null, 5_000), (error: Error) => {
      assert.ok(!/hunter2|Planted/.test(`${error.message} ${error.stack} ${error.cause}`), error.message);
      return true;
    });
  } finally {
    client.close();
    server.close();
    rmSync(directory, { recursive: true });
  }
});
