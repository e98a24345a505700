/** A store that an earlier release wrote: everything in it is there afterwards, and counted. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { v7 as uuidv7 } from 'uuid';
import { HOUR_US } from '../../../../collector/contract/window.ts';
import { openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { toBytes } from '../../../../collector/store/sqlite/uuid_bytes.ts';
import type { CallerFacts } from '../../../../collector/store/workload_identity.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import {
  ALL,
  ALL_CALLS,
  call,
  callerOf,
  EVER,
  host,
  idsIn,
  program,
  stream,
} from '../../../support/collector/store/records.ts';

const bench = new Bench();
afterEach(() => bench.end());

const NOON_US = Date.UTC(2026, 10, 1, 12) * 1000;
const A = host('a');

/** Rows as the first release's schema had them. */
function writeFirstSchema(dataDir: string, callIds: string[]): void {
  const database = openForWriting(dataDir, { ...FINDINGS, migrations: FINDINGS.migrations.slice(0, 1) });
  const insert = (table: string, ...values: (string | number | null | Uint8Array)[]) =>
    database.prepare(`INSERT INTO ${table} VALUES (${values.map(() => '?').join(', ')})`).run(...values);
  const nobody = callerOf(
    makeCall({ process: null, 'attribution.method': 'none', 'attribution.confidence': 'none' }),
  );
  const inContainer: CallerFacts = {
    ...program('curl'),
    systemd: null,
    container: { id: 'a'.repeat(64), name: 'web', 'image.name': 'team/web:1.2', runtime: 'docker' },
  };
  insert('hosts', 1, A.id, A.name, JSON.stringify(A));
  insert('streams', 'stream-1', 1, 7);
  insert('identities', 1, 'curl', 1, '/usr/bin/curl', 'curl', null, 'app', 1000, null, null);
  insert('identities', 2, 'nobody', 0, null, null, null, null, null, A.id, '10.0.0.9');
  insert('callers', 1, Buffer.from('1'), 1, JSON.stringify(program('curl')));
  insert('callers', 2, Buffer.from('2'), 1, JSON.stringify(inContainer));
  insert('callers', 3, Buffer.from('3'), 2, JSON.stringify(nobody));
  insert('user_agents', 1, 'curl/8 "x" ü');
  const add = (
    id: string,
    timeUs: number,
    identity: number,
    caller: number,
    version: number | null,
    path: string,
  ) =>
    insert(
      'calls',
      toBytes(id),
      timeUs,
      1,
      identity,
      caller,
      version,
      'read',
      'credentials',
      'app',
      'ipv4',
      version,
      null,
      'GET',
      path,
      null,
      1,
      version === null ? null : 200,
      version === null ? 'blocked' : 'answered',
      1.5,
      '10.0.0.5',
      40000,
      '169.254.169.254',
      80,
    );
  add(callIds[0]!, NOON_US, 1, 1, 1, '/a');
  add(callIds[1]!, NOON_US + 26 * HOUR_US, 1, 2, 1, '/b');
  add(callIds[2]!, NOON_US + 1, 2, 3, null, '/c');
  add(callIds[3]!, NOON_US + 2, 1, 1, 2, '/a');
  insert('rollups', 1, toBytes(uuidv7()), NOON_US + 3, NOON_US + 9, 1, 1, 1, 1, '10.0.0.5', 12);
  insert('rollup_lines', 1, 'read', 'metadata', 'GET', '/x', 200, 'answered', 10);
  insert('rollup_lines', 1, 'token', 'token', 'PUT', '/y', 200, 'answered', 2);
  insert(
    'coverage',
    toBytes(uuidv7()),
    1,
    'boot',
    NOON_US,
    NOON_US + HOUR_US,
    3_600_000,
    null,
    4,
    '{"dropped":2}',
  );
  insert(
    'coverage',
    toBytes(uuidv7()),
    1,
    'boot',
    NOON_US + 2 * HOUR_US,
    NOON_US + 3 * HOUR_US,
    3_600_000,
    5,
    4,
    '{}',
  );
  insert('heartbeats', A.id, NOON_US, '{"agent_version":"0.1.0"}');
  database.close();
}

