/**
 * Makes, names and deletes the network namespaces of labs.
 *
 * A name contains its maker (pid and start time in clock ticks), so that the leftovers of a killed run can be
 * told from namespaces in use: `imdsw-[LABEL-]PID-TICKS-RAND-ROLE`.
 */
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../common/operator_error.ts';
import { sweepCgroups } from './engines/cgroups.ts';

const execFileAsync = promisify(execFile);
const NETNS_DIR = '/run/netns';
const NAME = /^imdsw-(?:[a-z0-9]+-)?(\d+)-(\d+)-[0-9a-f]{8}(?:-(?:host|imds|pod|task|mac|side\d+))?$/;

/** Role of a namespace that a lab makes beyond its own three; part of its name. */
export type Role = 'task' | 'mac' | 'vpn' | 'user' | 'inner' | `side${number}`;

/**
 * Returns the start time of a process in clock ticks since boot (proc(5), /proc/PID/stat field 22); null if
 * it has ended.
 */
export function startTicksOf(pid: number): number | null {
  const fields = statFields(pid);
  // A zombie has ended. Only its parent has not read its status yet.
  return fields === null || fields[0] === 'Z' ? null : Number(fields[19]);
}

/** Tells whether a process was started with `tag` somewhere in its environment; false if it has ended. */
function carriesTag(pid: number, tag: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(tag);
  } catch {
    return false;
  }
}

/** Returns every other process that was started with `tag` somewhere in its environment. */
export function pidsWithTag(tag: string): number[] {
  return allPids().filter((pid) => pid !== process.pid && carriesTag(pid, tag));
}

function allPids(): number[] {
  return list('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? [Number(entry)] : []));
}

/**
 * Returns the fields of /proc/PID/stat from the third (state) on. The second, comm, may contain spaces and
 * brackets.
 */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** Returns a unique name for one lab that contains its maker. `label` is lower-case letters and digits. */
export function labTag(label?: string): string {
  if (label !== undefined && !/^[a-z0-9]{1,20}$/.test(label)) {
    throw new OperatorError(2, `A lab's name is 1 to 20 of a-z and 0-9, not "${label}".`);
  }
  const who = `${process.pid}-${startTicksOf(process.pid)}-${randomBytes(4).toString('hex')}`;
  return label === undefined ? `imdsw-${who}` : `imdsw-${label}-${who}`;
}

/** Tells whether `name` belongs to a lab whose maker has ended. */
function isLeftOver(name: string): boolean {
  const match = NAME.exec(name);
  return match !== null && startTicksOf(Number(match[1])) !== Number(match[2]);
}

/** Runs `ip`. Throws with its output if it fails. */
export async function ip(...args: string[]): Promise<void> {
  try {
    await execFileAsync('ip', args);
  } catch (error) {
    const { code, stderr } = error as { code?: string | number; stderr?: string };
    if (code === 'ENOENT') {
      throw new OperatorError(
        3,
        'The program `ip` is missing: install the package iproute2 (iproute on Amazon Linux).',
      );
    }
    const words = stderr?.trim() || String(error);
    if (/not permitted|permission denied/i.test(words)) {
      throw new OperatorError(
        3,
        `The lab may not build network namespaces (\`ip ${args.join(' ')}\`: ${words}): run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN.`,
      );
    }
    throw new OperatorError(1, `\`ip ${args.join(' ')}\` failed: ${words}.`);
  }
}

export function namespacePath(name: string): string {
  return join(NETNS_DIR, name);
}

/**
 * Adds a veth pair between two namespaces, and sets both ends and both loopbacks up. No end is ever outside
 * of them.
 */
export async function addLink(
  namespace: string,
  name: string,
  peerNamespace: string,
  peerName: string,
): Promise<void> {
  const peer = ['peer', 'name', peerName, 'netns', peerNamespace];
  await ip('-n', namespace, 'link', 'add', name, 'type', 'veth', ...peer);
  await Promise.all([
    ip('-n', namespace, 'link', 'set', name, 'up'),
    ip('-n', namespace, 'link', 'set', 'lo', 'up'),
    ip('-n', peerNamespace, 'link', 'set', peerName, 'up'),
    ip('-n', peerNamespace, 'link', 'set', 'lo', 'up'),
  ]);
}

export async function addAddress(namespace: string, device: string, ...cidrs: string[]): Promise<void> {
  for (const cidr of cidrs) {
    // Duplicate address detection would keep an IPv6 address unusable for a second.
    const noDad = cidr.includes(':') ? ['nodad'] : [];
    await ip('-n', namespace, 'address', 'add', cidr, 'dev', device, ...noDad);
  }
}

/** Sets `key`, a path below /proc/sys. Only for settings that belong to a network namespace. */
export function setSysctl(namespace: string, key: string, value: string): void {
  const script = 'printf %s "$1" > "/proc/sys/$2"';
  const result = spawnSync('nsenter', [
    `--net=${namespacePath(namespace)}`,
    'sh',
    '-c',
    script,
    'sh',
    value,
    key,
  ]);
  if (result.status !== 0) throw new OperatorError(1, `The lab could not set ${key}: ${result.stderr}`);
}

/** Returns the pids of the processes whose network namespace is `name`. */
export function pidsIn(name: string): number[] {
  let inode: number;
  try {
    inode = statSync(namespacePath(name)).ino;
  } catch {
    return [];
  }
  const wanted = `net:[${inode}]`;
  const pids: number[] = [];
  for (const pid of allPids()) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) === wanted) pids.push(pid);
    } catch {
      // The process ended meanwhile, so it is in no namespace.
    }
  }
  return pids;
}

/**
 * Deletes a namespace with its processes and interfaces. Synchronous, so that it works while the process
 * exits.
 */
export function deleteNamespace(name: string): void {
  const result = spawnSync('ip', ['netns', 'delete', name], { encoding: 'utf8' });
  if (result.status !== 0 && !/No such file/.test(result.stderr ?? '')) {
    process.stderr.write(`The lab could not delete the namespace ${name}: ${result.stderr?.trim()}\n`);
  }
}

/**
 * Removes the namespaces, processes and directories of labs whose maker has died without cleaning up. Returns
 * the names of what was removed. A process is killed only if it is in such a namespace, where nothing else
 * can be, or has the tag of such a lab (in a container, which has a namespace of its own).
 */
export function sweepLeftovers(): { namespaces: string[]; directories: string[]; pids: number[] } {
  const namespaces = list(NETNS_DIR).filter(isLeftOver);
  const directories = list(tmpdir()).filter(isLeftOver);
  const pids = [...new Set([...namespaces.flatMap(pidsIn), ...directories.flatMap(pidsWithTag)])].filter(
    (pid) => pid !== process.pid,
  );
  for (const pid of pids) endNow(pid);
  for (const name of namespaces) deleteNamespace(name);
  for (const name of directories) sweepCgroups(join(tmpdir(), name));
  for (const name of directories) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  return { namespaces, directories, pids };
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Sends SIGKILL to a pid, or to a process group if negative. It may have ended already. */
export function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
