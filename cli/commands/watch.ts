/**
 * `imdswatch watch` prints the metadata calls of this host as they happen. It needs no collector and stores
 * nothing.
 *
 * Once the settings are valid, the process replaces itself (execve): the schema library that checks settings
 * would keep 13 MB resident for as long as the watch runs.
 */
import { spawnSync } from 'node:child_process';
import * as z from 'zod';
import { lookSettings } from '../../agent/config.ts';
import { callOutputShape } from '../settings/call_output_settings.ts';
import { loadSettings } from '../settings/settings.ts';
import { becomeWatchProcess, PROC_HEAP, SMALL_HEAP, WATCH_PROCESS } from '../watch_start.ts';

const watchSettings = z.object({ ...callOutputShape, ...lookSettings.shape });
export type WatchSettings = z.infer<typeof watchSettings>;

/**
 * Fills the compile cache for the watch process, under its own flags: they are part of a cache entry's key.
 */
export function warmCompileCache(): void {
  const { execPath, execArgv } = process;
  const load = ['--import', WATCH_PROCESS, '--eval', ''];
  for (const heap of [SMALL_HEAP, PROC_HEAP]) {
    const { status } = spawnSync(execPath, [...execArgv, ...heap, ...load], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${WATCH_PROCESS} could not be loaded (${status})`);
  }
}

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(watchSettings, {
    command: 'watch',
    summary: 'Shows the metadata calls of this host as they happen.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  return becomeWatchProcess(settings);
}
