/** A booted machine in the lab: which unit calls, as the metadata service and the kernel say. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupMounts } from '../../lab/engines/cgroups.ts';
import { Lab } from '../../lab/lab.ts';
import { pidsWithTag, startTicksOf } from '../../lab/namespaces.ts';
import { startMachine } from '../support/lab/machine.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: boots a machine in network namespaces';
const CALLS_TIMEOUT_MS = 60_000;
const service = (target: string) => `[Service]\nExecStart=/opt/fetch ${target} 60\n`;
const UNITS = {
  'plain.service': service('/latest/meta-data/plain'),
  'instance@.service': service('/latest/meta-data/instance-%i'),
  'timed.service': `[Service]\nType=oneshot\nExecStart=/opt/fetch /latest/meta-data/timed 60\n`,
  'timed.timer': '[Timer]\nOnActiveSec=0\nAccuracySec=1us\n',
};
const CALLERS = [
  { target: '/latest/meta-data/plain', unit: 'plain.service', owner: 'system' },
  { target: '/latest/meta-data/instance-one', unit: 'instance@one.service', owner: 'system' },
  { target: '/latest/meta-data/timed', unit: 'timed.service', owner: 'system' },
  { target: '/latest/meta-data/user', unit: 'own.service', owner: 'user' },
] as const;

describe('a machine in the lab', () => {
  for (const from of ['host', 'pod'] as const) {
    it(`boots on the ${from}'s network, and its units call`, { skip }, async (t) => {
      const lab = await Lab.create({ name: 'machine', ipv6: false });
      try {
        if (from === 'pod') await lab.addPod();
        const { engine: machine, notAvailable } = await startMachine(lab, {
          from,
          units: UNITS,
          enabled: ['plain.service', 'instance@one.service', 'timed.timer'],
          userUnits: { 'own.service': service('/latest/meta-data/user') },
          userEnabled: ['own.service'],
        });
        if (notAvailable !== null) return t.skip(notAvailable);
        const log = await lab.metadata.waitFor(CALLERS.length, CALLS_TIMEOUT_MS);
        const targets = log.map(({ target }) => target).toSorted();
        assert.deepEqual(targets, CALLERS.map(({ target }) => target).toSorted());
        assert.equal(log[0]!.clientAddress === lab.hostAddresses.ipv4, from === 'host');
        for (const { unit, owner, target } of CALLERS) {
          const pids = machine!.pidsOf(unit, owner);
          assert.equal(pids.length, 1, unit);
          assert.equal(readlinkSync(`/proc/${pids[0]}/exe`), '/opt/fetch');
          assert.match(readFileSync(`/proc/${pids[0]}/cmdline`, 'utf8'), new RegExp(target));
          assert.match(readFileSync(`/proc/${pids[0]}/cgroup`, 'utf8'), new RegExp(`/${unit}$`, 'm'));
        }
      } finally {
        await lab.close();
      }
      const lives = (pid: number) => startTicksOf(pid) !== null;
      for (let tries = 0; tries < 50 && pidsWithTag(lab.tag).some(lives); tries++) await sleep(20);
      assert.deepEqual(pidsWithTag(lab.tag).filter(lives), []);
      assert.equal(existsSync(lab.home), false);
      for (const mount of cgroupMounts())
        assert.equal(existsSync(`${mount}/machine.slice/${lab.tag}`), false);
      assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(lab.tag), false);
    });
  }
});
