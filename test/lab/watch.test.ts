/** The main job: every call of every real client, as `imdswatch watch --json` reports it, against what happened. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PROC_HEAP, SMALL_HEAP } from '../../cli/watch_start.ts';
import { labClients } from '../../lab/clients.ts';
import { compareCalls, describeDifference } from '../../lab/compare.ts';
import { Lab } from '../../lab/lab.ts';
import { Ledger } from '../../lab/ledger.ts';
import { buildOneShot, findPrograms, installSdks, type Programs } from '../../lab/programs.ts';
import { startLegacyPoller, startModernService } from '../../lab/services.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');

describe('imdswatch watch in the lab', () => {
  let lab: Lab;
  let programs: Programs;
  before(async () => {
    if (skip) return;
    programs = await findPrograms();
    await installSdks((line) => console.log(line));
    lab = await Lab.create({ name: 'watchtest' });
  });
  after(() => lab?.close());

  it('reports every call once, with its version, status, category, process and script', {
    skip,
  }, async () => {
    const watcher = await Watcher.start(lab, [process.execPath, MAIN, 'watch', '--json']);
    const ledger = new Ledger(lab);
    const services = [
      ledger.addService(await startLegacyPoller(lab, programs, 0.2)),
      ledger.addService(await startModernService(lab, programs, 0.2)),
    ];
    for (const client of labClients(programs, await buildOneShot(programs, lab.home))) {
      await ledger.runClient(client);
    }
    for (const service of services) await service.stop();
    assert.deepEqual(await ledger.surprises(), [], 'the lab did what it was to do');
    const truths = (await ledger.truths()).filter(({ seq }) => seq > watcher.readySeq);
    await watcher.settle(truths.length);
    const end = await watcher.stop();
    assert.deepEqual(compareCalls(truths, watcher.calls).map(describeDifference), []);
    assert.deepEqual(watcher.invalid, []);
    assert.equal(end.status, 0, watcher.complaints);
  });

  it('has the flags for /proc where it falls back to it, and says so once', {
    skip,
  }, async () => {
    const withoutEbpf = ['setpriv', '--bounding-set=-bpf,-perfmon,-sys_admin'];
    for (const { prefix, isSmall } of [
      { prefix: [], isSmall: true },
      { prefix: withoutEbpf, isSmall: false },
    ]) {
      const watcher = await Watcher.start(lab, [...prefix, process.execPath, MAIN, 'watch', '--json']);
      const argv = readFileSync(`/proc/${watcher.pid}/cmdline`, 'utf8').split('\0');
      const { complaints } = watcher;
      await watcher.stop();
      const all = [...SMALL_HEAP, ...PROC_HEAP];
      assert.deepEqual(
        argv.filter((flag) => all.includes(flag)),
        isSmall ? SMALL_HEAP : PROC_HEAP,
        argv.join(' '),
      );
      const warnings = complaints.split('\n').filter((line) => line.includes('eBPF'));
      assert.equal(warnings.length, isSmall ? 0 : 1, complaints);
    }
  });
});
