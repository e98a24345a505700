/**
 * The lab's network namespaces: their names, their making, their end.
 *
 * A name carries who made it (pid and start time in clock ticks), so that what a killed run left behind can be
 * told from what a live run uses: `imdsw-[LABEL-]PID-TICKS-RAND-ROLE`.
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
export type Role = 'task' | 'mac' | `side${number}`;

/** Start time of a process in clock ticks since boot (proc(5), /proc/PID/stat field 22); null when it is gone. */
export function startTicksOf(pid: number): number | null {
  const fields = statFields(pid);
  // A zombie has ended; it only waits for its parent to notice.
  return fields === null || fields[0] === 'Z' ? null : Number(fields[19]);
}

/** Tells whether a process was started with `tag` somewhere in its environment; false when it is gone. */
function carriesTag(pid: number, tag: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(tag);
  } catch {
    return false;
  }
}

/** Every process that was started with `tag` somewhere in its environment, this one apart. */
export function pidsWithTag(tag: string): number[] {
  return allPids().filter((pid) => pid !== process.pid && carriesTag(pid, tag));
}

function allPids(): number[] {
  return list('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? [Number(entry)] : []));
}

/** Fields of /proc/PID/stat from the third (state) on: the second, comm, may hold spaces and brackets. */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** A name for one lab: unique, and telling who made it. `label` is lower-case letters and digits. */
export function labTag(label?: string): string {
  if (label !== undefined && !/^[a-z0-9]{1,20}$/.test(label)) {
    throw new OperatorError(2, `A lab's name is 1 to 20 of a-z and 0-9, not "${label}".`);
  }
  const who = `${process.pid}-${startTicksOf(process.pid)}-${randomBytes(4).toString('hex')}`;
  return label === undefined ? `imdsw-${who}` : `imdsw-${label}-${who}`;
}

/** Tells whether `name` is a lab's whose maker is gone. */
function isLeftOver(name: string): boolean {
  const match = NAME.exec(name);
  return match !== null && startTicksOf(Number(match[1])) !== Number(match[2]);
}

/** Runs `ip`; throws with its own words when it fails. */
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

/** A veth pair between two namespaces, both ends up, and both loopbacks. Nothing of it is ever outside them. */
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

/** `key` as a path below /proc/sys. Only for settings that belong to a network namespace. */
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

/** Pids of the processes whose network namespace is `name`. */
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
      // It ended while we looked: it is in no namespace any more.
    }
  }
  return pids;
}

/** Deletes a namespace, with all that is in it. Synchronous, so that it works while the process exits. */
export function deleteNamespace(name: string): void {
  const result = spawnSync('ip', ['netns', 'delete', name], { encoding: 'utf8' });
  if (result.status !== 0 && !/No such file/.test(result.stderr ?? '')) {
    process.stderr.write(`The lab could not delete the namespace ${name}: ${result.stderr?.trim()}\n`);
  }
}

/**
 * Removes the namespaces, processes and directories of labs whose maker has died without cleaning up.
 * Returns what was removed. A process is ended only when it lives in such a namespace, where nothing else can be, or
 * carries such a lab's tag (a container's, in a namespace of its own).
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

/** SIGKILL to a pid, or to a process group when negative; one that is gone already is fine. */
export function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
