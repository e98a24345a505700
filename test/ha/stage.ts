/** docker/compose.ha.yaml as it is shipped, running in a lab from images of this checkout. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../../common/operator_error.ts';
import { startDocker } from '../../lab/engines/docker.ts';
import { LAB_VARIABLE } from '../../lab/engines/image.ts';
import { programPath } from '../../lab/engines/need.ts';
import { Lab, type RunResult } from '../../lab/lab.ts';
import { eventually } from '../support/collector/stored.ts';
import { buildImages, DockerCommand, imagesMissing, ROOT } from '../support/docker/images.ts';
import { treeWithPackages } from '../support/docker/package_repository.ts';

/** Debian's packages that docker/ha/Dockerfile installs. */
const PACKAGES = ['postgresql-common', 'postgresql-15', 'patroni', 'etcd-server', 'etcd-client', 'haproxy'];
const PROJECT = 'imdswatch-ha';
const HEALTHY_MS = 180_000;
/** Each question starts a program in a container. */
const LOOK_EVERY_MS = 500;

export class Stage {
  readonly lab: Lab;
  readonly docker: DockerCommand;
  /** The directory of what make-secrets makes. */
  readonly secrets: string;
  readonly #socket: string;
  readonly #directory: string;

  private constructor(lab: Lab, docker: DockerCommand, socket: string) {
    this.lab = lab;
    this.docker = docker;
    this.#socket = socket;
    this.#directory = join(lab.home, 'shipped');
    this.secrets = join(this.#directory, 'ha/secrets');
  }

  /** Builds the images and starts everything. Throws `OperatorError` where a program is missing. */
  static async open(): Promise<Stage> {
    const composeMissing = programPath('docker-compose') === null ? 'docker-compose is missing' : null;
    const missing = imagesMissing() ?? composeMissing;
    if (missing !== null) throw new OperatorError(3, missing);
    const lab = await Lab.create({ name: 'ha', ipv6: false });
    try {
      const { engine, notAvailable } = await startDocker(lab);
      if (engine === null) throw new OperatorError(3, notAvailable);
      const stage = new Stage(lab, new DockerCommand(lab, engine), engine.socket);
      await buildImages(lab, stage.docker, ['collector'], () => treeWithPackages(PACKAGES));
      await stage.#start();
      return stage;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    mkdirSync(this.#directory);
    for (const path of ['compose.ha.yaml', 'ha']) {
      cpSync(join(ROOT, 'docker', path), join(this.#directory, path), { recursive: true });
    }
    const secrets = await this.lab.run([join(this.#directory, 'ha/make-secrets'), 'collector.example.com']);
    assert.equal(secrets.status, 0, secrets.stderr);
    // By the first variable the lab finds processes that are left over. The second needs no more files than any machine allows.
    const environment = { [LAB_VARIABLE]: this.lab.tag, MAX_CONNECTIONS: '1000' };
    const services = (await this.compose('config', '--services')).split('\n');
    const ours = { environment, healthcheck: { interval: '2s' } };
    const override = { services: Object.fromEntries(services.map((name) => [name, ours])) };
    writeFileSync(join(this.#directory, 'override.yaml'), JSON.stringify(override));
    await this.compose('build');
    await this.compose('up', '--detach');
    await this.whenHealthy(...services);
  }

  /** Runs `docker compose ARGS`, which must not fail, and returns what it printed. */
  async compose(...args: string[]): Promise<string> {
    const files = ['compose.ha.yaml', 'override.yaml'].map((name) => join(this.#directory, name));
    const given = files.filter((_, index) => index === 0 || args[0] !== 'config');
    const argv = [
      programPath('docker-compose')!,
      ...['--project-name', PROJECT],
      ...given.flatMap((file) => ['--file', file]),
      ...args,
    ];
    const { status, stdout, stderr } = await this.docker.try(argv, {
      DOCKER_HOST: `unix://${this.#socket}`,
      // docker-compose builds by itself, because the first docker in PATH may lack buildx.
      COMPOSE_DOCKER_CLI_BUILD: '0',
      DOCKER_BUILDKIT: '0',
    });
    assert.equal(status, 0, `docker-compose ${args.join(' ')}: ${stderr}${stdout}`);
    return stdout.trim();
  }

  container(service: string): string {
    return `${PROJECT}_${service}_1`;
  }

  async exec(service: string, ...argv: string[]): Promise<string> {
    return await this.docker.docker('exec', this.container(service), ...argv);
  }

  async whenHealthy(...services: string[]): Promise<void> {
    const format = '{{.Name}} {{.State.Health.Status}}';
    await patiently(`healthy: ${services.join(', ')}`, HEALTHY_MS, async () => {
      const names = services.map((service) => this.container(service));
      const states = await this.docker.docker('inspect', '--format', format, ...names);
      return states.split('\n').every((line) => line.endsWith(' healthy'));
    }).catch(async (error: Error) => {
      throw new Error(
        `${error.message}\n${await this.compose('ps')}\n${await this.compose('logs', '--tail=15')}`,
      );
    });
  }

  /** Returns the name of the PostgreSQL server that is the primary, by Patroni; null while there is none. */
  async primary(): Promise<string | null> {
    for (const service of ['postgres-1', 'postgres-2', 'postgres-3']) {
      const { status, stdout } = await this.docker.try([
        programPath('docker')!,
        ...['exec', this.container(service), 'patronictl', 'list', '--format', 'json'],
      ]);
      if (status !== 0) continue;
      const members = JSON.parse(stdout) as { Member: string; Role: string; State: string }[];
      return members.find(({ Role, State }) => Role === 'Leader' && State === 'running')?.Member ?? null;
    }
    return null;
  }

  /** Asks the API as an admin, through HAProxy, from the lab's host. Resolves with the status 0 where nobody answers. */
  async ask(path: string, token: string): Promise<{ status: number; body: string }> {
    const { stdout }: RunResult = await this.lab.run(
      [
        'curl',
        ...['--silent', '--max-time', '5', '--cacert', join(this.secrets, 'ca.crt'), '--config', '-'],
        ...['--write-out', '\n%{http_code}', `https://localhost:8787${path}`],
      ],
      { input: `header = "Authorization: Bearer ${token}"\n` },
    );
    const at = stdout.lastIndexOf('\n');
    return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
  }

  secret(name: string): string {
    return readFileSync(join(this.secrets, name), 'utf8').trim();
  }

  async close(): Promise<void> {
    await this.compose('down', '--volumes', '--timeout', '5').catch((error: Error) => {
      process.stderr.write(`${error.message}\n`);
    });
    await this.lab.close();
  }
}

/** Waits for a condition that docker is asked for. Throws after `forMs`. */
export async function patiently(what: string, forMs: number, look: () => Promise<boolean>): Promise<void> {
  await eventually(what, look, forMs, LOOK_EVERY_MS);
}
