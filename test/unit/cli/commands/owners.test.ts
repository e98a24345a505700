import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings } from '../../../support/collector/insight/findings.ts';

const bench = new Bench();
after(() => bench.end());

test('rules are added, tested and removed by the command, and offenders have their owners', async () => {
  const { dataDir, put } = newFindings(bench);
  await put(
    makeCall({
      time: new Date(Date.now() - 7_200_000).toISOString().replace('Z', '000Z'),
      process: processFacts({ name: 'bad', 'executable.path': '/opt/bad', ancestors: [] }),
    }),
  );
  const admin = openAdmin(dataDir);
  const run = (input: string, ...args: string[]) => {
    const argv = ['cli/main.ts', ...args, '--data-dir', dataDir];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
      encoding: 'utf8',
      input,
      env: { ...process.env, IMDSWATCH_CONFIG: undefined, IMDSWATCH_OWNER_RULES: 'path:/*=platform' },
    });
    return { code: status, out: stdout.replace(/^Changed by .*$/m, 'CHANGED'), error: stderr };
  };
  const owners = (...args: string[]) => run('', 'owners', ...args);
  assert.equal(owners('list').out, '1  path:/*=platform  (setting owner_rules)\n');
  assert.match(
    owners('test', '/opt/bad').out,
    /^\/opt\/bad: owner platform\nRule: path:\/\*=platform \(of the setting owner_rules\)/,
  );
  assert.equal(
    owners('add', 'path:/opt/*=shop').out,
    '1  path:/opt/*=shop\n2  path:/*=platform  (setting owner_rules)\nCHANGED\n',
  );
  assert.match(owners('add', 'tag:team', '--first').out, /^1 {2}tag:team\n2 {2}path:\/opt/);
  assert.match(
    owners('test', '/opt/bad').out,
    /^\/opt\/bad: owner shop\nRule: path:\/opt\/\*=shop \(set by an admin\), owner shop\n(?:.*\n)* {2}executable +\/opt\/bad\n(?:.*\n)* {2}tag team +\(not set\)\n/,
  );
  assert.match(run('', 'offenders').out, /owner shop/);
  run('', 'triage', '/opt/bad', '--owner', 'ada');
  assert.match(owners('test', '/opt/bad').out, /^\/opt\/bad: owner ada, set by a person\nRule: path:\/opt/);

  const refused: [string[], number, RegExp][] = [
    [['add', 'tag:team'], 2, /There is a rule tag:team already/],
    [['add', 'team'], 2, /"team" is no owner rule\. Write namespace:PATTERN=OWNER/],
    [['remove', '3'], 2, /comes from the setting owner_rules/],
    [['remove', 'tag:other'], 1, /There is no rule tag:other/],
    [['test', '/opt/none'], 1, /There is no offender/],
  ];
  for (const [args, code, error] of refused) {
    const found = owners(...args);
    assert.deepEqual([found.code, error.test(found.error)], [code, true], `${args}: ${found.error}`);
  }
  assert.match(owners('remove', '1').out, /^1 {2}path:\/opt\/\*=shop\n/);
  const text = '# teams\n\nunit:a.service=a\n  unit:b.service=b\n';
  assert.match(run(text, 'owners', 'set', '--from-file', '-').out, /^1 {2}unit:a\.service=a\n2 {2}unit:b/);
  const entries = await new SqliteAdminStore(admin).auditLog.newest({ limit: 10 });
  admin.close();
  assert.equal(entries.filter(({ action }) => action === 'owner_rules.set').length, 4);
  assert.ok(entries.every(({ actor }) => actor.startsWith('command:')));
});
