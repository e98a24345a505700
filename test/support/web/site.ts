/** A collector on loopback with a fleet in its store, and Chromium, which opens its page. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import type { Collector } from '../../../collector/main.ts';
import { openStore } from '../../../collector/store/sqlite/sqlite_store.ts';
import type { Bench } from '../collector/in_process.ts';
import { writeFleet } from './fleet.ts';

export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
);
const PAGE = fileURLToPath(new URL('../../../web/dist/index.html', import.meta.url));

/** The reason why the page cannot be tested here, for `skip`; false if it can. */
export const cannotBrowse: string | false =
  CHROMIUM === undefined
    ? 'Chromium is not installed'
    : existsSync(PAGE)
      ? false
      : 'the page is not built (npm run build)';

export interface Site {
  collector: Collector;
  bench: Bench;
  dataDir: string;
  calls: number;
}

/** Starts a collector. Without a fleet, no agent has ever reported to it. */
export async function openSite(bench: Bench, { fleet = true } = {}): Promise<Site> {
  const dataDir = bench.directory();
  let calls = 0;
  if (fleet) {
    const store = openStore(dataDir, (error) => {
      throw error;
    });
    calls = await writeFleet(store, Date.now());
    await store.close();
  }
  return { collector: await bench.collector({ data_dir: dataDir }), bench, dataDir, calls };
}

/** `executable` may be a script that starts Chromium in another network namespace. */
export function openBrowser(executable = CHROMIUM!): Promise<Browser> {
  return chromium.launch({
    executablePath: executable,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
