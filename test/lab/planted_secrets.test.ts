/** More than 200 planted secrets: none is in anything that is kept, logged, shown or sent; a marker beside each is. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { namespacePath } from '../../lab/namespaces.ts';
import { SecretFinder } from '../support/agent/identity/secret_finder.ts';
import { eventually } from '../support/collector/stored.ts';
import { PlantedLab } from '../support/lab/planted_lab.ts';
import { type Planted, plantedCallers, plantedRequests } from '../support/lab/planted_secrets.ts';
import { skip } from '../support/lab/watch_lab.ts';
import { CHROMIUM, cannotBrowse, openBrowser } from '../support/web/site.ts';
import { Visit } from '../support/web/visit.ts';

const CALLS = '/calls?days=1&format=ndjson';
const QUESTIONS = [
  CALLS,
  '/calls?days=1&format=csv',
  '/offenders?limit=200',
  '/offenders?format=ndjson&severity=none&severity=v1&severity=credentials',
  '/offenders?format=csv',
  '/hosts',
  '/overview',
  '/audit',
  '/alerts',
  '/alert/destinations',
  '/openapi.json',
];
const VISITED_OFFENDERS = 3;
const MARKER = /(?:first|live|c)mark\d+x/;

describe('planted secrets', () => {
  let planted: PlantedLab;
  before(async () => {
    if (!skip) planted = await PlantedLab.open();
  });
  after(() => planted?.close());

  const requests = plantedRequests();
  const live = plantedRequests('live');
  /** Every text in which no secret may be, by its name. */
  const texts: [string, string][] = [];
  let callers: ReturnType<typeof plantedCallers>;
  let all: Planted[];
  let offenders: { id: string }[];
  const streams: string[] = [];

  it('reach the spool and watch', { skip }, async () => {
    callers = plantedCallers(planted.lab.home);
    all = [...requests, ...callers, ...live];
    assert.ok(all.length >= 200, String(all.length));
    for (const shape of ['native', 'otlp', 'ocsf', 'ecs'] as const) {
      streams.push(await planted.addStream('calls', shape));
    }
    await planted.addStream('audit', 'native');
    planted.signalCollector('SIGSTOP');
    const spool = () =>
      planted
        .files(planted.spool)
        .map(([, content]) => content)
        .join('\n');
    try {
      await planted.sendRequests(requests, spool);
      await planted.startCallers(callers, spool);
      texts.push(...planted.files(planted.spool));
    } finally {
      planted.signalCollector('SIGCONT');
    }
  });

  it('reach the collector, its API and its alerts', { skip }, async () => {
    await planted.untilSeen('calls', [...requests, ...callers], () => planted.ask(CALLS));
    await planted.untilAlerted();
    for (const question of QUESTIONS) {
      const answer = await planted.ask(question);
      assert.ok(!answer.includes('"status":4'), `${question}: ${answer.slice(0, 200)}`);
      texts.push([question, answer]);
    }
    const listed = texts.find(([name]) => name === '/offenders?limit=200')![1];
    offenders = (JSON.parse(listed) as { items: { id: string }[] }).items;
    assert.ok(offenders.length > 0);
    for (const { id } of offenders) texts.push([`/offenders/${id}`, await planted.ask(`/offenders/${id}`)]);
  });

  it('reach the streams, in every shape', { skip }, async () => {
    for (const name of streams) {
      await planted.untilSeen(name, [...requests, ...callers], () => planted.printed[name]!);
    }
    for (const shape of ['native', 'otlp', 'ocsf', 'ecs'] as const) {
      const name = await planted.addStream('findings', shape);
      await eventually(`${name} names a caller`, () => MARKER.test(planted.printed[name]!));
    }
  });

  it('reach the page: its offenders, and its live feed', { skip: skip || cannotBrowse }, async () => {
    const executable = join(planted.lab.home, 'chromium');
    const namespace = namespacePath(planted.lab.hostNamespace);
    writeFileSync(executable, `#!/bin/sh\nexec nsenter --net=${namespace} -- ${CHROMIUM} "$@"\n`);
    chmodSync(executable, 0o755);
    const browser = await openBrowser(executable);
    try {
      const { pageUrl, token } = planted.page;
      const visit = await Visit.begin(browser, { pageUrl, signInLink: async () => pageUrl }, { token });
      const body = async () => (await visit.page.textContent('body')) ?? '';
      const read = async (name: string) => {
        const text = `${await visit.page.content()}\n${await body()}`;
        texts.push([`the page, ${name}`, text]);
        return text;
      };
      const answers = new Map(texts);
      const marked = offenders.filter(({ id }) => MARKER.test(answers.get(`/offenders/${id}`)!));
      assert.ok(marked.length >= VISITED_OFFENDERS, String(marked.length));
      for (const { id } of marked.slice(0, VISITED_OFFENDERS)) {
        await visit.go(`/offenders/${id}`);
        await visit.page.locator('code.request').first().waitFor();
        assert.match(await read(`/offenders/${id}`), MARKER);
      }
      await visit.page.goto(`${pageUrl}/live`);
      await visit.page.locator('.feed-state.open').waitFor();
      await planted.sendRequests(live, () => planted.ask(CALLS));
      // The table shows paths and queries, and no user agents.
      const shown = live.filter(({ place }) => !place.includes('user agent'));
      await planted.untilSeen('the live feed', shown, body);
      await read('/live');
      await visit.end();
    } finally {
      await browser.close();
    }
  });

  it('reach what the commands print', { skip }, async () => {
    texts.push(['doctor', await planted.doctor()], ['doctor --json', await planted.doctor('--json')]);
    const [table, json] = texts.slice(-2).map(([, text]) => text);
    assert.match(table!, /spool/);
    assert.match(json!, /spool/);
    for (const command of ['offenders', 'readiness']) texts.push([command, await planted.run(command)]);
    texts.push(['read --json', await planted.read('--json')]);
    await planted.untilSeen('read --json', requests, () => texts.at(-1)![1]);
    texts.push(['read', await planted.read()]);
  });

  it('are nowhere', { skip }, async () => {
    const state = () => planted.files(planted.spool).find(([name]) => name.endsWith('/state.json'));
    assert.ok(state() !== undefined, 'the agent keeps its last heartbeat');
    texts.push(...planted.files(planted.data), ...planted.files(planted.spool));
    await planted.stopUp();
    texts.push(...planted.files(planted.data), ...planted.files(planted.spool));
    texts.push(...Object.entries(planted.printed));
    const finder = new SecretFinder(all);
    for (const each of all) assert.ok(finder.placesIn(each.secret).has(each.place), each.place);
    const found = texts.flatMap(([name, text]) =>
      [...finder.placesIn(text)].map((place) => `${place} in ${name}`),
    );
    assert.deepEqual(found, [], `${all.length} secrets, ${texts.length} texts`);
  });
});
