/** `imdswatch alert`, as a command beside the collector. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readDestination } from '../../../../cli/alert_destination.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { alertRule } from '../../../../collector/contract/alert.ts';
import { servedPresets } from '../../../../collector/local.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import { alertOf } from '../../../support/collector/alert/alert_values.ts';
import { httpReceiver, status } from '../../../support/collector/alert/http_receiver.ts';

const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-alert-command-'));
const dataDir = join(directory, 'data');
const presets = await servedPresets();
const good = await httpReceiver(status(200));
const bad = await httpReceiver(status(503));
after(async () => {
  await good.close();
  await bad.close();
  rmSync(directory, { recursive: true });
});

function imdswatch(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, IMDSWATCH_DATA_DIR: dataDir };
    execFile(
      process.execPath,
      [MAIN, 'alert', ...argv],
      { env, timeout: 30_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      },
    );
  });
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

test('add, list, try and remove, on the database of a running collector', async () => {
  const missing = await imdswatch('list');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /There is no .*admin\.db\. Start "imdswatch collector"/);

  const admin = openAdmin(dataDir); // the collector's own, open meanwhile
  try {
    const nothing = await imdswatch('test');
    assert.equal(nothing.code, 1);
    assert.match(nothing.stderr, /There are no alert destinations/);

    const soc = file(
      'soc.yaml',
      `name: soc\nkind: webhook\nurl: ${good.url}\nsecret: T0PSECRET-of-the-webhook\n`,
    );
    const added = await imdswatch('add', '--from-file', soc);
    assert.deepEqual([added.code, added.stderr], [0, '']);
    const chat = file('chat.yaml', `name: chat\nkind: slack\nurl: ${bad.url}\nrules: [host_silent]\n`);
    assert.equal((await imdswatch('add', '--from-file', chat)).code, 0);
    const twice = await imdswatch('add', '--from-file', chat);
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /named "chat" exists already/);

    const one = await imdswatch('test', 'soc');
    assert.deepEqual([one.code, one.stdout], [0, `soc (http://127.0.0.1:${good.port}/…): arrived\n`]);
    const all = await imdswatch('test');
    assert.equal(all.code, 1);
    assert.match(all.stdout, /^chat \(.*\): did not arrive: the receiver answered HTTP 503$/m);
    assert.match(all.stdout, /^soc \(.*\): arrived$/m);
    assert.equal(JSON.parse(good.received[0]!.body.toString()).subject, 'test');

    const listed = await imdswatch('list');
    assert.match(
      listed.stdout,
      /^chat +slack +http:\/\/127\.0\.0\.1:\d+\/… +host_silent +0 +never\n +last error: the receiver answered HTTP 503$/m,
    );
    assert.match(listed.stdout, /^soc +webhook .* alerts +0 +\d{4}-/m);
    for (const { stdout, stderr } of [added, one, all, listed])
      assert.doesNotMatch(stdout + stderr, /T0PSECRET/);

    assert.equal((await imdswatch('remove', 'soc')).code, 0);
    assert.equal((await imdswatch('remove', 'soc')).code, 1);
    const left = JSON.parse((await imdswatch('list', '--json')).stdout);
    assert.deepEqual(
      left.map(({ name }: { name: string }) => name),
      ['chat'],
    );

    const audit = await new SqliteAdminStore(admin).auditLog.newest({ limit: 100 });
    assert.deepEqual(audit.map(({ action }) => action.replace('alert_destination.', '')).reverse(), [
      'add', 'add', 'test', 'test', 'test', 'remove',
    ]); // biome-ignore format: a list
    assert.match(audit[0]!.actor, /^command:/);
    assert.doesNotMatch(JSON.stringify(audit), /T0PSECRET/);
  } finally {
    admin.close();
  }
});

test('a preset: its file to fill in, values by flags, and what is wrong with them', async () => {
  const listed = await imdswatch('presets');
  assert.match(listed.stdout, /^pagerduty +PagerDuty: /m);
  const form = await imdswatch('presets', 'splunk');
  assert.match(
    form.stdout,
    /^preset: splunk\nurl: {2}# Address\. Such as https:.*\ntoken: {2}# Token\n# index: /m,
  );
  const admin = openAdmin(dataDir);
  try {
    const url = `http://127.0.0.1:${good.port}`;
    const added = await imdswatch('add', '--preset', 'alertmanager', '--name', 'am', '--set', `url=${url}`);
    assert.deepEqual([added.code, added.stderr], [0, '']);
    const splunk = file('splunk.yaml', `url: ${url}\ntoken: T0PSECRET-token\n`);
    assert.equal((await imdswatch('add', '--preset', 'splunk', '--from-file', splunk)).code, 0);
    const tested = await imdswatch('test', 'splunk');
    assert.equal(tested.code, 0);
    assert.equal(good.received.at(-1)!.path, '/services/collector/event');
    assert.equal(good.received.at(-1)!.headers.authorization, 'Splunk T0PSECRET-token');
    const refused: [string[], RegExp][] = [
      [['--preset', 'splunk', '--set', 'token=T0PSECRET'], /The value token is a secret/],
      [['--preset', 'splunk', '--set', `url=${url}`], /The preset splunk needs the value token: Token\./],
      [['--preset', 'webhook', '--from-file', file('w.yaml', 'url: T0PSECRET\n')], /is no http or https URL/],
      [['--preset', 'slack', '--from-file', file('v.yaml', 'uri: T0PSECRET\n')], /has no value "uri"/],
      [[], /Name a preset by --preset/],
    ];
    for (const [flags, expected] of refused) {
      const { code, stderr } = await imdswatch('add', ...flags);
      assert.equal(code, 2, flags.join(' '));
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /T0PSECRET/);
    }
  } finally {
    admin.close();
  }
});

test('destinations of some owners, and alerts that are for none of them', async () => {
  const admin = openAdmin(dataDir);
  try {
    const url = `http://127.0.0.1:${good.port}`;
    const { alerts } = new SqliteAdminStore(admin);
    for (const { id } of await alerts.destinations()) await alerts.removeDestination(id);
    const payments = ['--preset', 'alertmanager', '--name', 'payments', '--set', `url=${url}`];
    const added = await imdswatch('add', ...payments, '--owner', 'pay-*,core');
    assert.deepEqual([added.code, added.stderr], [0, '']);
    await alerts.record([{ alert: alertOf({ title: 'web-1 is silent' }), audience: 'all' }], [], 1, null);
    const note = /^1 alert was for no destination, .* without an owner: web-1 is silent\. .*--unowned/m;
    const json = await imdswatch('list', '--json');
    assert.match(json.stderr, note);
    const listed: { owners: unknown }[] = JSON.parse(json.stdout);
    assert.deepEqual(
      listed.map(({ owners }) => owners),
      [{ patterns: ['pay-*', 'core'], unowned: false }],
    );
    const [row] = await alerts.destinations();
    await alerts.changeDestination({ ...row!, owners: { patterns: ['core'], unowned: true } });
    const { stdout } = await imdswatch('list');
    assert.match(stdout, /^payments .*\n {4}only alerts of core, nobody \(no owner\)$/m);
    assert.match(stdout, note);
    const calls = ['--preset', 'otlp', '--stream', 'calls', '--set', `url=${url}`];
    const stream = await imdswatch('add', ...calls, '--owner', 'web');
    assert.equal(stream.code, 2);
    assert.match(stream.stderr, /Only alerts can be limited to owners\./);
  } finally {
    admin.close();
  }
});

test('owners in a file, and flags that go before them', () => {
  const text = 'name: x\nkind: syslog\nhost: a.example\nowners: {patterns: [web], unowned: true}\n';
  const read = (flags = {}, given = text) => readDestination(given, 'f.yaml', presets, flags).owners;
  assert.deepEqual(read(), { patterns: ['web'], unowned: true });
  assert.deepEqual(read({ owner: ['pay'] }), { patterns: ['pay'], unowned: false });
  assert.equal(read({}, text.replace(/owners.*/, '')), undefined);
  assert.throws(
    () => read({}, text.replace('[web], unowned: true', '[], unowned: false')),
    /f\.yaml: owners: must name an owner, or have unowned: true/,
  );
});

