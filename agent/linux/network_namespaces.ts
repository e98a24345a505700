/**
 * Network namespaces of this host: found by the processes in them and by the files that keep them (`ip
 * netns`, Docker), and entered for as long as one action takes. setns(2) changes the calling thread only,
 * which is the main one here.
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { setNetworkNamespace } from './libc.ts';

/** Returns the inode number of the network namespace that this thread is in. */
export function ownNamespace(): number {
  return statSync('/proc/thread-self/ns/net').ino;
}

/** Returns the inode number of the namespace at a path; null when it is gone, or without permission. */
export function namespaceAt(path: string): number | null {
  try {
    return statSync(path).ino;
  } catch {
    return null;
  }
}

/**
 * Runs `action` within the namespace at `path` and returns to the present one. Throws what the action throws,
 * and an error when the namespace cannot be entered (gone, or CAP_SYS_ADMIN is missing).
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
      // Every later observation would be about the wrong namespace, so an error here ends the process.
      setNetworkNamespace(home);
    }
  } finally {
    closeSync(home);
  }
}

/**
 * A network namespace that is held by an open descriptor: it can be entered by `path` even when no process is
 * in it. It lives for as long as it is held, with its interfaces: close it as soon as it is not needed.
 */
export class HeldNamespace {
  readonly netns: number;
  readonly path: string;
  readonly #fd: number;
  #isOpen = true;

  private constructor(netns: number, fd: number) {
    this.netns = netns;
    this.#fd = fd;
    this.path = `/proc/self/fd/${fd}`;
  }

  /** Returns null when the path is gone, must not be read, or leads to another namespace than `netns`. */
  static open(netns: number, path: string): HeldNamespace | null {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch {
      return null;
    }
    if (fstatSync(fd).ino === netns) return new HeldNamespace(netns, fd);
    closeSync(fd);
    return null;
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}

/** A process that has ended between two looks at it. */
const GONE = new Set(['ENOENT', 'ESRCH', 'ENOTDIR']);
/** Bound on threads that one listing examines: each costs a few microseconds, and packets wait meanwhile. */
const THREADS_PER_LISTING = 2_000;

/**
 * Finds every network namespace with a process or a thread in it or a file that keeps it: inode number → a
 * path to enter it by. A thread may be in another namespace than its process. The first listing examines all
 * threads; each later one examines some, in turn.
 */
export class NamespaceListing {
  readonly #procRoot: string;
  /** The process whose threads were examined last; 0 before the first listing. */
  #threadsUpTo = 0;
  #threadsLeft = THREADS_PER_LISTING;
  #denied = 0;

  constructor(procRoot = '/proc') {
    this.#procRoot = procRoot;
  }

  /**
   * Counts the processes and threads of the last listing that exist and do not show which namespace they are in.
   */
  get denied(): number {
    return this.#denied;
  }

  /** `allThreads`: examine all threads in spite of the bound. */
  list(allThreads: boolean): Map<number, string> {
    const found = new Map<number, string>();
    const denied: string[] = [];
    const add = (path: string) => {
      try {
        const inode = statSync(path).ino;
        if (!found.has(inode)) found.set(inode, path);
      } catch (error) {
        if (!GONE.has((error as NodeJS.ErrnoException).code ?? '')) denied.push(path);
      }
    };
    const pids = readdirSync(this.#procRoot)
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
    for (const pid of pids) add(`${this.#procRoot}/${pid}/ns/net`);
    for (const pid of this.#turn(pids)) {
      const threads = threadsOf(`${this.#procRoot}/${pid}/task`);
      for (const thread of threads) add(`${this.#procRoot}/${pid}/task/${thread}/ns/net`);
      this.#threadsLeft -= threads.length;
      if (!allThreads && this.#threadsLeft <= 0) break;
      this.#threadsUpTo = pid;
    }
    this.#threadsLeft = THREADS_PER_LISTING;
    for (const path of namespaceFiles(this.#procRoot, pids)) add(path);
    this.#denied = countUnknown(denied, found.values());
    return found;
  }

  /** Returns the processes in a circle, beginning after the one that was examined last. */
  #turn(pids: number[]): number[] {
    const sorted = pids.toSorted((a, b) => a - b);
    const next = sorted.findIndex((pid) => pid > this.#threadsUpTo);
    return next <= 0 ? sorted : [...sorted.slice(next), ...sorted.slice(0, next)];
  }
}

/**
 * Counts the processes and threads that hide their namespace and are in none of the `known` ones. A security module may
 * hide the namespace of a process from root too; its directory `net` stays readable, and shows the files of its
 * namespace, each with an inode number of its own (fs/proc/proc_net.c, proc_alloc_inum of fs/proc/generic.c).
 */
function countUnknown(denied: readonly string[], known: Iterable<string>): number {
  if (denied.length === 0) return 0;
  const knownFiles = new Set([...known].map(networkFileOf));
  knownFiles.delete(null);
  return denied.filter((path) => !knownFiles.has(networkFileOf(path) ?? -1)).length;
}

/** Returns the inode number of `net/dev` beside `ns/net`; null where it cannot be read. */
function networkFileOf(path: string): number | null {
  if (!path.endsWith('/ns/net')) return null;
  try {
    return statSync(`${path.slice(0, -'/ns/net'.length)}/net/dev`).ino;
  } catch {
    return null;
  }
}

/** Returns the threads of a process, except the first, which is the process itself. */
function threadsOf(path: string): string[] {
  try {
    // The kernel counts a link for each thread, and two for the directory, so a single thread is seen without
    // a list.
    if (statSync(path).nlink <= 3) return [];
    return readdirSync(path).slice(1);
  } catch {
    return []; // the process has ended
  }
}

/** Returns the mount points of nsfs in every mount namespace that a process is in, as paths in this one. */
function namespaceFiles(procRoot: string, pids: number[]): string[] {
  const files = mountPoints(`${procRoot}/self/mountinfo`);
  const looked = new Set([namespaceAt(`${procRoot}/self/ns/mnt`)]);
  for (const pid of pids) {
    const mountNamespace = namespaceAt(`${procRoot}/${pid}/ns/mnt`);
    if (mountNamespace === null || looked.has(mountNamespace)) continue;
    looked.add(mountNamespace);
    files.push(
      ...mountPoints(`${procRoot}/${pid}/mountinfo`).map((file) => `${procRoot}/${pid}/root${file}`),
    );
  }
  return files;
}

/** Returns field 5 of mountinfo (proc(5)) with its octal escapes decoded. */
function mountPoints(mountinfo: string): string[] {
  let text = '';
  try {
    text = readFileSync(mountinfo, 'utf8');
  } catch {
    return []; // the process has ended, or is not for us
  }
  const files: string[] = [];
  for (const line of text.split('\n')) {
    const mountPoint = line.includes(' - nsfs ') ? line.split(' ')[4] : undefined;
    if (mountPoint === undefined) continue;
    files.push(
      mountPoint.replace(/\\([0-7]{3})/g, (_whole, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
  }
  return files;
}
