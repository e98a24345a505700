/**
 * Tests which namespaces get a capture, and the counters of those that get none. /proc is a directory of the
 * test.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Attributor } from '../../../../agent/attribution/attributor.ts';
import { NamespaceWatch } from '../../../../agent/coverage/namespace_watch.ts';

const DEVICES =
  'Inter-|   Receive |  Transmit\n face |bytes packets|bytes packets\n    lo: 0 0 0 0 0 0 0 0 0 0\n';
const ETH0 = '  eth0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n';
const SOCKET = 'sl\n   0: 0200630A:AFC9 FEA9FEA9:0050 01 0:0 0:0 0 0 0 4711\n';
const PACKET_SOCKET = 'sk RefCnt Type Proto Iface R Rmem User Inode\n0000 3 3 0003 0 1 0 0 4712\n';
const TUPLE = {
  localAddress: '10.99.0.2',
  localPort: 45_001,
  remoteAddress: '169.254.169.254',
  remotePort: 80,
};

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'imdswatch-proc-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Adds one process in its own namespace. Returns the inode number of the namespace. */
function addProcess(pid: number, options: { devices?: string; sockets?: string } = {}, below = root): number {
  const path = join(below, String(pid));
  for (const directory of ['ns', 'net', 'task']) mkdirSync(join(path, directory), { recursive: true });
  writeFileSync(join(path, 'net/dev'), DEVICES + (options.devices ?? ETH0));
  writeFileSync(join(path, 'net/tcp'), options.sockets ?? 'sl\n');
  writeFileSync(join(path, 'net/packet'), PACKET_SOCKET);
  writeFileSync(join(path, 'net/raw'), 'sl\n');
  writeFileSync(join(path, 'ns/net'), '');
  return statSync(join(path, 'ns/net')).ino;
}

/** A source that only records its captures, up to a bound. */
function setUp(method: Attributor['method'], bound: number, name = 'any') {
  const open = new Map<number, string>();
  const source = {
    name,
    netns: 1,
    maxNamespaces: bound,
    get namespaces() {
      return [...open.keys()];
    },
    isWatched: (netns: number) => open.has(netns),
    watchNamespace(netns: number, path: string) {
      if (open.size >= bound) return { kind: 'refused' as const, reason: 'the bound' };
      open.set(netns, path);
      return { kind: 'watched' as const };
    },
    namespacePath: (netns: number) => open.get(netns) ?? null,
    closeNamespace: (netns: number) => void open.delete(netns),
  };
  const attributor: Attributor = {
    onConnection: null,
    onClosed: null,
    method,
    poll() {},
    ownerOf: () => null,
    connectionClosed() {},
    counters: () => ({}),
    close() {},
  };
  const warnings: string[] = [];
  const watch = new NamespaceWatch({
    source,
    attributor,
    log: { warn: (message: unknown) => warnings.push(String(message)) } as never,
    isEndpoint: (address) => address === '169.254.169.254',
    isVisible: () => false,
    procRoot: root,
  });
  return { watch, open, warnings };
}

