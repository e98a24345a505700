/** `imdswatch collector` stores the reports of agents and serves the findings, until SIGTERM or SIGINT. */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { collectorSettings } from '../../collector/config.ts';
import type { StorePlace } from '../../collector/local.ts';
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
    summary: 'Receives and stores the reports of agents, and serves the findings as a web page and an API.',
    argv,
    env: process.env,
  });
  const log = createLogger(settings.log_level, 'collector');
  keepMemorySmall();
  const signalled = untilSignal();
  const manager = ServiceManager.fromEnvironment(process.env, log);
  const start = () => startCollector(settings, log);
  const collector = await startWithSpace({ start, manager, stop: signalled, log });
  if (collector === null) {
    manager.close();
    return 0;
  }
  await printAddress(collector, settings);
  // `imdswatch up` runs this command as its child and waits for this message.
  process.send?.({ listening: collector.address.url });
  // If that parent dies, nothing sends SIGTERM. The closed channel then stops this process.
  const orphaned = new Promise<'orphaned'>((resolve) =>
    process.once('disconnect', () => resolve('orphaned')),
  );
  const stop = Promise.race([signalled, orphaned]);
  if (manager.isListening && (await waitUntilReady(collector, manager, stop))) {
    manager.follow(async () => ({ status: (await collector.state()).status, stuck: null }));
  }
  log.info({ reason: await stop }, 'stopping');
  manager.stopping();
  await collector.stop();
  manager.close();
  if (process.connected) process.disconnect(); // an open channel would keep this process alive
  return 0;
}

/**
 * V8 collects the old generation of every thread when it has doubled; else it lets it grow to the threefold and more while
 * records come in. The young one is collected by one thread: several took a tenth more processor time on two processors
 * (bench/RESULTS.md).
 */
function keepMemorySmall(): void {
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--no-parallel-scavenge');
}

/** Prints the page's address on stderr. The logger is not used: sign-in links must not reach a log store. */
async function printAddress(collector: Collector, { data_dir, store }: StorePlace): Promise<void> {
  const address = visibleText(`imdswatch: ${collector.pageUrl} shows the findings.`);
  if (!stderrIsJournal(process.env)) {
    process.stderr.write(
      `${address} Sign in with this link, once, within 15 minutes: ${visibleText(await collector.signInLink())}\n`,
    );
    return;
  }
  // The journal is kept, and people who must not sign in can read it.
  // The command finds a database by the configuration file.
  const place = store === undefined ? ` --data-dir ${visibleText(data_dir)}` : '';
  const instruction = `To sign in: imdswatch token sign-in-link${place}`;
  process.stderr.write(withPriority(`${address} ${instruction}\n`, NOTICE_PREFIX));
}

/**
 * Resolves to true once the collector accepts records and the service manager knows it; to false on a stop
 * before.
 */
async function waitUntilReady(
  collector: Collector,
  manager: ServiceManager,
  stop: Promise<unknown>,
): Promise<boolean> {
  for (;;) {
    const state = await Promise.race([collector.state(), stop.then(() => null)]);
    if (state === null) return false;
    if (state.takesRecords) {
      manager.ready(state.status);
      return true;
    }
    manager.status(state.status);
    const goesOn = await Promise.race([
      sleep(READY_RECHECK_MS, true, { ref: false }),
      stop.then(() => false),
    ]);
    if (!goesOn) return false;
  }
}
