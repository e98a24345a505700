/** A visit of the page in a tab that records everything that must never happen in it. */
import assert from 'node:assert/strict';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Collector } from '../../../collector/main.ts';

export interface VisitOptions extends BrowserContextOptions {
  /**
   * A person's token to sign in with; null for no sign-in. Without it and without a `storageState`, an admin
   * signs in with a one-time link.
   */
  token?: string | null;
}

export class Visit {
  readonly page: Page;
  readonly #origin: string;
  /**
   * Console errors, uncaught errors, violations of the content security policy, and requests to other
   * servers.
   */
  readonly problems: string[] = [];

  private constructor(page: Page, origin: string) {
    this.page = page;
    this.#origin = origin;
    page.on('console', (message) => {
      if (message.type() !== 'error' && !/Content Security Policy/.test(message.text())) return;
      // Chromium logs every response with an error status. The tests that provoke one check it themselves.
      if (/^Failed to load resource/.test(message.text())) return;
      this.problems.push(message.text());
    });
    page.on('pageerror', (error) => this.problems.push(String(error.stack)));
    page.on('dialog', (dialog) => {
      this.problems.push(`a script ran: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      const { origin } = new URL(request.url());
      if (origin !== this.#origin) this.problems.push(`request to ${request.url()}`);
    });
  }

  static async begin(
    browser: Browser,
    collector: Pick<Collector, 'pageUrl' | 'signInLink'>,
    options: VisitOptions = {},
  ): Promise<Visit> {
    const { token, ...contextOptions } = options;
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...contextOptions });
    context.setDefaultTimeout(30_000);
    const { origin } = new URL(collector.pageUrl);
    const visit = new Visit(await context.newPage(), origin);
    const { page } = visit;
    if (token === null || options.storageState !== undefined) return visit;
    if (token === undefined) {
      await page.goto(await collector.signInLink());
    } else {
      await page.goto(`${origin}/sign-in`);
      await page.getByLabel('Token').fill(token);
    }
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('navigation', { name: 'Screens' }).waitFor();
    return visit;
  }

  /** Opens a path and waits until it is loaded. */
  async go(path: string): Promise<void> {
    await this.page.goto(this.#origin + path);
    await this.settled();
  }

  async settled(): Promise<void> {
    await this.page.locator('h1').first().waitFor();
    await this.page.locator('.skeleton').first().waitFor({ state: 'detached' });
    for (const plot of await this.page.locator('.plot').all()) await plot.locator('canvas').waitFor();
  }

  /** Sends a request to the API with the session of the page. */
  async api<T>(path: string): Promise<T> {
    const response = await this.page.request.get(`${this.#origin}/api/v1${path}`);
    assert.equal(response.status(), 200, path);
    return (await response.json()) as T;
  }

  /** Returns the texts of the cells of a table, row by row. */
  async rows(table: string): Promise<string[][]> {
    const rows = this.page.getByRole('table', { name: table, exact: true }).locator('tbody tr');
    const cells: string[][] = [];
    for (const row of await rows.all()) cells.push(await row.locator('th, td').allInnerTexts());
    return cells;
  }

  /** Returns violations of axe's rules, by default of all of them, as `rule: element`. */
  async violations(rules?: string[]): Promise<string[]> {
    const only = rules === undefined ? '' : `, runOnly: ${JSON.stringify(rules)}`;
    if (!(await this.page.evaluate<boolean>("'axe' in window"))) await this.page.evaluate(axe.source);
    return await this.page.evaluate<string[]>(`
      axe.run(document, { resultTypes: ['violations']${only} }).then(({ violations }) =>
        violations.flatMap(({ id, nodes }) => nodes.map((node) => id + ': ' + node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? ''))))`);
  }

  /** Returns by how many CSS pixels the page is wider than the window. */
  overflow(): Promise<number> {
    return this.page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
  }

  address(): string {
    const { pathname, search, hash } = new URL(this.page.url());
    return pathname + search + hash;
  }

  async end(): Promise<void> {
    await this.page.context().close();
    assert.deepEqual(this.problems, []);
  }
}
