/**
 * `imdswatch watch`: the metadata calls of this host as they happen; no collector, nothing stored.
 *
 * Once the settings are known to be good, this process becomes another (execve): the schema library that checks them
 * would keep 13 MB resident for as long as the watch runs, for nothing.
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
 * A young generation of one megabyte, and no optimising compiler, of whose code some 5 MB would be resident. No
 * difference in processor time was found beyond the noise. Not where callers are searched for in /proc: 200 at once
 * were named less often with it, and calls were lost (bench/RESULTS.md).
 */
const SMALL_HEAP = ['--max-semi-space-size=1', '--no-opt'] as const;
const WATCHING = fileURLToPath(new URL('../watch_process.ts', import.meta.url));

/** Loads what watching needs into the compile cache: the engine's options are part of a cache's key. */
export function warmCompileCache(): void {
  const { execPath, execArgv } = process;
  const load = ['--import', WATCHING, '--eval', ''];
  const { status } = spawnSync(execPath, [...execArgv, ...SMALL_HEAP, ...load], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${WATCHING} could not be loaded (${status})`);
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
  flushCompileCache(); // happens at a process's end otherwise, and this image has none
  process.execve?.(
    execPath,
    [execPath, ...execArgv, ...heap, WATCHING, JSON.stringify(settings)],
    process.env,
  );
  throw new Error('this runtime cannot replace its process (process.execve of Node 24)');
}
