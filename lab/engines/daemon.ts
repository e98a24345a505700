/** An engine's daemon in the lab's host namespace, with mounts of its own that end with it. */
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabProcess } from '../lab.ts';

const RECHECK_MS = 20;
const LOG_TAIL_CHARS = 2000;

/**
 * A private /run keeps sockets, locks and namespaces of the machine's own engines out of reach, and ours out of theirs;
 * what is written to /var/lib goes to $1. Mounts in a mount namespace of its own are gone when its last process is.
 * $2 is more to do before; the rest is run.
 */
const IN_OWN_MOUNTS =
  'mount -t tmpfs tmpfs /run && ' +
  'mount -t overlay -o "lowerdir=/var/lib,upperdir=$1/var,workdir=$1/work" overlay /var/lib && ' +
  'eval "$2" && shift 2 && exec "$@"';

export interface DaemonOptions {
  /** Also names its log, below the lab's home. */
  name: string;
  argv: readonly string[];
  /** Shell commands in the daemon's own mount namespace, before it starts. */
  before?: string;
  env?: Record<string, string>;
  /** Rejects as long as it does not answer. */
  answers: () => Promise<unknown>;
  timeoutMs: number;
}

/**
 * Returns how programs run in mounts of their own; the pid that is started becomes the last program's. `directory`, which is
 * made, takes what they write to /var/lib.
 */
function inOwnMounts(directory: string, argv: readonly string[], before = ':'): string[] {
  for (const name of ['var', 'work']) mkdirSync(join(directory, name), { recursive: true });
  return ['unshare', '--mount', 'sh', '-c', IN_OWN_MOUNTS, 'sh', directory, before, ...argv];
}

/** Resolves once it answers; throws with the end of its log when it ends first, or takes longer than `timeoutMs`. */
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
