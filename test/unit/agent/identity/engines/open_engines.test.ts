import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { lookSettings } from '../../../../../agent/config.ts';
import { openEngines } from '../../../../../agent/identity/engines/open_engines.ts';

const quiet = { debug: () => {}, warn: () => {} };
const opened = (docker_socket: string, cri_socket: string) =>
  openEngines({ docker_socket, cri_socket }, quiet).map(({ name, socketPath }) => `${name} ${socketPath}`);

describe('where engines are searched', () => {
  it('at the usual paths by default', () => {
    const { docker_socket, cri_socket } = lookSettings.parse({});
    const found = opened(docker_socket, cri_socket).join('\n');
    for (const place of [
      'docker /run/docker.sock',
      'podman /run/podman/podman.sock',
      'cri /run/containerd/containerd.sock',
      'cri /run/k3s/containerd/containerd.sock',
      'cri /run/crio/crio.sock',
    ]) {
      assert.ok(found.includes(place), place);
    }
  });

  it('nowhere, or at the given paths', () => {
    assert.deepEqual(opened('none', 'none'), []);
    assert.deepEqual(opened('/a/d.sock, unix:///b/podman.sock', 'unix:///c/cri.sock'), [
      'docker /a/d.sock',
      'podman /b/podman.sock',
      'cri /c/cri.sock',
    ]);
  });

  it('once, if two paths lead to one socket', () => {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-sockets-'));
    try {
      mkdirSync(join(directory, 'run'));
      symlinkSync('run', join(directory, 'var-run'));
      assert.equal(opened(`${directory}/run/d.sock,${directory}/var-run/d.sock`, 'none').length, 1);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('never at a path that is not absolute', () => {
    for (const wrong of ['', 'docker.sock', 'tcp://localhost:2375', '/a,b', 'AUTO', '/a,']) {
      assert.ok(!lookSettings.safeParse({ docker_socket: wrong }).success, wrong);
      assert.ok(!lookSettings.safeParse({ cri_socket: wrong }).success, wrong);
    }
    assert.ok(
      lookSettings.safeParse({ docker_socket: 'unix:///x.sock,/y.sock', cri_socket: 'none' }).success,
    );
  });

  it('checks that a socket exists only after the start', () => {
    const [engine] = openEngines({ docker_socket: '/nonexistent/d.sock', cri_socket: 'none' }, quiet);
    engine!.start({ known: () => {}, live: () => {} });
    assert.equal(engine!.isPresent, false);
    assert.equal(engine!.isReady(), false);
    engine!.close();
  });
});
