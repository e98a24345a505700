import { readFileSync } from 'node:fs';

/**
 * Returns the kernel's id of this boot, which another boot does not have (random(4)). Throws errors of the
 * file system.
 */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
