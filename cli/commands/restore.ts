/**
 * `imdswatch restore DIRECTORY` replaces the collector's databases by a backup. The collector must be
 * stopped.
 */
import * as z from 'zod';
import { restoreAll } from '../../collector/local.ts';
import { COLLECTOR_FILE, refuseDatabase, storeShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { visibleText } from '../terminal/visible_text.ts';

export const restoreSettings = z.object(storeShape);

export async function run(argv: string[]): Promise<number> {
  const { settings, positionals } = loadSettings(restoreSettings, {
    command: 'restore',
    summary:
      "Replaces the collector's databases by a backup, and keeps the replaced files. Stop the collector first. Records stored after the backup are lost, except those that agents still have in their spool and send again.",
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['DIRECTORY'],
  });
  refuseDatabase(settings, 'restored');
  const { restored, kept } = restoreAll(positionals[0]!, settings.data_dir, new Date());
  for (const file of restored) process.stdout.write(`restored ${visibleText(file)}\n`);
  if (kept !== null)
    process.stdout.write(
      `the replaced files are in ${visibleText(kept)}; delete them when the collector works again\n`,
    );
  return 0;
}
