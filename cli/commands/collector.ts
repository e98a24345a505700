/** `imdswatch collector`: receives and stores what agents report and shows what comes of it, until SIGTERM or SIGINT. */
import { setTimeout as sleep } from 'node:timers/promises';
import { collectorSettings } from '../../collector/config.ts';
import { type Collector, startCollector } from '../../collector/main.ts';
import { NOTICE_PREFIX, stderrIsJournal, withPriority } from '../../systemd_notify/journal.ts';
import { ServiceManager } from '../../systemd_notify/service_manager.ts';
import { createLogger } from '../log.ts';
import { loadSettings } from '../settings/settings.ts';
import { untilSignal } from '../signals.ts';
import { startWithSpace } from '../start_with_space.ts';
import { visibleText } from '../terminal/visible_text.ts';

const READY_RECHECK_MS = 1_000;

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(collectorSettings, {
    command: 'collector',
    summary: 'Receives and stores what agents report, and shows what comes of it.',
    argv,
    env: process.env,
  });
  const log = createLogger(settings.log_level, 'collector');
  const ended = untilSignal();
  const manager = ServiceManager.fromEnvironment(process.env, log);
  const start = () => startCollector(settings, log);
  const collector = await startWithSpace({ start, manager, end: ended, log });
  if (collector === null) {
    manager.close();
    return 0;
  }
  sayWhere(collector, settings.data_dir);
  // For `imdswatch up`, which runs this as its child.
  process.send?.({ listening: collector.address.url });
  // That parent may go without a word: nobody would send SIGTERM then.
  const orphaned = new Promise<'orphaned'>((resolve) =>
    process.once('disconnect', () => resolve('orphaned')),
  );
  const end = Promise.race([ended, orphaned]);
  if (manager.isListening && (await whenReady(collector, manager, end))) {
    manager.follow(async () => ({ status: (await collector.state()).status, stuck: null }));
  }
  log.info({ reason: await end }, 'stopping');
  manager.stopping();
  await collector.stop();
  manager.close();
  if (process.connected) process.disconnect(); // the channel would keep this process alive
  return 0;
}

/** Not through the logger: it is for the person who starts this, not for wherever logs are gathered. */
function sayWhere(collector: Collector, dataDir: string): void {
  const where = visibleText(`imdswatch: ${collector.pageUrl} shows the findings.`);
  if (!stderrIsJournal(process.env)) {
    process.stderr.write(
      `${where} Sign in once, within 15 minutes: ${visibleText(collector.signInLink())}\n`,
    );
    return;
  }
  // The journal is read by more people than those who may sign in, and kept.
  const how = `To sign in: imdswatch token sign-in-link --data-dir ${visibleText(dataDir)}`;
  process.stderr.write(withPriority(`${where} ${how}\n`, NOTICE_PREFIX));
}

/** Resolves when the collector takes records and the manager was told so; false when it ends before. */
async function whenReady(
  collector: Collector,
  manager: ServiceManager,
  end: Promise<unknown>,
): Promise<boolean> {
  for (;;) {
    const now = await Promise.race([collector.state(), end.then(() => null)]);
    if (now === null) return false;
    if (now.takesRecords) {
      manager.ready(now.status);
      return true;
    }
    manager.status(now.status);
    const next = await Promise.race([sleep(READY_RECHECK_MS, true, { ref: false }), end.then(() => false)]);
    if (!next) return false;
  }
}
