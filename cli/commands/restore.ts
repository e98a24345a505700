/** `imdswatch restore DIRECTORY`: puts a backup in place of what the collector stores; it must not run meanwhile. */
import * as z from 'zod';
import { restoreAll } from '../../collector/local.ts';
import { COLLECTOR_FILE, dataDirShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { visibleText } from '../terminal/visible_text.ts';

export const restoreSettings = z.object(dataDirShape);

export async function run(argv: string[]): Promise<number> {
  const { settings, positionals } = loadSettings(restoreSettings, {
    command: 'restore',
    summary:
      "Puts a backup in place of the collector's databases, which are kept. What was stored after the backup is not in it; what agents still hold they send again.",
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['DIRECTORY'],
  });
  const { restored, kept } = restoreAll(positionals[0]!, settings.data_dir, new Date());
  for (const file of restored) process.stdout.write(`restored ${visibleText(file)}\n`);
  if (kept !== null)
    process.stdout.write(`what was there before is in ${visibleText(kept)}; delete it when all is well\n`);
  return 0;
}
