/**
 * Tests that the kernel collects packets while it records who calls: calls have the times of their packets, are shown
 * soon, and lack nothing that was only true while their callers lived.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LiveSource } from '../../agent/capture/live_source.ts';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import type { Call } from '../../protocol/call.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { eventually } from '../support/collector/stored.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const BAD_CLIENTS = join(import.meta.dirname, '../support/lab/bad_clients.py');
/** Makes calls one after the other, each on a connection of its own, and waits between them. */
const CALLER = `
import socket, sys, time
prefix, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for n in range(count):
    s = socket.create_connection(('${IMDS_IPV4}', 80))
    s.sendall(f'GET /latest/meta-data/{prefix}-{n} HTTP/1.0\\r\\n\\r\\n'.encode())
    while s.recv(65536): pass
    s.close()
    time.sleep(pause)
`;
/**
 * Sends requests with heads of so many bytes, each in one segment. The header that makes a request version 2 is the
 * last line of its head.
 */
const LONG_HEADS = `
import socket, sys
def answer(request):
    s = socket.create_connection(('${IMDS_IPV4}', 80))
    assert s.send(request) == len(request)
    parts = iter(lambda: s.recv(65536), b'')
    return b''.join(parts)
asked = b'PUT /latest/api/token HTTP/1.0\\r\\nX-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n\\r\\n'
token = answer(asked).split(b'\\r\\n\\r\\n')[1]
for size in sys.argv[1:]:
    for version, line in (1, b''), (2, b'X-aws-ec2-metadata-token: ' + token + b'\\r\\n'):
        head = f'GET /latest/meta-data/long-{size}-v{version} HTTP/1.0\\r\\n'.encode()
        while len(head) + len(line) + 2 < int(size): head += b'X-Pad: ' + b'a' * 500 + b'\\r\\n'
        answer(head + line + b'\\r\\n')
`;