test('calls, roll-ups, workloads, coverage and streams of schema 1 are carried over', async () => {
  const dataDir = bench.directory();
  const ids = Array.from({ length: 4 }, () => uuidv7());
  writeFirstSchema(dataDir, ids);
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  assert.equal(await store.lastSeq('stream-1', A.id), 7);
  const totals = await store.identityTotals(ALL);
  const counted = totals.flatMap(({ identity, kinds }) =>
    kinds.map(({ version, category, count, firstUs, lastUs }) => [
      identity.executable,
      identity.image,
      identity.sourceAddress,
      version,
      category,
      count,
      firstUs - NOON_US,
      lastUs - NOON_US,
    ]),
  );
  assert.deepEqual(
    counted.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    [
      ['/usr/bin/curl', 'team/web', null, 1, 'credentials', 1, 26 * HOUR_US, 26 * HOUR_US],
      ['/usr/bin/curl', null, null, 1, 'credentials', 1, 0, 0],
      ['/usr/bin/curl', null, null, 2, 'credentials', 1, 2, 2],
      ['/usr/bin/curl', null, null, 2, 'metadata', 10, 3, 9],
      ['/usr/bin/curl', null, null, 2, 'token', 2, 3, 9],
      [null, null, '10.0.0.9', null, 'credentials', 1, 1, 1],
    ],
    'a workload in a container is another one than the same program outside',
  );
  const windowed = {
    window: { sinceUs: NOON_US, untilUs: NOON_US + HOUR_US },
    hosts: [A.id],
    identities: null,
  };
  const plain = (await store.hostTotals(windowed)).find(({ identity }) => identity === null);
  assert.equal(plain!.kinds[0]!.count, 13);
  const { calls } = await store.calls(ALL_CALLS, 10, null);
  assert.deepEqual(
    calls.map(({ id }) => id),
    [ids[1], ids[3], ids[2], ids[0]],
  );
  assert.equal(calls[3]!['user_agent.original'], 'curl/8 "x" ü');
  assert.equal((await store.statistics()).calls, 4);
  const [coverage] = await store.coverage(EVER, await idsIn(store));
  assert.deepEqual(
    coverage!.gaps.map(({ reason, startUs, endUs, detail }) => [
      reason,
      startUs - NOON_US,
      endUs - NOON_US,
      detail,
    ]),
    [
      ['losses', 0, HOUR_US, 'dropped 2'],
      ['agent_not_running', HOUR_US, 2 * HOUR_US, null],
    ],
  );
  const curl = totals.find(({ identity }) => identity.executable !== null && identity.image === null)!
    .identity.id;
  assert.deepEqual(await store.pathsV1(curl, 10), [{ path: '/a', count: 1, lastUs: NOON_US }]);
  assert.equal((await store.callers(curl, 10, null))[0]!.lastUs, NOON_US + 9);
  const [stored] = await store.hostPage(null, null, 100);
  assert.deepEqual([stored!.firstUs, stored!.lastUs], [NOON_US, NOON_US + 26 * HOUR_US]);
  assert.deepEqual(
    [stored!.heardUs, stored!.heartbeat],
    [NOON_US, { heartbeat: { agent_version: '0.1.0' }, receivedUs: NOON_US }],
  );

  // And it goes on: what was stored before is known, what is new is added to it.
  const known = call(NOON_US, { id: ids[0]! });
  const [result] = await store.write([stream(A)(known, call(NOON_US + 20))]);
  assert.deepEqual([result!.records, result!.duplicates], [1, 1]);
});

