/**
 * `imdswatch watch` prints the metadata calls of this host as they happen. It needs no collector and stores
 * nothing.
 *
 * Once the settings are valid, the process replaces itself (execve): the schema library that checks settings
 * would keep 13 MB resident for as long as the watch runs.
 */
import { spawnSync } from 'node:child_process';
import { flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { lookSettings } from '../../agent/config.ts';
import { callOutputShape } from '../settings/call_output_settings.ts';
import { loadSettings } from '../settings/settings.ts';

const watchSettings = z.object({ ...callOutputShape, ...lookSettings.shape });
export type WatchSettings = z.infer<typeof watchSettings>;

/**
 * Flags for a young generation of one megabyte and for no optimising compiler, whose code would take 5 MB.
 * They cost no measurable processor time. They are not used with attribution by /proc: with 200 callers at
 * once fewer callers were found, and calls were lost (bench/RESULTS.md).
 */
const SMALL_HEAP = ['--max-semi-space-size=1', '--no-opt'] as const;
const WATCH_PROCESS = fileURLToPath(new URL('../watch_process.ts', import.meta.url));

/**
 * Fills the compile cache for the watch process, under its own flags: they are part of a cache entry's key.
 */
export function warmCompileCache(): void {
  const { execPath, execArgv } = process;
  const load = ['--import', WATCH_PROCESS, '--eval', ''];
  const { status } = spawnSync(execPath, [...execArgv, ...SMALL_HEAP, ...load], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${WATCH_PROCESS} could not be loaded (${status})`);
}

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(watchSettings, {
    command: 'watch',
    summary: 'Shows the metadata calls of this host as they happen.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const { execPath, execArgv } = process;
  const heap = settings.attribution === 'proc' ? [] : SMALL_HEAP;
  flushCompileCache(); // Node does this at a process's exit, which execve skips
  process.execve?.(
    execPath,
    [execPath, ...execArgv, ...heap, WATCH_PROCESS, JSON.stringify(settings)],
    process.env,
  );
  throw new Error('This Node cannot replace its process: process.execve is missing. Use Node 24.');
}
