/**
 * Hides processes of this machine from an agent under test. Some machines protect a process even from root. An agent
 * that looks into all namespaces cannot know the namespace of such a process, so it reports that time as not watched,
 * and no host is ready. The process is not part of the lab.
 */
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SCRIPT = 'for p in $HIDDEN; do mount --bind "$EMPTY" /proc/$p || exit 1; done; exec "$@"';

/** Returns the ids of the processes that do not show their network namespace. */
function processesThatHide(): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      statSync(`/proc/${pid}/ns/net`);
      return false;
    } catch (error) {
      return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
    }
  });
}

/** Returns what must stand before a program's arguments, and its environment. `home` gets an empty folder. */
export function withoutHiddenProcesses(home: string): { prefix: string[]; env: Record<string, string> } {
  const hidden = processesThatHide();
  if (hidden.length === 0) return { prefix: [], env: {} };
  const empty = join(home, 'empty');
  mkdirSync(empty, { recursive: true });
  // A slave still gets the namespaces that are made and deleted later.
  const prefix = ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', SCRIPT, 'sh'];
  return { prefix, env: { HIDDEN: hidden.join(' '), EMPTY: empty } };
}
