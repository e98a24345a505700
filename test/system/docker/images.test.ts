/** docker/: the images as they are built, and agent and collector running from them as compose.yaml has them. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServedCall } from '../../../collector/contract/served_call.ts';
import { startDocker } from '../../../lab/engines/docker.ts';
import { LAB_IMAGE, LAB_VARIABLE } from '../../../lab/engines/image.ts';
import { programPath } from '../../../lab/engines/need.ts';
import type { SocketEngine } from '../../../lab/engines/socket_engine.ts';
import { Lab } from '../../../lab/lab.ts';
import { buildImages, DockerCommand, imagesMissing, ROOT } from '../../support/docker/images.ts';
import { startPodman } from '../../support/lab/podman.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and runs containers';
const COLLECTOR_UID = 65_532;
/** linux/capability.h */
const CAPABILITY_BITS = {
  DAC_READ_SEARCH: 2n,
  NET_RAW: 13n,
  SYS_PTRACE: 19n,
  SYS_ADMIN: 21n,
  PERFMON: 38n,
  BPF: 39n,
};
const EVENTUALLY_MS = 90_000;

function maskOf(...names: (keyof typeof CAPABILITY_BITS)[]): string {
  return names
    .reduce((mask, name) => mask | (1n << CAPABILITY_BITS[name]), 0n)
    .toString(16)
    .padStart(16, '0');
}

function statusOf(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return Object.fromEntries(lines.map((line) => line.split(/:\s+/) as [string, string]));
}

async function eventually<T>(
  what: string,
  look: () => Promise<T | null>,
  words: () => Promise<string>,
): Promise<T> {
  for (const deadline = Date.now() + EVENTUALLY_MS; Date.now() < deadline; await sleep(250)) {
    const found = await look();
    if (found !== null) return found;
  }
  assert.fail(`${what}: not within ${EVENTUALLY_MS} ms. ${await words()}`);
}

