/** The units of the package on a booted Debian: the agent starts, and a call of a unit reaches the collector. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebianRelease } from '../support/lab/debian_tree.ts';
import { keptPackages, NATIVE } from '../support/packaging/kept.ts';
import { AGENT, COLLECTOR, InstalledMachine } from '../support/systemd/installed_machine.ts';

const TOKEN = 'a-token-of-this-test-0123456789';
const CALLS = 5;

/** Resolves to a summary. `dropIns` are files of /usr/lib/imdswatch/systemd that the machine uses. */
export async function checkUnits(release: DebianRelease, dropIns: readonly string[]): Promise<string> {
  const packages = mkdtempSync(join(tmpdir(), 'imdswatch-trees-'));
  try {
    copyFileSync((await keptPackages(NATIVE)).deb, join(packages, 'imdswatch.deb'));
    const on = await InstalledMachine.make(packages, release);
    if (typeof on === 'string') throw new Error(on);
    try {
      return await useUnits(on, dropIns);
    } finally {
      await on.close();
    }
  } finally {
    rmSync(packages, { recursive: true });
  }
}

async function useUnits(on: InstalledMachine, dropIns: readonly string[]): Promise<string> {
  await on.machine.boot();
  await on.dpkg('--install', 'imdswatch.deb');
  for (const unit of [AGENT, COLLECTOR]) {
    const directory = `/etc/systemd/system/${unit}.d`;
    for (const name of dropIns.filter((name) => unit === AGENT || !name.includes('root')))
      await on.sh(`install -D -m 0644 /usr/lib/imdswatch/systemd/${name} ${directory}/${name}`);
  }
  const asRoot = dropIns.some((name) => name.includes('root'));
  if (asRoot) await on.sh('chown -R root:root /var/lib/imdswatch/agent');
  await on.sh(`printf 'agent_token: ${TOKEN}\\nmax_namespaces: 0\\n' >> /etc/imdswatch/agent.yaml`);
  await on.sh(`printf 'agent_token: ${TOKEN}\\n' >> /etc/imdswatch/collector.yaml`);
  await on.sh(`systemctl daemon-reload && systemctl enable --now ${COLLECTOR} ${AGENT} 2>&1`, 60_000);
  assert.equal(await on.property(AGENT, 'ActiveState'), 'active');
  await on.callFrom(
    'billing',
    Array.from({ length: CALLS }, (_, index) => `tags/instance/t${index}`),
  );
  const caller = await on.untilStored('billing.service', CALLS);
  assert.deepEqual([caller.calls_v1, caller.executable], [CALLS, '/opt/fetch']);
  const pid = await on.property(AGENT, 'MainPID');
  const status = await on.sh(`cat /proc/${pid}/status`);
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1];
  assert.equal(field('Uid') === '0', asRoot);
  const release = (await on.sh('systemctl --version')).split('\n')[0];
  const way = await on.property(AGENT, 'StatusText');
  return `${release}; ${CALLS} of ${CALLS} calls of a unit stored; uid ${field('Uid')}, capabilities ${field('CapEff')}; ${way}`;
}
