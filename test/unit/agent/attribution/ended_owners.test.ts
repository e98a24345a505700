import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { describe, it } from 'node:test';
import { EndedOwners } from '../../../../agent/attribution/ended_owners.ts';
import { type ProcessReading, ProcessTable } from '../../../../agent/attribution/process_table.ts';
import { executableOf, interpreterOf } from '../../../../agent/attribution/program_path.ts';
import { monotonicNs, realClockUs } from '../../../../agent/linux/libc.ts';

/** Above every pid of Linux (PID_MAX_LIMIT): /proc never has them. */
const PID = 5_000_000;
const NETNS = 5;
const MS = 1_000_000n;

class Scene {
  readonly nowNs = monotonicNs();
  readonly begunUs = realClockUs() - 600_000;
  readonly proc = new Map<number, ProcessReading>();
  tableNowNs = this.nowNs - 900n * MS;
  readonly table = new ProcessTable(
    (pid) => this.proc.get(pid) ?? null,
    () => this.tableNowNs,
  );
  readonly owners = new EndedOwners({ table: this.table, poll() {}, counters: () => ({}) }, '/proc');

  /** A process that runs a program from 20 ms before the SYN, which was sent 600 ms ago, until 20 ms after it. */
  ended(pid: number, executable: string | null, more: Partial<ProcessReading> = {}): void {
    const synNs = this.nowNs - 600n * MS;
    this.tableNowNs = synNs;
    if (executable !== null) {
      this.proc.set(pid, {
        ...{ startTicks: 7, name: 'curl', executable, args: ['curl', '-s'], argsTruncated: false },
        ...{ workingDirectory: '/', cgroupPaths: null, parentPid: 0, uid: 33, netns: NETNS, ...more },
      });
    }
    this.table.handle({ kind: 'fork', pid, parentPid: PID - 1, timeNs: synNs - 21n * MS });
    this.table.handle({ kind: 'exec', pid, timeNs: synNs - 20n * MS });
    this.table.handle({ kind: 'exit', pid, timeNs: synNs + 20n * MS });
  }

  counts(): (number | undefined)[] {
    const { inferred, inferred_several, inferred_candidates, inferred_none } = this.owners.counters();
    return [inferred, inferred_several, inferred_candidates, inferred_none];
  }
}

