/** A bare Debian 12 with systemd and nothing else, as a new host has it: made once by debootstrap, then copied. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../protocol/operator_error.ts';

const execFileAsync = promisify(execFile);
const SUITE = 'bookworm';
/** Of a new host: what boots, and what the product's package depends on. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'libpcap0.8', 'libbpf1'];
const KEPT_IN = join(import.meta.dirname, '../.runtime');
/** The name says what is in it, so that a change here makes a new one. */
const TREE = join(KEPT_IN, [SUITE, ...PACKAGES].join('+'));
const MAKING_TIMEOUT_MS = 280_000;
const COPYING_TIMEOUT_MS = 60_000;

/** Whether `copyDebianTree` has nothing to download. */
export function hasDebianTree(): boolean {
  return existsSync(TREE);
}

/** A copy of the tree at `root`, which must not exist. Throws `OperatorError` when it cannot be made. */
export async function copyDebianTree(root: string): Promise<void> {
  if (!hasDebianTree()) await makeTree();
  await execFileAsync('cp', ['-a', '--reflink=auto', TREE, root], { timeout: COPYING_TIMEOUT_MS });
}

async function makeTree(): Promise<void> {
  const apart = `${TREE}.${process.pid}`;
  mkdirSync(KEPT_IN, { recursive: true });
  try {
    const include = `--include=${PACKAGES.join(',')}`;
    // debootstrap mounts /proc in the tree: in a namespace of its own that is gone with it, whatever happens.
    const args = ['--mount', 'debootstrap', '--variant=minbase', include, SUITE, apart];
    await execFileAsync('unshare', args, { timeout: MAKING_TIMEOUT_MS, maxBuffer: Infinity });
    if (!hasDebianTree()) renameSync(apart, TREE);
  } catch (error) {
    if (hasDebianTree()) return; // another one was faster
    const { stdout, message } = error as Error & { stdout?: string };
    const words = stdout?.trim().split('\n').slice(-3).join(' ') || message;
    throw new OperatorError(1, `debootstrap could not make a Debian tree: ${words}`);
  } finally {
    rmSync(apart, { recursive: true, force: true });
  }
}
