/** docker/ecs, docker/ec2, the health check and the seccomp profile: as far as they can be run without a cloud. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { agentSettings } from '../../../agent/config.ts';
import { programPath } from '../../../lab/engines/need.ts';
import { ROOT } from '../../support/docker/images.ts';
import { hasPackage, typeErrors } from '../../support/docker/typed.ts';

const run = promisify(execFile);
const DOCKER = join(ROOT, 'docker');
const INSTALL = join(DOCKER, 'ec2/install.sh');
const text = (path: string) => readFileSync(join(DOCKER, path), 'utf8');
/** KernelCapabilities of the ECS API; it knows no others. */
const ECS_CAPABILITIES = ['NET_RAW', 'SYS_ADMIN', 'SYS_PTRACE', 'DAC_READ_SEARCH'];

async function sh(argv: string[], env: Record<string, string> = {}) {
  try {
    const { stdout } = await run(argv[0]!, argv.slice(1), { env: { PATH: process.env['PATH']!, ...env } });
    return { status: 0, output: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, output: `${stdout}${stderr}` };
  }
}

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'imdswatch-fleet-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

describe('the health check of the images', () => {
  const check = async (file: string) =>
    await sh(['sh', join(DOCKER, 'healthy')], { IMDSWATCH_ALIVE_FILE: file });

  it('is healthy for a minute after the last sign of progress, and says how it is', async () => {
    const file = join(directory, 'alive');
    writeFileSync(file, 'Watching any\n');
    assert.deepEqual(await check(file), { status: 0, output: 'Watching any\n' });
    const old = Date.now() / 1000 - 130;
    utimesSync(file, old, old);
    assert.equal((await check(file)).status, 1);
  });

  it('is not without a file, nor with an empty one (stopping)', async () => {
    assert.equal((await check(join(directory, 'none'))).status, 1);
    const file = join(directory, 'empty');
    writeFileSync(file, '');
    assert.equal((await check(file)).status, 1);
  });
});

describe('the seccomp profile', () => {
  it('refuses all others, names no system call twice, and README.md has their number', () => {
    const profile = JSON.parse(text('seccomp/agent.json'));
    assert.equal(profile.defaultAction, 'SCMP_ACT_ERRNO');
    const names: string[] = profile.syscalls.flatMap((group: { names: string[] }) => group.names);
    assert.equal(new Set(names).size, names.length);
    for (const { action } of profile.syscalls) assert.equal(action, 'SCMP_ACT_ALLOW');
    for (const dangerous of ['mount', 'ptrace', 'init_module', 'kexec_load', 'unshare']) {
      assert.equal(names.includes(dangerous), false, dangerous);
    }
    assert.match(text('README.md'), new RegExp(`permits ${names.length} system calls`));
  });
});

describe('ECS', () => {
  const task = JSON.parse(text('ecs/task-definition.json'));
  const service = JSON.parse(text('ecs/service.json'));

  it('a daemon on every instance, with the host to look at and no more than it needs', () => {
    assert.equal(service.schedulingStrategy, 'DAEMON');
    assert.equal(service.taskDefinition, task.family);
    assert.deepEqual([task.networkMode, task.pidMode], ['host', 'host']);
    const [agent] = task.containerDefinitions;
    assert.deepEqual(agent.linuxParameters.capabilities, { drop: ['ALL'], add: ECS_CAPABILITIES });
    assert.deepEqual([agent.privileged, agent.readonlyRootFilesystem], [false, true]);
    const volumes = task.volumes.map(({ name }: { name: string }) => name).sort();
    const mounted = agent.mountPoints
      .map(({ sourceVolume }: { sourceVolume: string }) => sourceVolume)
      .sort();
    assert.deepEqual(mounted, volumes);
    for (const { name } of [...agent.environment, ...agent.secrets]) {
      assert.ok(name.replace(/^IMDSWATCH_/, '').toLowerCase() in agentSettings.shape, name);
    }
    assert.equal(
      agent.environment.some(({ name }: { name: string }) => name.endsWith('_TOKEN')),
      false,
    );
  });

  it("is what ECS's API takes", async (t) => {
    const module = '@aws-sdk/client-ecs';
    if (!hasPackage(module)) return t.skip(`${module} is not installed`);
    const documents = [
      { name: 'task', module, type: 'RegisterTaskDefinitionCommandInput', value: task },
      { name: 'service', module, type: 'CreateServiceCommandInput', value: service },
    ];
    assert.deepEqual(await typeErrors(documents), []);
    const wrong = { ...documents[0]!, value: { ...task, pidmode: 'host' } };
    assert.match((await typeErrors([wrong])).join(), /task.*pidmode/);
  });
});

