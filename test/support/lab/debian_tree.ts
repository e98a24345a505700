/** A bare Debian 12 with systemd and nothing else, as a new host has it: made once, then copied. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../../../common/operator_error.ts';

const execFileAsync = promisify(execFile);
const SUITE = 'bookworm';
/** Packages of a new host: what boots. The product's package needs nothing else. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus'];
const KEPT_IN = join(import.meta.dirname, '../../../.runtime');
/** The name says what is in it, so that a change here makes a new one. */
const TREE = join(KEPT_IN, [SUITE, ...PACKAGES].join('+'));
const MAKING_TIMEOUT_MS = 280_000;
const COPYING_TIMEOUT_MS = 60_000;

/** Tells whether `copyDebianTree` has nothing to download. */
export function hasDebianTree(): boolean {
  return existsSync(TREE);
}

/** Downloads and makes the tree where there is none. Throws `OperatorError` when it cannot be made. */
export async function prepareDebianTree(): Promise<void> {
  if (!hasDebianTree()) await makeTree();
}

/** The tree itself, to read from. Throws `OperatorError` when it cannot be made. */
export async function debianTree(): Promise<string> {
  await prepareDebianTree();
  return TREE;
}

/** A copy of the tree at `root`, which must not exist. Throws `OperatorError` when it cannot be made. */
export async function copyDebianTree(root: string): Promise<void> {
  await prepareDebianTree();
  await execFileAsync('cp', ['-a', '--reflink=auto', TREE, root], { timeout: COPYING_TIMEOUT_MS });
}

async function makeTree(): Promise<void> {
  const apart = `${TREE}.${process.pid}`;
  mkdirSync(join(apart, 'memory'), { recursive: true });
  try {
    // In memory dpkg's many fsync(2) cost nothing, and in a namespace of its own what is mounted goes with it.
    // mmdebstrap makes the same tree as debootstrap in half of its processor time.
    const script = 'mount -t tmpfs tmpfs memory && mmdebstrap "$@" memory/tree && cp -a memory/tree .';
    const args = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE];
    const options = { cwd: apart, timeout: MAKING_TIMEOUT_MS, maxBuffer: Infinity };
    await execFileAsync('unshare', ['--mount', 'sh', '-c', script, 'sh', ...args], options);
    if (!hasDebianTree()) renameSync(join(apart, 'tree'), TREE);
  } catch (error) {
    if (hasDebianTree()) return; // another one was faster
    const { stderr, message } = error as Error & { stderr?: string };
    const words = stderr?.trim().split('\n').slice(-3).join(' ') || message;
    throw new OperatorError(1, `mmdebstrap could not make a Debian tree: ${words}`);
  } finally {
    rmSync(apart, { recursive: true, force: true });
  }
}
