/**
 * `imdswatch backup DIRECTORY` makes a consistent copy of everything that the collector stores, while it
 * runs.
 */
import * as z from 'zod';
import { backUpAll } from '../../collector/local.ts';
import { COLLECTOR_FILE, refuseDatabase, storeShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { visibleText } from '../terminal/visible_text.ts';

export const backupSettings = z.object(storeShape);

export async function run(argv: string[]): Promise<number> {
  const { settings, positionals } = loadSettings(backupSettings, {
    command: 'backup',
    summary:
      "Copies the collector's databases into a new directory and checks the copies. The collector keeps running.",
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['DIRECTORY'],
  });
  refuseDatabase(settings, 'copied');
  for (const { file, bytes } of await backUpAll(settings.data_dir, positionals[0]!)) {
    process.stdout.write(`${visibleText(file)}  ${(bytes / 1e6).toFixed(1)} MB\n`);
  }
  return 0;
}
