/**
 * Network namespaces of this host: found by the processes in them and by the files that keep them (`ip netns`, Docker),
 * and entered for as long as one action takes. setns(2) changes the calling thread only, which is the main one here.
 */
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { setNetworkNamespace } from './libc.ts';

/** Inode number of the network namespace that this thread is in. */
export function ownNamespace(): number {
  return statSync('/proc/thread-self/ns/net').ino;
}

/** Inode number of the namespace that a path refers to; null when it is gone or not for us. */
export function namespaceAt(path: string): number | null {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
}

/**
 * Runs `action` within the namespace at `path` and comes back. Throws what the action throws, and an error when the
 * namespace cannot be entered (gone, or CAP_SYS_ADMIN is missing).
 */
export function withinNamespace<T>(path: string, action: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const there = openSync(path, 'r');
    try {
      setNetworkNamespace(there);
    } finally {
      closeSync(there);
    }
    try {
      return action();
    } finally {
      // Nothing that we say would be about the right host any more: an error here ends the process.
      setNetworkNamespace(home);
    }
  } finally {
    closeSync(home);
  }
}

/** Every network namespace with a process in it or a file that keeps it: inode number → a path to enter it by. */
export function listNamespaces(procRoot = '/proc'): Map<number, string> {
  const found = new Map<number, string>();
  for (const entry of readdirSync(procRoot)) {
    if (!/^\d+$/.test(entry)) continue;
    const path = `${procRoot}/${entry}/ns/net`;
    const inode = namespaceAt(path);
    if (inode !== null && !found.has(inode)) found.set(inode, path);
  }
  for (const path of namespaceFiles(procRoot)) {
    const inode = namespaceAt(path);
    if (inode !== null && !found.has(inode)) found.set(inode, path);
  }
  return found;
}

/** Mount points of nsfs: field 5 of mountinfo (proc(5)), with its octal escapes undone. */
function namespaceFiles(procRoot: string): string[] {
  const files: string[] = [];
  for (const line of readFileSync(`${procRoot}/self/mountinfo`, 'utf8').split('\n')) {
    if (!line.includes(' - nsfs ')) continue;
    const mountPoint = line.split(' ')[4];
    if (mountPoint === undefined) continue;
    files.push(
      mountPoint.replace(/\\([0-7]{3})/g, (_whole, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
  }
  return files;
}
