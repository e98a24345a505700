import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { burnDownTable } from '../../../../cli/terminal/burn_down_table.ts';
import { fixFirstTable } from '../../../../cli/terminal/fix_first_table.ts';
import { offendersTable } from '../../../../cli/terminal/offenders_table.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { BurnDown, FixFirst } from '../../../../collector/contract/fix_first.ts';
import { makeFixFirst, makeOffender } from '../../../support/collector/api/findings.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings } from '../../../support/collector/insight/findings.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

const bench = new Bench();
after(() => bench.end());

test('the command sets and removes what it is given, in the audit log, and the list shows it', async () => {
  const { dataDir, put } = newFindings(bench);
  await put(
    makeCall({
      time: new Date(Date.now() - 7_200_000).toISOString().replace('Z', '000Z'),
      process: processFacts({ name: 'bad', 'executable.path': '/opt/bad', ancestors: [] }),
    }),
  );
  const admin = openAdmin(dataDir);
  const run = (...args: string[]) => {
    const argv = ['cli/main.ts', ...args, '--data-dir', dataDir];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
      encoding: 'utf8',
      env: { ...process.env, IMDSWATCH_CONFIG: undefined },
    });
    return { code: status, stdout, stderr };
  };
  const set = (...args: string[]) => run('triage', '/opt/bad', ...args);
  const good = set('--state', 'in_progress', '--owner', 'payments', '--ticket', 'https://t.example.com/1');
  assert.deepEqual(
    [good.code, good.stdout],
    [0, '/opt/bad: in progress · owner payments · https://t.example.com/1\n'],
  );
  const list = run('offenders');
  assert.match(list.stdout, /in progress · owner payments/);
  assert.match(set('--owner', '', '--notes', 'Ask Bob.').stdout, /^\/opt\/bad: in progress · https/);

  const incomplete = set('--state', 'exception', '--until', '2099-01-31');
  assert.equal(incomplete.code, 2);
  assert.match(incomplete.stderr, /an exception needs until and reason/);
  const over = set('--state', 'exception', '--until', '2020-01-31', '--reason', 'late');
  assert.deepEqual([over.code, /has ended already/.test(over.stderr)], [2, true]);
  const excepted = set('--state', 'exception', '--until', '2099-01-31', '--reason', 'The vendor is slow.');
  assert.match(excepted.stdout, /exception until 2099-01-31/);
  const unknown = run('triage', '/opt/good', '--state', 'fixed');
  assert.deepEqual([unknown.code, /no offender "\/opt\/good"/.test(unknown.stderr)], [1, true]);

  const first = run('offenders', '--fix-first');
  assert.match(first.stdout, /1 held host cannot be freed before an exception ends\./);
  const falling = run('offenders', '--burn-down');
  assert.match(falling.stdout, /Offenders: No forecast: fewer than four whole weeks are stored\./);
  const json = JSON.parse(run('offenders', '--burn-down', '--json').stdout) as BurnDown;
  assert.deepEqual([run('offenders', '--burn-down', '--all').code, json.window_days], [2, 14]);
  const entries = await new SqliteAdminStore(admin).auditLog.newest({ limit: 10 });
  admin.close();
  assert.equal(entries.length, 3);
  assert.ok(entries.every(({ actor, action }) => actor.startsWith('command:') && action === 'triage.set'));
});

test('a fixed workload that called again stands out in the table', () => {
  const triage = { ...NO_TRIAGE, ended: 'called_again' as const, owner: 'pay\u001b[31m' };
  const table = offendersTable([makeOffender(1, { triage })], { columns: 100, colour: false, all: false });
  assert.match(table, /FIXED, BUT CALLED AGAIN/);
  assert.ok(!table.includes('\u001b'));
});

test('the burn-down has a line for each week, and says where its numbers can be too low', () => {
  const days = Array.from({ length: 16 }, (_, at) => ({
    day: new Date(Date.UTC(2027, 0, 1 + at)).toISOString(),
    hosts: 100 - at,
    offenders: 20 - at,
    complete: at > 3,
  }));
  const unknown = { reason: null, expected: null, earliest: null, latest: null };
  const [early, late] = ['2027-02-03T00:00:00.000000Z', '2027-03-04T00:00:00.000000Z'];
  const answer: BurnDown = {
    window_days: 14,
    days,
    weeks: [],
    forecast: {
      hosts: { ...unknown, kind: 'expected', expected: late!, earliest: early!, latest: null },
      offenders: { ...unknown, kind: 'reached' },
    },
  };
  const table = burnDownTable(answer);
  assert.match(table, /2027-01-02 +>= 99 +>= 19\n2027-01-09 +92 +12\n2027-01-16 +85 +5\n/);
  assert.match(table, /^">=": the store does not reach back/m);
  assert.match(table, /^Hosts: .* around 2027-03-04 \(80 %: not before 2027-02-03, and perhaps/m);
  assert.match(table, /^Offenders: No workload had an IMDSv1 call/m);
  assert.doesNotMatch(burnDownTable({ ...answer, days: days.slice(-8) }), />=/);
  assert.match(
    burnDownTable({ ...answer, days: [] }),
    /^No day is stored from its beginning yet\.\n\nHosts: /,
  );
});

test('what to fix first says the numbers, and what no fix frees', () => {
  const [fix] = makeFixFirst().fixes;
  const of = (given: Partial<FixFirst>) => fixFirstTable({ ...makeFixFirst(), ...given }, 100);
  const fixes = [fix!, { ...fix!, title: 'x'.repeat(200), freed: 620, freed_watched: 600, freed_groups: 7 }];
  const table = of({ held_hosts: 826, held_groups: 9, fixes, waiting_hosts: 3, unidentified_hosts: 1 });
  assert.match(
    table,
    /^Fix these 2, and 620 of 826 held hosts \(blocked or fallback\) have no IMDSv1 caller left\. 600 of them were watched/,
  );
  assert.match(table, /frees 7 of 9 groups/);
  const unwatched = of({ fixes: [{ ...fix!, freed: 1, freed_watched: 0 }] });
  assert.match(unwatched, /has no IMDSv1 caller left\. It was not watched all the time: ready takes a whole/);
  assert.match(
    of({ held_groups: 9, agentless_groups: 2 }),
    /^2 of 9 held groups have instances without an agent\. No fix frees them/m,
  );
  assert.match(table, /On 3 held hosts every caller is marked as fixed: they wait/);
  assert.match(table, /On 1 held host a caller is not identified/);
  assert.ok(
    table
      .split('\n')
      .slice(5)
      .every((line) => line.length <= 100),
  );
  assert.match(of({ held_hosts: 0, fixes: [] }), /^No host is held/);
  assert.match(
    of({ held_hosts: 2, waiting_hosts: 2, excepted_hosts: 0, fixes: [] }),
    /^All callers of the 2 held hosts/,
  );
  assert.match(
    of({ held_hosts: 2, fixes: [] }),
    /^No few fixes free one of the 2 held hosts: .* Begin with the worst\.$/m,
  );
});
