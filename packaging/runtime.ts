/** Fetches the pinned Node of a target from the registry, by the lock file that a checkout uses too. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';
import type { Sources } from './sources.ts';
import type { Target } from './target.ts';

export interface Runtime {
  version: string;
  /** Node as npm installed it, with symbols: 118 MiB. */
  program: string;
  /** Directory with node_api.h and V8's headers. */
  headers: string;
  license: string;
}

/** Returns options of npm for a target that may be another machine. */
export function npmTarget({ arch }: Target): string[] {
  return ['--os=linux', `--cpu=${arch}`, '--libc=glibc'];
}

export async function fetchRuntime(sources: Sources, target: Target, directory: string): Promise<Runtime> {
  mkdirSync(directory, { recursive: true });
  for (const file of ['package.json', 'package-lock.json']) {
    cpSync(join(sources.root, 'setup/runtime', file), join(directory, file));
  }
  const args = [
    'ci',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
  ];
  await run('npm', [...args, ...npmTarget(target)], { cwd: directory, from: 'npm' });
  const name = `node-linux-${target.arch}`;
  const { default: lock } = await import(join(directory, 'package-lock.json'), { with: { type: 'json' } });
  const home = join(directory, 'node_modules', name);
  return {
    version: lock.packages[`node_modules/${name}`].version,
    program: join(home, 'bin/node'),
    headers: join(home, 'include/node'),
    license: join(home, 'LICENSE'),
  };
}

export async function strip(target: Target, from: string, to: string): Promise<void> {
  await run(`${target.gnu}-strip`, ['--strip-all', '-o', to, from], { from: `binutils-${target.gnu}` });
}
