/**
 * Reports progress in a container, which has no service manager: each sign of progress writes a file again.
 * The health check (docker/healthy) reads the age of the file.
 */
import { writeFileSync } from 'node:fs';
import type { SendDatagram } from './notify_socket.ts';

/** Watchdog period of a process that writes this file. docker/healthy fails for a file older than 60 s. */
export const ALIVE_WATCHDOG_MS = 30_000;

/**
 * Returns a function that writes the last status to `path` at `READY=1` and at every `WATCHDOG=1`. A change
 * of the status alone writes nothing, because it is no progress. `STOPPING=1` empties the file.
 */
export function openAliveFile(path: string): SendDatagram {
  let status = '';
  return (text) => {
    const lines = text.split('\n');
    status = lines.find((line) => line.startsWith('STATUS='))?.slice('STATUS='.length) ?? status;
    const isStopping = lines.includes('STOPPING=1');
    if (!isStopping && !lines.includes('READY=1') && !lines.includes('WATCHDOG=1')) return null;
    try {
      writeFileSync(path, isStopping ? '' : `${status}\n`);
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  };
}
