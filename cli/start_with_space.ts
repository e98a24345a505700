/** Starts a collector under a service manager: where its disk is full it waits for space, and is not started again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { DiskFullError } from '../collector/local.ts';
import type { Collector } from '../collector/main.ts';
import type { ServiceManager } from '../systemd_notify/service_manager.ts';

const RETRY_MS = 10_000;

export interface StartWithSpaceOptions {
  start: () => Promise<Collector>;
  manager: Pick<ServiceManager, 'isListening' | 'stillStarting'>;
  /** Resolves when the process is to end. */
  end: Promise<unknown>;
  log: Pick<Logger, 'error' | 'info'>;
  retryMs?: number;
}

/** Returns null when the end came first. Without a service manager a full disk is an error like any other. */
export async function startWithSpace({
  start,
  manager,
  end,
  log,
  retryMs = RETRY_MS,
}: StartWithSpaceOptions): Promise<Collector | null> {
  for (let hasWaited = false; ; hasWaited = true) {
    try {
      const collector = await start();
      if (hasWaited) log.info('the disk has space again');
      return collector;
    } catch (error) {
      if (!(error instanceof DiskFullError) || !manager.isListening) throw error;
      if (!hasWaited) log.error(`${error.message} The collector waits for space.`);
      manager.stillStarting(`Waits for space. ${error.message}`);
    }
    const waiting = new AbortController();
    const { signal } = waiting;
    const isOver = await Promise.race([
      sleep(retryMs, false, { signal }).catch(() => false),
      end.then(() => true),
    ]);
    if (!isOver) continue;
    // A timer that still runs would keep the process alive.
    waiting.abort();
    return null;
  }
}
