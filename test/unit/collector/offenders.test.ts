/** From stored records to the list of offenders, and how it is printed. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { promisify } from 'node:util';
import { v7 as uuidv7 } from 'uuid';
import { parseSince, readOffenders } from '../../../cli/commands/offenders.ts';
import { offendersTable } from '../../../cli/terminal/offenders_table.ts';
import type { Offender } from '../../../collector/contract/offender.ts';
import { FINDINGS } from '../../../collector/store/sqlite/findings_schema.ts';

import { openStore } from '../../../collector/store/sqlite/sqlite_store.ts';
import { toMicroseconds, toTimestamp } from '../../../collector/store/time.ts';
import { OperatorError } from '../../../common/operator_error.ts';
import type { Call } from '../../../protocol/call.ts';
import type { WireRecord } from '../../../protocol/records.ts';
import * as fixtures from '../../support/collector/calls.ts';
import { HOST, processFacts } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { newFindings } from '../../support/collector/insight/findings.ts';
import { NO_TRIAGE } from '../../support/collector/triage.ts';

/** Returns a call at a fixed time, which lies between the times that these tests name. */
const makeCall = (changes: Partial<Call> = {}): Call =>
  fixtures.makeCall({ time: '2026-11-22T08:00:00.000000Z', ...changes });

const bench = new Bench();
afterEach(() => bench.end());

const ALL = { sinceMs: null, all: true };
const JUDGING = { readinessWindowDays: 14, readinessMaxMissingSeconds: 60, silentAfterSeconds: 300 };
const V1_ONLY = { sinceMs: null, all: false };
const UNATTRIBUTED: Partial<Call> = {
  process: null,
  'attribution.method': 'none',
  'attribution.confidence': 'none',
};

const newStore = () => newFindings(bench);

const credentials = (role: string, status: number | null): Partial<Call> => ({
  'imds.category': 'credentials',
  'imds.role': role,
  'http.response.status_code': status,
  outcome: status === null ? 'unanswered' : 'answered',
});

test('one row per program, not per process: calls, categories, roles, hosts, credentials, refusals, fall-backs', async () => {
  const { dataDir, put } = newStore();
  const poller = (pid: number) =>
    processFacts({ pid, name: 'python3', 'executable.path': '/usr/bin/python3.11', script: '/opt/poll.py' });
  const other = { id: 'i-2', name: 'db-1' };
  await put(
    makeCall({ process: poller(1), time: '2026-11-20T08:00:00.000001Z' }),
    makeCall({ process: poller(2), ...credentials('app', 200) }),
    makeCall({ process: poller(3), ...credentials('app', 200), host: other }),
    makeCall({ process: poller(4), ...credentials('admin', 401) }),
    makeCall({ process: poller(4), ...credentials('admin', null) }),
    makeCall({ process: poller(5), 'imds.fallback': 'token_unanswered', 'user_agent.original': 'Boto3/1.9' }),
    makeCall({
      process: poller(5),
      'imds.version': 2,
      ...credentials('app', 200),
      time: '2026-11-23T08:00:00.500000Z',
    }),
    makeCall({ process: processFacts({ 'owner.uid': 0, 'owner.name': 'root' }) }),
    makeCall({ process: processFacts({ 'owner.uid': 7, 'owner.name': null, 'executable.path': null }) }),
    makeCall({ process: processFacts({ 'executable.path': '/usr/bin/aws' }), 'imds.version': 2 }),
  );
  const found = await readOffenders({ data_dir: dataDir }, ALL, JUDGING);
  const [first, ...rest] = found;
  const {
    id,
    last_v1,
    last_credentials_over_v1,
    trend_v1,
    hosts,
    advice_headline,
    releases,
    triage,
    ...said
  } = first!;
  assert.deepEqual(
    releases.map(({ release, calls_v1, calls_v2 }) => [release, calls_v1, calls_v2]),
    [['3.11', 6, 1]],
  );
  assert.match(id, /^[0-9a-f]{16}$/);
  assert.deepEqual(triage, NO_TRIAGE);
  assert.ok(last_v1 !== null && last_credentials_over_v1 !== null && advice_headline !== '');
  assert.equal(
    trend_v1.reduce((sum, count) => sum + count, 0),
    6,
  );
  assert.deepEqual(new Set(hosts.map(({ name }) => name)), new Set([HOST.name, 'db-1']));
  assert.deepEqual(said, {
    severity: 'credentials',
    attributed: true,
    title: '/opt/poll.py',
    executable: '/usr/bin/python3.11',
    name: null,
    script: '/opt/poll.py',
    user: 'app',
    uid: null,
    container_image: null,
    systemd_unit: 'cron.service',
    k8s_namespace: null,
    k8s_container: null,
    source_address: null,
    helpers: [],
    started_by: null,
    entry: null,
    calls_v1: 6,
    calls_v2: 1,
    blocked_attempts: 0,
    credentials_over_v1: 2,
    credentials_over_v1_attempts: 4,
    rejected_v1: 1,
    adapted_v1: 0,
    refused_tokens: 0,
    other_cloud_calls: 0,
    answered_by_host_v1: 0,
    acts_for_others: false,
    fallbacks: { token_unanswered: 1, token_refused: 0 },
    categories_v1: { metadata: 2, credentials: 4 },
    roles_v1: ['admin', 'app'],
    user_agents: ['curl/8.5.0', 'Boto3/1.9'],
    clients: [
      { name: 'curl', version: '8.5.0' },
      { name: 'AWS SDK for Python (boto3)', version: '1.9' },
    ],
    host_count: 2,
    hosts_freed: 1,
    accounts: [],
    regions: [],
    first_seen: '2026-11-20T08:00:00.000001Z',
    last_seen: '2026-11-23T08:00:00.500000Z',
    first_v1: '2026-11-20T08:00:00.000001Z',
    advice_kind: 'raw_http',
  });
  assert.equal(first!.last_seen, '2026-11-23T08:00:00.500000Z');
  assert.deepEqual(
    rest.map(({ executable, name, user, uid }) => [executable, name, user, uid]).sort(),
    [
      ['/usr/bin/aws', null, 'app', null],
      ['/usr/bin/curl', null, 'root', null],
      [null, 'curl', null, 7],
    ].sort(),
  );
  assert.ok(
    !(await readOffenders({ data_dir: dataDir }, V1_ONLY, JUDGING)).some(({ calls_v1 }) => calls_v1 === 0),
  );
});

