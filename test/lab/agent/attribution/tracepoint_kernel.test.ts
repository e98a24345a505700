/**
 * Tests the tracepoint program, samples of the tracepoint and process events on this kernel, with real callers: no BTF is
 * used.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { ProcessWatch } from '../../../../agent/attribution/process_watch.ts';
import { TracepointAttributor } from '../../../../agent/attribution/tracepoint.ts';
import { BpfUnavailable } from '../../../../agent/linux/ebpf_failure.ts';
import { NetlinkRefused } from '../../../../agent/linux/netlink_socket.ts';
import { chainOf, EbpfLab, type Started } from '../../../support/agent/attribution/ebpf_lab.ts';

const WAYS: readonly {
  way: string;
  sequential: number;
  atOnce: number;
  method: 'ebpf' | 'sock_diag';
  prefix: string;
  isSampled?: boolean;
}[] = [
  { way: 'the tracepoint program', sequential: 60, atOnce: 40, method: 'ebpf', prefix: '' },
  { way: 'a sample of the tracepoint', sequential: 20, atOnce: 20, method: 'sock_diag', prefix: 'sampled_' },
  {
    ...{ way: 'a sample, with process events by samples,', sequential: 20, atOnce: 20, isSampled: true },
    ...{ method: 'sock_diag', prefix: 'sampled_' },
  },
];
const open = (isSampled?: boolean) => (isSampled ? ProcessWatch.openSamples() : ProcessWatch.open());
const UID = 54_321;
const SERVICE = 'http://169.254.169.254';

function whyNotHere(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    TracepointAttributor.open({ fallback: null, processes: null }).close();
    TracepointAttributor.openSamples({ fallback: null, processes: ProcessWatch.open() }).close();
  } catch (error) {
    if (error instanceof BpfUnavailable && error.kind !== 'failed') return error.message;
    if (error instanceof NetlinkRefused) return error.message;
    throw error;
  }
  for (const tool of ['ip', 'nsenter', 'curl', 'bash', 'setpriv']) {
    try {
      execFileSync('which', [tool], { stdio: 'ignore' });
    } catch {
      return `${tool} is not installed`;
    }
  }
  return false;
}

const skip = whyNotHere();
const pathOf = (tool: string) => realpathSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim());

for (const { way, sequential, atOnce, method, prefix, isSampled } of WAYS) {
  describe(`${way} reports the owner`, { skip }, () => {
    const parents = chainOf(process.pid);
    const curl = skip === false ? pathOf('curl') : '';
    const owners = new Map<string, SocketOwner | null>();
    let lab: EbpfLab;
    let exact = 0;
    let attributor: TracepointAttributor;

    before(async () => {
      lab = new EbpfLab();
      const options = { fallback: null, processes: open(isSampled) };
      attributor =
        method === 'ebpf' ? TracepointAttributor.open(options) : TracepointAttributor.openSamples(options);
      await lab.serve((path, tuple) => {
        attributor.poll();
        owners.set(path, attributor.ownerOf(tuple, false));
      });
    });
    after(async () => {
      attributor.close();
      await lab.remove();
    });

    async function ownerOf(path: string): Promise<SocketOwner> {
      for (let i = 0; i < 200 && !owners.has(path); i++) await sleep(20);
      const owner = owners.get(path);
      assert.ok(owner, `nobody owns ${path}: ${JSON.stringify(attributor.counters())}`);
      return owner;
    }

    /**
     * On a busy machine a program may end before it is read. Then its executable is a conclusion from the path that
     * execve(2) got, and the rest is not known; everything that is said must be right all the same.
     */
    async function expectOwner(path: string, started: Started, args: string[], uid = 0): Promise<void> {
      assert.equal(await started.ended, 0);
      const owner = await ownerOf(path);
      const { pid, startTicks, executable, ancestors, confidence } = owner;
      assert.deepEqual(
        { pid, startTicks, executable, uid: owner.uid, method: owner.method },
        { pid: started.pid, startTicks: started.startTicks, executable: curl, uid, method },
      );
      const read = { args, netns: lab.netns };
      const unread = { args: null, netns: null };
      // Without events about users, a caller that has ended is probable, although it was read.
      const wasRead = confidence === 'exact' || (isSampled === true && owner.args !== null);
      assert.deepEqual({ args: owner.args, netns: owner.netns }, wasRead ? read : unread);
      if (confidence === 'exact') exact++;
      assert.deepEqual(
        ancestors?.map((ancestor) => ancestor.pid),
        parents.map((parent) => parent.pid),
      );
    }

    it(`of ${sequential} one-shot curls in sequence`, async () => {
      for (let i = 0; i < sequential; i++) {
        const args = ['curl', '-s', '-o', '/dev/null', `${SERVICE}/sequential/${i}`];
        await expectOwner(`/sequential/${i}`, lab.start(args), args);
      }
    });

    it(`of ${atOnce} one-shot curls at once`, async () => {
      const all: { path: string; args: string[]; started: Started }[] = [];
      for (let i = 0; i < atOnce; i++) {
        const args = ['curl', '-s', '-o', '/dev/null', `${SERVICE}/at-once/${i}`];
        all.push({ path: `/at-once/${i}`, args, started: lab.start(args) });
        // An agent does not spend its time on starting processes: this thread must read the events in between.
        await setImmediate();
      }
      for (const { path, args, started } of all) await expectOwner(path, started, args);
    });

    it('over IPv6, and of another user', async () => {
      const args = ['curl', '-s', '-o', '/dev/null', 'http://[fd00:ec2::254]/ipv6'];
      await expectOwner('/ipv6', lab.start(args), args);
      const user = ['setpriv', '--reuid', String(UID), '--clear-groups'];
      const theirs = ['curl', '-s', '-o', '/dev/null', `${SERVICE}/user`];
      await expectOwner('/user', lab.start([...user, ...theirs]), theirs, UID);
    });

    it('that has only been forked, with its parent', async () => {
      // The parent waits, so that it is read on a busy machine, too.
      const script = `sleep 1; (exec 3<>/dev/tcp/169.254.169.254/80; printf 'GET /forked HTTP/1.0\\r\\n\\r\\n' >&3; read -u 3 line); true`;
      const started = lab.start(['bash', '-c', script]);
      assert.equal(await started.ended, 0);
      const owner = await ownerOf('/forked');
      assert.equal(owner.executable, pathOf('bash'));
      assert.deepEqual(owner.args, ['bash', '-c', script]);
      assert.notEqual(owner.pid, started.pid);
      assert.deepEqual(
        owner.ancestors?.map(({ pid }) => pid),
        [started.pid, ...parents.map(({ pid }) => pid)],
      );
    });

    it('exactly where the program was read, and loses nothing', () => {
      assert.ok(exact > 0, 'no program was read while it ran');
      const counters = attributor.counters();
      const losses = ['owners_lost', 'process_overruns', 'malformed_records', 'incomplete_readings'];
      for (const name of losses) assert.equal(counters[`${prefix}${name}`] ?? 0, 0, name);
    });
  });
}
