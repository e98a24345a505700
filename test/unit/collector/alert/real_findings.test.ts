/** Runs the alert rules on findings of the real store and the real insight. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pino } from 'pino';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { Alerts } from '../../../../collector/alert/alerts.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import { NO_OWNERS } from '../../../../collector/insight/owners.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Call } from '../../../../protocol/call.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';

const bench = new Bench();
after(() => bench.end());

test('calls over IMDSv1 become alerts, once, and credentials again after a day of silence', async () => {
  const directory = bench.directory();
  const store = openStore(directory);
  bench.atEnd(() => store.close());
  const database = openAdmin(directory);
  bench.atEnd(() => database.close());
  // The days that this test skips must not be in the future of the store, which has its own clock.
  let nowMs = Date.now() - 3 * 86_400_000;
  const now = () => nowMs;
  const insight = new Insight(store, { readinessWindowDays: 14, silentAfterSeconds: 180, now });
  const log = pino({ level: 'silent' });
  const admin = new SqliteAdminStore(database);
  const alerts = new Alerts({
    owners: () => NO_OWNERS,
    admin,
    lease: new Lease(admin, 'alerts', { durationMs: 1000 }),
    insight,
    store,
    publicUrl: null,
    log,
    now,
  });

  let seq = 0;
  const write = async (changes: Partial<Call>) => {
    const time = new Date(nowMs).toISOString().replace('Z', '000Z');
    const { host, process, container, k8s, systemd, ...rest } = makeCall({ time, ...changes });
    const { 'attribution.method': method, 'attribution.confidence': confidence, ...call } = rest;
    const caller = { process, container, k8s, systemd };
    const facts = { ...caller, 'attribution.method': method, 'attribution.confidence': confidence };
    const records = [{ kind: 'call' as const, caller: 0, call }];
    await store.write([{ stream: STREAM, seq: ++seq, host, callers: [facts], records }]);
  };
  const told = async (): Promise<string[]> => {
    const before = (await alerts.recentAlerts(100)).length;
    nowMs += 10_000;
    await alerts.evaluate();
    const all = await alerts.recentAlerts(100);
    return all
      .slice(0, all.length - before)
      .map(({ rule, title }) => `${rule}: ${title}`)
      .reverse();
  };
  const STREAM = '0199a5d2-7c1e-7000-8000-000000000001';
  const credentials: Partial<Call> = {
    'imds.category': 'credentials',
    'imds.role': 'app',
    'url.path': '/latest/meta-data/iam/security-credentials/app',
  };

  assert.deepEqual(await told(), []);
  await write({ 'imds.version': 2, 'imds.server_version': 2 });
  assert.deepEqual(await told(), []);
  await write({});
  assert.deepEqual(await told(), ['new_offender: New IMDSv1 caller: /usr/bin/curl']);
  await write(credentials);
  assert.deepEqual(await told(), ['credentials_over_v1: Role credentials over IMDSv1: /usr/bin/curl']);
  assert.match(
    (await alerts.recentAlerts(1))[0]!.text,
    new RegExp(`credentials of app without a token on host ${HOST.name}`),
  );
  await write(credentials);
  nowMs += 6 * 60_000;
  assert.deepEqual(await told(), []);
  nowMs += 2 * 86_400_000;
  await write(credentials);
  assert.deepEqual(await told(), ['credentials_over_v1: Role credentials over IMDSv1 again: /usr/bin/curl']);

  const { process } = makeCall({});
  await write({ process: { ...process!, name: 'wget', 'executable.path': '/usr/bin/wget' } });
  assert.deepEqual(await told(), ['new_offender: New IMDSv1 caller: /usr/bin/wget']);
  nowMs -= 3_600_000;
  assert.deepEqual(await told(), [], 'a clock that is set back stops no workload');
  nowMs += 3_600_000;
  assert.deepEqual(await told(), [], 'and begins none when it is right again');
});
