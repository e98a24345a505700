import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newDestination } from '../../../../collector/contract/destination.ts';
import { benchOf, receiver, webhook } from '../../../support/collector/alert/alert_benches.ts';
import { ALL_RULES } from '../../../support/collector/alert/bench.ts';
import { thiefOf } from '../../../support/collector/alert/findings.ts';
import { status } from '../../../support/collector/alert/http_receiver.ts';

test('secrets are in no log, no error, no alert and no answer', async () => {
  const bench = benchOf();
  const [failing, well] = [await receiver(status(500)), await receiver(status(200))];
  await bench.alerts.addDestination(webhook('failing', failing.url), 'joe');
  const { id } = await bench.alerts.addDestination(webhook('well', well.url), 'joe');
  const mail = { kind: 'email', host: '127.0.0.1', port: 9, from: 'a@example.com', to: ['b@example.com'] };
  await bench.alerts.addDestination(
    newDestination.parse({
      name: 'mail',
      rules: ALL_RULES,
      config: { ...mail, username: 'u', password: 'T0PSECRETPASS' },
    }),
    'joe',
  );
  await bench.alerts.evaluate();
  bench.offenders = [thiefOf(1, bench.nowMs * 1000)];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.deepEqual(await bench.alerts.sendTest(id), { ok: true });
  const given = [
    JSON.stringify(await bench.alerts.destinations()),
    JSON.stringify(await bench.told()),
    JSON.stringify(bench.rows('SELECT * FROM alerts, alert_deliveries, alert_subjects')),
    JSON.stringify(bench.rows('SELECT last_error FROM alert_destinations')),
    bench.logged.join(''),
  ];
  for (const text of given) assert.doesNotMatch(text, /T0PSECRET|S3CRET/);
  assert.match(bench.logged.join(''), /could not be delivered/);
  assert.match((await bench.alerts.destinations())[0]!.target, /^http:\/\/127\.0\.0\.1:\d+\/…$/);
});

test('destinations are added, changed in part, tested and removed', async () => {
  const bench = benchOf();
  const well = await receiver(status(200));
  const added = await bench.alerts.addDestination(webhook('one', well.url), 'joe');
  await bench.alerts.addDestination(webhook('two', well.url), 'joe');
  await assert.rejects(
    () => bench.alerts.addDestination(webhook('one', well.url), 'joe'),
    /named "one" exists already/,
  );
  await assert.rejects(
    () => bench.alerts.changeDestination(added.id, { name: 'two' }, 'joe'),
    /named "two" exists already/,
  );
  const changed = await bench.alerts.changeDestination(
    added.id,
    { rules: ['host_silent'], enabled: false },
    'joe',
  );
  assert.deepEqual(changed, { ...added, rules: ['host_silent'], enabled: false });
  assert.deepEqual(await bench.alerts.sendTest(added.id), { ok: true });
  const { subject, version } = JSON.parse(well.received[0]!.body.toString());
  assert.deepEqual([subject, version], ['test', 2]);
  assert.ok(well.received[0]!.headers['x-imdswatch-signature'], 'the secret is still there');
  assert.equal(await bench.alerts.removeDestination(added.id, 'joe'), true);
  assert.equal(await bench.alerts.removeDestination(added.id, 'joe'), false);
  assert.equal(await bench.alerts.changeDestination(added.id, {}, 'joe'), null);
  assert.deepEqual(await bench.alerts.sendTest(added.id), {
    ok: false,
    error: 'there is no alert destination with this id',
    next: 'refused',
    retryAfterMs: null,
  });
  assert.deepEqual(
    (await bench.alerts.destinations()).map(({ name }) => name),
    ['two'],
  );
});

test('a destination that is unsafe in itself is refused', async () => {
  const bench = benchOf();
  const add = (config: unknown) => () =>
    bench.alerts.addDestination(newDestination.parse({ name: 'x', rules: ['host_silent'], config }), 'joe');
  const email = { kind: 'email', host: 'mail.example.com', from: 'a@example.com', to: ['b@example.com'] };
  await assert.rejects(
    add({ kind: 'http', preset: 'webhook', values: { url: 'http://169.254.7.7/' } }),
    /link-local/,
  );
  await assert.rejects(
    add({ kind: 'http', preset: 'slack', values: { url: 'http://[fd00:ec2::7]/' } }),
    /link-local/,
  );
  await assert.rejects(add({ kind: 'syslog', host: '[fe80::7]' }), /link-local/);
  await assert.rejects(add({ ...email, security: 'none', username: 'u', password: 'p' }), /unencrypted/);
  await assert.rejects(add({ ...email, username: 'u' }), /both username and password/);
  assert.deepEqual(await bench.alerts.destinations(), []);
});
