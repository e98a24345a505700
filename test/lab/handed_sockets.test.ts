/**
 * Tests whose call it is when a process opens a connection and another process, or another program, sends the request:
 * after a fork, when the descriptor was passed over a Unix socket, and when the process began another program.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import type { Call } from '../../protocol/call.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { eventually } from '../support/collector/stored.ts';
import { addMasqueradedBridge } from '../support/lab/masqueraded_bridge.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const HAND_OVER = join(import.meta.dirname, '../support/lab/hand_over.py');
const WATCH = [process.execPath, MAIN, 'watch', '--json', '--attribution'];

describe('connections that are handed to another process', { skip }, () => {
  let lab: Lab;
  let programs: Programs;
  before(async () => {
    programs = await findPrograms();
    lab = await Lab.create({ name: 'handed', ipv6: false });
    await lab.metadata.set({ connection: 'keep-alive' });
  });
  after(() => lab?.close());

  async function handOver(
    watcher: Watcher,
    way: string,
    ends: string[] = [''],
    pause = 0,
    place = { lab, prefix: [] as string[] },
  ) {
    const path = `/latest/meta-data/${way}`;
    const begun = watcher.calls.length;
    const run = await place.lab.run([...place.prefix, programs.python3, HAND_OVER, IMDS_IPV4, path, way], {
      ...{ timeoutMs: 60_000, env: { HAND_OVER_PAUSE: String(pause) } },
    });
    assert.equal(run.status, 0, run.stderr);
    const [opener, sender] = run.stdout.trim().split(' ').map(Number);
    const found = ends.map(
      (end) => () => watcher.calls.slice(begun).find((call) => call['url.path'] === path + end),
    );
    for (let waits = 0; waits < 1_000 && found.some((find) => find() === undefined); waits++) await sleep(20);
    const calls = found.map((find) => find()!);
    for (const call of calls) assert.ok(call, `${way} was seen: ${watcher.complaints}`);
    return { opener, sender, calls };
  }

  function rowOf(call: Call) {
    return {
      caller: call.process?.pid,
      use: call['caller.connection'],
      opener: call.opener?.pid ?? null,
      confidence: call['attribution.confidence'],
    };
  }

  it('are the calls of the process that sends, and name the one that connected', async () => {
    const watcher = await Watcher.start(lab, [...WATCH, 'ebpf']);
    try {
      const own = await handOver(watcher, 'own');
      const expectedOwn = { caller: own.opener, use: 'own', opener: null, confidence: 'exact' };
      assert.deepEqual(rowOf(own.calls[0]!), expectedOwn);
      for (const way of ['fork', 'pass']) {
        const { opener, sender, calls } = await handOver(watcher, way);
        assert.deepEqual(
          rowOf(calls[0]!),
          { caller: sender, use: 'handed', opener, confidence: 'exact' },
          way,
        );
        const known = { name: calls[0]!.opener?.name, uid: calls[0]!.opener?.['owner.uid'] };
        assert.deepEqual(known, { name: calls[0]!.process?.name, uid: 0 });
      }
      const program = await handOver(watcher, 'program');
      const { opener } = program;
      const expected = { caller: opener, use: 'handed', opener, confidence: 'exact' };
      assert.deepEqual(rowOf(program.calls[0]!), expected);
      assert.ok(
        program.calls[0]!.process?.command_args?.includes('send'),
        'the program that sent is described',
      );

      const both = await handOver(watcher, 'both');
      const shared = { caller: both.sender, use: 'shared', opener: both.opener, confidence: 'probable' };
      assert.deepEqual(rowOf(both.calls[0]!), shared);

      const turns = await handOver(watcher, 'turns', ['/child', '/opener']);
      assert.deepEqual(turns.calls.map(rowOf), [
        { caller: turns.sender, use: 'handed', opener: turns.opener, confidence: 'exact' },
        { caller: turns.opener, use: 'own', opener: null, confidence: 'exact' },
      ]);
    } finally {
      await watcher.stop();
    }
  });

  it('are certain only where all reports about senders are there', async () => {
    const watcher = await Watcher.start(lab, [...WATCH, 'ebpf']);
    try {
      for (const way of ['often', 'lost']) {
        const path = `/latest/meta-data/${way}`;
        const running = lab.spawn([programs.python3, HAND_OVER, IMDS_IPV4, path, way], { stdio: 'pipe' });
        let output = '';
        running.child.stdout!.on('data', (chunk) => {
          output += chunk;
        });
        await eventually('the connection', () => output.includes('connected'));
        process.kill(watcher.pid, 'SIGSTOP');
        running.child.stdin!.write('\n');
        await running.exited;
        process.kill(watcher.pid, 'SIGCONT');
        const [, opener] = /connected\n(\d+) \d+/.exec(output)!;
        const found = () => watcher.calls.find((call) => call['url.path'] === path);
        await eventually(`the call (${way})`, () => found() !== undefined);
        const shared = { caller: Number(opener), use: 'shared', opener: null, confidence: 'probable' };
        assert.deepEqual(rowOf(found()!), shared, way);
      }
    } finally {
      await watcher.stop();
    }
    assert.match(watcher.complaints, /attribution\.ring_lost/);
  });

  it('are marked by /proc, if the processes that have the socket show it', async () => {
    // A busy machine looks at the processes while they wait.
    await lab.metadata.set({ connection: 'keep-alive', delayMs: 2_000 });
    const watcher = await Watcher.start(lab, [...WATCH, 'proc']);
    try {
      const own = await handOver(watcher, 'own');
      assert.deepEqual(rowOf(own.calls[0]!), {
        caller: own.opener,
        use: null,
        opener: null,
        confidence: 'exact',
      });
      // The process that connects is looked for before it hands its connection on.
      const fork = await handOver(watcher, 'fork', [''], 3);
      const shared = { caller: fork.opener, use: 'shared', opener: null, confidence: 'probable' };
      assert.deepEqual(rowOf(fork.calls[0]!), shared);
      const pass = await handOver(watcher, 'pass', [''], 3);
      const handed = { caller: pass.sender, use: 'handed', opener: pass.opener, confidence: 'probable' };
      assert.deepEqual(rowOf(pass.calls[0]!), handed);
    } finally {
      await watcher.stop();
    }
  });

  it('are probable where they are seen behind masquerade only', async () => {
    const wide = await Lab.create({ name: 'handedmasq' });
    try {
      await wide.metadata.set({ connection: 'keep-alive' });
      const [namespace = ''] = await addMasqueradedBridge(wide);
      const place = { lab: wide, prefix: ['ip', 'netns', 'exec', namespace] };
      const watcher = await Watcher.start(wide, [...WATCH, 'ebpf', '--interface', 'eth0']);
      try {
        const { opener, sender, calls } = await handOver(watcher, 'fork', [''], 0, place);
        const handed = { caller: sender, use: 'handed', opener, confidence: 'probable' };
        assert.deepEqual(rowOf(calls[0]!), handed);
      } finally {
        await watcher.stop();
      }
    } finally {
      await wide.close();
    }
  });
});
