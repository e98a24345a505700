/**
 * `imdswatch watch`: the metadata calls of this host as they happen; no collector, nothing stored.
 *
 * Once the settings are known to be good, this process becomes another (execve): the schema library that checks them
 * would keep 13 MB resident for as long as the watch runs, for nothing.
 */
import { flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { lookSettings } from '../agent/config.ts';
import { callOutputShape } from './call_output_settings.ts';
import { loadSettings } from './settings.ts';

const watchSettings = z.object({ ...callOutputShape, ...lookSettings.shape });
export type WatchSettings = z.infer<typeof watchSettings>;

const WATCHING = fileURLToPath(new URL('./watching.ts', import.meta.url));

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(watchSettings, {
    command: 'watch',
    summary: 'Shows the metadata calls of this host as they happen.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const { execPath, execArgv } = process;
  flushCompileCache(); // happens at a process's end otherwise, and this image has none
  process.execve?.(execPath, [execPath, ...execArgv, WATCHING, JSON.stringify(settings)], process.env);
  throw new Error('this runtime cannot replace its process (process.execve of Node 24)');
}
