/** Secrets planted in requests: none is in spool, database, log, API and page of what an agent makes of them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { FileSource } from '../../../agent/capture/file_source.ts';
import { PacketClock } from '../../../agent/capture/packet_clock.ts';
import { lookSettings } from '../../../agent/config.ts';
import { Pipeline } from '../../../agent/pipeline.ts';
import type { Call } from '../../../protocol/call.ts';
import { SecretFinder } from '../../support/agent/identity/secret_finder.ts';
import { HOST, makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { plantedCapture } from '../../support/lab/planted_capture.ts';
import { type PlantedRequest, plantedRequests } from '../../support/lab/planted_secrets.ts';
import { cannotBrowse, openBrowser, openSite } from '../../support/web/site.ts';
import { Visit } from '../../support/web/visit.ts';

const OFFENDERS = '/offenders';
const QUESTIONS = [OFFENDERS, '/hosts', '/overview', '/audit', '/alerts', '/calls?days=1'];

describe('planted secrets on the page', { skip: cannotBrowse }, () => {
  const bench = new Bench();
  after(() => bench.end());
  const [first, live] = [plantedRequests(), plantedRequests('live')];

  /** Returns the calls that the agent's own pipeline makes of a capture file, as if they were made now by a caller. */
  function callsOf(planted: readonly PlantedRequest[]): Call[] {
    const file = join(bench.directory(), 'planted.pcap');
    writeFileSync(file, plantedCapture(planted));
    const calls: Call[] = [];
    const pipeline: Pipeline = new Pipeline({
      source: new PacketClock(new FileSource(file), (nowUs) => pipeline.tick(nowUs)),
      endpoints: lookSettings.shape.endpoints.parse(undefined),
      attribution: null,
      host: HOST,
      onCall: (call) => calls.push(call),
    });
    pipeline.start();
    pipeline.stop();
    const { id: _id, time: _time, process } = makeCall();
    return calls.map((call) => {
      const { id, time } = makeCall();
      return { ...call, id, time, process };
    });
  }

  it('are in no text that is kept or shown; a marker beside each is', { timeout: 120_000 }, async () => {
    const site = await openSite(bench, { fleet: false });
    const browser = await openBrowser();
    bench.atEnd(() => browser.close());
    const spoolDir = bench.directory();
    const outbox = bench.outbox(site.collector.address.url, { spoolDir });
    const visit = await Visit.begin(browser, site.collector);
    const body = async () => (await visit.page.textContent('body')) ?? '';
    const texts: [string, string][] = [];
    const readFiles = () => {
      for (const directory of [spoolDir, site.dataDir]) {
        for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
          const path = join(directory, name);
          if (statSync(path, { throwIfNoEntry: false })?.isFile())
            texts.push([name, readFileSync(path, 'latin1')]);
        }
      }
    };

    for (const call of callsOf(first)) outbox.call(call);
    readFiles();
    const stored = texts.map(([, text]) => text).join('\n');
    assert.deepEqual(missing(first, stored), [], 'the spool has every call');
    await visit.page.goto(`${site.collector.pageUrl}/live`);
    await visit.page.locator('.feed-state.open').waitFor();
    for (const call of callsOf(live)) outbox.call(call);
    // The table shows paths and queries, and no user agents.
    const shown = live.filter(({ place }) => !place.includes('user agent'));
    for (const { marker } of shown) await visit.page.getByText(marker).first().waitFor();
    texts.push(['/live', `${await body()}${await visit.page.content()}`]);

    // A window ends with the last whole second, so the calls of the current second are not in it yet.
    let items: { id: string }[] = [];
    while (items.length === 0) {
      await setTimeout(100);
      ({ items } = await visit.api<{ items: { id: string }[] }>(OFFENDERS));
    }
    await visit.go(`/offenders/${items[0]!.id}`);
    await visit.page.locator('code.request').first().waitFor();
    texts.push(['the offender', `${await body()}${await visit.page.content()}`]);
    assert.match(texts.at(-1)![1], /(?:first|live)mark\d+x/);
    for (const question of [...QUESTIONS, `/offenders/${items[0]!.id}`])
      texts.push([question, JSON.stringify(await visit.api(question))]);
    readFiles();
    texts.push(['the log', JSON.stringify(bench.logged)]);
    await visit.end();
    const database = texts.filter(([name]) => name.includes('.db')).map(([, text]) => text);
    assert.deepEqual(missing([...first, ...live], database.join('\n')), [], 'the database has every call');
    const finder = new SecretFinder([...first, ...live]);
    const found = texts.flatMap(([name, text]) => [...finder.placesIn(text)].map((at) => `${at} in ${name}`));
    assert.deepEqual(found, []);
  });
});

function missing(planted: readonly PlantedRequest[], text: string): string[] {
  return planted.filter(({ marker }) => !text.includes(marker)).map(({ place }) => place);
}
