import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openAliveFile } from '../../../systemd_notify/alive_file.ts';
import { ServiceManager } from '../../../systemd_notify/service_manager.ts';

describe('the file that says that a process in a container makes progress', () => {
  let directory: string;
  let file: string;
  const warnings: string[] = [];
  const log = { warn: (message: unknown) => warnings.push(String(message)) };
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-alive-'));
    file = join(directory, 'alive');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('is written when ready and at every sign of progress, with the last status; a status alone is none', () => {
    const send = openAliveFile(file);
    assert.equal(send('STATUS=Starting'), null);
    assert.equal(existsSync(file), false);
    assert.equal(send('READY=1\nSTATUS=Watching any'), null);
    assert.equal(readFileSync(file, 'utf8'), 'Watching any\n');
    send('STATUS=Watching any; 3 calls');
    assert.equal(readFileSync(file, 'utf8'), 'Watching any\n');
    send('WATCHDOG=1');
    assert.equal(readFileSync(file, 'utf8'), 'Watching any; 3 calls\n');
    send('STOPPING=1\nSTATUS=Stopping');
    assert.equal(readFileSync(file, 'utf8'), '');
  });

  it('says why it cannot be written', () => {
    assert.match(openAliveFile(join(directory, 'missing/alive'))('READY=1') ?? '', /ENOENT/);
  });

  it('comes from the environment where no service manager listens, and a process that is stuck does not touch it', () => {
    const env = { IMDSWATCH_ALIVE_FILE: file };
    const manager = ServiceManager.fromEnvironment(env, log);
    assert.deepEqual(env, {}, 'not for children');
    assert.equal(manager.isListening, true);
    manager.ready('well');
    assert.equal(readFileSync(file, 'utf8'), 'well\n');
    rmSync(file);
    manager.follow(() => ({ status: 'well', stuck: 'nothing is read' }));
    return new Promise<void>((resolve) =>
      setImmediate(() => {
        manager.close();
        assert.equal(existsSync(file), false);
        assert.equal(warnings.length, 1);
        resolve();
      }),
    );
  });

  it("a service manager's socket comes first", () => {
    const manager = ServiceManager.fromEnvironment(
      { IMDSWATCH_ALIVE_FILE: file, NOTIFY_SOCKET: 'vsock:2:9' },
      { warn: () => {} },
    );
    assert.equal(manager.isListening, false);
  });
});
