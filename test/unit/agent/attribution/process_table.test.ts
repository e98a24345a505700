import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ProcessReading, ProcessTable } from '../../../../agent/attribution/process_table.ts';

const ANY = { uid: null, netns: null };

function reading(executable: string, more: Partial<ProcessReading> = {}): ProcessReading {
  return {
    ...{ startTicks: 7, name: executable, executable, args: [executable], argsTruncated: false },
    ...{ workingDirectory: '/', cgroupPaths: null, parentPid: 1, uid: 0, netns: 5 },
    ...more,
  };
}

/** A table whose /proc and clock the test sets. */
class Scene {
  readonly proc = new Map<number, ProcessReading>();
  nowNs = 100n;
  readonly table: ProcessTable;

  constructor(limits?: ConstructorParameters<typeof ProcessTable>[2]) {
    this.table = new ProcessTable(
      (pid) => this.proc.get(pid) ?? null,
      () => this.nowNs,
      limits,
    );
  }

  fork(pid: number, parentPid: number, timeNs: bigint): void {
    this.#at(timeNs);
    this.table.handle({ kind: 'fork', pid, parentPid, timeNs });
  }

  exec(pid: number, executable: string | null, timeNs: bigint, more: Partial<ProcessReading> = {}): void {
    this.#at(timeNs);
    if (executable === null) this.proc.delete(pid);
    else this.proc.set(pid, reading(executable, more));
    this.table.handle({ kind: 'exec', pid, timeNs });
  }

  exit(pid: number, timeNs: bigint): void {
    this.#at(timeNs);
    this.proc.delete(pid);
    this.table.handle({ kind: 'exit', pid, timeNs });
  }

  #at(timeNs: bigint): void {
    if (timeNs > this.nowNs) this.nowNs = timeNs + 1n;
  }

  program(pid: number, timeNs: bigint): string | null | undefined {
    const found = this.table.at(pid, timeNs);
    return found === null ? undefined : (found.reading?.executable ?? null);
  }
}

