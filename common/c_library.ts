/**
 * Opens the C library, for system calls that Node does not offer. `koffi` (1.9 MB) is loaded at the first use, so
 * that commands which need no system call do not pay for it.
 */
import { createRequire } from 'node:module';

type Koffi = typeof import('koffi');
type Library = ReturnType<Koffi['load']>;
let koffi: Koffi | undefined;
let library: Library | undefined;

/** Returns `koffi`. Throws if it is not installed for this machine. */
export function loadedKoffi(): Koffi {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi;
  return koffi;
}

/**
 * Returns the running program itself as a library: Node is linked with the C library, whatever that library's
 * file is called. A library that was preloaded to replace the clock is found before it, as by Node: times of
 * reports and of calls are from one clock.
 */
export function cLibrary(): Library {
  library ??= loadedKoffi().load(null);
  return library;
}
