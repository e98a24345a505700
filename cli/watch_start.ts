/**
 * Replaces this process by the one of `imdswatch watch`, with the memory flags of Node that suit its attribution.
 * This file imports no schema, because the watch process imports it too.
 */
import { flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { AttributionMode } from '../agent/attribution/open_attributor.ts';

/**
 * Flags for a young generation of one megabyte, for no work on other threads, for no optimising compiler, whose code
 * would take 5 MB, and for an old generation that grows by a quarter between two collections. They cost no measurable
 * processor time. Without the second one, collections and compilations wake up four other threads, about once a call.
 */
export const SMALL_HEAP: readonly string[] = [
  '--max-semi-space-size=1',
  '--single-threaded',
  '--no-opt',
  '--heap-growing-percent=25',
];
/**
 * Flags for attribution by /proc. With a young generation of one megabyte and 200 callers at once fewer callers were
 * found, and calls were lost; without a bound it grows to 67 MB and more (bench/RESULTS.md). Optimised code and the work
 * on it took 48 MB.
 */
export const PROC_HEAP: readonly string[] = ['--max-semi-space-size=4', '--no-opt'];
/** One heap of the C library for all threads: each would keep some megabytes of its own. */
const ENVIRONMENT = { MALLOC_ARENA_MAX: '1' };
export const WATCH_PROCESS = fileURLToPath(new URL('./watch_process.ts', import.meta.url));

/** Replaces this process (execve), whose pid stays. Throws if this Node cannot do that. */
export function becomeWatchProcess(settings: { attribution: AttributionMode }): never {
  const { execPath, execArgv, env } = process;
  const flags = execArgv.filter((flag) => !SMALL_HEAP.includes(flag) && !PROC_HEAP.includes(flag));
  const heap = settings.attribution === 'proc' ? PROC_HEAP : SMALL_HEAP;
  flushCompileCache(); // Node does this at a process's exit, which execve skips
  const argv = [execPath, ...flags, ...heap, WATCH_PROCESS, JSON.stringify(settings)];
  process.execve?.(execPath, argv, { ...ENVIRONMENT, ...env });
  throw new Error('This Node cannot replace its process: process.execve is missing. Use Node 24.');
}
