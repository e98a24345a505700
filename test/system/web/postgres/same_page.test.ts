/** Tests that the page shows the same on the embedded store and on PostgreSQL over the same data, element for element. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { BothStores } from '../../../support/collector/both/both_stores.ts';
import { differences } from '../../../support/collector/both/differences.ts';
import { answersOfPage } from '../../../support/collector/both/page_questions.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { NO_POSTGRES, PostgresServer } from '../../../support/postgres.ts';
import { cannotBrowse, openBrowser } from '../../../support/web/site.ts';

/** The fewest screens and characters that a whole round has, so that a round of empty screens fails. */
const FEWEST_SCREENS = 20;
const FEWEST_CHARACTERS = 100_000;

describe('the page over the same data in both stores', { skip: cannotBrowse || NO_POSTGRES }, () => {
  const bench = new Bench();
  let server: PostgresServer;
  let browser: Browser;
  before(async () => {
    [server, browser] = await Promise.all([PostgresServer.start(), openBrowser()]);
  });
  after(async () => {
    await browser?.close();
    await bench.end();
    await server?.close();
  });

  test('each screen shows the same elements, texts and links', async (t) => {
    const stores = await BothStores.open(bench, server);
    const { embedded, shared } = await stores.ask((side) => answersOfPage(browser, side));
    const characters = [...embedded.values()].join('').length;
    t.diagnostic(`${embedded.size} screens, ${characters} characters`);
    assert.ok(embedded.size >= FEWEST_SCREENS, `${embedded.size} screens`);
    assert.ok(characters >= FEWEST_CHARACTERS, `${characters} characters`);
    assert.deepEqual(differences(embedded, shared), []);
  });
});
