/**
 * The units on a booted Debian: install, boot, who called before the network was there, watchdog, upgrade, remove, purge.
 * The machine is the lab's: its metadata service is the lab's own.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AGENT, COLLECTOR, InstalledMachine } from '../../support/systemd/installed_machine.ts';
import { makePackages } from '../../support/systemd/packages.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: boots a machine in network namespaces';
/** Resident, of the agent. */
/** Measured: 88 to 91 MB. The unit slows the agent down from 160 MB on. */
const MOST_MEMORY_MB = 95;
/** Exposure by systemd-analyze security, times ten. */
const MOST_EXPOSED = { [AGENT]: 40, [COLLECTOR]: 25 };
const HELD = ['held-1', 'held-2', 'held-3', 'held-4', 'held-5'];
const TOKEN = 'a-token-of-this-test-0123456789';

/** Ordered like cloud-init's own unit: before the network, before anything that waits for it. */
const CLOUD_INIT_LOCAL = `[Unit]
DefaultDependencies=no
Wants=network-pre.target
After=systemd-remount-fs.service
Before=network-pre.target sysinit.target shutdown.target
Conflicts=shutdown.target
RequiresMountsFor=/var/lib/cloud
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/fetch /latest/meta-data/instance-id
[Install]
WantedBy=multi-user.target
`;
const DEPENDANT = `[Unit]
Requires=${COLLECTOR}
After=${COLLECTOR}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/8787'
[Install]
WantedBy=multi-user.target
`;

describe('installed as a service', () => {
  it('from install to purge', { skip }, async (t) => {
    const packages = mkdtempSync(join(tmpdir(), 'imdswatch-packages-'));
    try {
      const made = await makePackages(packages);
      if (typeof made === 'string') return t.skip(made);
      const installed = await InstalledMachine.make(packages);
      if (typeof installed === 'string') return t.skip(installed);
      try {
        await story(t, installed, made);
      } finally {
        await installed.close();
      }
    } finally {
      rmSync(packages, { recursive: true });
    }
  });
});