test('rows that a hostile host left in a store without bounds are cut, merged and repaired', async () => {
  const dataDir = bench.directory();
  const before = openForWriting(dataDir, { ...FINDINGS, migrations: FINDINGS.migrations.slice(0, 2) });
  const id = 'i-0\ud800';
  before
    .prepare('INSERT INTO hosts (id, host_id, name, facts, first_us, last_us) VALUES (1, ?, ?, ?, ?, ?)')
    .run(id, 'n', JSON.stringify({ id, name: 'n\u202e', tags: { '\ud800': 'x' } }), NOON_US, NOON_US);
  const addGap = before.prepare('INSERT INTO gaps VALUES (1, ?, ?, ?, ?)');
  const addBoot = before.prepare('INSERT INTO boots VALUES (1, ?, ?, ?)');
  before.exec('BEGIN');
  for (let index = 0; index < 3000; index += 1) {
    addGap.run('losses', NOON_US + index * 5_000_000, NOON_US + index * 5_000_000 + 10, '{"x":1}');
    addBoot.run(`boot ${index}`, NOON_US + index, NOON_US + index);
  }
  before.exec('COMMIT');
  const facts = program('long');
  facts.process!.script = `/${'s'.repeat(50_000)}`;
  facts.process!.name = 'half \ud800';
  before.prepare('INSERT INTO callers VALUES (1, ?, 1, 1, ?)').run(Buffer.from('1'), NOON_US);
  before.prepare('INSERT INTO caller_facts VALUES (1, ?)').run(JSON.stringify(facts));
  before
    .prepare('INSERT INTO identities (id, key, facts) VALUES (1, ?, ?)')
    .run('0123456789abcdef', JSON.stringify({ executable: '/a\ud800', script: facts.process!.script }));
  before.close();

  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const [stored] = await store.hostPage(null, null, 100);
  assert.deepEqual([stored!.facts.id, stored!.facts.name], ['i-0\ufffd', 'n\ufffd']);
  assert.ok(JSON.stringify(stored!.facts).isWellFormed() && !JSON.stringify(stored!.facts).includes('\\ud'));
  const [coverage] = await store.coverage(EVER, await idsIn(store));
  assert.equal(coverage!.hostId, stored!.facts.id);
  assert.equal(coverage!.boots.length, 1000);
  assert.equal(coverage!.boots.at(-1)!.id, 'boot 2999');
  const losses = coverage!.gaps.filter(({ reason }) => reason === 'losses');
  assert.ok(losses.length <= 48, `${losses.length} gaps`);
  assert.equal(losses.at(-1)!.endUs, NOON_US + 2999 * 5_000_000 + 10);
  const [identity] = await store.identities(['0123456789abcdef']);
  assert.deepEqual([identity!.executable, identity!.script!.length], ['/a\ufffd', 4096]);
  const [caller] = await store.callers('0123456789abcdef', 1, null);
  assert.deepEqual(
    [caller!.facts.process!.name, caller!.facts.process!.script!.length],
    ['half \ufffd', 4096],
  );
});

test('figures of the cloud of schema 11 are ready for groups', async () => {
  const dataDir = bench.directory();
  const database = openForWriting(dataDir, { ...FINDINGS, migrations: FINDINGS.migrations.slice(0, 11) });
  const launchedUs = NOON_US + 60_000_000;
  database.exec(`
    INSERT INTO hosts VALUES (7, '${A.id}', 'a', '{}', ${NOON_US}, ${NOON_US + HOUR_US});
    INSERT INTO cloud_members (host_id, account, region, state, launched_us, supplied_us)
      VALUES ('${A.id}', '1', 'r', 'running', ${launchedUs}, ${NOON_US}), ('i-other', '1', 'r', 'running', NULL, ${NOON_US});
    INSERT INTO cloud_instances (host_id, http_tokens, supplied_us) VALUES ('${A.id}', 'required', ${NOON_US});
    INSERT INTO cloud_counts VALUES ('${A.id}', ${NOON_US}, ${NOON_US + HOUR_US}, 0, NULL),
      ('${A.id}', ${NOON_US + HOUR_US}, ${NOON_US + 2 * HOUR_US}, 0, NULL);
  `);
  database.close();
  const store = openStore(dataDir);
  bench.atEnd(() => store.close());
  const { hostIds, columns } = await store.members(EVER, null, 0, 100);
  assert.deepEqual(hostIds, [A.id, 'i-other']);
  assert.deepEqual([...columns.tokens], [2, 0]);
  assert.deepEqual([...columns.launchedUs], [launchedUs, Number.NaN]);
  assert.deepEqual([...columns.launchCountedUs], [NOON_US + 2 * HOUR_US, Number.NaN]);
});