test('a destination as it is written down', () => {
  const mail = readDestination(
    'name: mail\nkind: email\nhost: smtp.example.com\nfrom: a@example.com\nto: [b@example.com]\n',
    'mail.yaml',
    presets,
  );
  assert.equal(mail.enabled, true);
  assert.deepEqual(mail.rules, alertRule.options, 'every rule, where none is named');
  assert.equal(mail.config.kind === 'email' && mail.config.security, 'starttls');
});

test('an error about a file names the key and never the value', () => {
  const refused: [string, RegExp][] = [
    ['name: x\nkind: pager\n', /f\.yaml: kind must be one of http, syslog, email/],
    [
      'name: x\nkind: syslog\nhost: a.example\nsecrets: T0PSECRET\n',
      /syslog has no key "secrets"\. Its keys are .*facility/,
    ],
    ['name: x\npreset: pager\n', /There is no preset "pager"\. The presets are .*pagerduty/],
    ['name: x\nurl: https://a.example\nrequest: { batch: T0PSECRET }\n', /f\.yaml: request\.batch: /],
    ['name: x\nkind: slack\nurl: https://a.example\nrules: [everything]\n', /f\.yaml: rules\.0: /],
    ['kind: syslog\nhost: a.example\n', /f\.yaml: name: /],
    ['name: "T0PSECRET\n', /f\.yaml is not valid YAML at line/],
    ['- T0PSECRET\n', /must contain "key: value" lines/],
  ];
  for (const [text, expected] of refused) {
    assert.throws(
      () => readDestination(text, 'f.yaml', presets),
      (error: unknown) => {
        assert.ok(error instanceof OperatorError, String(error));
        assert.equal(error.exitCode, 2);
        assert.match(error.message, expected);
        assert.doesNotMatch(error.message, /T0PSECRET/);
        return true;
      },
    );
  }
});

test('help, and a verb that does not exist', async () => {
  const help = await imdswatch('--help');
  assert.equal(help.code, 0);
  assert.match(help.stdout, /alert add \[--preset NAME\] \[--stream STREAM\]/);
  assert.equal((await imdswatch('tell')).code, 2);
});
