/** Tests a collector whose questions go to a standby: what its answers say, what people see, and what never goes there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { collectorSettings } from '../../../collector/config.ts';
import type { Storage } from '../../../collector/contract/storage.ts';
import { startCollector } from '../../../collector/main.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { HELLO, Peer } from '../../support/collector/peer.ts';
import { Person } from '../../support/collector/person.ts';
import { databaseOf, ServerPair } from '../../support/collector/store/standbys.ts';
import { eventually } from '../../support/collector/stored.ts';
import { NO_POSTGRES } from '../../support/postgres.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const HOST = { id: 'i-standby', name: 'web' };

describe('a collector with a standby for questions', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  let servers: ServerPair;
  before(async () => {
    servers = await ServerPair.start();
  });
  afterEach(() => bench.end());
  after(() => servers?.close());

  it('answers from it, says so, and keeps all that decides or changes something on the primary', async () => {
    const store = await servers.primary.createDatabase();
    const reader = servers.standby.url(databaseOf(store));
    await servers.caughtUp();
    const collector = await bench.collector({
      store,
      store_reader: reader,
      // A busy machine takes its time, and the replay is paused meanwhile.
      store_reader_max_lag_seconds: 3600,
    });
    const person = await Person.signIn(collector);
    const storage = async () => (await person.json('/storage')) as Storage;
    const standbyAnswers = (sinceUs = 0) =>
      eventually('the standby can answer', async () => {
        const { problem, as_of: asOf } = (await storage()).reader!.standbys[0]!;
        // The data may be newer than what is known of its time.
        return problem === null && Date.parse(asOf ?? '') * 1000 >= sinceUs;
      });
    const peer = await new Peer(bench, collector.address.url).hello({
      ...HELLO,
      host: HOST,
      stream: randomUUID(),
    });
    await peer.next('welcome');
    const nowUs = Date.now() * 1000;
    const calls = [1, 2, 3].map((number) => makeCall({ host: HOST, 'url.path': `/${number}` }));
    peer.send({ type: 'batch', seq: 1, records: calls.map((call) => ({ kind: 'call', call })) });
    await peer.next('ack');
    await servers.caughtUp();
    await standbyAnswers(nowUs);
    await servers.pause();
    try {
      // All of these are answered as of before the next batch, and say so.
      peer.send({
        type: 'batch',
        seq: 2,
        records: [{ kind: 'call', call: makeCall({ host: HOST, 'url.path': '/4' }) }],
      });
      await peer.next('ack');
      const lists = ['offenders', 'hosts', 'calls', 'readiness', 'groups?by=account', 'calls?format=csv'];
      for (const path of ['overview', 'fix-first', 'burn-down', 'hosts?format=ndjson', ...lists]) {
        const { status, headers } = await person.ask(`/${path}`);
        assert.equal(status, 200, path);
        assert.equal(headers.get('imdswatch-data-source'), 'standby', path);
        const asOf = Date.parse(headers.get('imdswatch-data-as-of')!) * 1000;
        assert.ok(asOf >= nowUs && asOf <= Date.now() * 1000, path);
        assert.match(headers.get('imdswatch-standby-lag')!, /^\d+$/, path);
      }
      const [stored] = ((await person.json('/offenders')) as { items: { id: string; calls_v1: number }[] })
        .items;
      assert.equal(stored!.calls_v1, 3);
      const seen = (await person.json('/calls')) as { items: unknown[] };
      assert.equal(seen.items.length, 3);
      const hosts = await person.ask('/hosts');
      const { as_of: judged } = (await hosts.json()) as { as_of: string };
      assert.ok(Date.parse(judged) <= Date.parse(hosts.headers.get('imdswatch-data-as-of')!) + 1);

      // Guards of a plan ask the primary.
      const guard = await person.ask('/enforcement/hosts', { method: 'POST', json: { hosts: [HOST.id] } });
      assert.equal(guard.status, 200);
      assert.equal(guard.headers.get('imdswatch-data-source'), null);
      const triage = await person.ask(`/offenders/${stored!.id}/triage`, {
        method: 'PATCH',
        json: { state: 'in_progress', owner: 'shop' },
      });
      assert.equal(triage.status, 200);
      assert.equal(triage.headers.get('imdswatch-data-source'), null);

      // Whoever changed something sees it, and everything else of that time, although the standby lacks it.
      const changed = await person.ask('/offenders');
      assert.equal(changed.headers.get('imdswatch-data-source'), 'primary; reason="changed"');
      const [own] = ((await changed.json()) as { items: { calls_v1: number; triage: { owner: string } }[] })
        .items;
      assert.deepEqual([own!.calls_v1, own!.triage.owner], [4, 'shop']);
      const supplied = await person.ask('/cloud/counts', {
        method: 'POST',
        json: [
          {
            instance_id: HOST.id,
            start: new Date(Math.floor(Date.now() / 3_600_000 - 2) * 3_600_000).toISOString(),
            end: new Date(Math.floor(Date.now() / 3_600_000 - 1) * 3_600_000).toISOString(),
            metadata_no_token: 7,
          },
        ],
      });
      assert.equal(supplied.status, 200, await supplied.text());
      const compared = (await person.json('/reconciliation')) as { items: unknown[] };
      assert.equal(compared.items.length, 1);
    } finally {
      await servers.resume();
    }
    await servers.caughtUp();

    // Only questions come to the standby.
    const names = await servers.standby.query(
      'postgres',
      `SELECT DISTINCT application_name AS name FROM pg_stat_activity
       WHERE datname = $1 AND application_name LIKE 'imdswatch%'`,
      [databaseOf(store)],
    );
    assert.deepEqual(names, [{ name: 'imdswatch standby reader' }]);

    const { reader: state } = await storage();
    assert.ok(state!.answered > 0 && state!.answered_by_primary.changed > 0);
    assert.deepEqual(state!.standbys[0]!.place, servers.standby.directory);
    assert.match(state!.standbys[0]!.text, /answers questions\. Its data is \d+ s old\./);
    const metrics = await person.metrics();
    assert.match(metrics, /imdswatch_standby_lag_seconds\{standby="[^"]+"\} \d+/);
    assert.match(metrics, /imdswatch_store_reader_questions_total\{server="standby",reason=""\} [1-9]/);
    assert.match(
      metrics,
      /imdswatch_store_reader_questions_total\{server="primary",reason="changed"\} [1-9]/,
    );

    // Commands say on standard error what they read, and standard output is the report alone.
    const command = (...args: string[]) =>
      run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
        env: { ...process.env, IMDSWATCH_STORE: store, IMDSWATCH_STORE_READER: reader },
      });
    for (const name of ['offenders', 'readiness']) {
      const { stdout, stderr } = await command(name, '--json');
      assert.equal((JSON.parse(stdout) as unknown[]).length, 1);
      assert.match(stderr, /A standby answered, with the data of \S+Z \(\d+ s behind the primary\)\./);
    }
    const doctor = await command('doctor', '--part', 'collector', '--json').catch((error) => error);
    assert.match(doctor.stdout, /the standby [^"]+ answers questions; its data is \d+ s old/);
  });

  it('a standby that is away does not keep a collector from starting, and one of another database does', async () => {
    const store = await servers.primary.createDatabase();
    const other = await servers.primary.createDatabase();
    await servers.caughtUp();
    await assert.rejects(
      startCollector(
        collectorSettings.parse({
          listen: '127.0.0.1:0',
          data_dir: bench.directory(),
          store,
          store_reader: servers.standby.url(databaseOf(other)),
        }),
        bench.log,
      ),
      /store_reader cannot be used.*another database/,
    );
    const nowhere = store.replace(/host=[^&]*/, `host=${encodeURIComponent('127.0.0.1:1')}`);
    const collector = await bench.collector({ store, store_reader: nowhere });
    const person = await Person.signIn(collector);
    const answer = await person.ask('/overview');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('imdswatch-data-source'), 'primary; reason="away"');
    const { reader } = (await person.json('/storage')) as Storage;
    assert.match(reader!.standbys[0]!.text, /answers no questions: it does not answer: .*ECONNREFUSED/);
    assert.ok(bench.logged.some(({ msg }) => msg === 'a standby cannot answer questions'));
  });
});