describe('EndedOwners', () => {
  it('names the only process that lived at the SYN and has ended, as probable', () => {
    const scene = new Scene();
    scene.ended(PID, '/usr/bin/curl');
    scene.ended(PID + 1, '/usr/bin/curl', { uid: 0 });
    scene.ended(PID + 2, '/usr/bin/curl', { netns: NETNS + 1 });
    const owner = scene.owners.ownerOf(scene.begunUs, 33, NETNS);
    assert.deepEqual(
      [owner?.pid, owner?.executable, owner?.uid, owner?.method, owner?.confidence],
      [PID, '/usr/bin/curl', 33, 'sock_diag', 'probable'],
    );
    assert.deepEqual(scene.counts(), [1, 0, 0, 0]);
  });

  it('names nobody where several come into question, and counts them', () => {
    const scene = new Scene();
    scene.ended(PID, '/usr/bin/curl');
    scene.ended(PID + 1, '/usr/bin/wget');
    assert.equal(scene.owners.ownerOf(scene.begunUs, 33, NETNS), null);
    assert.equal(scene.owners.ownerOf(scene.begunUs, null, null), null);
    assert.deepEqual(scene.counts(), [0, 2, 4, 0]);
    // A process that could not be read may be of any namespace.
    const unread = new Scene();
    unread.ended(PID, '/usr/bin/curl');
    unread.ended(PID + 1, null);
    assert.equal(unread.owners.ownerOf(unread.begunUs, null, NETNS), null);
  });

  it('takes the command of a script, and not the shell that waited for it', () => {
    const scene = new Scene();
    const shell = PID - 1; // the parent of the processes of this scene
    const synNs = scene.nowNs - 600n * MS;
    scene.proc.set(shell, {
      ...{ startTicks: 7, name: 'sh', executable: '/bin/dash', args: ['sh'], argsTruncated: false },
      ...{ workingDirectory: '/', cgroupPaths: null, parentPid: 0, uid: 33, netns: NETNS },
    });
    scene.table.handle({ kind: 'fork', pid: shell, parentPid: 1, timeNs: synNs - 50n * MS });
    scene.table.handle({ kind: 'exec', pid: shell, timeNs: synNs - 49n * MS });
    scene.ended(PID, '/usr/bin/curl', { parentPid: shell });
    scene.table.handle({ kind: 'exit', pid: shell, timeNs: synNs + 30n * MS });
    assert.equal(scene.owners.ownerOf(scene.begunUs, 33, NETNS)?.pid, PID);
    // A second command at the same time may be the one.
    scene.ended(PID + 1, '/usr/bin/wget', { parentPid: shell });
    assert.equal(scene.owners.ownerOf(scene.begunUs, 33, NETNS), null);
    assert.deepEqual(scene.counts(), [1, 1, 2, 0]);
  });

  it('names nobody without a candidate, and where events were lost', () => {
    const scene = new Scene();
    scene.ended(PID, '/usr/bin/curl');
    assert.equal(scene.owners.ownerOf(scene.begunUs - 100_000, 33, NETNS), null, 'it was not there yet');
    assert.equal(scene.owners.ownerOf(scene.begunUs + 100_000, 33, NETNS), null, 'it had ended');
    assert.deepEqual(scene.counts(), [0, 0, 0, 2]);
    scene.tableNowNs = scene.nowNs - 500n * MS;
    scene.table.lostEvents();
    assert.equal(scene.owners.ownerOf(scene.begunUs, 33, NETNS), null);
    assert.equal(scene.owners.counters()['inferred_incomplete'], 1);
  });

  it('knows a program that could not be read by its path', () => {
    const scene = new Scene();
    scene.ended(PID, null);
    assert.equal(scene.owners.ownerOf(scene.begunUs, 33, NETNS), null, 'nothing is known of it');
    scene.table.addPath(PID, scene.nowNs - 621n * MS, process.execPath);
    const owner = scene.owners.ownerOf(scene.begunUs, 33, NETNS);
    assert.deepEqual([owner?.pid, owner?.executable], [PID, realpathSync(process.execPath)]);
    assert.deepEqual([owner?.args, owner?.confidence], [null, 'probable']);
  });
});

it('a program that could not be read has the user of the process that started it', () => {
  const scene = new Scene();
  const shell = PID - 1;
  const synNs = scene.nowNs - 600n * MS;
  scene.proc.set(shell, {
    ...{ startTicks: 7, name: 'sh', executable: '/bin/dash', args: ['sh'], argsTruncated: false },
    ...{ workingDirectory: '/', cgroupPaths: null, parentPid: 0, uid: 33, netns: NETNS },
  });
  scene.table.handle({ kind: 'exec', pid: shell, timeNs: synNs - 49n * MS });
  scene.ended(PID, null);
  scene.table.addPath(PID, synNs - 20n * MS - 1n, process.execPath);
  assert.equal(scene.owners.ownerOf(scene.begunUs, null, NETNS)?.uid, 33);
});

describe('executableOf', () => {
  it('follows links and scripts, and takes no other path', () => {
    assert.equal(executableOf('/bin/sh'), realpathSync('/bin/sh'));
    assert.equal(executableOf('sh'), null);
    assert.equal(executableOf('/no/such/program'), null);
    assert.equal(interpreterOf('#! /bin/sh -e\n'), '/bin/sh');
    assert.equal(interpreterOf('#!/usr/bin/env python3\n'), '/usr/bin/env');
    assert.equal(interpreterOf('\x7fELF'), null);
    assert.equal(interpreterOf('#!\n'), null);
  });
});
