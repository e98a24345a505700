import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { HolderSearch } from '../../../../agent/attribution/proc_holder_search.ts';
import { HeldProcess, ProcReader } from '../../../../agent/linux/proc_reader.ts';
import { parseCommandLine, parsePathLink, parseStat } from '../../../../agent/linux/proc_stat.ts';
import { ProcFixture } from '../../../support/agent/linux/proc_fixture.ts';

describe('/proc/PID/stat', () => {
  it('a name may hold spaces, parentheses and line ends', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), fc.nat(4_194_304), fc.nat(1e9), (name, parent, start) => {
        const fields = `S ${parent} ${'1 '.repeat(17)}${start} 5 6`;
        const stat = parseStat(Buffer.from(`42 (${name}) ${fields}\n`));
        assert.deepEqual(
          stat && [stat.pid, stat.name, stat.state, stat.parentPid, stat.startTicks, stat.image],
          [42, name, 'S', parent, start, null],
        );
      }),
    );
  });
  it('takes any bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseStat(Buffer.from(bytes))));
    assert.equal(parseStat(Buffer.from('42 (x) S 1 2')), null);
  });
});

describe('/proc/PID/cmdline and links', () => {
  it('gives back what was started', () => {
    const arg = fc.string({ minLength: 1 }).filter((text) => !text.includes('\0') && text.isWellFormed());
    fc.assert(
      fc.property(fc.array(arg, { minLength: 1 }), (args) => {
        assert.deepEqual(parseCommandLine(Buffer.from(`${args.join('\0')}\0`)), args);
      }),
    );
  });
  it('an empty last argument is kept, a title’s padding is not, an empty file is null', () => {
    assert.deepEqual(parseCommandLine(Buffer.from('printf\0\0')), ['printf', '']);
    assert.deepEqual(parseCommandLine(Buffer.from('nginx: worker\0\0\0\0')), ['nginx: worker']);
    assert.equal(parseCommandLine(Buffer.alloc(0)), null);
  });
  it('a removed file’s mark is taken off', () => {
    assert.equal(parsePathLink(Buffer.from('/tmp/x (deleted)')), '/tmp/x');
  });
});

describe('a fixture of /proc', () => {
  let proc: ProcFixture;
  beforeEach(() => {
    proc = new ProcFixture();
  });
  afterEach(() => proc.remove());

  const search = (boundMs = 1000, now?: () => number) =>
    new HolderSearch({ procRoot: proc.root, boundMs, ...(now && { now }) });

  it('finds the holder among many, and first of all where it was found before', () => {
    for (let pid = 100; pid < 150; pid++) proc.put({ pid, name: 'other', descriptors: { 0: '/dev/null' } });
    proc.put({
      pid: 120,
      name: 'caller',
      descriptors: { 0: '/dev/null', 7: 'socket:[77]', 8: 'socket:[770]' },
    });
    const holders = search();
    const uid = process.getuid!();
    const first = holders.find(77, uid, () => true)!;
    assert.deepEqual([first.process.pid, first.descriptor, first.recent], [120, 7, false]);
    first.process.close();
    const scanned = holders.counters()['scanned_processes']!;
    const second = holders.find(770, uid, () => true)!;
    assert.deepEqual([second.process.pid, second.descriptor, second.recent], [120, 8, true]);
    assert.equal(holders.counters()['scanned_processes'], scanned + 1);
    second.process.close();
    assert.equal(
      holders.find(7, uid, () => true),
      null,
    );
    assert.equal(holders.isOutOfTime, false);
    holders.close();
  });

  it('does not search all processes for a socket that has ended', () => {
    for (let pid = 100; pid < 150; pid++) proc.put({ pid, name: 'other' });
    const holders = search();
    assert.equal(
      holders.find(77, 0, () => false),
      null,
    );
    assert.equal(holders.counters()['scanned_processes'], 0);
    holders.close();
  });

  it('stops when its time is over, and counts it', () => {
    for (let pid = 100; pid < 150; pid++) proc.put({ pid, name: 'other' });
    proc.put({ pid: 100, name: 'caller', descriptors: { 3: 'socket:[77]' } });
    let now = 0;
    const holders = search(10, () => now++);
    assert.equal(
      holders.find(77, process.getuid!(), () => true),
      null,
    );
    assert.equal(holders.isOutOfTime, true);
    assert.equal(holders.counters()['time_bound_hit'], 1);
    assert.ok(holders.counters()['scanned_processes']! < 15);
    holders.close();
  });

  it('finds a holder of another user than the socket’s', () => {
    proc.put({ pid: 100, name: 'caller', descriptors: { 3: 'socket:[77]' } });
    const holders = search();
    const found = holders.find(77, 12_345, () => true)!;
    assert.equal(found.process.pid, 100);
    found.process.close();
    holders.close();
  });

  it('a held process stays itself when its pid is given to another', () => {
    proc.put({ pid: 100, name: 'first', args: ['first'], startTicks: 1 });
    const held = HeldProcess.hold(proc.root, 100)!;
    proc.put({ pid: 100, name: 'second', args: ['second'], startTicks: 2 });
    assert.equal(held.stat(), null);
    assert.equal(held.args(), null);
    held.close();
  });

  it('reads a process by its start time only', () => {
    const reader = new ProcReader({ procRoot: proc.root });
    proc.put({ pid: 100, name: 'first', args: ['first'], startTicks: 10 });
    assert.deepEqual(reader.readExactly(100, 10)?.args, ['first']);
    proc.put({ pid: 100, name: 'first', args: ['second'], startTicks: 20 });
    assert.equal(reader.readExactly(100, 10), null);
    assert.deepEqual(reader.readExactly(100, 20)?.args, ['second']);
    assert.equal(reader.counters()['process_replaced'], 1);
  });

  it('sees an exec() in the same process under the same name', () => {
    const reader = new ProcReader({ procRoot: proc.root });
    const same = { pid: 100, name: 'sh', startTicks: 10, executable: '/bin/sh' };
    proc.put({ ...same, args: ['sh', 'a'], argumentsStart: 1000 });
    assert.deepEqual(reader.read(100)?.args, ['sh', 'a']);
    assert.deepEqual(reader.read(100)?.args, ['sh', 'a']);
    assert.equal(reader.counters()['process_cached'], 1);
    proc.put({ ...same, args: ['sh', 'b'], argumentsStart: 2000 });
    assert.deepEqual(reader.read(100)?.args, ['sh', 'b']);
  });

  it('follows parents to pid 1, and stops at one that is younger than its child', () => {
    const reader = new ProcReader({ procRoot: proc.root });
    proc.put({ pid: 1, name: 'init', startTicks: 1, args: ['init'], executable: '/sbin/init' });
    proc.put({ pid: 50, name: 'sshd', parentPid: 1, startTicks: 50, args: ['sshd'] });
    proc.put({ pid: 60, name: 'bash', parentPid: 50, startTicks: 60 });
    assert.deepEqual(
      reader.ancestors(60, 70).map((each) => each.pid),
      [60, 50, 1],
    );
    proc.put({ pid: 50, name: 'new', parentPid: 1, startTicks: 65 });
    assert.deepEqual(
      reader.ancestors(60, 70).map((each) => each.pid),
      [60],
    );
  });

  it('a kernel thread has neither executable nor arguments', () => {
    const reader = new ProcReader({ procRoot: proc.root });
    proc.put({ pid: 2, name: 'kthreadd', kernelThread: true });
    assert.deepEqual([reader.read(2)?.executable, reader.read(2)?.args], [null, null]);
  });
});
