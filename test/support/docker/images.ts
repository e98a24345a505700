/** The images of docker/Dockerfile, built in a lab from this checkout's package on a Debian that was made here. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import type { SocketEngine } from '../../../lab/engines/socket_engine.ts';
import type { Lab, RunResult } from '../../../lab/lab.ts';
import { debianTree } from '../lab/debian_tree.ts';
import { keptPackages, NATIVE } from '../packaging/kept.ts';

export const ROOT = join(import.meta.dirname, '../../..');
/** Name in docker/Dockerfile. */
const BASE = 'debian:12-slim';
const STEP_TIMEOUT_MS = 200_000;

/** Why images cannot be built here; null when they can. */
export function imagesMissing(): string | null {
  const missing = missingHere(['mmdebstrap', 'dockerd', 'tar']);
  if (missing !== null) return missing;
  return programPath('docker') === null ? 'not available: docker is missing (Debian docker.io)' : null;
}

/** Docker's own command line, spoken to the lab's engine. */
export class DockerCommand {
  readonly #lab: Lab;
  readonly #env: Record<string, string>;

  constructor(lab: Lab, engine: SocketEngine) {
    this.#lab = lab;
    this.#env = { DOCKER_HOST: `unix://${engine.socket}`, DOCKER_BUILDKIT: '1' };
  }

  /** Whatever comes of it. */
  async try(argv: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
    return await this.#lab.run(argv, { env: { ...this.#env, ...env }, timeoutMs: STEP_TIMEOUT_MS });
  }

  /** Runs `docker ARGS`, which must not fail, and returns what it printed. */
  async docker(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.try([programPath('docker')!, ...args]);
    assert.equal(status, 0, `docker ${args.join(' ')}: ${stderr}${stdout}`);
    return stdout.trim();
  }
}

/**
 * `imdswatch-agent` and `imdswatch-collector`, or only some of them, by the commands of docker/README.md. The base is a
 * Debian, by default a bare one.
 */
export async function buildImages(
  lab: Lab,
  docker: DockerCommand,
  targets: readonly string[] = ['agent', 'collector'],
  base: () => Promise<string> = debianTree,
): Promise<void> {
  const context = join(lab.home, 'checkout');
  const dist = join(context, 'dist');
  mkdirSync(join(context, 'docker'), { recursive: true });
  mkdirSync(dist);
  for (const path of ['.dockerignore', 'docker/Dockerfile', 'docker/healthy']) {
    cpSync(join(ROOT, path), join(context, path));
  }
  // Both to their end, whatever becomes of either: nothing may be written after the lab is gone.
  const made = await Promise.allSettled([keptPackages(NATIVE), importBase(docker, base)]);
  for (const one of made) if (one.status === 'rejected') throw one.reason;
  const { deb } = await keptPackages(NATIVE);
  cpSync(deb, join(dist, basename(deb)));
  for (const target of targets) {
    const file = join(context, 'docker/Dockerfile');
    await docker.docker('build', '--file', file, '--target', target, '--tag', `imdswatch-${target}`, context);
  }
}

async function importBase(docker: DockerCommand, base: () => Promise<string>): Promise<void> {
  const directory = await base();
  const script = `tar --directory="$1" --exclude=./usr/share/doc/* --exclude=./usr/share/locale/* --numeric-owner --create . | "$2" import - ${BASE}`;
  const { status, stderr } = await docker.try(['sh', '-c', script, 'sh', directory, programPath('docker')!]);
  assert.equal(status, 0, stderr);
}