describe('packets that the kernel collects', { skip }, () => {
  let lab: Lab;
  let watcher: Watcher;
  let programs: Programs;
  const shown = new Map<string, { call: Call; atMs: number }[]>();

  before(async () => {
    lab = await Lab.create({ name: 'collected', ipv6: false });
    programs = await findPrograms();
    // A ring that keeps the packets of seconds: a busy machine may not run this process for a while.
    const ring = ['--capture-buffer-bytes', String(64 * 1024 * 1024)];
    const flags = ['--json', '--attribution', 'ebpf', '--max-namespaces', '0', ...ring];
    watcher = await Watcher.start(lab, [process.execPath, MAIN, 'watch', ...flags]);
    watcher.onCall = (call) => {
      const name = call['url.path']?.split('/').at(-1) ?? '';
      shown.set(name, [...(shown.get(name) ?? []), { call, atMs: Date.now() }]);
    };
    mkdirSync(join(lab.home, 'jobs'));
    writeFileSync(join(lab.home, 'jobs', 'caller.py'), CALLER);
  });
  after(() => lab?.close());

  /** Runs the caller in the directory of its script. */
  async function call(prefix: string, count: number, pauseSeconds = 0): Promise<number> {
    const script = `cd ${join(lab.home, 'jobs')} && exec ${programs.python3} caller.py "$@"`;
    const argv = ['bash', '-c', script, 'bash', prefix, String(count), String(pauseSeconds)];
    const { pid, status, stderr } = await lab.run(argv);
    assert.equal(status, 0, stderr);
    return pid;
  }

  async function until(condition: () => boolean): Promise<void> {
    for (let waits = 0; waits < 3_000 && !condition(); waits++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  const seen = (prefix: string) =>
    [...shown].filter(([name]) => name.startsWith(`${prefix}-`)).flatMap(([, each]) => each);

  it('are not lost in a burst that nobody reads, and have their own times', async () => {
    process.kill(watcher.pid, 'SIGSTOP');
    let pid: number;
    let readMs: number;
    try {
      pid = await call('burst', 300);
    } finally {
      readMs = Date.now();
      process.kill(watcher.pid, 'SIGCONT');
    }
    await until(() => seen('burst').length >= 300);
    const calls = seen('burst').map(({ call }) => call);
    assert.equal(calls.length, 300, watcher.complaints);
    for (const each of calls) {
      const endMs = Date.parse(each.time) + each.duration_ms!;
      // The answer came before anybody read it. One millisecond is the resolution of this test's clock.
      assert.ok(endMs <= readMs + 1, `${each.time}, ${each.duration_ms} ms`);
      // The caller ended before anybody read a packet, and yet it is described as it was.
      assert.equal(each.process?.pid, pid);
      assert.equal(each['attribution.confidence'], 'exact');
      assert.equal(each.process?.working_directory, join(lab.home, 'jobs'));
      assert.equal(each.process?.script, join(lab.home, 'jobs', 'caller.py'));
    }
    const times = calls.map(({ time }) => time);
    assert.deepEqual(times, times.toSorted());
    assert.equal(new Set(times).size, 300);
  });

  it('wake the watch up less than once a call, at 50 calls a second', async () => {
    const before = switches(watcher.pid);
    await call('steady', 150, 0.018);
    await until(() => seen('steady').length >= 150);
    const woken = switches(watcher.pid) - before;
    assert.equal(seen('steady').length, 150);
    assert.ok(woken < 150, `${woken} context switches`);
  });

  it('are shown within 100 ms after the answer', () => {
    // On a busy machine lines are late on their way to this process; with packets read too late, every one is.
    const latencies = seen('steady')
      .map(({ call, atMs }) => atMs - (Date.parse(call.time) + call.duration_ms!))
      .sort((a, b) => a - b);
    assert.ok(latencies[0]! < 100, `the fastest: ${latencies[0]} ms`);
  });

  it('are captured whole, so that a long head in one segment is read to its end', async () => {
    await readsLongHeads(lab, programs, watcher);
  });

  it('are all read before the watch ends', async () => {
    await call('last', 1);
    await watcher.stop();
    assert.equal(seen('last').length, 1, watcher.complaints);
    // A probe that was under way when the capture began may be truncated, which is a loss of the beginning.
    assert.doesNotMatch(watcher.complaints, /capture\.|coverage\.|ring_lost/);
  });

  it('are all counted, also those that come while the capture is opened', async () => {
    await lab.metadata.set({ connection: 'keep-alive' });
    const asking = lab.spawn([programs.python3, BAD_CLIENTS, IMDS_IPV4, 'keep-alive', '1000000']);
    try {
      for (let openings = 0; openings < 8; openings++) {
        const namespacePath = `/run/netns/${lab.hostNamespace}`;
        const source = new LiveSource({
          interface: 'any',
          ringBytes: 4_194_304,
          collectMs: 40,
          namespacePath,
        });
        source.start(() => {});
        await eventually('packets are read', () => source.counters().packets! > 0);
        process.kill(asking.pid, 'SIGSTOP');
        await sleep(100); // all that was captured is read then
        process.kill(asking.pid, 'SIGCONT');
        const { packets, passed_filter } = source.counters();
        source.stop();
        // With fewer, the last packets would count as read while they wait.
        assert.ok(
          passed_filter! >= packets!,
          `${packets} packets were read, ${passed_filter} passed the filter`,
        );
      }
    } finally {
      await asking.stop('SIGKILL');
    }
  });
});

describe('packets that the kernel collects for the program on a tracepoint', { skip }, () => {
  it('are captured whole, and each call has the process that made it', async () => {
    const lab = await Lab.create({ name: 'collectedtp', ipv6: false });
    try {
      const programs = await findPrograms();
      const flags = ['--json', '--attribution', 'tracepoint', '--max-namespaces', '0'];
      const watcher = await Watcher.start(lab, [process.execPath, MAIN, 'watch', ...flags]);
      await readsLongHeads(lab, programs, watcher);
      const before = watcher.calls.length;
      const made = Array.from({ length: 20 }, async (_, n) => {
        const path = `/latest/meta-data/short-${n}`;
        const { pid } = await lab.run([programs.curl, '-s', '-o', '/dev/null', `http://${IMDS_IPV4}${path}`]);
        return `${path} ${pid} ${programs.curl}`;
      });
      const expected = await Promise.all(made);
      await watcher.settle(before + made.length, 20_000);
      await watcher.stop();
      const told = watcher.calls
        .slice(before)
        .map((call) => [call['url.path'], call.process?.pid, call.process?.['executable.path']]);
      assert.deepEqual(told.map((row) => row.join(' ')).toSorted(), expected.toSorted(), watcher.complaints);
    } finally {
      await lab.close();
    }
  });
});

/** Sends requests of both versions with heads of up to 60 kB, each in one segment, and expects each as it was served. */
async function readsLongHeads(lab: Lab, programs: Programs, watcher: Watcher): Promise<void> {
  const sizes = ['9000', '20000', '60000'];
  // The window of a new connection lets the longest head leave at once.
  const route = ['ip', 'route', 'change', IMDS_IPV4, 'dev', 'eth0', 'initcwnd', '64'];
  for (const argv of [route, [programs.python3, '-c', LONG_HEADS, ...sizes]]) {
    const { status, stderr } = await lab.run(argv);
    assert.equal(status, 0, stderr);
  }
  const seen = () => watcher.calls.filter((call) => call['url.path']?.includes('/long-'));
  for (let waits = 0; waits < 2_000 && seen().length < 2 * sizes.length; waits++) await sleep(10);
  const requests = (await lab.metadata.log()).filter(({ target }) => target?.includes('/long-'));
  const served = requests.map(({ target, version }) => `${target} v${version}`);
  assert.equal(served.length, 2 * sizes.length);
  const calls = seen();
  assert.deepEqual(
    calls.map((each) => `${each['url.path']} v${each['imds.version']}`),
    served,
    watcher.complaints,
  );
  assert.ok(
    calls.every(({ outcome }) => outcome !== 'truncated'),
    watcher.complaints,
  );
}

/** Returns how often the threads of a process gave the processor up to wait. */
function switches(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
    sum += Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1]);
  }
  return sum;
}
