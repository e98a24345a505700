/**
 * Starts a collector. With a full disk under a service manager it waits for space, instead of many restarts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { DiskFullError } from '../collector/local.ts';
import type { Collector } from '../collector/main.ts';
import type { ServiceManager } from '../systemd_notify/service_manager.ts';

const RETRY_MS = 10_000;

export interface StartWithSpaceOptions {
  start: () => Promise<Collector>;
  manager: Pick<ServiceManager, 'isListening' | 'stillStarting'>;
  /** Resolves when the process must stop. */
  stop: Promise<unknown>;
  log: Pick<Logger, 'error' | 'info'>;
  retryMs?: number;
}

/** Returns null when `stop` resolves first. Throws `DiskFullError` when there is no service manager. */
export async function startWithSpace({
  start,
  manager,
  stop,
  log,
  retryMs = RETRY_MS,
}: StartWithSpaceOptions): Promise<Collector | null> {
  for (let hasWaited = false; ; hasWaited = true) {
    try {
      const collector = await start();
      if (hasWaited) log.info('the disk has free space again: the collector has started');
      return collector;
    } catch (error) {
      if (!(error instanceof DiskFullError) || !manager.isListening) throw error;
      if (!hasWaited) log.error(`${error.message} The collector waits until the disk has free space.`);
      manager.stillStarting(`Waiting for free disk space. ${error.message}`);
    }
    const waiting = new AbortController();
    const { signal } = waiting;
    const isStopped = await Promise.race([
      sleep(retryMs, false, { signal }).catch(() => false),
      stop.then(() => true),
    ]);
    if (!isStopped) continue;
    // A timer that still runs would keep the process alive.
    waiting.abort();
    return null;
  }
}
