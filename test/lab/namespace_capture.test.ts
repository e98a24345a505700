/** Captures in other network namespaces: opened when somebody calls there by a way of their own, and closed after. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ProcessWatch } from '../../agent/attribution/process_watch.ts';
import { NetlinkRefused } from '../../agent/linux/netlink_socket.ts';
import { Lab } from '../../lab/lab.ts';
import { eventually } from '../support/collector/stored.ts';
import { curl, ownWay } from '../support/lab/own_namespace.ts';
import { isCapturing } from '../support/lab/watch_lab.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const LIVE_SOURCE = join(import.meta.dirname, '../../agent/capture/live_source.ts');

function whyNoProcessEvents(): string | false {
  try {
    ProcessWatch.open().close();
    return false;
  } catch (error) {
    if (error instanceof NetlinkRefused) return error.message;
    throw error;
  }
}

describe('a namespace with its own way to the metadata service', () => {
  it('is captured from its second connection on, and the first is counted as missed', { skip }, async () => {
    const lab = await Lab.create({ name: 'ownway', ipv6: false });
    let namespace: string | null = null;
    try {
      const env = { IMDSWATCH_MAX_NAMESPACES: '64', IMDSWATCH_DOCKER_SOCKET: 'none' };
      const watcher = await Watcher.start(
        lab,
        [process.execPath, MAIN, 'watch', '--json', '--attribution', 'ebpf'],
        env,
      );
      namespace = ownWay(lab, 1);
      const inside = namespace;
      curl(inside, '/latest/meta-data/first');
      await eventually('a capture is open there', () => isCapturing(lab, inside));
      curl(namespace, '/latest/meta-data/second');
      curl(namespace, '/latest/meta-data/third');
      await sleep(500);
      await watcher.stop();
      const mine = watcher.calls.filter((call) => call['source.address'] === '10.99.1.2');
      assert.deepEqual(
        mine.map((call) => [call['url.path'], call.process?.['executable.path'], call['attribution.method']]),
        [
          ['/latest/meta-data/second', '/usr/bin/curl', 'ebpf'],
          ['/latest/meta-data/third', '/usr/bin/curl', 'ebpf'],
        ],
      );
      assert.match(watcher.complaints, /coverage\.missed [1-9]/);
    } finally {
      if (namespace !== null) execFileSync('ip', ['netns', 'del', namespace]);
      await lab.close();
    }
  });

  it('by /proc, is captured when a program begins in it, though it lives for seconds', {
    skip: skip || whyNoProcessEvents(),
  }, async () => {
    const lab = await Lab.create({ name: 'ownshort', ipv6: false });
    try {
      const env = { IMDSWATCH_MAX_NAMESPACES: '64', IMDSWATCH_DOCKER_SOCKET: 'none' };
      const argv = [process.execPath, MAIN, 'watch', '--json', '--attribution', 'proc'];
      const watcher = await Watcher.start(lab, argv, env);
      const mine = () => watcher.calls.filter((call) => call['url.path'] === '/latest/meta-data/short');
      // On a very busy machine the capture may be opened too late for one of them.
      for (let attempt = 0; mine().length === 0 && attempt < 5; attempt++) {
        const namespace = ownWay(lab, 10 + attempt);
        try {
          const url = 'http://169.254.169.254/latest/meta-data/short';
          const program = ['sh', '-c', `sleep 2; curl -s -m 20 ${url}; true`];
          await promisify(execFile)('ip', ['netns', 'exec', namespace, ...program]);
          await sleep(500);
        } finally {
          execFileSync('ip', ['netns', 'del', namespace]);
        }
      }
      await watcher.stop();
      assert.equal(mine()[0]?.process?.['executable.path'], '/usr/bin/curl');
      assert.match(watcher.complaints, /namespaces\.not_watched_ms [1-9]/, 'the time before it is a loss');
    } finally {
      await lab.close();
    }
  });

  it('a connection that is missed right before the end opens no capture that keeps the process alive', {
    skip,
  }, async () => {
    const lab = await Lab.create({ name: 'ownend', ipv6: false });
    let namespace: string | null = null;
    try {
      const env = { IMDSWATCH_MAX_NAMESPACES: '64', IMDSWATCH_DOCKER_SOCKET: 'none' };
      const watcher = await Watcher.start(
        lab,
        [process.execPath, MAIN, 'watch', '--json', '--attribution', 'ebpf'],
        env,
      );
      namespace = ownWay(lab, 2);
      curl(namespace, '/latest/meta-data/last');
      assert.deepEqual(await watcher.stop(), { status: 0, signal: null });
      assert.match(watcher.complaints, /coverage\.missed [1-9]/);
    } finally {
      if (namespace !== null) execFileSync('ip', ['netns', 'del', namespace]);
      await lab.close();
    }
  });

  it('many captures opened and closed do not end the process', { skip }, () => {
    const program = `
      import { createRequire } from 'node:module';
      import { createServer } from 'node:net';
      import { LiveSource } from ${JSON.stringify(LIVE_SOURCE)};
      for (let i = 0; i < 60; i++) {
        const source = new LiveSource({ interface: 'any', ringBytes: 524_288 });
        source.start(() => {});
        await new Promise((resolve) => setImmediate(resolve));
        source.stop();
        if (i % 10 === 9) globalThis.gc();
      }
      globalThis.gc();
      // Freed memory is used for something else, and libuv walks its list of handles.
      const { Cap } = createRequire(${JSON.stringify(LIVE_SOURCE)})('cap');
      const others = Array.from({ length: 500 }, () => new Cap());
      for (let i = 0; i < 20; i++) createServer().listen(0, '127.0.0.1').close();
      setTimeout(() => process.exit(others.length === 500 ? 0 : 1), 20);
    `;
    const name = `imdsw-caps-${process.pid}`;
    execFileSync('ip', ['netns', 'add', name]);
    try {
      const argv = [
        `--net=/run/netns/${name}`,
        process.execPath,
        '--expose-gc',
        '--input-type=module-typescript',
        '-e',
        program,
      ];
      execFileSync('nsenter', argv, { stdio: 'pipe' });
    } finally {
      execFileSync('ip', ['netns', 'del', name]);
    }
  });
});

describe('an attempt that never leaves the host', () => {
  it('is a call with the outcome blocked and its caller', { skip }, async () => {
    const lab = await Lab.create({ name: 'blocked', ipv6: false });
    try {
      const watcher = await Watcher.start(lab, [
        process.execPath,
        MAIN,
        'watch',
        '--json',
        '--attribution',
        'ebpf',
      ]);
      const rules =
        'add table ip f; add chain ip f o { type filter hook output priority 0; }; add rule ip f o ip daddr 169.254.169.254 drop';
      await lab.run(['nft', rules]);
      const tried = await lab.run(['curl', '-s', '-m', '1', 'http://169.254.169.254/latest/']);
      assert.equal(tried.status, 28, 'curl gave up');
      const isThere = () => watcher.calls.some(({ outcome }) => outcome === 'blocked');
      for (let tries = 0; !isThere() && tries < 600; tries++) await sleep(50);
      await watcher.stop();
      assert.deepEqual(
        watcher.calls
          .filter(({ outcome }) => outcome === 'blocked')
          .map((call) => [call.outcome, call['imds.version'], call.process?.pid]),
        [['blocked', null, tried.pid]],
      );
    } finally {
      await lab.close();
    }
  });
});
