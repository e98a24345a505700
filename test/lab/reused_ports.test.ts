/**
 * Tests whose call it is when two processes use one source port, one after the other, before anybody has read a packet of
 * the first: the call is that of the first one, or nobody's.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
/**
 * Makes one call from a source port, says its pid, and keeps the connection until its input ends. Then it resets the
 * connection, so that its port is free at once.
 */
const CALLER = `
import os, socket, struct, sys
path, port = sys.argv[1], int(sys.argv[2])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.bind(('', port))
s.connect(('${IMDS_IPV4}', 80))
s.sendall(f'GET {path} HTTP/1.1\\r\\nHost: imds\\r\\n\\r\\n'.encode())
answer = b''
while b'\\r\\n\\r\\n' not in answer: answer += s.recv(65536)
print(os.getpid(), flush=True)
sys.stdin.read()
`;

describe('source ports that a second process uses', { skip }, () => {
  let lab: Lab;
  let programs: Programs;
  before(async () => {
    programs = await findPrograms();
    lab = await Lab.create({ name: 'reused', ipv6: false });
    await lab.metadata.set({ connection: 'keep-alive' });
  });
  after(() => lab?.close());

  /** Starts a caller and returns when it has its answer. */
  async function begin(path: string, port: number) {
    const caller = lab.spawn([programs.python3, '-c', CALLER, path, String(port)], { stdio: 'pipe' });
    const pid = await new Promise<number>((resolve, reject) => {
      caller.child.stdout!.once('data', (chunk) => resolve(Number(String(chunk))));
      void caller.exited.then(() => reject(new Error(`the caller of ${path} ended without an answer`)));
    });
    return { pid, caller };
  }

  for (const way of ['ebpf', 'tracepoint', 'proc']) {
    it(`do not give the first one's call to the second one (${way})`, async () => {
      const watcher = await Watcher.start(lab, [
        process.execPath,
        MAIN,
        'watch',
        '--json',
        '--attribution',
        way,
      ]);
      try {
        process.kill(watcher.pid, 'SIGSTOP');
        const first = await begin('/latest/meta-data/first', 45_000);
        first.caller.child.stdin!.end();
        await first.caller.exited;
        const second = await begin('/latest/meta-data/second', 45_000);
        process.kill(watcher.pid, 'SIGCONT');
        const callTo = (path: string) => watcher.calls.find((call) => call['url.path'] === path);
        const names = ['first', 'second'].map((name) => `/latest/meta-data/${name}`);
        for (let waits = 0; waits < 1_500 && !names.every((path) => callTo(path)); waits++) await sleep(20);
        second.caller.child.stdin!.end();
        const calls = names.map(callTo);
        const [one, other] = calls;
        assert.ok(one !== undefined && other !== undefined, watcher.complaints);
        assert.equal(other.process?.pid, second.pid);
        // Without samples of a tracepoint, /proc has the second process only: it cannot be certain.
        const isCertain = way !== 'proc' || one['attribution.confidence'] === 'exact';
        if (isCertain) assert.equal(one.process?.pid, first.pid);
        assert.equal(one.opener ?? null, null);
      } finally {
        await watcher.stop();
      }
    });
  }
});
