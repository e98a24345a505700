/** `imdswatch collector`: receives and stores what agents report and shows what comes of it, until SIGTERM or SIGINT. */
import { collectorSettings } from '../collector/config.ts';
import { startCollector } from '../collector/main.ts';
import { untilSignal } from './end.ts';
import { createLogger } from './log.ts';
import { loadSettings } from './settings.ts';

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(collectorSettings, {
    command: 'collector',
    summary: 'Receives and stores what agents report, and shows what comes of it.',
    argv,
    env: process.env,
  });
  const log = createLogger(settings.log_level, 'collector');
  const ended = untilSignal();
  const collector = await startCollector(settings, log);
  // Not through the logger: it is for the person who starts this, not for wherever logs are gathered.
  process.stderr.write(
    `imdswatch: ${collector.pageUrl} shows the findings. Sign in once, within 15 minutes: ${collector.signInLink()}\n`,
  );
  // For `imdswatch up`, which runs this as its child.
  process.send?.({ listening: collector.address.url });
  // That parent may go without a word: nobody would send SIGTERM then.
  const orphaned = new Promise<'orphaned'>((resolve) =>
    process.once('disconnect', () => resolve('orphaned')),
  );
  log.info({ reason: await Promise.race([ended, orphaned]) }, 'stopping');
  await collector.stop();
  if (process.connected) process.disconnect(); // the channel would keep this process alive
  return 0;
}