test('unknown callers: a row for each host and source address, and no guess', async () => {
  const { dataDir, put } = newStore();
  await put(
    makeCall({ ...UNATTRIBUTED }),
    makeCall({ ...UNATTRIBUTED, 'source.port': 5 }),
    makeCall({ ...UNATTRIBUTED, 'source.address': '172.17.0.2' }),
    makeCall({ ...UNATTRIBUTED, host: { id: 'i-2', name: 'two' } }),
  );
  const found = await readOffenders({ data_dir: dataDir }, V1_ONLY, JUDGING);
  assert.deepEqual(
    found
      .map(({ attributed, executable, source_address, hosts, calls_v1 }) => [
        attributed,
        executable,
        source_address,
        hosts[0]!.id,
        calls_v1,
      ])
      .sort(),
    [
      [false, null, '10.0.0.5', HOST.id, 2],
      [false, null, '10.0.0.5', 'i-2', 1],
      [false, null, '172.17.0.2', HOST.id, 1],
    ].sort(),
  );
});

test('rolled-up calls count as what they stand for, once', async () => {
  const { dataDir, put } = newStore();
  const { process, container, k8s, systemd, host, ...call } = makeCall();
  const rollup: WireRecord = {
    kind: 'rollup',
    rollup: {
      id: uuidv7(),
      first_time: '2026-11-20T08:00:00.000000Z',
      last_time: '2026-11-20T08:01:00.000000Z',
      count: 41,
      'user_agent.original': 'aws-sdk-go/2',
      'source.address': '10.0.0.5',
      lines: [40, 1].map((count) => ({
        'imds.kind': 'read' as const,
        'imds.category': 'metadata' as const,
        'http.request.method': 'GET',
        'url.path': `/${count}`,
        'http.response.status_code': 200,
        outcome: 'answered' as const,
        count,
      })),
      process,
      container,
      k8s,
      systemd,
      'attribution.method': call['attribution.method'],
      'attribution.confidence': call['attribution.confidence'],
      host,
    },
  };
  await put(rollup);
  await put(rollup, makeCall());
  const [found] = await readOffenders({ data_dir: dataDir }, V1_ONLY, JUDGING);
  assert.deepEqual([found!.calls_v1, found!.calls_v2], [1, 41]);
  assert.deepEqual(found!.user_agents, ['aws-sdk-go/2', 'curl/8.5.0']);
  const since = Date.parse('2026-11-21T00:00:00Z');
  const [recent] = await readOffenders({ data_dir: dataDir }, { sinceMs: since, all: true }, JUDGING);
  assert.equal(recent!.calls_v2, 0);
});

