/** Connections that are older than the watch, namespaces that only a socket keeps, and what cannot be followed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { NamespaceListing, namespaceAt } from '../../agent/linux/network_namespaces.ts';
import { Lab } from '../../lab/lab.ts';
import { namespacePath } from '../../lab/namespaces.ts';
import { addMasqueradedBridge } from '../support/lab/masqueraded_bridge.ts';
import { curl, keeper, ownWay, removeNamespace } from '../support/lab/own_namespace.ts';
import { MAIN, skip } from '../support/lab/watch_lab.ts';
import { Watcher } from '../support/lab/watcher.ts';

const PATHS = ['/latest/meta-data/instance-id', '/latest/meta-data/ami-id'];

async function labOf(t: TestContext): Promise<Lab> {
  const lab = await Lab.create({ name: 'older', ipv6: false });
  t.after(() => lab.close());
  await lab.metadata.set({ connection: 'keep-alive' });
  return lab;
}

function namespaceOf(t: TestContext, lab: Lab, number: number, network?: string): string {
  const name = ownWay(lab, number, network);
  t.after(() => {
    if (namespaceAt(namespacePath(name)) !== null) removeNamespace(name);
  });
  return name;
}

function watch(lab: Lab, attribution: 'ebpf' | 'proc', maxNamespaces: number): Promise<Watcher> {
  const argv = [process.execPath, MAIN, 'watch', '--json', '--attribution', attribution];
  const env = { IMDSWATCH_MAX_NAMESPACES: String(maxNamespaces), IMDSWATCH_DOCKER_SOCKET: 'none' };
  return Watcher.start(lab, argv, env);
}

const pathsFrom = (watcher: Watcher, address: string) =>
  watcher.calls.filter((call) => call['source.address'] === address).map((call) => call['url.path']);

async function until(condition: () => boolean, timeoutMs = 30_000): Promise<void> {
  for (const endMs = performance.now() + timeoutMs; !condition() && performance.now() < endMs; )
    await sleep(50);
}

describe('a connection that is older than the watch, in a namespace with its own way', { skip }, () => {
  for (const { name, byThread } of [
    { name: 'of a process', byThread: false },
    { name: 'of a thread whose process is elsewhere', byThread: true },
  ]) {
    it(`${name}, is followed`, async (t) => {
      const lab = await labOf(t);
      const kept = await keeper(lab, namespaceOf(t, lab, 1), byThread);
      const watcher = await watch(lab, 'ebpf', 64);
      for (const path of PATHS) assert.equal(await kept.get(path), '200');
      await until(() => pathsFrom(watcher, '10.99.1.2').length === 2);
      await kept.stop();
      await watcher.stop();
      assert.deepEqual(pathsFrom(watcher, '10.99.1.2'), PATHS);
    });
  }

  it('is a loss while it lives where no capture may be opened', async (t) => {
    const lab = await labOf(t);
    const kept = await keeper(lab, namespaceOf(t, lab, 1));
    const watcher = await watch(lab, 'ebpf', 0);
    assert.match(await kept.get('/latest/a'), /^\d{3}$/);
    await watcher.stop();
    await kept.stop();
    assert.match(watcher.complaints, /namespaces\.not_followed_ms [1-9]/);
  });
});

describe('a connection that is older than the watch, and is masqueraded', { skip }, () => {
  it('is reported once a request, with its own address', async (t) => {
    const lab = await labOf(t);
    const [namespace = ''] = await addMasqueradedBridge(lab);
    const kept = await keeper(lab, namespace);
    const watcher = await watch(lab, 'ebpf', 64);
    for (const path of PATHS) {
      assert.equal(await kept.get(path), '200');
      await sleep(1_500);
    }
    await until(() => watcher.calls.length >= 2);
    await kept.stop();
    await watcher.stop();
    assert.deepEqual(
      watcher.calls.map((call) => [call['source.address'], call['url.path'], call.process?.pid]),
      PATHS.map((path) => ['10.98.7.11', path, kept.pid]),
    );
    assert.doesNotMatch(watcher.complaints, /were lost/);
  });
});

describe('a namespace that only a socket keeps', { skip }, () => {
  it('is captured in for as long as the socket lives', async (t) => {
    const lab = await labOf(t);
    const namespace = namespaceOf(t, lab, 2);
    const watcher = await watch(lab, 'ebpf', 64);
    curl(namespace, '/latest/first'); // missed, and a capture is opened
    await until(() => /./.test(watcher.complaints), 3_000);
    await sleep(2_500);
    const kept = await keeper(lab, namespace);
    assert.equal(await kept.moveTo(`/proc/${watcher.pid}/ns/net`), 'moved');
    removeNamespace(namespace);
    await sleep(12_000); // longer than from one look at all namespaces to the next
    assert.match(await kept.get('/latest/after'), /^\d{3}$/);
    await until(() => pathsFrom(watcher, '10.99.2.2').includes('/latest/after'));
    await kept.stop();
    await watcher.stop();
    assert.ok(pathsFrom(watcher, '10.99.2.2').includes('/latest/after'));
  });
});

describe('the same address and port in another namespace', { skip }, () => {
  it('is another connection, and counts as missed', async (t) => {
    const lab = await labOf(t);
    const { ipv4 } = lab.hostAddresses;
    const network = ipv4.replace(/\.\d+$/, '');
    const asked = (namespace: string | null, path: string) => {
      const argv = ['curl', '-s', '-m', '5', '--local-port', '45001', `http://169.254.169.254${path}`];
      return lab.run(argv, { from: namespace === null ? 'host' : { namespace } });
    };
    const watcher = await watch(lab, 'ebpf', 0);
    const first = await asked(null, '/latest/seen');
    assert.equal(first.status, 0, first.stderr);
    await until(() => pathsFrom(watcher, ipv4).includes('/latest/seen'));
    // The very address that the host has, with a way of its own.
    const name = `${lab.tag}-own3`;
    const ip = (...argv: string[]) => execFileSync('ip', argv);
    ip('netns', 'add', name);
    t.after(() => removeNamespace(name));
    const peer = ['type', 'veth', 'peer', 'name', 'own3', 'netns', lab.metadataNamespace];
    ip('-n', name, 'link', 'add', 'own0', ...peer);
    ip('-n', name, 'addr', 'add', `${ipv4}/24`, 'dev', 'own0');
    ip('-n', name, 'link', 'set', 'own0', 'up');
    ip('-n', lab.metadataNamespace, 'link', 'set', 'own3', 'up');
    ip('-n', lab.metadataNamespace, 'addr', 'add', `${network}.250/32`, 'dev', 'own3');
    ip('-n', lab.metadataNamespace, 'route', 'add', `${ipv4}/32`, 'dev', 'own3', 'metric', '1');
    ip('-n', name, 'route', 'add', '169.254.169.254/32', 'dev', 'own0');
    const hidden = await asked(name, '/latest/hidden');
    assert.equal(hidden.status, 0, hidden.stderr);
    ip('-n', lab.metadataNamespace, 'route', 'del', `${ipv4}/32`, 'dev', 'own3');
    await sleep(2_500);
    await watcher.stop();
    assert.equal(pathsFrom(watcher, ipv4).includes('/latest/hidden'), false);
    assert.match(watcher.complaints, /coverage\.missed [1-9]/);
  });
});

describe('without eBPF', { skip }, () => {
  it('a namespace that no capture may be opened in is a loss while it exists', async (t) => {
    const lab = await labOf(t);
    const watcher = await watch(lab, 'proc', 1);
    for (const number of [4, 5, 6]) namespaceOf(t, lab, number);
    await until(() => /max_namespaces/.test(watcher.complaints));
    await watcher.stop();
    assert.match(watcher.complaints, /namespaces\.not_watched_ms [1-9]/);
  });
});

describe('namespaces', { skip }, () => {
  it('are found by a process, by a thread alone, and by a mount alone', async (t) => {
    const lab = await labOf(t);
    const [byMount, byThread] = [namespaceOf(t, lab, 7), namespaceOf(t, lab, 8)];
    const kept = await keeper(lab, byThread, true);
    const [mounted, threaded] = [byMount, byThread].map((name) => namespaceAt(namespacePath(name))!);
    removeNamespace(byThread); // the thread is all that keeps it
    const found = new NamespaceListing().list(true);
    assert.match(found.get(threaded!) ?? '', new RegExp(`/proc/${kept.pid}/task/\\d+/ns/net`));
    assert.equal(found.get(mounted!), namespacePath(byMount));
    assert.equal(found.get(namespaceAt(`/proc/${kept.pid}/ns/net`)!)?.endsWith('/ns/net'), true);
    await kept.stop();
  });
});
