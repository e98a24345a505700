/** Tests a whole collector with a catalogue: the settings, the API and the metrics. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { explanationText, ownerRulesTable } from '../../../../cli/terminal/owners_table.ts';
import { checkBackstageSettings } from '../../../../collector/backstage_settings.ts';
import { collectorSettings } from '../../../../collector/config.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import { ownerRules } from '../../../../collector/contract/owner.ts';
import { openForReading, readOwnerRules } from '../../../../collector/local.ts';
import { CatalogueServer, TOKEN } from '../../../support/collector/backstage/catalogue_server.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { eventually } from '../../../support/collector/stored.ts';

const bench = new Bench();
after(() => bench.end());

test('settings that would send the token in the clear, or to nobody, are refused', () => {
  const check = (settings: Record<string, unknown>) => () =>
    checkBackstageSettings(collectorSettings.parse(settings));
  const backstage_url = 'https://backstage.example.com';
  const backstage_token_file = '/x';
  assert.equal(check({})(), null);
  assert.equal(check({ backstage_url, backstage_token_file })()?.intervalMs, 3_600_000);
  assert.throws(check({ backstage_url }), /needs backstage_token_file/);
  assert.throws(check({ backstage_token_file }), /needs backstage_url/);
  assert.throws(
    check({ backstage_url: 'http://backstage.example.com', backstage_token_file }),
    /needs https/,
  );
  assert.throws(check({ backstage_url: 'https://a:b@c.example', backstage_token_file }), /an address alone/);
});

test('an owner of the catalogue is that of an offender, in the API and in commands', async () => {
  const server = await CatalogueServer.start([
    { name: 'legacy', owner: 'platform', annotations: { 'imdswatch/owner-rules': 'path:/opt/bad' } },
  ]);
  bench.atEnd(() => server.close());
  const dataDir = bench.directory();
  const tokenFile = join(bench.directory(), 'token');
  writeFileSync(tokenFile, TOKEN);
  const collector = await bench.collector({
    ...{ data_dir: dataDir, backstage_url: server.url, backstage_token_file: tokenFile },
  });
  bench.outbox(collector.address.url).call(
    makeCall({
      time: new Date(Date.now() - 7_200_000).toISOString().replace('Z', '000Z'),
      process: processFacts({ name: 'bad', 'executable.path': '/opt/bad', ancestors: [] }),
    }),
  );
  const cookie = await signedIn(await collector.signInLink());
  const get = async (path: string): Promise<Response> =>
    fetch(`${collector.pageUrl}${path}`, { headers: { cookie } });
  await eventually('the catalogue is read', () => collector.counters()['backstage']?.['reads'] === 1);
  let offender: Offender | undefined;
  await eventually('the owner of the catalogue', async () => {
    const { items } = (await (await get('/api/v1/offenders')).json()) as { items: Offender[] };
    [offender] = items;
    return offender?.triage.owner === 'platform';
  });
  const explained = (await (await get(`/api/v1/owner-rules/explanations/${offender!.id}`)).json()) as {
    found: unknown;
  };
  assert.deepEqual(explained.found, {
    ...{ owner: 'platform', rule: 'path:/opt/bad=platform', source: 'catalogue' },
    entity: 'component:default/legacy',
  });
  const { catalogue } = ownerRules.parse(await (await get('/api/v1/owner-rules')).json());
  assert.deepEqual([catalogue?.url, catalogue?.entities, catalogue?.error], [server.url, 1, null]);
  const metrics = await (await get('/metrics')).text();
  assert.match(metrics, /^imdswatch_backstage_reads_total\{result="succeeded"\} 1$/m);
  assert.match(metrics, /^imdswatch_backstage_rules 1$/m);

  const place = { data_dir: dataDir };
  const judging = { readinessWindowDays: 14, readinessMaxMissingSeconds: 60, silentAfterSeconds: 300 };
  const listed = ownerRulesTable(await readOwnerRules(place, { backstageUrl: server.url }));
  assert.match(listed, /^Catalogue http:\S+: 1 rules of 1 entities, read at .* after all rules above\.$/m);
  const { insight, close } = await openForReading(place, { ...judging, backstageUrl: server.url });
  const text = explanationText((await insight.explainOwner(offender!.id))!);
  await close();
  assert.match(
    text,
    /^Rule: path:\/opt\/bad=platform \(of component:default\/legacy in the catalogue\), owner platform$/m,
  );
});

async function signedIn(link: string): Promise<string> {
  const { origin, hash } = new URL(link);
  const answer = await fetch(`${origin}/api/v1/session`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' },
    body: JSON.stringify({ secret: hash.slice(1) }),
  });
  return answer.headers.get('set-cookie')!.split(';')[0]!;
}
