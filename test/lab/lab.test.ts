import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Lab } from '../../lab/lab.ts';
import { namespacePath, startTicksOf, sweepLeftovers } from '../../lab/namespaces.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const LAB_MODULE = join(import.meta.dirname, '../../lab/lab.ts');

/** A program that builds a lab with a sleeper in it, says where, and waits. */
const MAKER = `
  import { Lab } from ${JSON.stringify(LAB_MODULE)};
  const lab = await Lab.create({ name: 'labtest' });
  const sleeper = lab.spawn(['sh', '-c', 'sleep 60 & echo $!; wait']);
  sleeper.child.stdout.once('data', (text) => {
    console.log(JSON.stringify({ host: lab.hostNamespace, imds: lab.metadataNamespace, home: lab.home, pid: Number(text) }));
  });
`;

async function startMaker(): Promise<{
  child: ChildProcess;
  host: string;
  imds: string;
  home: string;
  pid: number;
}> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', MAKER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout!, 'data');
  return { child, ...JSON.parse(String(line)) };
}

async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    if (startTicksOf(pid) === null) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

describe('lab', () => {
  it("runs programs whose pid, output and status are their own, without the caller's settings", {
    skip,
  }, async () => {
    process.env['AWS_ACCESS_KEY_ID'] = 'outside';
    const lab = await Lab.create({ name: 'labtest' });
    try {
      const result = await lab.run(['sh', '-c', 'echo $$; echo "$HOME"; env | grep -c AWS_; cat; exit 7'], {
        input: 'in',
      });
      assert.equal(result.status, 7);
      assert.deepEqual(result.stdout.split('\n'), [String(result.pid), lab.home, '0', 'in']);
      assert.ok(result.startedAt <= result.endedAt);
      const late = await lab.run(['sleep', '30'], { timeoutMs: 50 });
      assert.equal(late.status, null);
      const missing = await lab.run(['no-such-program']);
      assert.equal(missing.status, 127);
    } finally {
      delete process.env['AWS_ACCESS_KEY_ID'];
      await lab.close();
    }
  });

  it('does not wait for the output of children that outlive a program which it ends', { skip }, async () => {
    const lab = await Lab.create({ name: 'labtest' });
    const parent = lab.spawn(['sh', '-c', 'trap "" TERM; setsid sleep 60 & echo $!; wait']);
    const [text] = await once(parent.child.stdout!, 'data');
    await parent.stop('SIGTERM', 100);
    assert.equal((await parent.exited).signal, 'SIGKILL');
    await lab.close();
    assert.ok(await gone(Number(text)));
  });

  it('leaves nothing behind, programs that outlive their starter included, and closes twice', {
    skip,
  }, async () => {
    const lab = await Lab.create({ name: 'labtest', ipv6: false });
    await lab.addPod();
    const { stdout } = await lab.run(['sh', '-c', 'setsid sleep 60 >&- 2>&- & echo $!']);
    const orphan = Number(stdout);
    assert.notEqual(startTicksOf(orphan), null);
    const running = lab.spawn(['sleep', '60']);
    await lab.close();
    await lab.close();
    assert.ok(await gone(orphan), 'orphan ended');
    assert.equal(startTicksOf(running.pid), null);
    for (const name of [lab.hostNamespace, lab.metadataNamespace, lab.podNamespace]) {
      assert.equal(existsSync(namespacePath(name)), false, name);
    }
    assert.equal(existsSync(lab.home), false);
  });

  it('changes nothing in the namespace that it is started from', { skip }, async () => {
    const ownNetwork = () =>
      readFileSync('/proc/net/route', 'utf8') + readFileSync('/proc/net/if_inet6', 'utf8');
    const before = ownNetwork();
    const lab = await Lab.create({ name: 'labtest' });
    const during = ownNetwork();
    await lab.close();
    assert.equal(during, before);
  });

  it('is gone when its maker is interrupted', { skip }, async () => {
    const { child, host, imds, home, pid } = await startMaker();
    assert.ok(existsSync(namespacePath(host)));
    child.kill('SIGINT');
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGINT');
    assert.deepEqual([namespacePath(host), namespacePath(imds), home].filter(existsSync), []);
    assert.ok(await gone(pid));
  });

  it('is swept away later when its maker was killed', { skip }, async () => {
    const { child, host, imds, home, pid } = await startMaker();
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.ok(existsSync(namespacePath(host)), 'nobody could clean up');
    sweepLeftovers();
    assert.deepEqual([namespacePath(host), namespacePath(imds), home].filter(existsSync), []);
    assert.ok(await gone(pid));
  });

  it('does not remove labs that are in use', { skip }, async () => {
    const lab = await Lab.create({ name: 'labtest' });
    const swept = sweepLeftovers();
    assert.equal(swept.namespaces.includes(lab.hostNamespace), false);
    assert.ok(existsSync(namespacePath(lab.hostNamespace)));
    await lab.close();
  });

  it('refuses a name that it could not find again', { skip }, async () => {
    await assert.rejects(Lab.create({ name: 'a-b' }), { exitCode: 2 });
  });
});