test('times keep their microseconds', () => {
  for (const time of [
    '2026-11-22T08:00:00.000001Z',
    '1970-01-01T00:00:00.999999Z',
    '2038-01-19T03:14:08.120000Z',
  ]) {
    assert.equal(toTimestamp(toMicroseconds(time)), time);
  }
  assert.equal(toTimestamp(toMicroseconds('2026-11-22T08:00:00.12Z')), '2026-11-22T08:00:00.120000Z');
});

test('--since takes a span or a time', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  assert.equal(parseSince('30m', now), now - 1_800_000);
  assert.equal(parseSince('14d', now), now - 14 * 86_400_000);
  assert.equal(parseSince('2026-11-22T08:00:00Z', now), now - 4 * 3_600_000);
  for (const wrong of ['', 'yesterday', '3', '5w', '2026-99-99', '-1h']) {
    assert.throws(() => parseSince(wrong, now), OperatorError);
  }
});

test('the table: fits 80 to 120 columns, worst first, and sends no control character', async () => {
  const { dataDir, put } = newStore();
  const evil = '\u001b]0;owned\u0007\u001b[2J/tmp/\u202egnp.exe\r\nfake';
  await put(
    makeCall({
      process: processFacts({ 'executable.path': evil, script: `${'/very/long'.repeat(30)}\u009b31m` }),
      'user_agent.original': `ua\u0000${evil}`,
    }),
    makeCall({
      process: processFacts({ 'executable.path': '/usr/bin/stolen', 'owner.name': `r\u001b[1m` }),
      ...credentials('app\u0007', 200),
    }),
    makeCall({ ...UNATTRIBUTED }),
  );
  const found = await readOffenders({ data_dir: dataDir }, V1_ONLY, JUDGING);
  for (const columns of [20, 80, 100, 120, 500]) {
    const table = offendersTable(found, { columns, colour: false, all: false });
    const lines = table.trimEnd().split('\n');
    const width = Math.min(120, Math.max(80, columns));
    for (const line of lines) assert.ok([...line].length <= width, `${[...line].length} > ${width}: ${line}`);
    assert.ok(lines[1]!.includes('/usr/bin/stolen') && lines[2]!.includes('credentials'));
    assert.doesNotMatch(table.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u);
    assert.ok(table.includes('unattributed'));
  }
  const coloured = offendersTable(found, { columns: 100, colour: true, all: false });
  const escapes = new Set(coloured.match(/\u001b\[[\d;]*m/g));
  assert.deepEqual([...escapes].sort(), ['\u001b[0m', '\u001b[2m', '\u001b[31;1m']);
  assert.doesNotMatch(coloured.replaceAll(/\u001b\[[\d;]*m|\n/g, ''), /\p{Cc}/u);
  assert.match(offendersTable([], { columns: 100, colour: false, all: false }), /No caller used IMDSv1/);
});

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const command = (...args: string[]) =>
  run(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    MAIN,
    'offenders',
    // The calls of this file have a fixed date.
    ...['--since', 'all'],
    ...args,
  ]);

test('the command prints JSON and a table while a collector writes, and reports errors', async () => {
  const { dataDir, put } = newStore();
  await put(makeCall(), makeCall({ 'imds.version': 2, process: processFacts({ script: '/x' }) }));
  const json = await command('--json', '--data-dir', dataDir);
  const listed = JSON.parse(json.stdout) as Offender[];
  assert.deepEqual([listed.length, listed[0]!.executable, json.stderr], [1, '/usr/bin/curl', '']);
  await put(makeCall());
  const all = JSON.parse((await command('--json', '--all', '--data-dir', dataDir)).stdout) as Offender[];
  assert.deepEqual([all.length, all[0]!.calls_v1], [2, 2]);
  assert.match((await command('--data-dir', dataDir)).stdout, /CALLER.*\n\/usr\/bin\/curl /);
  await assert.rejects(command('--data-dir', join(dataDir, 'nowhere')), {
    code: 1,
    stderr: /There is no store/,
  });
  await assert.rejects(command('--since', 'soon', '--data-dir', dataDir), { code: 2, stderr: /"soon"/ });
});

test('a store of a newer release, and a file that is not a database, are reported as such', async () => {
  const { dataDir, store } = newStore();
  await store.close();
  const file = join(dataDir, FINDINGS.file);
  const database = new DatabaseSync(file);
  database.exec('PRAGMA user_version = 99');
  database.close();
  assert.throws(() => openStore(dataDir), /newer imdswatch/);
  await assert.rejects(readOffenders({ data_dir: dataDir }, ALL, JUDGING), /schema 99/);
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
  writeFileSync(file, 'no database at all, but long enough to look at'.repeat(200));
  assert.throws(
    () => openStore(dataDir),
    (error: OperatorError) => error instanceof OperatorError && /damaged/.test(error.message),
  );
});
