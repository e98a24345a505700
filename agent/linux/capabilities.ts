import { readFileSync } from 'node:fs';

/**
 * Returns the effective capabilities of a process as a bit set: CapEff of /proc/PID/status (proc(5)), which
 * every user may read. Returns null when the process is gone.
 *
 * @param procRoot the mount point of the /proc that has the process.
 */
export function effectiveCapabilities(pid: number | 'self', procRoot = '/proc'): bigint | null {
  let status: string;
  try {
    status = readFileSync(`${procRoot}/${pid}/status`, 'latin1');
  } catch {
    return null;
  }
  const bits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return bits === undefined ? null : BigInt(`0x${bits}`);
}
