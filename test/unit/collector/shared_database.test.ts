/** Tests collectors whose store is a PostgreSQL database: with agents, people, commands, crashes and bad settings. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { collectorSettings } from '../../../collector/config.ts';
import { DAY_US } from '../../../collector/contract/window.ts';
import { startCollector } from '../../../collector/main.ts';
import { toTimestamp } from '../../../collector/store/time.ts';
import { makeCall, processFacts } from '../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../support/collector/in_process.ts';
import { watched } from '../../support/collector/insight/findings.ts';
import { HELLO, Peer } from '../../support/collector/peer.ts';
import { Person } from '../../support/collector/person.ts';
import { AgentProcess, kill, startCollectorProcess, TOKEN } from '../../support/collector/processes.ts';
import { eventually, range } from '../../support/collector/stored.ts';
import { NO_POSTGRES, PostgresServer } from '../../support/postgres.ts';

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const PASSWORD = 'a-password-that-nobody-may-see';
const CALLS = 2_000;

describe('collectors on PostgreSQL', { skip: NO_POSTGRES }, () => {
  const bench = new Bench();
  const ending: (() => Promise<void>)[] = [];
  let server: PostgresServer;
  before(async () => {
    server = await PostgresServer.start({
      tcp: true,
      access: ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'],
    });
    await server.query('postgres', `CREATE ROLE collector LOGIN PASSWORD '${PASSWORD}'`);
  });
  afterEach(async () => {
    for (const end of ending.splice(0).reverse()) await end();
    await bench.end();
  });
  after(() => server?.close());

  async function collectorProcess(store: string, port = 0) {
    const started = await startCollectorProcess(bench.directory(), port, { env: { IMDSWATCH_STORE: store } });
    ending.push(() => kill(started.child));
    return started;
  }

  /** Returns the numbers of the calls that are stored, sorted, and the sum of their hours. */
  async function stored(store: string): Promise<{ numbers: number[]; hourly: number }> {
    const database = /\/(test_\d+)\?/.exec(store)![1]!;
    const rows = await server.query(database, 'SELECT path FROM calls');
    const [sum] = await server.query(
      database,
      'SELECT coalesce(sum(count), 0)::integer AS hourly FROM hourly WHERE class > 0',
    );
    const numbers = rows.map(({ path }) => Number(String(path).slice(1))).sort((a, b) => a - b);
    return { numbers, hourly: sum!['hourly'] as number };
  }

  it('the page has the answers of the embedded store for the same batches, and so have the commands', async () => {
    const store = await server.createDatabase();
    // Time passes between the questions, and must not change a verdict.
    const tolerance = 86_400;
    const embedded = await bench.collector({ readiness_max_missing_seconds: tolerance });
    const shared = await bench.collector({ readiness_max_missing_seconds: tolerance, store });
    const nowUs = Math.floor(Date.now() / 60_000) * 60_000_000;
    const ago = (us: number) => toTimestamp(nowUs - us);
    const host = (id: string) => ({ id, name: `name of ${id}`, tags: { team: 'shop' } });
    for (const id of ['i-blocked', 'i-clean', 'i-agent']) {
      const stream = randomUUID();
      const calls = range(0, id === 'i-clean' ? 0 : 9).map((number) =>
        makeCall({
          host: host(id),
          time: ago(DAY_US + number * 1_000_003),
          'imds.version': number % 3 === 0 ? 2 : 1,
          'imds.server_version': number % 3 === 0 ? 2 : 1,
          'url.path': `/${number}`,
          process: processFacts({ script: `/opt/job-${number % 2}.py` }),
        }),
      );
      const records = [
        ...calls.map((call) => ({ kind: 'call', call })),
        watched(id, ago(3 * DAY_US), ago(0)),
      ];
      for (const collector of [embedded, shared]) {
        const peer = await new Peer(bench, collector.address.url).hello({ ...HELLO, host: host(id), stream });
        assert.equal((await peer.next('welcome'))['last_seq'], 0);
        peer.send({ type: 'batch', seq: 1, records });
        assert.equal((await peer.next('ack'))['seq'], 1);
      }
    }
    const people = await Promise.all([embedded, shared].map((collector) => Person.signIn(collector)));
    const window = `from=${ago(5 * DAY_US)}&to=${ago(0)}`;
    const paths = ['overview', 'offenders', 'hosts', 'readiness', 'calls', 'progress', 'groups?by=account'];
    paths.push('hosts/i-blocked', 'hosts/i-clean', 'offenders.csv');
    // Times of the collectors' own clocks are the only difference.
    const own = /"(generated|received|last_heard|heard|age_seconds|as_of)":("[^"]*"|\d+|null),?/g;
    for (const path of paths) {
      const [there, here] = await Promise.all(
        people.map(async (person) => {
          const answer = await person.ask(`/${path}${path.includes('?') ? '&' : '?'}${window}`);
          return { status: answer.status, text: (await answer.text()).replaceAll(own, '') };
        }),
      );
      assert.deepEqual(here, there, path);
    }
    const { kind, copies } = (await people[1]!.json('/storage')) as { kind: string; copies: number };
    assert.deepEqual({ kind, copies }, { kind: 'postgresql', copies: 0 });
    assert.ok(bench.logged.some(({ msg }) => /An acknowledged batch can be lost .* fsync is off/.test(msg)));

    const command = (...args: string[]) =>
      run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
        env: {
          ...process.env,
          IMDSWATCH_STORE: store,
          IMDSWATCH_READINESS_MAX_MISSING_SECONDS: String(tolerance),
        },
      });
    const listed = JSON.parse((await command('offenders', '--json')).stdout) as { id: string }[];
    const { items } = (await people[0]!.json('/offenders')) as { items: { id: string }[] };
    assert.equal(items.length, 2);
    assert.deepEqual(
      listed.map(({ id }) => id),
      items.map(({ id }) => id),
    );
    const judged = JSON.parse((await command('readiness', '--json')).stdout) as {
      id: string;
      readiness: { verdict: string };
    }[];
    const hosts = (await people[0]!.json('/hosts')) as { items: { id: string; verdict: string }[] };
    const verdicts = new Map(judged.map((each) => [each.id, each.readiness.verdict]));
    assert.equal(verdicts.size, 3);
    assert.deepEqual(verdicts, new Map(hosts.items.map(({ id, verdict }) => [id, verdict])));

    const made = await command('token', 'create', '--kind', 'person', '--role', 'viewer', '--name', 'eve');
    const eve = new Person(shared.pageUrl, { authorization: `Bearer ${made.stdout.trim()}` });
    assert.equal((await eve.ask('/overview')).status, 200);
    await assert.rejects(command('backup', join(bench.directory(), 'copy')), /pg_dump/);
    const doctor = await command('doctor', '--part', 'collector', '--json').catch((error) => error);
    assert.match(doctor.stdout, /answers: PostgreSQL \d+/);
    assert.match(doctor.stdout, /fsync is off/);
  });

  it('a token that is revoked at one collector is refused by the other, and its agent is cut off', async () => {
    const store = await server.createDatabase();
    const first = await bench.collector({ store });
    const second = await bench.collector({ store });
    const admin = await Person.signIn(first);
    const make = async (body: Record<string, unknown>) => {
      const answer = await admin.ask('/tokens', { method: 'POST', json: body });
      assert.equal(answer.status, 201);
      return (await answer.json()) as { secret: string; token: { id: string } };
    };
    const viewer = await make({ kind: 'person', role: 'viewer', name: 'bob' });
    const agent = await make({ kind: 'agent', name: 'one', host_id: HELLO.host.id });
    const bob = new Person(second.pageUrl, { authorization: `Bearer ${viewer.secret}` });
    assert.equal((await bob.ask('/overview')).status, 200);
    const peer = await new Peer(bench, second.address.url, {
      authorization: `Bearer ${agent.secret}`,
    }).hello();
    await peer.next('welcome');
    for (const { token } of [viewer, agent]) {
      assert.equal((await admin.ask(`/tokens/${token.id}`, { method: 'DELETE' })).ok, true);
    }
    await eventually('the person is refused', async () => (await bob.ask('/overview')).status === 401);
    await eventually('the agent is cut off', () => peer.closed !== null);
  });

  it('collectors are killed under load, and others take over: each call is stored once', async () => {
    const store = await server.createDatabase();
    let { child, port } = await collectorProcess(store);
    await collectorProcess(store);
    const sender = new AgentProcess({
      url: `ws://127.0.0.1:${port}`,
      token: TOKEN,
      spoolDir: bench.directory(),
      spoolMaxBytes: 64 * 1024 * 1024,
      heartbeatMs: 500,
      from: 0,
      to: CALLS,
      burst: 10,
      pauseMs: 6,
      detail: 'all',
    });
    ending.push(() => kill(sender.child));
    for (const made of [500, 1_200]) {
      await sender.untilMade(made);
      await kill(child);
      // It has another directory: nothing of the first collector is left but the database.
      ({ child } = await collectorProcess(store, port));
    }
    await sender.untilDone();
    await eventually('all calls stored', async () => (await stored(store)).numbers.length >= CALLS);
    const counters = await sender.stop();
    assert.equal(counters['spool']!['acknowledged'], CALLS);
    assert.equal(counters['spool']!['lost'], 0);
    assert.deepEqual(await stored(store), { numbers: range(0, CALLS), hourly: CALLS });
  });

  it('while the database is away agents keep their calls and /readyz says why; then it goes on by itself', async () => {
    const store = await server.createDatabase();
    const collector = await bench.collector({ store });
    const ready = async () => {
      const answer = await fetch(new URL('/readyz', collector.pageUrl));
      return { status: answer.status, text: await answer.text() };
    };
    assert.equal((await ready()).status, 200);
    const outbox = bench.outbox(collector.address.url, { detail: 'all' });
    outbox.call(makeCall({ 'url.path': '/0' }));
    await eventually('the first call', () => acknowledged(outbox) === 1);
    await server.kill();
    try {
      outbox.call(makeCall({ 'url.path': '/1' }));
      await eventually('it says so', async () => (await ready()).status === 503);
      assert.match((await ready()).text, /The store cannot be written: The database cannot be reached/);
      assert.equal(acknowledged(outbox), 1);
    } finally {
      await server.start();
    }
    await eventually('it is ready again', async () => (await ready()).status === 200);
    await eventually('the second call', () => acknowledged(outbox) === 2);
    assert.deepEqual(await stored(store), { numbers: [0, 1], hourly: 2 });
    assert.equal(outbox.counters()['spool']!['lost'], 0);
  });

  it('says at start what is wrong with the database, and never the password', async () => {
    await server.createDatabase();
    const file = join(bench.directory(), 'password');
    writeFileSync(file, `${PASSWORD}-wrong\n`);
    chmodSync(file, 0o600);
    const named = `password_file=${encodeURIComponent(file)}`;
    const at = `127.0.0.1:${server.port}`;
    const rows: [string, RegExp][] = [
      [`postgres://collector@${at}/test_1?${named}`, /password authentication failed for user "collector"/],
      [`postgres://postgres@${at}/no_such_database`, /database "no_such_database" does not exist/],
      ['postgres://postgres@127.0.0.1:1/test_1', /127\.0\.0\.1:1: connect ECONNREFUSED/],
      [`postgres://postgres@${at}/test_1?sslmode=verify-full`, /does not support SSL/],
      [`postgres://collector@${at}/test_1?password_file=/no/such/file`, /password_file .* cannot be read/],
    ];
    const attempt = (store: string) =>
      startCollector(
        collectorSettings.parse({ listen: '127.0.0.1:0', data_dir: bench.directory(), store }),
        bench.log,
      );
    for (const [store, expected] of rows) {
      await assert.rejects(attempt(store), (error: Error) => {
        assert.match(error.message, expected);
        assert.ok(!error.message.includes(PASSWORD), error.message);
        return true;
      });
    }
    // The right password is not enough where the user may not make tables.
    writeFileSync(file, `${PASSWORD}\n`);
    await assert.rejects(attempt(rows[0]![0]), /may not create its tables.*GRANT CREATE/s);
    assert.ok(!JSON.stringify(bench.logged).includes(PASSWORD));
  });
});

it('an address with a password is refused without showing it', async () => {
  const addresses = [
    `postgres://collector:${PASSWORD}@db/imdswatch`,
    `postgres://collector:${PASSWORD}/x@db/imdswatch`,
    `postgres://collector@db/imdswatch?password=${PASSWORD}`,
    `postgresql://db/imdswatch?sslmode=disable&password=${PASSWORD}`,
  ];
  for (const store of addresses) {
    const attempt = run(process.execPath, [MAIN, 'collector', '--store', store]);
    await assert.rejects(attempt, (error: Error & { code: number; stderr: string }) => {
      assert.equal(error.code, 2);
      assert.match(error.stderr, /--store: must have no password.*password_file=FILE/);
      assert.ok(!error.stderr.includes(PASSWORD));
      return true;
    });
  }
});