describe('images of agent and collector', { skip }, () => {
  let lab: Lab;
  let engine: SocketEngine | null = null;
  let docker: DockerCommand;
  let why = imagesMissing();
  let composeUp = false;

  before(async () => {
    if (why !== null) return;
    lab = await Lab.create({ name: 'images', ipv6: false });
    const started = await startDocker(lab);
    engine = started.engine;
    why = started.notAvailable;
    if (engine === null) return;
    docker = new DockerCommand(lab, engine);
    await buildImages(lab, docker);
  });

  after(async () => {
    if (composeUp) await compose('down', '--volumes', '--timeout', '2');
    await lab?.close();
  });

  /** Returns compose.yaml as Docker 20.10 takes it, with a health check that does not keep a test waiting. */
  async function compose(...args: string[]): Promise<string> {
    const file = join(lab.home, 'compose.yaml');
    const shipped = readFileSync(join(ROOT, 'docker/compose.yaml'), 'utf8');
    assert.match(shipped, /BPF, PERFMON/);
    writeFileSync(file, shipped.replace('BPF, PERFMON', 'SYS_ADMIN'));
    const token = join(lab.home, 'agent_token.txt');
    writeFileSync(token, `${'t'.repeat(40)}\n`, { mode: 0o400 });
    chownSync(token, COLLECTOR_UID, COLLECTOR_UID);
    const ours = { healthcheck: { interval: '1s' }, environment: { [LAB_VARIABLE]: lab.tag } };
    const override = {
      services: {
        collector: ours,
        agent: {
          ...ours,
          environment: {
            ...ours.environment,
            IMDSWATCH_MAX_NAMESPACES: '0',
            IMDSWATCH_HOST_ID: 'compose-host',
          },
        },
      },
    };
    const overrideFile = join(lab.home, 'override.yaml');
    writeFileSync(overrideFile, JSON.stringify(override));
    const { status, stdout, stderr } = await docker.try(
      [
        programPath('docker-compose')!,
        '--project-name',
        'imdswatch',
        '--file',
        file,
        '--file',
        overrideFile,
        ...args,
      ],
      { IMDSWATCH_DOCKER_SOCKET: engine!.socket },
    );
    assert.equal(status, 0, `docker-compose ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  const logs = () => compose('logs', '--tail=20');
  const idOf = (service: string) => compose('ps', '--quiet', service);
  const inspect = async (id: string, format: string) =>
    await docker.docker('inspect', '--format', format, id);
  const pidOf = async (id: string) => Number(await inspect(id, '{{.State.Pid}}'));
  const whenHealthy = async (id: string) =>
    await eventually(
      'healthy',
      async () => ((await inspect(id, '{{.State.Health.Status}}')) === 'healthy' ? true : null),
      logs,
    );

  it('carry what they say of themselves, run as they should and stay small', async (t) => {
    if (why !== null) return t.skip(why);
    for (const [target, user, command] of [
      ['agent', '', 'agent'],
      ['collector', '65532:65532', 'collector'],
    ] as const) {
      const [image] = JSON.parse(await docker.docker('image', 'inspect', `imdswatch-${target}`));
      assert.equal(image.Config.User, user);
      assert.deepEqual(image.Config.Entrypoint, ['/usr/bin/imdswatch']);
      assert.deepEqual(image.Config.Cmd, [command]);
      assert.deepEqual(image.Config.Healthcheck.Test, ['CMD', '/usr/bin/imdswatch-healthy']);
      assert.equal(image.Config.Labels['org.opencontainers.image.licenses'], 'Apache-2.0');
      const [base] = JSON.parse(await docker.docker('image', 'inspect', 'debian:12-slim'));
      const addedMiB = (image.Size - base.Size) / 2 ** 20;
      t.diagnostic(
        `${target}: ${addedMiB.toFixed(0)} MiB on a base of ${(base.Size / 2 ** 20).toFixed(0)} MiB`,
      );
      assert.ok(addedMiB < 160, `${addedMiB} MiB`);
    }
    const version = await docker.docker(
      'run',
      '--rm',
      '--network=none',
      '--read-only',
      'imdswatch-agent',
      '--version',
    );
    assert.match(version, /^imdswatch \d+\.\d+\.\d+/);
  });

  it('the collector image scans a directory without network and without writing', async (t) => {
    if (why !== null) return t.skip(why);
    const code = join(lab.home, 'code');
    mkdirSync(code);
    writeFileSync(join(code, 'boot.sh'), 'curl http://169.254.169.254/latest/meta-data/\n');
    const options = ['--rm', '--network', 'none', '--read-only', '--volume', `${code}:/code:ro`];
    const { status, stdout, stderr } = await docker.try([
      programPath('docker')!,
      ...['run', ...options, '--workdir', '/code', 'imdswatch-collector', 'scan'],
    ]);
    assert.equal(status, 4, stderr);
    assert.match(stdout, /boot\.sh:1:6/);
  });

  it('compose.yaml: both healthy; a host process and another container are named exactly; nothing is lost with the collector', async (t) => {
    if (why !== null) return t.skip(why);
    if (programPath('docker-compose') === null) return t.skip('docker-compose is missing');
    composeUp = true;
    await compose('up', '--detach');
    const [agent, collector] = [await idOf('agent'), await idOf('collector')];
    await whenHealthy(agent);
    await whenHealthy(collector);

    const agentStatus = statusOf(await pidOf(agent));
    const least = maskOf('NET_RAW', 'SYS_ADMIN', 'SYS_PTRACE', 'DAC_READ_SEARCH');
    for (const set of ['CapEff', 'CapPrm', 'CapBnd']) assert.equal(agentStatus[set], least, set);
    assert.equal(agentStatus['NoNewPrivs'], '1');
    assert.equal(agentStatus['Seccomp'], '2');
    const residentMiB = Number.parseInt(agentStatus['VmRSS']!, 10) / 1024;
    t.diagnostic(`the agent holds ${residentMiB.toFixed(0)} MiB`);
    const init = await pidOf(collector);
    const collectorStatus = statusOf(init);
    assert.match(collectorStatus['Uid']!, /^65532\b/);
    assert.equal(collectorStatus['CapEff'], maskOf());
    for (const id of [agent, collector]) {
      const { status } = await docker.try([programPath('docker')!, 'exec', id, 'sh', '-c', ': >/usr/x']);
      assert.notEqual(status, 0, 'the root is read-only');
    }

    const said = await docker.docker('exec', agent, 'imdswatch-healthy');
    assert.match(said, /^Watching any; .* callers exact \(eBPF\)$/);

    await lab.run(['curl', '-s', '-o', '/dev/null', 'http://169.254.169.254/latest/meta-data/from-the-host']);
    const one = ['run', '--rm', '--name', 'a-workload', '--env', `${LAB_VARIABLE}=${lab.tag}`, LAB_IMAGE];
    await docker.docker(...one, 'fetch', '/latest/meta-data/from-a-container', '0.2');

    const token = JSON.parse(
      await docker.docker(
        ...['exec', collector, 'imdswatch', 'token', 'create', '--json'],
        ...['--kind', 'person', '--role', 'viewer', '--name', 'test'],
      ),
    ).secret as string;
    const callOf = async (path: string): Promise<ServedCall> =>
      await eventually(
        path,
        async () => {
          const { stdout } = await lab.run(
            ['curl', '-s', '-K', '-', 'http://127.0.0.1:8787/api/v1/calls?version=1'],
            { input: `header = "Authorization: Bearer ${token}"\n` },
          );
          const { items } = JSON.parse(stdout) as { items: ServedCall[] };
          return items.find((call) => call['url.path']?.endsWith(path)) ?? null;
        },
        logs,
      );
    const fromHost = await callOf('from-the-host');
    assert.equal(fromHost['attribution.confidence'], 'exact');
    assert.match(fromHost.process?.['executable.path'] ?? '', /\/curl$/);
    assert.equal(fromHost.container, null);
    assert.equal(fromHost.host.id, 'compose-host');
    const fromContainer = await callOf('from-a-container');
    assert.equal(fromContainer['attribution.confidence'], 'exact');
    assert.equal(fromContainer.container?.name, 'a-workload');
    assert.equal(fromContainer.container?.['image.name'], LAB_IMAGE);
    assert.equal(fromContainer.process?.['executable.path'], '/bin/fetch');

    await docker.docker('stop', '--time', '5', collector);
    await lab.run([
      'curl',
      '-s',
      '-o',
      '/dev/null',
      'http://169.254.169.254/latest/meta-data/while-it-was-away',
    ]);
    await docker.docker('start', collector);
    await whenHealthy(collector);
    assert.equal((await callOf('while-it-was-away'))['attribution.confidence'], 'exact');
  });

  it('least of all: CAP_BPF and CAP_PERFMON, without CAP_SYS_ADMIN, with our own seccomp profile', async (t) => {
    if (why !== null) return t.skip(why);
    // Docker 20.10 knows no CAP_BPF. Podman does; its own profile keeps bpf(2) from it.
    const { engine: podman, notAvailable } = await startPodman(lab);
    if (podman === null) return t.skip(notAvailable);
    const archive = join(lab.home, 'agent.tar');
    await docker.docker('save', '--output', archive, 'imdswatch-agent');
    const remote = ['podman', '--remote', '--url', `unix://${podman.socket}`];
    const ask = async (...args: string[]) => {
      const { status, stdout, stderr } = await docker.try([...remote, ...args]);
      assert.equal(status, 0, `podman ${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    };
    await ask('load', '--quiet', '--input', archive);
    const states: string[] = [];
    for (const profile of [[], ['--security-opt', `seccomp=${join(ROOT, 'docker/seccomp/agent.json')}`]]) {
      const id = await ask(
        ...['run', '--detach', '--pid=host', '--network=host', '--read-only', '--tmpfs=/run/imdswatch'],
        ...['--cap-drop=ALL', '--cap-add=NET_RAW,BPF,PERFMON,SYS_PTRACE,DAC_READ_SEARCH'],
        ...['--security-opt=no-new-privileges', '--ulimit=nofile=1024:4096', '--ulimit=nproc=1024:4096'],
        ...[`--env=IMDSWATCH_AGENT_TOKEN=${'t'.repeat(40)}`, '--env=IMDSWATCH_MAX_NAMESPACES=0'],
        ...[`--env=${LAB_VARIABLE}=${lab.tag}`, ...profile, 'imdswatch-agent'],
      );
      states.push(
        await eventually(
          'ready',
          async () => {
            const { status, stdout } = await docker.try([...remote, 'exec', id, 'imdswatch-healthy']);
            return status === 0 ? stdout.trim() : null;
          },
          () => ask('logs', id),
        ),
      );
      const pid = Number(await ask('inspect', '--format={{.State.Pid}}', id));
      const least = maskOf('NET_RAW', 'BPF', 'PERFMON', 'SYS_PTRACE', 'DAC_READ_SEARCH');
      assert.equal(statusOf(pid)['CapEff'], least);
      await ask('rm', '--force', '--time=2', '--volumes', id);
    }
    assert.match(
      states[0]!,
      /callers by \/proc .*seccomp/,
      "Podman's own profile; should this change, so can README.md",
    );
    assert.match(states[1]!, /callers exact \(eBPF\)$/);
  });
});
