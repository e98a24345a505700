/**
 * For containers, which have no service manager that listens: the same words, as a file that is written anew whenever
 * there is progress. A health check looks at its age, which costs no process of ours (docker/healthy).
 */
import { writeFileSync } from 'node:fs';
import type { SendDatagram } from './notify_socket.ts';

/** Period of a watchdog that asks for it; docker/healthy takes a file of 60 s for old. */
export const ALIVE_WATCHDOG_MS = 30_000;

/**
 * Writes the last status to `path` at `READY=1` and at every `WATCHDOG=1`; nothing at a mere change of status, which is no
 * progress. An empty file at `STOPPING=1`.
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
