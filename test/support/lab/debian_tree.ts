/** A bare Debian with systemd and nothing else, as a new host has it: made once, then copied. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../../../common/operator_error.ts';

const execFileAsync = promisify(execFile);
/** Debian 12. */
const SUITE = 'bookworm';
/** Packages of a new host: what boots. The product's package needs nothing else. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus'];
const KEPT_IN = join(import.meta.dirname, '../../../.runtime');
const MAKING_TIMEOUT_MS = 280_000;
const COPYING_TIMEOUT_MS = 60_000;

/** A release of Debian, and the packages that a tree has besides the usual ones. */
export interface DebianRelease {
  suite?: string;
  more?: readonly string[];
}

/** The name says what is in it, so that a change here makes a new one. */
function placeOf({ suite = SUITE, more = [] }: DebianRelease): string {
  return join(KEPT_IN, [suite, ...PACKAGES, ...more].join('+'));
}

/** Tells whether `copyDebianTree` has nothing to download. */
export function hasDebianTree(release: DebianRelease = {}): boolean {
  return existsSync(placeOf(release));
}

/** Downloads and makes the tree where there is none. Throws `OperatorError` when it cannot be made. */
export async function prepareDebianTree(release: DebianRelease = {}): Promise<void> {
  if (!hasDebianTree(release)) await makeTree(release);
}

/** The tree itself, to read from. Throws `OperatorError` when it cannot be made. */
export async function debianTree(): Promise<string> {
  await prepareDebianTree();
  return placeOf({});
}

/** A copy of the tree at `root`, which must not exist. Throws `OperatorError` when it cannot be made. */
export async function copyDebianTree(root: string, release: DebianRelease = {}): Promise<void> {
  await prepareDebianTree(release);
  const args = ['-a', '--reflink=auto', placeOf(release), root];
  await execFileAsync('cp', args, { timeout: COPYING_TIMEOUT_MS });
}

async function makeTree(release: DebianRelease): Promise<void> {
  const place = placeOf(release);
  const { suite = SUITE, more = [] } = release;
  const apart = `${place}.${process.pid}`;
  mkdirSync(join(apart, 'memory'), { recursive: true });
  try {
    // In memory dpkg's many fsync(2) cost nothing, and in a namespace of its own what is mounted goes with it.
    // mmdebstrap makes the same tree as debootstrap in half of its processor time.
    const script = 'mount -t tmpfs tmpfs memory && mmdebstrap "$@" memory/tree && cp -a memory/tree .';
    const args = ['--variant=minbase', `--include=${[...PACKAGES, ...more].join(',')}`, suite];
    const options = { cwd: apart, timeout: MAKING_TIMEOUT_MS, maxBuffer: Infinity };
    await execFileAsync('unshare', ['--mount', 'sh', '-c', script, 'sh', ...args], options);
    if (!hasDebianTree(release)) renameSync(join(apart, 'tree'), place);
  } catch (error) {
    if (hasDebianTree(release)) return; // another one was faster
    const { stderr, message } = error as Error & { stderr?: string };
    const words = stderr?.trim().split('\n').slice(-3).join(' ') || message;
    throw new OperatorError(1, `mmdebstrap could not make a Debian tree: ${words}`);
  } finally {
    rmSync(apart, { recursive: true, force: true });
  }
}