describe('ProcessTable', () => {
  it('leaves no process out by its user where the events do not report that it changed', () => {
    for (const reportsUsers of [true, false]) {
      const scene = new Scene({ reportsUsers });
      for (const [pid, uid] of [
        [10, 0],
        [11, 33],
        [12, 44],
      ] as const) {
        scene.exec(pid, '/bin/any', 1_000n, { uid });
        scene.exit(pid, 3_000n);
      }
      const found = scene.table.candidates(2_000n, 2_000n, { uid: 33, netns: null });
      // A process of root may have become user 33; one of another user may not.
      assert.deepEqual(
        found?.map(({ pid }) => pid),
        reportsUsers ? [11] : [10, 11],
      );
    }
  });

  it('knows the path of a program by its event', () => {
    const scene = new Scene();
    scene.table.handle({ kind: 'exec', pid: 10, timeNs: 1_000n, path: '/bin/gone' });
    assert.equal(scene.table.at(10, 1_500n)?.path, '/bin/gone');
    assert.equal(scene.table.at(10, 1_500n)?.reading, null);
  });

  it('knows a process after its end, by the time in question', () => {
    const scene = new Scene();
    scene.exec(10, '/bin/sh', 1_000n);
    scene.fork(11, 10, 2_000n);
    scene.exec(11, '/usr/bin/curl', 3_000n, { startTicks: 9 });
    scene.exit(11, 4_000n);
    assert.equal(scene.program(11, 1_500n), undefined, 'before its fork');
    assert.equal(scene.program(11, 2_500n), '/bin/sh', 'a fork is what its parent was');
    assert.equal(scene.table.at(11, 2_500n)?.startTicks, null);
    assert.equal(scene.table.at(11, 2_500n)?.parentPid, 10);
    assert.equal(scene.program(11, 3_500n), '/usr/bin/curl');
    assert.equal(scene.table.at(11, 3_500n)?.startTicks, 9);
    assert.equal(scene.program(11, 4_500n), undefined, 'after its end');
    scene.table.expire(4_000n + 10_000_000_000n);
    assert.equal(scene.program(11, 3_500n), undefined, 'forgotten');
  });

  it('tells two processes of one pid apart', () => {
    const scene = new Scene();
    scene.exec(10, '/bin/first', 1_000n);
    scene.exit(10, 2_000n);
    scene.fork(10, 1, 3_000n);
    scene.exec(10, '/bin/second', 3_500n);
    assert.equal(scene.program(10, 1_500n), '/bin/first');
    assert.equal(scene.program(10, 2_500n), undefined);
    assert.equal(scene.program(10, 4_000n), '/bin/second');
  });

  it('begins again where another process has a pid, and neither its begin nor the end before it was reported', () => {
    const scene = new Scene();
    scene.fork(10, 2, 900n);
    scene.exec(10, '/bin/first', 1_000n, { parentPid: 2 });
    scene.exec(10, '/bin/second', 5_000n, { startTicks: 9, parentPid: 3 });
    const { parentPid, beganNs, startTicks } = scene.table.at(10, 5_000n)!;
    assert.deepEqual([parentPid, beganNs, startTicks], [3, null, 9]);
    assert.equal(scene.table.counters()['process_overruns'], 1);
    assert.equal(scene.table.isCompleteSince(5_000n), false);
  });

  it('does not trust what was read after the process had become another program', () => {
    const scene = new Scene();
    scene.exec(10, '/bin/true', 1_000n);
    // Both events wait when the first is handled, and /proc shows the second program already.
    scene.nowNs = 3_000n;
    scene.proc.set(10, reading('/usr/bin/curl'));
    scene.table.handle({ kind: 'exec', pid: 10, timeNs: 2_000n });
    scene.table.handle({ kind: 'fork', pid: 11, parentPid: 10, timeNs: 2_100n });
    scene.table.handle({ kind: 'exec', pid: 10, timeNs: 2_500n });
    assert.equal(scene.program(10, 1_500n), '/bin/true');
    assert.equal(scene.program(10, 2_200n), null);
    assert.equal(scene.program(11, 2_200n), null, 'nor does its child');
    assert.equal(scene.program(10, 2_600n), '/usr/bin/curl');
  });

  it('knows the user at a time', () => {
    const scene = new Scene();
    scene.exec(10, '/usr/sbin/cron', 1_000n, { uid: 0 });
    scene.table.handle({ kind: 'uid', pid: 10, uid: 33, timeNs: 2_000n });
    assert.equal(scene.table.at(10, 1_500n)?.uid, 0);
    assert.equal(scene.table.at(10, 2_500n)?.uid, 33);
    assert.equal(scene.program(10, 2_500n), '/usr/sbin/cron');
  });

  it('knows the user of a program that was not read, by a parent that is older than the events', () => {
    const scene = new Scene();
    scene.proc.set(10, reading('/usr/sbin/cron', { uid: 33, parentPid: 9 }));
    scene.fork(11, 10, 1_000n);
    scene.exec(11, null, 1_100n);
    scene.exit(11, 1_200n);
    const child = scene.table.at(11, 1_150n);
    assert.deepEqual([child?.uid, child?.reading, child?.parentPid], [33, null, 10]);
    assert.equal(scene.program(10, 1_050n), '/usr/sbin/cron');
    assert.equal(scene.table.at(10, 1_050n)?.parentPid, 9, 'its own parents are looked up by it');
  });

  it('knows no user that was read after it had changed', () => {
    const scene = new Scene();
    scene.proc.set(10, reading('/usr/sbin/sshd', { uid: 34 }));
    // Both changes wait when the process is read at the first fork.
    scene.nowNs = 3_000n;
    scene.fork(11, 10, 1_000n);
    scene.table.handle({ kind: 'uid', pid: 10, uid: 33, timeNs: 1_100n });
    scene.table.handle({ kind: 'uid', pid: 10, uid: 34, timeNs: 1_200n });
    const uids = [1_050n, 1_150n, 1_250n].map((timeNs) => scene.table.at(10, timeNs)?.uid);
    assert.deepEqual(uids, [null, 33, 34]);
    assert.equal(scene.table.at(11, 1_050n)?.uid, null, 'nor of its child');
  });

  it('keeps the path of a program that could not be read', () => {
    const scene = new Scene();
    scene.fork(10, 1, 900n);
    assert.equal(scene.table.addPath(10, 990n, '/opt/one-shot'), false, 'the event has not come yet');
    scene.exec(10, null, 1_000n);
    scene.exit(10, 1_100n);
    assert.equal(scene.table.addPath(10, 990n, '/opt/one-shot'), true);
    assert.equal(scene.table.at(10, 1_050n)?.path, '/opt/one-shot');
    assert.equal(scene.table.at(10, 950n)?.path, null, 'it was another program before');
    assert.equal(scene.table.addPath(11, 990n, '/opt/other'), false);
  });

  it('lists the processes that may have had a socket', () => {
    const scene = new Scene();
    scene.exec(10, '/usr/sbin/daemon', 1_000n);
    scene.exec(20, '/usr/bin/early', 10_000n);
    scene.exit(20, 10_500n);
    scene.exec(30, '/usr/bin/owner', 11_000n);
    scene.exec(40, '/usr/bin/other_user', 11_000n, { uid: 33 });
    scene.exec(50, '/usr/bin/other_place', 11_000n, { netns: 6 });
    for (const pid of [30, 40, 50]) scene.exit(pid, 11_800n);
    const names = (uid: number | null, netns: number | null) =>
      scene.table.candidates(11_500n, 11_600n, { uid, netns })?.map(({ pid }) => pid);
    assert.deepEqual(names(0, 5), [30]);
    assert.deepEqual(names(null, 5), [30, 40]);
    assert.deepEqual(names(null, null), [30, 40, 50]);
    // A process that lives on is found by its descriptors, or not at all.
    scene.exec(60, '/usr/bin/alive', 11_400n);
    assert.deepEqual(names(0, 5), [30]);
    scene.exit(60, 12_000n);
    assert.deepEqual(names(0, 5), [30, 60], 'two come into question');
    assert.deepEqual(scene.table.candidates(20_000n, 20_100n, ANY), []);
  });

  it('gives no candidates for a time of which events were lost', () => {
    const scene = new Scene();
    scene.exec(10, '/usr/bin/curl', 1_000n);
    scene.nowNs = 2_000n;
    scene.table.lostEvents();
    assert.equal(scene.table.candidates(1_500n, 1_600n, ANY), null);
    assert.equal(scene.table.isCompleteSince(1_500n), false);
    assert.deepEqual(scene.table.candidates(2_500n, 2_600n, ANY), []);
    assert.equal(scene.table.counters()['process_overruns'], 1);
  });

  it('keeps its bounds, and knows that it forgot a process that had just ended', () => {
    const scene = new Scene({ maxProcesses: 20, maxBytes: 1e6, keepEndedNs: 10_000n });
    for (let i = 0; i < 100; i++) {
      scene.exec(1_000 + i, '/usr/bin/curl', BigInt(1_000 + 10 * i));
      scene.exit(1_000 + i, BigInt(1_005 + 10 * i));
    }
    assert.ok(scene.table.size <= 20, `${scene.table.size} processes`);
    assert.ok(scene.table.counters()['processes_evicted']! > 0);
    assert.equal(scene.table.candidates(1_001n, 1_002n, ANY), null);
    const small = new Scene({ maxProcesses: 1_000, maxBytes: 20_000, keepEndedNs: 10_000n });
    for (let i = 0; i < 100; i++) small.exec(1_000 + i, `/${'x'.repeat(1_000)}`, BigInt(1_000 + i));
    assert.ok(small.table.size < 10, `${small.table.size} processes`);
    for (let i = 0; i < 100; i++) small.exit(1_000 + i, 5_000n);
    small.table.expire(50_000n);
    assert.equal(small.table.size, 0);
  });

  it('never takes one program for another, however late /proc is read', () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom('fork', 'exec', 'exit', 'look'),
        pid: fc.integer({ min: 2, max: 6 }),
        parent: fc.integer({ min: 2, max: 6 }),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const scene = new Scene();
        /** The truth: programs by pid as the kernel has them now, and every moment of each process. */
        const now = new Map<number, string>();
        const history: { pid: number; fromNs: bigint; program: string }[] = [];
        const waiting: Parameters<ProcessTable['handle']>[0][] = [];
        let timeNs = 1_000n;
        const become = (pid: number, program: string) => {
          now.set(pid, program);
          history.push({ pid, fromNs: timeNs, program });
        };
        const drain = () => {
          scene.nowNs = timeNs + 1n;
          scene.proc.clear();
          for (const [pid, program] of now) scene.proc.set(pid, reading(program));
          for (const event of waiting.splice(0)) scene.table.handle(event);
        };
        for (const [i, { what, pid, parent }] of list.entries()) {
          timeNs += 10n;
          if (what === 'fork' && !now.has(pid) && now.has(parent) && pid !== parent) {
            become(pid, now.get(parent)!);
            waiting.push({ kind: 'fork', pid, parentPid: parent, timeNs });
          } else if (what === 'exec' && (now.has(pid) || !history.some((each) => each.pid === pid))) {
            // A process that is not known yet is older than the events.
            become(pid, `/bin/program-${i}`);
            waiting.push({ kind: 'exec', pid, timeNs });
          } else if (what === 'exit' && now.has(pid)) {
            now.delete(pid);
            history.push({ pid, fromNs: timeNs, program: '' });
            waiting.push({ kind: 'exit', pid, timeNs });
          } else drain();
        }
        timeNs += 10n;
        drain();
        for (const { pid, fromNs } of history) {
          const atNs = fromNs + 5n;
          const truth = history.findLast((each) => each.pid === pid && each.fromNs <= atNs)!.program;
          const found = scene.program(pid, atNs);
          if (truth === '') assert.equal(found ?? null, null, `pid ${pid} at ${atNs} had ended`);
          else assert.ok(found == null || found === truth, `pid ${pid} at ${atNs}: ${found}, not ${truth}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});