async function story(
  t: { test: typeof it; diagnostic(message: string): void },
  on: InstalledMachine,
  { first, second }: { first: string; second: string },
): Promise<void> {
  const { machine } = on;
  let broken = false;
  const step = async (name: string, work: () => Promise<void>) => {
    const before = performance.now();
    await t.test(name, { skip: broken && 'an earlier step failed' }, async () => {
      broken = true;
      await work();
      broken = false;
    });
    t.diagnostic(`${name}: ${((performance.now() - before) / 1000).toFixed(1)} s`);
  };

  await step('one package, and it waits to be configured', async () => {
    machine.write('/etc/systemd/system/cloud-init-local.service', CLOUD_INIT_LOCAL);
    machine.write('/etc/systemd/system/dependant.service', DEPENDANT);
    await machine.boot();
    await on.dpkg('--install', first);
    assert.equal(await on.property(AGENT, 'ActiveState'), 'inactive');
    assert.equal(await on.sh(`systemd-analyze verify --man=no ${AGENT} ${COLLECTOR} 2>&1`), '');
    await on.sh(`printf 'agent_token: ${TOKEN}\\nmax_namespaces: 0\\n' >> /etc/imdswatch/agent.yaml`);
    await on.sh(`printf 'agent_token: ${TOKEN}\\n' >> /etc/imdswatch/collector.yaml`);
    await on.sh(`systemctl enable ${AGENT} ${COLLECTOR} 2>&1`);
    await on.sh('systemctl enable cloud-init-local.service dependant.service 2>&1');
    await machine.powerOff();
  });

  await step('a caller before the network is seen, and attributed to its unit', async () => {
    await machine.boot();
    await on.until(
      'booted',
      async () => /running|degraded/.test(await on.sh('systemctl is-system-running || true')),
      60_000,
    );
    assert.equal(await on.sh('systemctl list-units --failed --no-legend'), '');
    assert.doesNotMatch(await on.sh('journalctl --boot --no-pager'), /ordering cycle/i);
    const times = await Promise.all([
      on.property(AGENT, 'ActiveEnterTimestampMonotonic'),
      on.property('cloud-init-local.service', 'ExecMainStartTimestampMonotonic'),
      on.property(COLLECTOR, 'ActiveEnterTimestampMonotonic'),
      on.property('dependant.service', 'ExecMainStartTimestampMonotonic'),
    ]);
    const [agentReady, early, collectorReady, dependant] = times.map(Number);
    assert.ok(agentReady! <= early!, 'the early caller waited for the capture');
    assert.ok(agentReady! < collectorReady!, 'the agent did not wait for the collector');
    assert.ok(collectorReady! <= dependant!, 'who needs the collector waited for it');
    const caller = await on.untilStored('cloud-init-local.service', 1);
    assert.equal(caller.calls_v1, 1);
    assert.equal(caller.executable, '/opt/fetch');
    const begun = Number(await on.sh('systemctl show --property=UserspaceTimestampMonotonic --value'));
    const after = (time: number | undefined) => `${((time! - begun) / 1e6).toFixed(1)} s`;
    t.diagnostic(
      `the agent is ready ${after(agentReady)} into the boot, the collector ${after(collectorReady)}`,
    );
  });

  await step('a unit of our own is attributed to it', async () => {
    await on.callFrom('billing', ['iam/security-credentials/app', 'placement/region']);
    const caller = await on.untilStored('billing.service', 2);
    assert.deepEqual([caller.calls_v1, caller.user], [2, 'root']);
  });

  await step('runs as nobody in particular, with what it needs and no more', async () => {
    for (const [unit, most] of Object.entries(MOST_EXPOSED)) {
      const said = await on.sh(`systemd-analyze security --no-pager --threshold=${most} ${unit} | tail -1`);
      t.diagnostic(said);
      assert.ok(Number(/: ([\d.]+) /.exec(said)?.[1]) * 10 <= most, said);
    }
    const status = async (unit: string) => {
      const pid = await on.property(unit, 'MainPID');
      return await on.sh(`cat /proc/${pid}/status`);
    };
    const [agent, collector] = [await status(AGENT), await status(COLLECTOR)];
    const field = (text: string, name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(text)?.[1];
    // NET_RAW 13, PERFMON 38, BPF 39, SYS_PTRACE 19, DAC_READ_SEARCH 2
    assert.equal(field(agent, 'CapEff'), '000000c000082004');
    assert.equal(field(collector, 'CapEff'), '0000000000000000');
    for (const text of [agent, collector]) {
      assert.notEqual(field(text, 'Uid'), '0');
      assert.equal(field(text, 'NoNewPrivs'), '1');
      assert.equal(field(text, 'Seccomp'), '2');
    }
    assert.equal(await on.sh('stat -c "%U %a" /var/lib/imdswatch/agent'), 'imdswatch-agent 700');
    assert.equal(await on.sh('stat -c "%U %a" /var/lib/imdswatch/collector'), 'imdswatch-collector 700');
  });

  await step('says how it is, and the journal knows how bad', async () => {
    await on.until('the status tells of calls', async () =>
      /^Watching any; 3 calls, 3 IMDSv1; collector connected.*eBPF/.test(
        await on.property(AGENT, 'StatusText'),
      ),
    );
    await on.until("the collector's too", async () =>
      /^Listening on 127\.0\.0\.1:8787; 1 agent connected$/.test(await on.property(COLLECTOR, 'StatusText')),
    );
    const priorities = await on.sh(
      `journalctl --no-pager -o json --output-fields=PRIORITY,MESSAGE -u ${AGENT}`,
    );
    for (const { PRIORITY, MESSAGE } of priorities.split('\n').map((line) => JSON.parse(line))) {
      if (!MESSAGE.startsWith('{')) continue;
      assert.equal(
        PRIORITY,
        { 30: '6', 40: '4', 50: '3' }[JSON.parse(MESSAGE)['level'] as 30 | 40 | 50],
        MESSAGE,
      );
    }
    const all = await on.sh('journalctl --no-pager');
    assert.doesNotMatch(all, /sign-in#|\/sign-in\?|#code=/, 'no way in is written to the journal');
    assert.ok(!all.includes(TOKEN));
  });

  await step('small, and nothing to do when there is nothing to do', async () => {
    for (const unit of [AGENT, COLLECTOR]) {
      const pid = await on.property(unit, 'MainPID');
      const ticks = async () => {
        const stat = await on.sh(`cat /proc/${pid}/stat`);
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(fields[11]) + Number(fields[12]);
      };
      const before = await ticks();
      await sleep(3_000);
      const busyTicks = (await ticks()) - before; // a hundredth of a second each
      const rss = Number(/^VmRSS:\s+(\d+)/m.exec(await on.sh(`cat /proc/${pid}/status`))?.[1]) / 1000;
      t.diagnostic(
        `${unit}: ${rss.toFixed(0)} MB resident, ${(busyTicks / 3).toFixed(1)} % of a core when idle`,
      );
      if (unit === AGENT) assert.ok(rss <= MOST_MEMORY_MB, `${rss} MB`);
      assert.ok(busyTicks <= 15, `${unit} took ${busyTicks} of 300 ticks`);
    }
  });

  await step('other network namespaces: said that they are not seen, or entered by the drop-in', async () => {
    const drop = `/run/systemd/system/${AGENT}.d`;
    const inOthers = 'Environment=IMDSWATCH_ATTRIBUTION=proc IMDSWATCH_MAX_NAMESPACES=4';
    await on.sh('systemd-run --quiet --unit=elsewhere unshare --net sleep 600');
    await on.sh(`mkdir -p ${drop} && printf '[Service]\\n${inOthers}\\n' > ${drop}/look.conf`);
    const saidSince = async () => {
      const since = await on.sh('systemctl daemon-reload && date +%s.%N');
      await on.sh(`systemctl restart ${AGENT}`);
      await sleep(3_000);
      return await on.sh(`journalctl --no-pager --since=@${since} -u ${AGENT}`);
    };
    assert.match(await saidSince(), /network namespace \d+: .*CAP_SYS_ADMIN is missing/);
    await on.sh(`cp /usr/share/doc/imdswatch/examples/other-namespaces.conf ${drop}/`);
    const said = await saidSince();
    assert.match(said, /the agent watches/);
    assert.doesNotMatch(said, /network namespace/);
    await on.sh(
      `rm -r ${drop} && systemctl stop elsewhere && systemctl daemon-reload && systemctl restart ${AGENT}`,
    );
  });

  await step('one that hangs is ended and started again', async () => {
    for (const unit of [AGENT, COLLECTOR]) {
      const drop = `/run/systemd/system/${unit}.d`;
      await on.sh(
        `mkdir -p ${drop} && printf '[Service]\\nWatchdogSec=2s\\nRestartSec=100ms\\n' > ${drop}/quick.conf && systemctl daemon-reload && systemctl restart ${unit}`,
      );
      // Longer than its interval: it is told in time.
      await sleep(3_000);
      assert.equal(await on.property(unit, 'NRestarts'), '0');
    }
    for (const unit of [AGENT, COLLECTOR]) {
      const pid = await on.property(unit, 'MainPID');
      await on.sh(`kill -STOP ${pid}`);
      await on.until(`${unit} is started again`, async () => {
        const [restarts, state] = [
          await on.property(unit, 'NRestarts'),
          await on.property(unit, 'ActiveState'),
        ];
        return Number(restarts) >= 1 && state === 'active';
      });
      assert.match(await on.sh(`journalctl --no-pager -u ${unit}`), /Watchdog timeout/);
      await on.sh(
        `rm -r /run/systemd/system/${unit}.d && systemctl daemon-reload && systemctl restart ${unit}`,
      );
    }
    await on.callFrom('after', ['after-restart']);
    await on.untilStored('after.service', 1);
  });

  await step('an upgrade loses no call that was kept while the collector was down', async () => {
    await on.sh(`systemctl stop ${COLLECTOR}`);
    await on.callFrom('held', HELD);
    const before = await on.property(AGENT, 'MainPID');
    await on.dpkg('--install', second);
    assert.notEqual(await on.property(AGENT, 'MainPID'), before);
    assert.equal(await on.property(AGENT, 'ActiveState'), 'active');
    assert.equal(
      await on.property(COLLECTOR, 'ActiveState'),
      'inactive',
      'nothing is started that was stopped',
    );
    assert.match(await on.sh('cat /etc/imdswatch/agent.yaml'), new RegExp(TOKEN));
    await on.callFrom('later', ['later']);
    await on.sh(`systemctl start ${COLLECTOR}`);
    await on.untilStored('later.service', 1);
    const held = await on.untilStored('held.service', HELD.length);
    assert.equal(held.calls_v1, HELD.length);
    const truth = (await on.lab.metadata.log()).filter(({ version }) => version === 1);
    const stored = [...(await on.callsByUnit()).values()].reduce((sum, { calls_v1 }) => sum + calls_v1, 0);
    assert.equal(stored, truth.length, 'as many as the metadata service answered');
  });

  await step('removed, it is gone and its findings are not; purged, they are', async () => {
    await on.dpkg('--remove', 'imdswatch');
    assert.equal(await on.sh('pgrep -u imdswatch-agent,imdswatch-collector || true'), '');
    assert.equal(
      await on.sh(`ls /usr/bin/imdswatch /usr/lib/systemd/system/${AGENT} 2>/dev/null || true`),
      '',
    );
    assert.match(await on.sh('ls /var/lib/imdswatch/collector'), /db/);
    assert.match(await on.sh('ls /etc/imdswatch'), /agent\.yaml/);
    await on.dpkg('--purge', 'imdswatch');
    assert.equal(await on.sh('ls -d /var/lib/imdswatch /etc/imdswatch 2>/dev/null || true'), '');
    assert.equal(
      await on.sh(
        'systemctl list-unit-files --no-legend "imdswatch*"; systemctl list-units --failed --no-legend',
      ),
      '',
    );
  });
}
