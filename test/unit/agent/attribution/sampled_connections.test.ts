/** Tests how samples of connections are joined, and when the look-ups of sock_diag stand in for them. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Attributor } from '../../../../agent/attribution/attributor.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { ProcessTable } from '../../../../agent/attribution/process_table.ts';
import type { ProcessWatch } from '../../../../agent/attribution/process_watch.ts';
import { TracepointAttributor } from '../../../../agent/attribution/tracepoint.ts';
import { TracepointOwners } from '../../../../agent/attribution/tracepoint_owners.ts';
import { RecordReading, type TracepointRecord } from '../../../../agent/attribution/tracepoint_records.ts';
import { monotonicNs, suspendedNs, wallAheadUs } from '../../../../agent/linux/libc.ts';
import { HeldProcess } from '../../../../agent/linux/proc_reader.ts';
import { ProcFixture } from '../../../support/agent/linux/proc_fixture.ts';

/** Above every pid of Linux (PID_MAX_LIMIT): /proc never has them. */
const PID = 5_000_000;
const OTHER_PID = PID + 2;
/** A clock tick of /proc. */
const TICK_NS = 10_000_000n;
/** This is what `parseStat` gives for a process of the fixture with `argumentsStart` 7000. */
const BASH_IMAGE = '0/0/7000/0';
const TUPLE = {
  ...{ localAddress: '10.0.0.7', localPort: 40_000 },
  ...{ remoteAddress: '169.254.169.254', remotePort: 80 },
};

class Scene {
  pending: TracepointRecord[] = [];
  gapNs: bigint | null = null;
  inferences = 0;
  readonly table: ProcessTable;
  readonly attributor: TracepointAttributor;

  constructor(reportsUsers = true) {
    this.table = new ProcessTable(
      (pid) => (pid === PID || pid === OTHER_PID ? { ...READING } : null),
      () => 5n,
      { reportsUsers },
    );
    const reports = {
      onFilling: () => {},
      read: () => {
        const reading = new RecordReading();
        reading.records.push(...this.pending.splice(0));
        if (this.gapNs !== null) reading.addGap(this.gapNs);
        this.gapNs = null;
        return reading.sort();
      },
      counters: () => ({ ring_lost: 0 }),
      close: () => {},
    };
    const processes = { table: this.table, poll() {}, counters: () => ({}), close() {} };
    const fallback: Attributor = {
      ...{ onConnection: null, onClosed: null, method: 'sock_diag', poll() {}, ownerOf: () => null },
      inferOwner: () => {
        this.inferences++;
        return { pid: PID + 9 } as SocketOwner;
      },
      ...{ connectionClosed() {}, counters: () => ({ lookups: 3 }), close() {} },
    };
    this.attributor = new TracepointAttributor(reports, 'sock_diag', {
      ...{ fallback, processes: processes as unknown as ProcessWatch },
    });
    this.table.handle({ kind: 'exec', pid: PID, timeNs: 10n });
  }

  report(kind: TracepointRecord['kind'], socket: number, timeNs: bigint, pid = PID): void {
    const caller = { pid, tid: pid, realUid: null, cgroupId: null, name: null };
    const tuple = kind === 'begun' ? { ...TUPLE, localPort: 0 } : TUPLE;
    this.pending.push({ kind, socket, timeNs, tuple, caller: kind === 'begun' ? caller : null });
  }

  owner(begunUs: number | null = null): SocketOwner | null {
    this.attributor.poll();
    return this.attributor.ownerOf(TUPLE, false, 1, begunUs);
  }
}

const READING = {
  ...{ startTicks: 7, name: 'curl', executable: '/usr/bin/curl', args: ['curl'], argsTruncated: false },
  ...{ workingDirectory: '/', cgroupPaths: null, parentPid: 0, uid: 33, netns: 5 },
};

