/** More than 200 planted secrets: none is in spool, database, log, API, exports, alerts; a marker beside each one is. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { CALL_CODE, PYTHON, plantedCallers, plantedRequests, SecretFinder } from './planted_secrets.ts';
import { MAIN, skip } from './watch_lab.ts';

const PORT = 18_789;
const SENDER = join(import.meta.dirname, 'planted_requests.py');
const QUESTIONS = [
  '/calls?days=1&format=ndjson',
  '/calls?days=1&format=csv',
  '/offenders?limit=200',
  '/offenders?format=ndjson&severity=none&severity=v1&severity=credentials',
  '/offenders?format=csv',
  '/hosts',
  '/overview',
  '/audit',
  '/alerts',
  '/openapi.json',
];

describe('planted secrets', () => {
  let lab: Lab;
  before(async () => {
    if (skip) return;
    lab = await Lab.create({ name: 'planted' });
  });
  after(() => lab?.close());

  it('are nowhere, and a marker beside each of them is', { skip, timeout: 170_000 }, async () => {
    const [data, spool] = [join(lab.home, 'data'), join(lab.home, 'spool')];
    const listen = `127.0.0.1:${PORT}`;
    const files = ['--data-dir', data, '--spool-dir', spool];
    const up = lab.spawn([
      process.execPath,
      MAIN,
      'up',
      '--listen',
      listen,
      ...files,
      '--log-level',
      'trace',
      '--detail',
      'all',
    ]);
    let log = '';
    for (const stream of [up.child.stdout, up.child.stderr])
      stream?.setEncoding('utf8').on('data', (chunk) => {
        log += chunk;
      });
    for (let n = 0; n < 300 && !/the agent watches/.test(log); n++) await sleep(100);
    assert.match(log, /the agent watches/);

    const requests = plantedRequests();
    const callers = plantedCallers(lab.home);
    const planted = [...requests, ...callers];
    assert.ok(planted.length >= 200, String(planted.length));
    await lab.run([PYTHON, SENDER], {
      input: JSON.stringify(requests.map(({ request }) => request)),
      timeoutMs: 60_000,
    });
    for (const { argv, cwd, file } of callers) {
      if (cwd !== null) mkdirSync(cwd, { recursive: true });
      if (file !== null) {
        mkdirSync(dirname(file.path), { recursive: true });
        if (file.isPython) copyFileSync(PYTHON, file.path);
        else writeFileSync(file.path, CALL_CODE);
      }
      await lab.run(argv, cwd === null ? {} : { cwd });
    }

    const made = await lab.run([
      process.execPath,
      MAIN,
      'token',
      'create',
      '--kind',
      'person',
      '--role',
      'admin',
      '--name',
      'test',
      '--data-dir',
      data,
      '--json',
    ]);
    const { secret, token } = JSON.parse(made.stdout) as { secret?: string; token?: string };
    const ask = async (path: string) => {
      const header = `Authorization: Bearer ${secret ?? token}`;
      return (await lab.run(['curl', '-s', '-H', header, `http://${listen}/api/v1${path}`])).stdout;
    };
    const isMissing = (text: string) =>
      planted.filter(({ marker }) => !text.includes(marker)).map(({ place }) => place);
    let calls = '';
    for (const deadlineMs = performance.now() + 40_000; performance.now() < deadlineMs; await sleep(500)) {
      calls = await ask(QUESTIONS[0]!);
      if (isMissing(calls).length === 0) break;
    }
    assert.deepEqual(isMissing(calls), [], 'each place is reached: its marker is in the calls');

    const texts: [string, string][] = [['the log', log]];
    for (const question of QUESTIONS) texts.push([question, await ask(question)]);
    const { items } = JSON.parse(texts.find(([name]) => name === '/offenders?limit=200')![1]) as {
      items: { id: string }[];
    };
    for (const { id } of items) texts.push([`/offenders/${id}`, await ask(`/offenders/${id}`)]);
    const readFiles = () => {
      for (const directory of [data, spool]) {
        for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
          const path = join(directory, name);
          if (statSync(path).isFile())
            texts.push([path.slice(lab.home.length), readFileSync(path, 'latin1')]);
        }
      }
    };
    readFiles();
    await up.stop();
    readFiles();
    texts.push(['the whole log', log]);
    const finder = new SecretFinder(planted);
    assert.deepEqual(
      [...finder.placesIn(JSON.stringify(planted[0]))],
      [planted[0]!.place],
      'the finder finds',
    );
    const found = texts.flatMap(([name, text]) =>
      [...finder.placesIn(text)].map((place) => `${place} in ${name}`),
    );
    assert.deepEqual(found, [], `${planted.length} secrets, ${texts.length} texts`);
  });
});
