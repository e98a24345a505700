/** The lock that lets one agent use a spool. */
import { directoryHolder, lockDirectory } from '../linux/directory_lock.ts';

const REMEDY = 'Stop it, or give this agent its own spool_dir.';

/** Returns the function that releases the lock. Throws `OperatorError` when a living process has it. */
export function lockSpool(directory: string): () => void {
  return lockDirectory(directory, {
    contested: `Another process is about to use the spool ${directory}. ${REMEDY}`,
    heldBy: (pid) => `The spool ${directory} is in use by the process ${pid}. ${REMEDY}`,
  });
}

/** Returns the pid of the living process that has the spool; null without one. Throws file errors, except ENOENT. */
export function spoolHolder(directory: string): number | null {
  return directoryHolder(directory);
}