describe('connections by samples', () => {
  it('belong to the process that the kernel names, exactly', () => {
    const scene = new Scene();
    scene.report('begun', 1, 20n);
    scene.report('established', 1, 21n);
    const { pid, executable, uid, name, method, confidence } = scene.owner()!;
    assert.deepEqual(
      { pid, executable, uid, name, method, confidence },
      {
        pid: PID,
        executable: '/usr/bin/curl',
        uid: 33,
        name: 'curl',
        method: 'sock_diag',
        confidence: 'exact',
      },
    );
    const counters = scene.attributor.counters();
    assert.deepEqual([counters['sampled_found'], counters['lookups']], [1, 3]);
  });

  it('are probable where the user may have changed since the program began', () => {
    const scene = new Scene(false);
    scene.report('begun', 1, 20n);
    scene.report('established', 1, 21n);
    const { uid, executable, confidence } = scene.owner()!;
    assert.deepEqual(
      { uid, executable, confidence },
      { uid: 33, executable: '/usr/bin/curl', confidence: 'probable' },
    );
  });

  it('name the program that the process runs, where the event of its begin was taken away', () => {
    const { pid } = process;
    const held = HeldProcess.hold('/proc', pid)!;
    const [startTicks, executable] = [held.stat()!.startTicks, held.executable()];
    held.close();
    const parent = {
      ...READING,
      startTicks,
      name: 'bash',
      executable: '/usr/bin/bash',
      uid: process.getuid!(),
    };
    const table = new ProcessTable(() => parent, monotonicNs, { reportsUsers: false });
    table.handle({ kind: 'fork', pid, parentPid: PID, timeNs: monotonicNs() });
    const owners = new TracepointOwners(
      { table, poll() {} } as unknown as ProcessWatch,
      ...(['/proc', null, 'sock_diag'] as const),
    );
    const caller = { pid, tid: pid, realUid: null, cgroupId: null, name: null };
    const owner = owners.ownerOf(caller, monotonicNs())!;
    assert.deepEqual(
      { executable: owner.executable, confidence: owner.confidence },
      { executable, confidence: 'probable' },
    );
    assert.equal(table.counters()['process_overruns'], 1);
  });

  describe('where events of processes may be taken away', () => {
    let proc: ProcFixture;
    beforeEach(() => {
      proc = new ProcFixture();
    });
    afterEach(() => proc.remove());

    /** The event of the program `curl` was taken away: by its events, the process is still its parent's program. */
    function scene(events: 'samples' | 'connector', name: string | null) {
      const bash = { ...READING, name: 'bash', executable: '/usr/bin/bash', args: ['bash', 'job.sh'] };
      const reading = () => ({ ...bash, image: BASH_IMAGE, uid: process.getuid!() });
      const table = new ProcessTable(reading, monotonicNs, { reportsUsers: events === 'connector' });
      const watch = { table, poll() {} } as unknown as ProcessWatch;
      const owners = new TracepointOwners(watch, proc.root, null, name === null ? 'sock_diag' : 'ebpf');
      // The middle of a clock tick that has passed.
      const startTicks = Number((monotonicNs() + suspendedNs()) / TICK_NS) - 1;
      const beganNs = BigInt(startTicks) * TICK_NS + TICK_NS / 2n - suspendedNs();
      table.handle({ kind: 'fork', pid: PID, parentPid: OTHER_PID, timeNs: beganNs });
      // Samples have neither the user nor the name.
      const realUid = name === null ? null : process.getuid!();
      const caller = { pid: PID, tid: PID, realUid, cgroupId: null, name };
      const ownerOf = () => owners.ownerOf(caller, monotonicNs())!;
      return { table, startTicks, ownerOf };
    }

    for (const name of ['curl', 'bash', null]) {
      it(`a caller that has ended is probable (its thread: ${name})`, () => {
        const { ownerOf } = scene('samples', name);
        const { executable, confidence } = ownerOf();
        assert.deepEqual([executable, confidence], ['/usr/bin/bash', 'probable']);
      });

      it(`a caller that has ended, and that its parent has not waited for, is probable (${name})`, () => {
        const { startTicks, ownerOf } = scene('samples', name);
        proc.put({ pid: PID, name: 'curl', startTicks, argumentsStart: 0 });
        assert.equal(ownerOf().confidence, 'probable');
      });

      it(`a living caller is exact if it is the program of its events (${name})`, () => {
        const { table, startTicks, ownerOf } = scene('samples', name);
        const bash = { name: 'bash', executable: '/usr/bin/bash', argumentsStart: 7_000 };
        proc.put({ pid: PID, startTicks, ...bash });
        assert.equal(ownerOf().confidence, 'exact');
        assert.equal(table.counters()['process_overruns'], 0);
      });

      it(`a living caller is read again if it runs the same executable anew (${name})`, () => {
        const { table, startTicks, ownerOf } = scene('samples', name);
        const args = ['bash', 'other.sh'];
        const bash = { name: name ?? 'bash', executable: '/usr/bin/bash', argumentsStart: 8_000, args };
        proc.put({ pid: PID, startTicks, ...bash });
        const owner = ownerOf();
        assert.deepEqual([owner.args, owner.confidence], [args, 'probable']);
        assert.equal(table.counters()['process_overruns'], 1);
      });
    }

    it('a living caller is read again if another process had its pid', () => {
      const { table, startTicks, ownerOf } = scene('samples', 'bash');
      const bash = { name: 'bash', executable: '/usr/bin/bash', argumentsStart: 7_000 };
      proc.put({ pid: PID, startTicks: startTicks - 5, ...bash });
      const owner = ownerOf();
      assert.deepEqual([owner.startTicks, owner.confidence], [startTicks - 5, 'probable']);
      assert.equal(table.counters()['process_overruns'], 1);
    });

    it('a caller is not described by a program that it became after it had connected', () => {
      const { startTicks, ownerOf } = scene('samples', 'curl');
      proc.put({
        pid: PID,
        startTicks,
        name: 'server',
        executable: '/usr/bin/server',
        argumentsStart: 8_000,
      });
      const { name, executable, args, confidence } = ownerOf();
      assert.deepEqual([name, executable, args, confidence], ['curl', null, null, 'probable']);
    });

    for (const [name, confidence] of [
      ['bash', 'exact'],
      ['curl', 'probable'],
      [null, 'probable'],
    ] as const) {
      it(`a caller that has ended is ${confidence} if its last event is about bash, and its name ${name}`, () => {
        const { table, ownerOf } = scene('samples', name);
        table.handle({ kind: 'exec', pid: PID, timeNs: monotonicNs(), path: '/bin/bash' });
        assert.equal(ownerOf().confidence, confidence);
      });
    }

    it('a caller that has ended is exact with the process connector, which loses nothing unnoticed', () => {
      assert.equal(scene('connector', 'bash').ownerOf().confidence, 'exact');
    });
  });

  it('are inferred only where the kernel named nobody', () => {
    const scene = new Scene();
    assert.equal(scene.attributor.inferOwner?.(TUPLE, 1)?.pid, PID + 9);
    // A process of which nothing is known: it is not another one.
    scene.report('begun', 1, 20n, PID + 1);
    scene.report('established', 1, 21n);
    assert.equal(scene.owner(), null);
    assert.equal(scene.attributor.inferOwner?.(TUPLE, wallAheadUs()), null);
    assert.equal(scene.inferences, 1);
  });

  it('have no owner where a report in between may be lost', () => {
    const scene = new Scene();
    scene.report('begun', 1, 20n);
    scene.attributor.poll();
    // The first socket ended and its address was used again, by another process, while there was no room.
    scene.gapNs = 28n;
    scene.report('begun', 2, 29n);
    scene.report('established', 1, 30n);
    assert.equal(scene.owner(), null);
    const other = { ...TUPLE, localPort: 40_001 };
    scene.pending.push({ kind: 'established', socket: 2, timeNs: 31n, tuple: other, caller: null });
    assert.equal(scene.attributor.ownerOf(other, false), null);
    assert.equal(scene.attributor.inferOwner?.(TUPLE, 1)?.pid, PID + 9, 'the kernel named nobody');
    scene.report('closed', 1, 40n);
    scene.report('begun', 1, 41n);
    scene.report('established', 1, 42n);
    assert.equal(scene.owner()?.pid, PID);
  });

  it('belong to the process that connected then, though another one has the port by now', () => {
    const scene = new Scene();
    const atUs = (sinceUs: number) => wallAheadUs() + sinceUs;
    scene.table.handle({ kind: 'exec', pid: OTHER_PID, timeNs: 11n });
    scene.report('begun', 1, 1_000_000n);
    scene.report('established', 1, 1_100_000n);
    scene.report('closed', 1, 2_000_000n);
    scene.report('begun', 2, 900_000_000n, OTHER_PID);
    scene.report('established', 2, 900_100_000n);
    assert.equal(scene.owner(atUs(1_010))?.pid, PID);
    assert.equal(scene.owner(atUs(1_010))?.confidence, 'exact');
    assert.equal(scene.owner(atUs(900_010))?.pid, OTHER_PID);
    // No SYN was seen: the addresses and ports alone do not say which one it was.
    assert.deepEqual([scene.owner()?.pid, scene.owner()?.confidence], [OTHER_PID, 'probable']);
    // The reports about a connection long before both were lost.
    assert.equal(scene.owner(atUs(-500_000)), null);
  });

  it('keep their owners if they were established before a gap', () => {
    const scene = new Scene();
    scene.report('begun', 1, 20n);
    scene.report('established', 1, 21n);
    scene.gapNs = 21n;
    assert.equal(scene.owner()?.pid, PID);
    assert.equal(scene.attributor.counters()['sampled_incomplete_readings'], 1);
  });
});