for (const method of ['ebpf', 'sock_diag'] as const) {
  describe(`with ${method}, network namespaces`, () => {
    it('each namespace beyond the bound is counted for as long as it exists', () => {
      for (let pid = 100; pid < 200; pid++) addProcess(pid);
      const { watch, open, warnings } = setUp(method, 2);
      watch.start(0);
      assert.equal(open.size, 2);
      assert.equal(watch.counters(0)['not_watched'], 98);
      assert.equal(warnings.length, 98);
      let before = 0;
      for (let nowMs = 1_000; nowMs <= 30_000; nowMs += 1_000) {
        watch.tick(nowMs);
        const now = watch.counters(nowMs)['not_watched_ms']!;
        assert.equal(now - before, 1_000);
        before = now;
      }
      for (let pid = 100; pid < 200; pid++) rmSync(join(root, String(pid)), { recursive: true });
      watch.tick(40_000);
      assert.equal(watch.counters(40_000)['not_watched'], 0);
      assert.equal(watch.counters(90_000)['not_watched_ms'], watch.counters(40_000)['not_watched_ms']);
    });

    it('a namespace with only a loopback needs no capture and is no loss', () => {
      addProcess(100, { devices: '' });
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      const { not_watched_ms, carried_by_ours } = watch.counters(60_000);
      assert.deepEqual([open.size, not_watched_ms, carried_by_ours], [0, 0, 1]);
    });

    it('a new namespace counts as unwatched from the last listing until its capture is open', () => {
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      addProcess(100);
      watch.tick(10_000); // the look that finds it
      assert.equal(open.size, 0);
      watch.tick(10_250);
      assert.equal(open.size, 1);
      assert.equal(watch.counters(60_000)['not_watched_ms'], 10_250);
    });

    it('a namespace in which a program begins is captured at once, though it is gone at the next listing', () => {
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      const netns = addProcess(100);
      watch.noteProcess(netns, 100, 4_000);
      assert.deepEqual([...open.keys()], [netns]);
      watch.noteProcess(netns, 100, 4_001);
      rmSync(join(root, '100'), { recursive: true });
      watch.tick(4_100);
      watch.tick(4_200);
      const { not_watched_ms, found_by_process } = watch.counters(60_000);
      assert.deepEqual([not_watched_ms, found_by_process], [4_000, 1]);
    });

    it('a namespace in which a program begins, and which needs no capture, is no loss', () => {
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      watch.noteProcess(addProcess(100, { devices: '' }), 100, 4_000);
      assert.equal(open.size, 0);
      // Its interfaces lead elsewhere only while it is created.
      watch.noteProcess(addProcess(101), 101, 4_000);
      assert.equal(open.size, 1);
      writeFileSync(join(root, '101/net/dev'), DEVICES);
      watch.tick(4_100);
      assert.equal(open.size, 1);
      watch.tick(4_250);
      assert.equal(open.size, 0);
      assert.equal(watch.counters(60_000)['not_watched_ms'], 0);
    });

    it('a namespace in which a program begins counts if it may not be captured, or is gone', () => {
      const { watch, open } = setUp(method, 1);
      watch.start(0);
      for (const pid of [100, 101]) watch.noteProcess(addProcess(pid), pid, 3_000);
      assert.equal(open.size, 1);
      assert.equal(watch.counters(5_000)['not_watched'], 1);
      watch.stop(5_000);
      assert.equal(watch.counters(5_000)['not_watched_ms'], 5_000 + 3_000);
    });

    it('a namespace whose capture is not open yet at the end counts too', () => {
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      for (let pid = 100; pid < 105; pid++) addProcess(pid);
      watch.tick(10_000);
      watch.tick(10_250);
      assert.equal(open.size, 4, 'not all at once');
      watch.stop(10_500);
      assert.equal(watch.counters(10_500)['not_watched_ms'], 4 * 10_250 + 10_500);
    });

    it('a namespace that is captured from the start is no loss', () => {
      addProcess(100);
      const { watch } = setUp(method, 9);
      watch.start(5_000);
      assert.equal(watch.counters(60_000)['not_watched_ms'], 0);
    });

    it('a namespace that needs a capture only for a moment, while it is created, is no loss', () => {
      const { watch, open } = setUp(method, 9);
      watch.start(0);
      addProcess(100);
      watch.tick(10_000);
      writeFileSync(join(root, '100/net/dev'), DEVICES);
      watch.tick(10_250);
      const { not_watched_ms, carried_by_ours } = watch.counters(60_000);
      assert.deepEqual([open.size, not_watched_ms, carried_by_ours], [0, 0, 1]);
    });

    it('a namespace beyond the bound is no loss any more when it needs no capture', () => {
      for (const pid of [100, 101]) addProcess(pid);
      const { watch } = setUp(method, 1);
      watch.start(0);
      for (const pid of [100, 101]) writeFileSync(join(root, `${pid}/net/dev`), DEVICES);
      watch.tick(10_000);
      const { not_watched_ms, not_watched } = watch.counters(60_000);
      assert.deepEqual([not_watched_ms, not_watched], [10_000, 0]);
    });

    it('processes that hide their namespace count for as long as there are any', () => {
      const { watch, warnings } = setUp(method, 9);
      watch.start(0);
      mkdirSync(join(root, '100/ns'), { recursive: true });
      symlinkSync('net', join(root, '100/ns/net')); // a loop, which the kernel refuses to follow
      watch.tick(10_000);
      watch.tick(20_000);
      assert.equal(watch.counters(25_000)['not_watched_ms'], 25_000);
      assert.match(warnings.join(), /1 processes hide theirs/);
      assert.equal(warnings.length, 1);
      rmSync(join(root, '100'), { recursive: true });
      watch.tick(30_000);
      assert.equal(watch.counters(90_000)['not_watched_ms'], 30_000);
    });
  });
}