describe('plain EC2 hosts', () => {
  const good = {
    IMDSWATCH_PACKAGE_URL: 'https://example.com/imdswatch_0.1.0-1_amd64.deb',
    IMDSWATCH_PACKAGE_SHA256: createHash('sha256').update('package').digest('hex'),
    IMDSWATCH_COLLECTOR_URL: 'wss://imdswatch.example.com',
    IMDSWATCH_TOKEN_PARAMETER: '/imdswatch/enrolment',
  };

  /** A host of programs that write down how they were called. */
  function fakeHost(name: string): { env: Record<string, string>; calls: () => string[]; home: string } {
    const home = join(directory, name);
    const bin = join(home, 'bin');
    mkdirSync(bin, { recursive: true });
    const log = join(home, 'calls');
    const program = (command: string, body: string) => {
      writeFileSync(join(bin, command), `#!/bin/sh\nprintf '%s\\n' "${command} $*" >>'${log}'\n${body}\n`);
      chmodSync(join(bin, command), 0o755);
    };
    program('curl', 'while [ "$1" != --output ]; do shift; done; printf package >"$2"');
    program('apt-get', '');
    program('dnf', '');
    program('systemctl', '');
    program('aws', 'echo a-token');
    program('install', 'cp "$5" "$6"; chmod 0640 "$6"');
    writeFileSync(join(home, 'agent.yaml'), '# kept\n#collector_url: ws://127.0.0.1:8787\ndetail: all\n');
    const calls = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
    const env = { ...good, PATH: `${bin}:${process.env['PATH']}`, IMDSWATCH_CONFIGURATION: home };
    return { env, calls, home };
  }

  it('install.sh installs, configures and starts; again it changes and restarts nothing', async () => {
    const { env, calls, home } = fakeHost('installs');
    const first = await sh(['sh', INSTALL], env);
    assert.equal(first.status, 0, first.output);
    const yaml = readFileSync(join(home, 'agent.yaml'), 'utf8');
    assert.deepEqual(parse(yaml), {
      detail: 'all',
      collector_url: good.IMDSWATCH_COLLECTOR_URL,
      agent_token_file: join(home, 'enrolment-token'),
    });
    assert.match(yaml, /^# kept$/m);
    assert.equal(readFileSync(join(home, 'enrolment-token'), 'utf8'), 'a-token\n');
    assert.equal(statSync(join(home, 'enrolment-token')).mode & 0o777, 0o640);
    assert.ok(calls().some((call) => /^apt-get .* install .*imdswatch_0\.1\.0-1_amd64\.deb$/.test(call)));
    assert.equal(calls().at(-1), 'systemctl restart imdswatch-agent');
    assert.equal(calls().join().includes('a-token'), false, 'the token is in no argument');

    const before = calls().length;
    assert.equal((await sh(['sh', INSTALL], env)).status, 0);
    const again = calls().slice(before);
    assert.equal(again.at(-1), 'systemctl start imdswatch-agent');
    assert.equal(
      again.some((call) => /^(curl|apt-get|dnf)/.test(call)),
      false,
    );
  });

  it('install.sh installs the .rpm by dnf, and by yum where there is no dnf', async () => {
    for (const installer of ['dnf', 'yum']) {
      const { env, calls, home } = fakeHost(`by-${installer}`);
      if (installer === 'yum') {
        renameSync(join(home, 'bin/dnf'), join(home, 'bin/yum'));
        writeFileSync(
          join(home, 'bin/yum'),
          readFileSync(join(home, 'bin/yum'), 'utf8').replace('dnf ', 'yum '),
        );
      }
      const url = 'https://example.com/imdswatch-0.1.0-1.x86_64.rpm';
      const { status, output } = await sh(['sh', INSTALL], { ...env, IMDSWATCH_PACKAGE_URL: url });
      assert.equal(status, 0, output);
      assert.ok(
        calls().some((call) => new RegExp(`^${installer} install .*\\.rpm$`).test(call)),
        calls().join('; '),
      );
    }
  });

  it('install.sh refuses a package with another hash', async () => {
    const { env, calls } = fakeHost('refuses');
    const { status, output } = await sh(['sh', INSTALL], {
      ...env,
      IMDSWATCH_PACKAGE_SHA256: 'a'.repeat(64),
    });
    assert.equal(status, 1);
    assert.match(output, /not what IMDSWATCH_PACKAGE_SHA256 says/);
    assert.equal(
      calls().some((call) => /^(apt-get|systemctl)/.test(call)),
      false,
    );
  });

  for (const [name, value] of [
    ['IMDSWATCH_PACKAGE_URL', 'http://example.com/a.deb'],
    ['IMDSWATCH_PACKAGE_URL', 'https://example.com/a.tar'],
    ['IMDSWATCH_PACKAGE_SHA256', 'abc'],
    ['IMDSWATCH_COLLECTOR_URL', 'ws://example.com'],
    ['IMDSWATCH_COLLECTOR_URL', 'wss://example.com/|e id'],
  ] as const) {
    it(`install.sh refuses ${name}=${value}`, async () => {
      const { env, calls } = fakeHost(`usage-${createHash('md5').update(value).digest('hex')}`);
      const { status, output } = await sh(['sh', INSTALL], { ...env, [name]: value });
      assert.equal(status, 2);
      assert.match(output, new RegExp(name));
      assert.deepEqual(calls(), []);
    });
  }

  it('scripts pass shellcheck', async (t) => {
    const shellcheck = programPath('shellcheck');
    if (shellcheck === null) return t.skip('shellcheck is missing (Debian shellcheck)');
    const { status, output } = await sh([shellcheck, INSTALL, join(DOCKER, 'healthy')]);
    assert.equal(status, 0, output);
  });

  it('user data carries the script and no token; cloud-init takes it', async (t) => {
    const values: Record<string, string> = {
      install_script: readFileSync(INSTALL).toString('base64'),
      package_url: good.IMDSWATCH_PACKAGE_URL,
      package_sha256: good.IMDSWATCH_PACKAGE_SHA256,
      collector_url: good.IMDSWATCH_COLLECTOR_URL,
      token_parameter: good.IMDSWATCH_TOKEN_PARAMETER,
      region: 'eu-central-1',
    };
    // Works like Terraform's templatefile().
    const rendered = text('ec2/user-data.yaml.tftpl').replace(
      /(\$?)\$\{(\w*…?|[^}]*)\}/g,
      (whole, doubled, name) => {
        if (doubled !== '') return whole.slice(1);
        assert.ok(name in values, name);
        return values[name]!;
      },
    );
    assert.match(rendered, /^#cloud-config\n/);
    const data = parse(rendered);
    assert.deepEqual(Object.keys(data), ['write_files', 'runcmd']);
    const [script, environment] = data.write_files;
    assert.equal(
      Buffer.from(script.content, script.encoding === 'b64' ? 'base64' : 'utf8').toString(),
      readFileSync(INSTALL, 'utf8'),
    );
    const file = join(directory, 'environment');
    writeFileSync(file, environment.content);
    const names = Object.keys(good).map((name) => `"$${name}"`);
    const { output } = await sh(['sh', '-c', `. "$0"; printf '%s\\n' ${names.join(' ')}`, file]);
    assert.deepEqual(output.trim().split('\n'), Object.values(good));
    assert.deepEqual(data.runcmd[0].slice(0, 2), ['sh', '-c']);
    assert.ok(data.runcmd[0][2].includes(script.path) && data.runcmd[0][2].includes(environment.path));

    // 16 KiB is what EC2 takes, before base64.
    assert.ok(rendered.length < 16_384, String(rendered.length));
    const cloudInit = programPath('cloud-init');
    if (cloudInit === null) return t.diagnostic('cloud-init is not here: its schema was not asked');
    const userData = join(directory, 'user-data.yaml');
    writeFileSync(userData, rendered);
    const checked = await sh([cloudInit, 'schema', '--config-file', userData]);
    assert.equal(checked.status, 0, checked.output);
  });

  it("the Systems Manager document: its parameters are used, bounded, and Terraform's", async (t) => {
    const document = parse(text('ec2/ssm-document.yaml'));
    assert.equal(document.schemaVersion, '2.2');
    assert.deepEqual(
      document.mainSteps.map(({ action }: { action: string }) => action),
      ['aws:downloadContent', 'aws:runShellScript'],
    );
    const used = new Set(
      [...JSON.stringify(document.mainSteps).matchAll(/\{\{ (\w+) \}\}/g)].map(([, name]) => name),
    );
    const names = Object.keys(document.parameters);
    assert.deepEqual([...used].sort(), [...names].sort());
    for (const name of names) {
      const pattern = new RegExp(document.parameters[name].allowedPattern);
      for (const evil of ["a'; id; '", '$(id)', '`id`', 'a b', 'https://x/\n.deb'])
        assert.doesNotMatch(evil, pattern, name);
    }
    const [command] = document.mainSteps[1].inputs.runCommand;
    const { status, output } = await sh(['sh', '-n', '-c', command]);
    assert.equal(status, 0, output);
    const terraform = text('ec2/main.tf');
    for (const name of names) assert.match(terraform, new RegExp(`^ +${name} += `, 'm'));

    const program = programPath('terraform');
    if (program === null) return t.diagnostic('terraform is not here: main.tf was not parsed');
    const formatted = await sh([program, 'fmt', '-check', '-diff', join(DOCKER, 'ec2/main.tf')], {
      HOME: directory,
    });
    assert.equal(formatted.status, 0, formatted.output);
  });
});
