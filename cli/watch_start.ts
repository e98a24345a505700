/**
 * Replaces this process by the one of `imdswatch watch`, with the memory flags of Node that suit its attribution.
 * This file imports no schema, because the watch process imports it too.
 */
import { flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { AttributionMode } from '../agent/attribution/open_attributor.ts';

/**
 * Flags for a young generation of one megabyte and for no optimising compiler, whose code would take 5 MB.
 * They cost no measurable processor time. They are not used with attribution by /proc: with 200 callers at
 * once fewer callers were found, and calls were lost (bench/RESULTS.md).
 */
export const SMALL_HEAP: readonly string[] = ['--max-semi-space-size=1', '--no-opt'];
export const WATCH_PROCESS = fileURLToPath(new URL('./watch_process.ts', import.meta.url));

/** Replaces this process (execve), whose pid stays. Throws if this Node cannot do that. */
export function becomeWatchProcess(settings: { attribution: AttributionMode }): never {
  const { execPath, execArgv, env } = process;
  const flags = execArgv.filter((flag) => !SMALL_HEAP.includes(flag));
  const heap = settings.attribution === 'proc' ? [] : SMALL_HEAP;
  flushCompileCache(); // Node does this at a process's exit, which execve skips
  process.execve?.(execPath, [execPath, ...flags, ...heap, WATCH_PROCESS, JSON.stringify(settings)], env);
  throw new Error('This Node cannot replace its process: process.execve is missing. Use Node 24.');
}
