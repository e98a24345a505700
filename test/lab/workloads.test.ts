/** However a workload is connected, its calls are reported once, as its own: units, other ways, a proxy in between. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { findPrograms } from '../../lab/programs.ts';
import { eventually } from '../support/collector/stored.ts';
import { startMachine } from '../support/lab/machine.ts';
import { addMacvlan, addMovedInterface, redirectPodToProxy } from '../support/lab/network_topologies.ts';
import { isCapturing } from '../support/lab/watch_lab.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const WATCH = [process.execPath, MAIN, 'watch', '--json', '--attribution', 'ebpf'];
const URL_BASE = 'http://169.254.169.254';
const service = (target: string) => `[Service]\nExecStart=/opt/fetch ${target} 60\n`;

/** Waits until a call for each target was seen, and a little longer for what would be too many. */
async function callsFor(watcher: Watcher, targets: string[]) {
  const found = () => targets.map((target) => watcher.calls.filter((call) => call['url.path'] === target));
  for (let tries = 0; tries < 1_500 && found().some((calls) => calls.length === 0); tries++) await sleep(20);
  await sleep(300);
  return found();
}

describe('workloads that are no containers', () => {
  it('systemd: a service, an instance of a template, a timer, a unit of a user', { skip }, async (t) => {
    const lab = await Lab.create({ name: 'units', ipv6: false });
    try {
      const watcher = await Watcher.start(lab, WATCH);
      const { engine: machine, notAvailable } = await startMachine(lab, {
        from: 'host',
        units: {
          'plain.service': service('/latest/meta-data/plain'),
          'instance@.service': service('/latest/meta-data/instance-%i'),
          'timed.service': '[Service]\nType=oneshot\nExecStart=/opt/fetch /latest/meta-data/timed 60\n',
          'timed.timer': '[Timer]\nOnActiveSec=0\nAccuracySec=1us\n',
        },
        enabled: ['plain.service', 'instance@one.service', 'timed.timer'],
        userUnits: { 'own.service': service('/latest/meta-data/user') },
        userEnabled: ['own.service'],
      });
      if (notAvailable !== null) return t.skip(notAvailable);
      const callers = [
        { target: '/latest/meta-data/plain', unit: 'plain.service', owner: 'system' },
        { target: '/latest/meta-data/instance-one', unit: 'instance@one.service', owner: 'system' },
        { target: '/latest/meta-data/timed', unit: 'timed.service', owner: 'system' },
        { target: '/latest/meta-data/user', unit: 'own.service', owner: 'user' },
      ] as const;
      await lab.metadata.waitFor(callers.length, 60_000);
      const seen = await callsFor(
        watcher,
        callers.map(({ target }) => target),
      );
      for (const [i, { unit, owner }] of callers.entries()) {
        const [call, ...more] = seen[i]!;
        assert.deepEqual(more, [], `${unit}: reported once`);
        assert.equal(call?.systemd?.unit, unit);
        assert.equal(call?.process?.pid, machine!.pidsOf(unit, owner)[0]);
        assert.equal(call?.container, null);
      }
      await watcher.stop();
    } finally {
      await lab.close();
    }
  });

  for (const [what, add] of [
    ['an interface that was moved', addMovedInterface],
    ['a macvlan', addMacvlan],
  ] as const) {
    it(`${what}: once, from the second connection on at the latest`, { skip }, async () => {
      const lab = await Lab.create({ name: 'other', ipv6: false });
      try {
        const watcher = await Watcher.start(lab, WATCH, { IMDSWATCH_MAX_NAMESPACES: '64' });
        const { namespace, address } = await add(lab);
        const curl = (target: string) => lab.run(['curl', '-s', URL_BASE + target], { from: { namespace } });
        await curl('/latest/meta-data/first');
        await eventually('a capture is open there', () => isCapturing(lab, namespace));
        const { pid } = await curl('/latest/meta-data/second');
        const [first, second] = await callsFor(watcher, [
          '/latest/meta-data/first',
          '/latest/meta-data/second',
        ]);
        await watcher.stop();
        assert.deepEqual(
          second!.map((call) => [call['source.address'], call.process?.pid, call['attribution.method']]),
          [[address, pid, 'ebpf']],
        );
        if (first!.length === 0) assert.match(watcher.complaints, /coverage\.missed [1-9]/);
        else assert.equal(first!.length, 1);
      } finally {
        await lab.close();
      }
    });
  }

  it('a proxy in between: one call, of the pod, by way of the proxy', { skip }, async () => {
    const lab = await Lab.create({ name: 'proxied', ipv6: false });
    try {
      const programs = await findPrograms();
      const watcher = await Watcher.start(lab, WATCH);
      await redirectPodToProxy(lab, programs);
      const target = '/latest/meta-data/placement/region';
      const asked = await lab.run([programs.curl, '-s', URL_BASE + target], { from: 'pod' });
      assert.equal(asked.status, 0);
      const [calls] = await callsFor(watcher, [target]);
      await watcher.stop();
      const [call, ...others] = calls!;
      assert.deepEqual(others, []);
      assert.equal(call!['source.address'], lab.hostAddresses.ipv4, 'the call that reached the service');
      assert.equal(call!.process?.pid, asked.pid);
      assert.equal(call!.via?.kind, 'translation');
      assert.match(call!.via?.['executable.path'] ?? '', /node$/);
    } finally {
      await lab.close();
    }
  });
});
