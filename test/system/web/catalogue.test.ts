/** An admin sees in Chromium what was read of Backstage's catalogue, its defects, and why it cannot be read. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { CatalogueServer, TOKEN } from '../../support/collector/backstage/catalogue_server.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { eventually } from '../../support/collector/stored.ts';
import { cannotBrowse, openBrowser } from '../../support/web/site.ts';
import { Visit } from '../../support/web/visit.ts';

const bench = new Bench();
after(() => bench.end());

it('the screen of owners shows the catalogue', { skip: cannotBrowse }, async () => {
  const inNamespace = (namespace: string) => ({ 'backstage.io/kubernetes-namespace': namespace });
  const server = await CatalogueServer.start([
    { name: 'shop', owner: 'shop', annotations: inNamespace('shop') },
    { name: 'a', owner: 'team-a', annotations: inNamespace('shared') },
    { name: 'b', owner: 'team-b', annotations: inNamespace('shared') },
    { name: 'c', owner: 'team-c', annotations: { 'imdswatch/owner-rules': 'path:*' } },
  ]);
  bench.atEnd(() => server.close());
  const tokenFile = join(bench.directory(), 'token');
  writeFileSync(tokenFile, TOKEN);
  const settings = { backstage_url: server.url, backstage_token_file: tokenFile };
  const collector = await bench.collector(settings);
  await eventually('it is read', () => collector.counters()['backstage']?.['entities'] === 3);
  const browser = await openBrowser();
  bench.atEnd(() => browser.close());
  const visit = await Visit.begin(browser, collector);
  await visit.go('/settings/owners');
  const shown = (await visit.page.getByRole('region', { name: 'Catalogue' }).textContent()) ?? '';
  assert.match(shown, /1 rules of 3 entities/);
  assert.match(shown, /namespace:shared: team-a, team-b \(component:default\/a, component:default\/b\)/);
  assert.match(shown, /path:\* \(component:default\/c\)/);
  assert.deepEqual(await visit.violations(), []);
  await visit.page.setViewportSize({ width: 400, height: 800 });
  assert.ok((await visit.overflow()) <= 0, 'it is wider than 400 px');
  await visit.end();

  server.behaviour = 'error';
  const failing = await bench.collector(settings);
  await eventually('it fails', () => failing.counters()['backstage']?.['failures'] === 1);
  const other = await Visit.begin(browser, failing);
  await other.go('/settings/owners');
  const text = (await other.page.getByRole('region', { name: 'Catalogue' }).textContent()) ?? '';
  assert.match(text, /not yet/);
  assert.match(text, /1 failed.*answered with status 500/s);
  assert.deepEqual(await other.violations(), []);
  await other.end();
});
