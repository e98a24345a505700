/**
 * The agent under the supervisors of systems without systemd: OpenRC's (packaging/files/openrc) and an init that reads
 * /etc/inittab. Both start it again when it is killed.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { programPath } from '../../lab/engines/need.ts';
import { Lab } from '../../lab/lab.ts';
import { copyDebianTree } from '../support/lab/debian_tree.ts';
import { HostTree } from '../support/packaging/host_tree.ts';
import { keptPackages, NATIVE } from '../support/packaging/kept.ts';

const RECHECK_MS = 200;
const TIMEOUT_MS = 40_000;
const SETTINGS = 'agent_token: none-at-all-0123456789\nmax_namespaces: 0\nidentity_from_imds: false\n';
/** With the path of the tree: makes a machine of one's own of it, whose pid 1 is the rest. */
const BOOT = `mount --make-rprivate / && mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" &&
mount --rbind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" "$@"`;

/** Resolves to a summary. */
export async function checkOpenrc(): Promise<string> {
  const lab = await Lab.create({ name: 'openrc', ipv6: false });
  try {
    const root = join(lab.home, 'root');
    await copyDebianTree(root, { more: ['openrc'] });
    copyFileSync((await keptPackages(NATIVE)).deb, join(root, 'imdswatch.deb'));
    const host = new HostTree({ lab, root, imdswatch: 'imdswatch', code: '/usr/lib/imdswatch/' });
    await host.furnish();
    const installed = await host.run(['dpkg', '--force-unsafe-io', '-i', '/imdswatch.deb']);
    assert.equal(installed.status, 0, installed.stderr);
    writeFileSync(join(root, 'etc/imdswatch/agent.yaml'), SETTINGS);
    const openrc = await supervised(lab, root, [
      'install -m 0755 /usr/share/doc/imdswatch/examples/openrc/imdswatch-agent /etc/init.d/imdswatch-agent',
      // A runlevel without services. Without one OpenRC has no place to note what runs.
      'mkdir -p /run/openrc /etc/runlevels/lab && touch /run/openrc/softlevel && openrc lab',
      'rc-service imdswatch-agent start',
      'exec sleep 600',
    ]);
    copyFileSync(programPath('busybox')!, join(root, 'opt/busybox'));
    const line =
      '/usr/bin/imdswatch agent --config /etc/imdswatch/agent.yaml >>/var/log/imdswatch-agent.log 2>&1';
    writeFileSync(join(root, 'etc/inittab'), `::respawn:/bin/sh -c "exec ${line}"\n`);
    const inittab = await supervised(lab, root, ['exec /opt/busybox init']);
    return `OpenRC: ${openrc}; inittab: ${inittab}`;
  } finally {
    await lab.close();
  }
}

/** Runs a script as pid 1 of the tree, and kills the agent that it starts: there must be another one. */
async function supervised(lab: Lab, root: string, script: readonly string[]): Promise<string> {
  const log = join(root, 'var/log/imdswatch-agent.log');
  rmSync(log, { force: true });
  const namespaces = ['unshare', '--mount', '--pid', '--fork', '--kill-child'];
  const machine = lab.spawn([...namespaces, 'sh', '-c', BOOT, 'sh', root, 'sh', '-c', script.join(' && ')], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  let said = '';
  for (const stream of [machine.child.stdout, machine.child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const starts = () =>
    existsSync(log)
      ? [...readFileSync(log, 'utf8').matchAll(/"pid":(\d+).*"the agent watches"/g)].map(([, pid]) => pid!)
      : [];
  const until = async (count: number) => {
    for (const deadline = Date.now() + TIMEOUT_MS; starts().length < count; await sleep(RECHECK_MS))
      assert.ok(
        Date.now() < deadline,
        `the agent did not start: ${said}${existsSync(log) ? readFileSync(log, 'utf8') : ''}`,
      );
  };
  try {
    await until(1);
    const [first] = starts();
    // The pid is that of the tree's own namespace.
    const inside = childrenOf(machine.pid).find((pid) => namespacePid(pid) === first);
    assert.ok(inside !== undefined, 'the agent is among the processes of the tree');
    process.kill(inside, 'SIGKILL');
    await until(2);
    return `started as pid ${first}, and again as pid ${starts()[1]} after it was killed`;
  } finally {
    await machine.stop('SIGKILL');
  }
}

/** All descendants of a process. */
function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(path)) return [];
  const direct = readFileSync(path, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  return direct.flatMap((child) => [child, ...childrenOf(child)]);
}

/** The pid in the innermost namespace, as text. */
function namespacePid(pid: number): string | undefined {
  const [, pids] = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return pids?.split(/\s+/).at(-1);
}
