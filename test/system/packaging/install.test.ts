/** Installed, changed, upgraded, removed and purged in a bare Debian without a network; the .rpm likewise by Debian's rpm. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missingHere } from '../../../lab/engines/need.ts';
import { copyDebianTree } from '../../support/lab/debian_tree.ts';
import { cannotPackage, type Kept, keptPackages, NATIVE } from '../../support/packaging/kept.ts';
import { captureOfOneRead, run } from '../../support/packaging/run.ts';

const AGENT_YAML = 'etc/imdswatch/agent.yaml';
const COLLECTOR_YAML = 'etc/imdswatch/collector.yaml';

const skip =
  process.getuid?.() !== 0
    ? 'installs into a Debian tree, which needs root'
    : (missingHere(['mmdebstrap', 'unshare']) ?? cannotPackage(NATIVE) ?? false);

describe('on a bare Debian', { skip }, () => {
  let directory: string;
  let tree: string;
  let kept: Kept;

  before(async () => {
    kept = await keptPackages(NATIVE);
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-install-'));
    tree = join(directory, 'debian');
    await copyDebianTree(tree);
    copyFileSync(kept.deb, join(tree, 'first.deb'));
    writeFileSync(join(tree, 'one.pcap'), captureOfOneRead());
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs as root in the tree, with no network but a loopback that is down. */
  const inTree = (script: string, user = 'root') => {
    const chroot = ['chroot', `--userspec=${user}`, tree, 'sh', '-c', script];
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', '--net', '--uts', '--ipc', ...chroot],
      {
        encoding: 'utf8',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
      },
    );
    return { status, output: `${stdout}${stderr}` };
  };
  const succeeds = (script: string, user?: string) => {
    const { status, output } = inTree(script, user);
    assert.equal(status, 0, `${script}: ${output}`);
    return output;
  };
  const ownerOf = (path: string) => succeeds(`stat -c '%U:%G %a' /${path}`).trim();

  it('the .deb installs with nothing but what Debian has, makes its users and directories, and starts nothing', () => {
    const output = succeeds('dpkg --force-unsafe-io -i /first.deb');
    assert.match(output, /systemctl enable --now imdswatch-agent/);
    assert.equal(ownerOf('var/lib/imdswatch'), 'root:root 755');
    for (const whose of ['agent', 'collector']) {
      assert.equal(ownerOf(`var/lib/imdswatch/${whose}`), `imdswatch-${whose}:imdswatch-${whose} 700`);
      assert.equal(ownerOf(`etc/imdswatch/${whose}.yaml`), `root:imdswatch-${whose} 640`);
      assert.match(succeeds(`getent passwd imdswatch-${whose}`), /:\/usr\/sbin\/nologin$/m);
      assert.ok(
        !existsSync(join(tree, `etc/systemd/system/multi-user.target.wants/imdswatch-${whose}.service`)),
      );
    }
  });

  it('runs as installed, for its own users too, and changes nothing of itself', () => {
    assert.match(succeeds('imdswatch --version'), /^imdswatch \d/);
    for (const user of ['root', 'imdswatch-agent', 'nobody']) {
      const call = JSON.parse(succeeds('imdswatch read /one.pcap --json', user));
      assert.match(JSON.stringify(call), /meta-data\/instance-id/);
    }
    assert.equal(
      inTree('imdswatch agent --config /etc/imdswatch/agent.yaml --interface ""', 'imdswatch-agent').status,
      2,
    );
    assert.equal(succeeds('dpkg --verify imdswatch'), '');
  });

  it('fits its units to an old systemd, and back after an upgrade of systemd', () => {
    mkdirSync(join(tree, 'old'));
    const configure = (release: number) => {
      writeFileSync(join(tree, 'old/systemctl'), `#!/bin/sh\necho 'systemd ${release}'\n`, { mode: 0o755 });
      succeeds('PATH=/old:$PATH sh /var/lib/dpkg/info/imdswatch.postinst configure 0.1');
      const listed = succeeds('find /usr/lib/systemd/system/imdswatch*.d -type f 2>/dev/null || true');
      return listed.replaceAll('/usr/lib/systemd/system/imdswatch-', '').split('\n').filter(Boolean).sort();
    };
    const filters = ['agent', 'collector'].map((name) => `${name}.service.d/old-systemd-filter.conf`);
    const root = 'agent.service.d/old-systemd-root.conf';
    assert.deepEqual(configure(219), [filters[0], root, filters[1]]);
    assert.equal(ownerOf('var/lib/imdswatch/agent'), 'root:root 700');
    succeeds('chown imdswatch-agent: /var/lib/imdswatch/agent');
    assert.deepEqual(configure(232), filters);
    assert.equal(ownerOf('var/lib/imdswatch/agent'), 'imdswatch-agent:imdswatch-agent 700');
    assert.deepEqual(configure(252), []);
    assert.deepEqual(configure(219).length, 3);
    rmSync(join(tree, 'old'), { recursive: true });
    succeeds('chown imdswatch-agent: /var/lib/imdswatch/agent');
  });

  it('gives CAP_SYS_ADMIN on a kernel without CAP_BPF, and takes it back on a newer one', () => {
    const drop = join(tree, 'usr/lib/systemd/system/imdswatch-agent.service.d/kernel-before-5.8.conf');
    mkdirSync(join(tree, 'old'));
    const configure = (lastCapability: number, release = 252) => {
      writeFileSync(join(tree, 'old/systemctl'), `#!/bin/sh\necho 'systemd ${release}'\n`, { mode: 0o755 });
      writeFileSync(join(tree, 'old/cat'), `#!/bin/sh\necho ${lastCapability}\n`, { mode: 0o755 });
      succeeds('PATH=/old:$PATH sh /var/lib/dpkg/info/imdswatch.postinst configure 0.1');
      return existsSync(drop);
    };
    assert.deepEqual([configure(37), configure(38), configure(40), configure(37)], [true, true, false, true]);
    assert.match(readFileSync(drop, 'utf8'), /^AmbientCapabilities=CAP_SYS_ADMIN$/m);
    assert.equal(configure(39), false);
    // There the drop-in would take all capabilities away. 3.10 of RHEL 7 ends at 36, 4.14 of Amazon Linux 2 at 37.
    assert.deepEqual([configure(37, 219), configure(36, 219), configure(37, 229)], [false, false, true]);
    assert.deepEqual([configure(37, 219), configure(40)], [false, false]);
    rmSync(join(tree, 'old'), { recursive: true });
    succeeds('chown imdswatch-agent: /var/lib/imdswatch/agent');
  });

  it('an upgrade keeps a changed configuration and takes the new one where it was not changed', async () => {
    const later = join(directory, 'later');
    await run('dpkg-deb', ['--raw-extract', kept.deb, later]);
    const control = join(later, 'DEBIAN/control');
    writeFileSync(control, readFileSync(control, 'utf8').replace(/^(Version: .*)$/m, '$1.1'));
    for (const path of [AGENT_YAML, COLLECTOR_YAML])
      appendFileSync(join(later, path), '\n# a later release\n');
    await run('dpkg-deb', ['--root-owner-group', '-Znone', '--build', later, join(tree, 'second.deb')]);
    rmSync(later, { recursive: true });

    appendFileSync(join(tree, AGENT_YAML), 'collector_url: wss://collector.example:8787\n');
    writeFileSync(join(tree, 'var/lib/imdswatch/agent/spooled'), 'x');
    succeeds('dpkg --force-unsafe-io --force-confold -i /second.deb');
    assert.match(readFileSync(join(tree, AGENT_YAML), 'utf8'), /^collector_url: /m);
    assert.match(readFileSync(join(tree, COLLECTOR_YAML), 'utf8'), /# a later release/);
    assert.equal(ownerOf(AGENT_YAML), 'root:imdswatch-agent 640');
    assert.equal(ownerOf(COLLECTOR_YAML), 'root:imdswatch-collector 640');
    assert.ok(existsSync(join(tree, 'var/lib/imdswatch/agent/spooled')));
  });

  it('removed, it leaves configuration and findings; purged, nothing but its users', () => {
    mkdirSync(join(tree, 'etc/systemd/system/multi-user.target.wants'), { recursive: true });
    succeeds(
      'ln -s /usr/lib/systemd/system/imdswatch-agent.service /etc/systemd/system/multi-user.target.wants/',
    );
    succeeds('dpkg --force-unsafe-io -r imdswatch');
    for (const path of ['usr/bin/imdswatch', 'usr/lib/imdswatch', 'usr/share/doc/imdswatch']) {
      assert.ok(!existsSync(join(tree, path)), path);
    }
    assert.match(readFileSync(join(tree, AGENT_YAML), 'utf8'), /^collector_url: /m);
    assert.ok(existsSync(join(tree, 'var/lib/imdswatch/agent/spooled')));
    succeeds('dpkg --force-unsafe-io -P imdswatch');
    assert.equal(
      succeeds('find / -xdev -name "*imdswatch*" -not -path "/proc/*" -not -path "/var/lib/dpkg/*"'),
      '',
    );
    assert.match(succeeds('getent passwd imdswatch-agent'), /imdswatch-agent/);
  });

  it('the .rpm installs, is whole, and is removed', async () => {
    const rpm = (...args: string[]) =>
      run('rpm', ['--root', tree, '--nodeps', '--noplugins', ...args], {
        ...process.env,
        PATH: `/usr/sbin:${process.env['PATH']}`,
      });
    succeeds('userdel imdswatch-agent; userdel imdswatch-collector');
    assert.match(await rpm('-i', '--noverify', kept.rpm), /systemctl enable --now imdswatch-agent/);
    assert.equal(ownerOf('var/lib/imdswatch/agent'), 'imdswatch-agent:imdswatch-agent 700');
    assert.equal(ownerOf(AGENT_YAML), 'root:imdswatch-agent 640');
    assert.match(succeeds('imdswatch read /one.pcap'), /IMDSv1|v1/);
    appendFileSync(join(tree, AGENT_YAML), 'collector_url: wss://collector.example:8787\n');
    writeFileSync(join(tree, 'var/lib/imdswatch/agent/spooled'), 'x');
    await rpm('-U', '--force', kept.rpm);
    assert.match(readFileSync(join(tree, AGENT_YAML), 'utf8'), /^collector_url: /m);
    await rpm('-e', 'imdswatch');
    assert.ok(!existsSync(join(tree, 'usr/lib/imdswatch')));
    assert.match(readFileSync(join(tree, `${AGENT_YAML}.rpmsave`), 'utf8'), /^collector_url: /m);
    assert.ok(existsSync(join(tree, 'var/lib/imdswatch/agent/spooled')));
  });
});
