/** Gives memory back to the kernel that this process does not need any more. */
import { readFileSync } from 'node:fs';
import { libc } from './libc.ts';

/** sys/mman.h: the pages are mapped anew when they are used. */
const MADV_DONTNEED = 4;

/**
 * Gives freed memory back to the kernel. Memory that V8's compilers take for a moment stays with the C
 * library's heap, in an arena for each thread: after 5,000 calls that was 22 of 103 MB resident.
 * malloc_trim(3) goes through all arenas (glibc 2.8 and newer). Does nothing where the C library has no such
 * call (musl).
 */
export function giveBackFreeMemory(): void {
  libc().mallocTrim?.(0);
}

/**
 * Gives back the pages of programs and libraries. A start touches much more of Node's 100 MB than the watch does; what
 * is needed again comes back from the page cache, without a read from disk.
 */
export function giveBackProgramPages(): void {
  let smaps: string;
  try {
    smaps = readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return; // a kernel without CONFIG_PROC_PAGE_MONITOR
  }
  for (const { at, bytes } of programPages(smaps)) {
    libc().madvise(at, bytes, MADV_DONTNEED);
  }
}

/**
 * Returns the mappings in the text of /proc/PID/smaps that hold nothing but the unchanged bytes of a file. A page that
 * was changed, as by the loader of libraries, would be lost.
 */
export function programPages(smaps: string): { at: bigint; bytes: number }[] {
  const found: { at: bigint; bytes: number }[] = [];
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ \S+ [1-9]\d* +\//.exec(mapping);
    const changed = ['Anonymous', 'Private_Dirty', 'Shared_Dirty', 'Swap', 'Locked'].some(
      (field) => Number(new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(mapping)?.[1] ?? 1) > 0,
    );
    if (head === null || changed) continue;
    const at = BigInt(`0x${head[1]}`);
    found.push({ at, bytes: Number(BigInt(`0x${head[2]}`) - at) });
  }
  return found;
}
