/** Runs the daemon of an engine in the lab's host namespace, with mounts of its own that end with it. */
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabProcess } from '../lab.ts';

const RECHECK_MS = 20;
const LOG_TAIL_CHARS = 2000;

/**
 * A shell script. With a private /run the daemon and the machine's own engines cannot reach each other's
 * sockets, locks and namespaces. Files for /var/lib go to $1. The mounts end with the last process of their
 * mount namespace. $2 has more commands to run first; the other arguments are the program.
 */
const IN_OWN_MOUNTS =
  'mount -t tmpfs tmpfs /run && ' +
  'mount -t overlay -o "lowerdir=/var/lib,upperdir=$1/var,workdir=$1/work" overlay /var/lib && ' +
  'eval "$2" && shift 2 && exec "$@"';

export interface DaemonOptions {
  /** Name of the daemon, and of its log below the lab's home. */
  name: string;
  argv: readonly string[];
  /** Shell commands in the daemon's own mount namespace, before it starts. */
  before?: string;
  env?: Record<string, string>;
  /** Rejects while the daemon does not answer. */
  answers: () => Promise<unknown>;
  timeoutMs: number;
}

/**
 * Returns the arguments before a program that give it mounts of its own. It keeps the pid that is started.
 * Files for /var/lib go to `directory`, which is created.
 */
function inOwnMounts(directory: string, argv: readonly string[], before = ':'): string[] {
  for (const name of ['var', 'work']) mkdirSync(join(directory, name), { recursive: true });
  return ['unshare', '--mount', 'sh', '-c', IN_OWN_MOUNTS, 'sh', directory, before, ...argv];
}

/**
 * Resolves when it answers. Throws with the end of its log if it ends first, or takes longer than
 * `timeoutMs`.
 */
export async function startDaemon(lab: Lab, options: DaemonOptions): Promise<LabProcess> {
  const logFile = join(lab.home, `${options.name}.log`);
  const log = openSync(logFile, 'a');
  const running = lab.spawn(
    inOwnMounts(join(lab.home, `${options.name}.mounts`), options.argv, options.before),
    {
      stdio: ['ignore', log, log],
      ...(options.env && { env: options.env }),
    },
  );
  closeSync(log);
  let ended: string | null = null;
  void running.exited.then(({ status, signal }) => {
    ended = `ended (${signal ?? status})`;
  });
  const deadline = Date.now() + options.timeoutMs;
  let lastError: unknown;
  while (ended === null && Date.now() < deadline) {
    try {
      await options.answers();
      return running;
    } catch (error) {
      lastError = error;
      await sleep(RECHECK_MS);
    }
  }
  const how: string = ended ?? `did not answer in ${options.timeoutMs} ms (${(lastError as Error)?.message})`;
  await running.stop();
  throw new Error(`${options.name} ${how}: ${readFileSync(logFile, 'utf8').slice(-LOG_TAIL_CHARS)}`);
}
