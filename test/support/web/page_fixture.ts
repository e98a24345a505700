/** The setup that the tests of the page share: a collector with the fleet, a browser, and a session of an admin. */
import type { Browser } from 'playwright-core';
import type { Host } from '../../../collector/contract/host.ts';
import type { Offender } from '../../../collector/contract/offender.ts';
import { Bench } from '../collector/in_process.ts';
import { writePlans } from './plans_of_fleet.ts';
import { openBrowser, openSite, type Site } from './site.ts';
import { Visit, type VisitOptions } from './visit.ts';

interface Page<T> {
  items: T[];
}

export class PageFixture {
  readonly bench: Bench;
  readonly site: Site;
  readonly browser: Browser;
  /** All offenders and hosts of the fleet, as the API lists them. */
  readonly offenders: Offender[];
  readonly hosts: Host[];
  readonly #session: NonNullable<VisitOptions['storageState']>;

  private constructor(
    bench: Bench,
    site: Site,
    browser: Browser,
    offenders: Offender[],
    hosts: Host[],
    session: NonNullable<VisitOptions['storageState']>,
  ) {
    this.bench = bench;
    this.site = site;
    this.browser = browser;
    this.offenders = offenders;
    this.hosts = hosts;
    this.#session = session;
  }

  static async open(): Promise<PageFixture> {
    const bench = new Bench();
    const [site, browser] = await Promise.all([openSite(bench), openBrowser()]);
    const visit = await Visit.begin(browser, site.collector);
    const offenders = (await visit.api<Page<Offender>>('/offenders')).items;
    const hosts = (await visit.api<Page<Host>>('/hosts')).items;
    await writePlans(site.dataDir, Date.now(), offenders[0]!.id);
    const session = await visit.page.context().storageState();
    await visit.end();
    return new PageFixture(bench, site, browser, offenders, hosts, session);
  }

  /** Begins a visit, by default as an admin who is signed in already. */
  begin(options: VisitOptions = {}): Promise<Visit> {
    return Visit.begin(this.browser, this.site.collector, { storageState: this.#session, ...options });
  }

  hostNamed(name: string): Host {
    return this.hosts.find((host) => host.name === name)!;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.bench.end();
  }
}