describe('with eBPF', () => {
  it('a namespace with a socket to an endpoint at the start is first within the bound', () => {
    const [, withSocket] = [addProcess(100), addProcess(101, { sockets: SOCKET }), addProcess(102)];
    const { watch, open } = setUp('ebpf', 1);
    watch.start(0);
    assert.deepEqual([...open.keys()], [withSocket]);
    const { not_followed_ms, not_watched } = watch.counters(60_000);
    assert.deepEqual([not_followed_ms, not_watched], [0, 2]);
  });

  for (const [bound, name] of [
    [9, 'eth0'],
    [0, 'any'],
  ] as const) {
    it(`with a bound of ${bound} and the interface ${name}, no namespace is searched for`, () => {
      addProcess(100);
      const { watch, open } = setUp('ebpf', bound, name);
      watch.start(0);
      addProcess(101);
      watch.tick(10_000);
      watch.tick(20_000);
      assert.deepEqual([open.size, watch.counters(60_000)['not_watched_ms']], [0, 0]);
    });
  }

  it('a socket that cannot be followed is counted until the kernel reports its end', () => {
    const netns = addProcess(100, { sockets: SOCKET });
    const { watch, warnings } = setUp('ebpf', 0);
    watch.start(0);
    assert.equal(warnings.length, 1, 'said once');
    assert.ok(watch.counters(50_000)['not_followed_ms']! >= 50_000);
    watch.handleClosed(netns, TUPLE, 60_000);
    const total = watch.counters(60_000)['not_followed_ms'];
    assert.equal(watch.counters(90_000)['not_followed_ms'], total);
  });

  it('a capture stays while a namespace without a process has a socket, and closes afterwards', () => {
    const netns = addProcess(100, { sockets: SOCKET });
    const { watch, open } = setUp('ebpf', 9);
    watch.start(0);
    // The capture's descriptor still leads to the namespace when the process is gone.
    const elsewhere = join(root, 'held');
    addProcess(100, { sockets: SOCKET }, elsewhere);
    open.set(netns, join(elsewhere, '100/ns/net'));
    rmSync(join(root, '100'), { recursive: true });
    watch.tick(10_000);
    assert.equal(open.has(netns), true);
    writeFileSync(join(elsewhere, '100/net/tcp'), 'sl\n');
    writeFileSync(join(elsewhere, '100/net/raw'), 'sl\n0: 00000000:00FF 00000000:0000 07\n');
    watch.tick(15_000);
    watch.tick(20_000);
    assert.equal(open.has(netns), true, 'a raw socket can send packets without a connection');
    writeFileSync(join(elsewhere, '100/net/raw'), 'sl\n');
    watch.tick(30_000);
    assert.equal(open.has(netns), false);
  });

  for (const isOpen of [true, false]) {
    it(`a missed connection that is ${isOpen ? 'still' : 'no longer'} open ${isOpen ? 'counts' : 'does not count'} as not followed`, () => {
      const netns = addProcess(100);
      const { watch } = setUp('ebpf', 0);
      watch.start(0);
      const connection = {
        kind: 'established' as const,
        tuple: TUPLE,
        initialSequence: 7,
        netns,
        owner: () => null,
        threadId: () => null,
        isOpen: () => isOpen,
      };
      watch.holdNamespace(connection);
      watch.handleMissed(connection, 1_000);
      watch.held.release(connection);
      const counted = watch.counters(9_000)['not_followed_ms']!;
      assert.equal(counted >= 8_000, isOpen);
      watch.stop(9_000);
    });
  }
});
