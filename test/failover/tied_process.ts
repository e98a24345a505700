/** Starts programs that end with this process, also when this one is killed (setpriv(1), prctl(2) PR_SET_PDEATHSIG). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';

export interface TiedOptions {
  /** File that its output is appended to. */
  log: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** The user that it runs as. Default: that of this process. */
  owner?: { uid: number; gid: number } | null;
  /** The signal that it gets when this process ends. */
  signal?: 'KILL' | 'TERM' | 'INT';
}

const END_MS = 30_000;

export function startTied(argv: readonly string[], options: TiedOptions): ChildProcess {
  const { log, env = process.env, cwd, owner = null, signal = 'KILL' } = options;
  const user = owner === null ? [] : [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  const file = openSync(log, 'a');
  return spawn('setpriv', [...user, `--pdeathsig=${signal}`, '--', ...argv], {
    stdio: ['ignore', file, file],
    env,
    ...(cwd !== undefined && { cwd }),
  });
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Ends a process by a signal, and by SIGKILL where that takes too long. Resolves when it has ended. */
export async function endTied(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(timer);
}
