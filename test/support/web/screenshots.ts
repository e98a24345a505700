/**
 * Takes screenshots of every screen, light and dark, for the README and for the review of a change:
 *
 *     bin/node test/support/web/screenshots.ts DIRECTORY [SIGN-IN-LINK] [WIDTH]
 *
 * The link is a one-time link of a collector (`imdswatch token sign-in-link`; the demo prints one). Without
 * it, the fleet of the tests is shown.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { Host } from '../../../collector/contract/host.ts';
import type { Offender } from '../../../collector/contract/offender.ts';
import type { Plan } from '../../../collector/contract/plan.ts';
import { Bench } from '../collector/in_process.ts';
import { writePlans } from './plans_of_fleet.ts';
import { cannotBrowse, openBrowser, openSite } from './site.ts';
import { Visit } from './visit.ts';

const DEFAULT_WIDTH_PX = 1440;
const HEIGHT_PX = 900;

async function takeScreenshots(
  browser: Browser,
  directory: string,
  link: string,
  width: number,
): Promise<void> {
  const visit = await Visit.begin(
    browser,
    { pageUrl: new URL(link).origin, signInLink: async () => link },
    // The demo has a self-signed certificate.
    { viewport: { width, height: HEIGHT_PX }, reducedMotion: 'reduce', ignoreHTTPSErrors: true },
  );
  const [offender] = (await visit.api<{ items: Offender[] }>('/offenders?limit=1')).items;
  const hosts = (await visit.api<{ items: Host[] }>('/hosts')).items;
  const host = hosts.find(({ gap_count }) => gap_count > 1) ?? hosts[0];
  const plans = (await visit.api<{ items: Plan[] }>('/plans')).items;
  const plan = plans.find(({ states }) => states.held > 0) ?? plans[0];
  const screens: [name: string, path: string][] = [
    ['overview', '/'],
    ['offenders', '/offenders'],
    ...(offender ? [['offender', `/offenders/${offender.id}`] as [string, string]] : []),
    ['groups', '/groups?by=account'],
    ...(host?.account ? [['group', `/groups/account%3A${host.account}`] as [string, string]] : []),
    ['hosts', '/hosts'],
    ...(host ? [['host', `/hosts/${encodeURIComponent(host.id)}`] as [string, string]] : []),
    ['plans', '/plans'],
    ...(plan ? [['plan', `/plans/${plan.id}`] as [string, string]] : []),
    ['live', '/live'],
    ['tokens', '/settings/tokens'],
    ['alerts', '/settings/alerts'],
    ['owners', '/settings/owners'],
    ['retention', '/settings/retention'],
    ['audit', '/settings/audit'],
  ];
  for (const [name, path] of screens) {
    await visit.go(path);
    for (const colorScheme of ['light', 'dark'] as const) {
      await visit.page.emulateMedia({ colorScheme });
      await visit.settled();
      await visit.page.screenshot({ path: join(directory, `${name}-${colorScheme}.png`) });
    }
  }
  await visit.end();
}

if (cannotBrowse) throw new Error(cannotBrowse);
const [directory = 'screenshots', link, width = String(DEFAULT_WIDTH_PX)] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const bench = new Bench();
const browser = await openBrowser();
try {
  if (link) await takeScreenshots(browser, directory, link, Number(width));
  else {
    const { collector, dataDir } = await openSite(bench);
    await writePlans(dataDir, Date.now(), '0000000000000000');
    await takeScreenshots(browser, directory, await collector.signInLink(), Number(width));
  }
} finally {
  await browser.close();
  await bench.end();
}
