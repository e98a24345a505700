/** Tests how samples of connections are joined, and when the look-ups of sock_diag stand in for them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attributor } from '../../../../agent/attribution/attributor.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import { ProcessTable } from '../../../../agent/attribution/process_table.ts';
import type { ProcessWatch } from '../../../../agent/attribution/process_watch.ts';
import { TracepointAttributor } from '../../../../agent/attribution/tracepoint.ts';
import { TracepointOwners } from '../../../../agent/attribution/tracepoint_owners.ts';
import { RecordReading, type TracepointRecord } from '../../../../agent/attribution/tracepoint_records.ts';
import { monotonicNs, wallAheadUs } from '../../../../agent/linux/libc.ts';
import { HeldProcess } from '../../../../agent/linux/proc_reader.ts';

/** Above every pid of Linux (PID_MAX_LIMIT): /proc never has them. */
const PID = 5_000_000;
const OTHER_PID = PID + 2;
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
