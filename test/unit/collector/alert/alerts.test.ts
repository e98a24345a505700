import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { GIVE_UP_AFTER_US, retryAfterUs } from '../../../../collector/alert/deliveries.ts';
import { newDestination } from '../../../../collector/contract/administration.ts';
import { ALL_RULES, Bench } from '../../../support/collector/alert/bench.ts';
import { hostOf, lossOf, MINUTE_US, offenderOf, thiefOf } from '../../../support/collector/alert/findings.ts';
import { httpReceiver, status } from '../../../support/collector/alert/http_receiver.ts';

const opened: { close(): Promise<void> }[] = [];
const benches: Bench[] = [];
after(async () => {
  for (const bench of benches) await bench.remove();
  for (const party of opened) await party.close();
});

function benchOf(...given: ConstructorParameters<typeof Bench>): Bench {
  const bench = new Bench(...given);
  benches.push(bench);
  return bench;
}

async function receiver(...given: Parameters<typeof httpReceiver>) {
  const party = await httpReceiver(...given);
  opened.push(party);
  return party;
}

const SECRET = 'S3CRET-of-the-webhook';
function webhook(name: string, url: string, rules: readonly string[] = ALL_RULES) {
  return newDestination.parse({ name, rules, config: { kind: 'webhook', url, secret: SECRET } });
}

function idsOf(received: { body: Buffer }[]): string[] {
  return received.map(({ body }) => JSON.parse(body.toString()).id);
}

test('an alert goes once to every destination that has its rule', async () => {
  const bench = benchOf();
  const [all, hostsOnly, off] = [
    await receiver(status(200)),
    await receiver(status(200)),
    await receiver(status(200)),
  ];
  bench.alerts.addDestination(webhook('all', all.url), 'joe');
  bench.alerts.addDestination(webhook('hosts', hostsOnly.url, ['host_silent']), 'joe');
  const { id } = bench.alerts.addDestination(webhook('off', off.url), 'joe');
  bench.alerts.changeDestination(id, { enabled: false }, 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [thiefOf(1, bench.nowMs * 1000)];
  for (let round = 0; round < 3; round++) {
    bench.pass(10);
    await bench.alerts.evaluate();
    await bench.alerts.sendDue();
  }
  const told = bench.told();
  assert.deepEqual(
    told.map(({ rule }) => rule),
    ['new_offender', 'credentials_over_v1'],
  );
  assert.equal(told[1]!.link, `https://imdswatch.example.com/offenders/${bench.offenders[0]!.id}`);
  assert.deepEqual(
    idsOf(all.received),
    told.map((alert) => alert.id),
  );
  assert.deepEqual([hostsOnly.received.length, off.received.length], [0, 0]);
  const [shown] = bench.alerts.destinations();
  assert.deepEqual([shown!.waiting, shown!.last_error], [0, null]);
  assert.notEqual(shown!.last_delivered, null);
});

test('a server that fails is tried again later, and then gets the alert exactly once', async () => {
  const bench = benchOf();
  const failing = await receiver((response, number) => status(number <= 3 ? 500 : 200)(response));
  bench.alerts.addDestination(webhook('failing', failing.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  const attempts: number[] = [];
  for (let second = 0; second <= 120; second += 5) {
    const before = failing.received.length;
    await bench.alerts.sendDue();
    if (failing.received.length > before) attempts.push(second);
    const [shown] = bench.alerts.destinations();
    if (second === 0)
      assert.deepEqual([shown!.waiting, shown!.last_error], [1, 'the receiver answered HTTP 500']);
    bench.pass(5);
  }
  assert.deepEqual(attempts, [0, 10, 30, 70]);
  assert.equal(new Set(idsOf(failing.received)).size, 1);
  assert.equal(new Set(failing.received.map(({ headers }) => headers['idempotency-key'])).size, 1);
  const { delivered, attempts_failed } = bench.alerts.counters();
  assert.deepEqual([delivered, attempts_failed], [1, 3]);
  assert.equal(bench.alerts.destinations()[0]!.last_error, null);
});

test('one destination that hangs delays no other', async () => {
  const bench = benchOf({ timeoutMs: 1500 });
  const [hanging, quick] = [await receiver(() => undefined), await receiver(status(200))];
  bench.alerts.addDestination(webhook('a hanging one', hanging.url), 'joe');
  bench.alerts.addDestination(webhook('quick', quick.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  const began = performance.now();
  const round = bench.alerts.sendDue();
  while (bench.alerts.counters()['delivered'] === 0 && performance.now() - began < 1400) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const tookMs = performance.now() - began;
  assert.equal(quick.received.length, 1);
  assert.ok(tookMs < 1400, `${tookMs} ms`);
  await round;
  const [slow] = bench.alerts.destinations();
  assert.deepEqual([slow!.waiting, slow!.last_error], [1, 'no answer within 1.5 s']);
});

test('an alert that a receiver refuses delays none behind it', async () => {
  const bench = benchOf();
  let refusedId = '';
  const choosy = await receiver((response, number) => {
    const id = idsOf(choosy.received)[number - 1]!;
    if (number === 1) refusedId = id;
    status(id === refusedId ? 400 : 200)(response);
  });
  bench.alerts.addDestination(webhook('choosy', choosy.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1), offenderOf(2), offenderOf(3)];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  await bench.alerts.sendDue();
  assert.equal(bench.alerts.counters()['delivered'], 2);
  assert.equal(bench.alerts.destinations()[0]!.waiting, 1);
});

test('after 24 hours an alert is dropped, counted and shown', async () => {
  const bench = benchOf();
  const down = await receiver(status(503));
  bench.alerts.addDestination(webhook('down', down.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  for (let minutes = 0; minutes < 27 * 60; minutes += 10) {
    await bench.alerts.sendDue();
    bench.pass(600);
  }
  const [shown] = bench.alerts.destinations();
  assert.equal(shown!.waiting, 0);
  assert.match(shown!.last_error!, /gave up an alert of 2026-11-22T12:00:00.*HTTP 503/);
  assert.equal(bench.alerts.counters()['given_up'], 1);
  assert.ok(down.received.length >= 24 && down.received.length < 40, String(down.received.length));
  assert.deepEqual(
    [0, 1, 2, 8, 9, 500].map((n) => retryAfterUs(n) / 1e6),
    [10, 20, 40, 2560, 3600, 3600],
  );
  assert.equal(GIVE_UP_AFTER_US, 24 * 3600e6);
});

test('a restart neither repeats nor forgets an alert', async () => {
  const bench = benchOf();
  const flaky = await receiver((response, number) => status(number === 1 ? 502 : 200)(response));
  bench.alerts.addDestination(webhook('flaky', flaky.url), 'joe');
  await bench.alerts.evaluate();
  bench.settle();
  bench.hosts = [hostOf(1)];
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  bench.hosts = [hostOf(1, { verdict: 'blocked', offender_count: 1 })];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue(); // It is refused.
  await bench.close();

  bench.pass(60);
  bench.open();
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  bench.settle();
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.deepEqual(
    bench.told().map(({ rule }) => rule),
    ['new_offender', 'host_not_ready'],
  );
  const delivered = idsOf(flaky.received.slice(1));
  assert.deepEqual(
    delivered.toSorted(),
    bench
      .told()
      .map(({ id }) => id)
      .toSorted(),
  );
});

test('changes while the collector was stopped are reported after its start', async () => {
  const bench = benchOf();
  await bench.alerts.evaluate();
  await bench.close();
  bench.offenders = [thiefOf(1, bench.nowMs * 1000)];
  bench.pass(3 * 86_400);
  bench.open();
  await bench.alerts.evaluate();
  assert.deepEqual(
    bench.told().map(({ rule }) => rule),
    ['new_offender', 'credentials_over_v1'],
  );
});

test('just after a start no host is silent, because hosts have not had time to report', async () => {
  const bench = benchOf();
  bench.hosts = [hostOf(1)];
  bench.settle();
  await bench.alerts.evaluate();
  await bench.close();
  bench.pass(3600);
  bench.open();
  bench.hosts = [hostOf(1, { state: 'silent', verdict: 'unproven' })];
  for (let second = 0; second < 240; second += 10) {
    bench.pass(10);
    await bench.alerts.evaluate();
  }
  assert.deepEqual(bench.told(), []);
  bench.settle();
  await bench.alerts.evaluate();
  assert.deepEqual(
    bench.told().map(({ rule }) => rule),
    ['host_silent'],
  );
});

test('losses of a capture come from the coverage that the store has', async () => {
  const bench = benchOf();
  bench.settle();
  bench.hosts = [hostOf(1), hostOf(2)];
  await bench.alerts.evaluate();
  const nowUs = bench.nowMs * 1000;
  const rest = {
    firstUs: null,
    lastUs: null,
    boots: [],
    kernelConnections: null,
    seenConnections: 0,
    losses: {},
  };
  bench.coverage = [{ ...lossOf(2, nowUs - MINUTE_US, nowUs, 'capture_not_live'), ...rest }];
  await bench.alerts.evaluate();
  const [alert, ...others] = bench.told();
  assert.deepEqual(others, []);
  assert.deepEqual([alert!.rule, alert!.subject], ['coverage_lost', 'i-2']);
  assert.match(alert!.text, /was not live between 2026-11-22T12:05:00.*\(capture\.dropped\)/);
  assert.equal(alert!.link, 'https://imdswatch.example.com/hosts/i-2');
});

test('a host that is not in the store any more is forgotten', async () => {
  const bench = benchOf();
  bench.settle();
  bench.hosts = [hostOf(1), hostOf(2)];
  await bench.alerts.evaluate();
  bench.hosts = [hostOf(2)];
  await bench.alerts.evaluate();
  assert.deepEqual(
    bench.rows("SELECT id FROM alert_subjects WHERE kind = 'host'").map((row) => ({ ...(row as object) })),
    [{ id: 'i-2' }],
  );
});

test('a flood is sent as one alert, and the queue of a destination that is down is bounded', async () => {
  const bench = benchOf();
  const down = await receiver(status(503));
  bench.alerts.addDestination(webhook('down', down.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = Array.from({ length: 5000 }, (_, index) => offenderOf(index));
  await bench.alerts.evaluate();
  assert.equal(bench.told().length, 1);
  assert.equal(bench.alerts.counters()['summaries'], 1);
  for (let round = 1; round <= 105; round++) {
    bench.offenders = Array.from({ length: 10 }, (_, index) => offenderOf(10_000 * round + index));
    await bench.alerts.evaluate();
  }
  assert.equal(bench.alerts.destinations()[0]!.waiting, 1000);
  assert.equal(bench.alerts.counters()['queue_overflowed'], 51);
});

test('an evaluation that fails sends nothing and forgets nothing', async () => {
  const bench = benchOf();
  await bench.alerts.evaluate();
  const [good, bad] = [offenderOf(1), { ...offenderOf(2), hosts: null as never }];
  bench.offenders = [good, bad];
  await assert.rejects(bench.alerts.evaluate());
  assert.deepEqual(bench.told(), []);
  bench.offenders = [good];
  await bench.alerts.evaluate();
  assert.equal(bench.told().length, 1);
});

test('it evaluates and sends once started, and ends a delivery that hangs when stopped', async () => {
  const bench = benchOf({ timeoutMs: 20_000 });
  const arrived = Promise.withResolvers<void>();
  const hanging = await receiver(() => arrived.resolve());
  bench.alerts.addDestination(webhook('hanging', hanging.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  bench.alerts.start();
  await arrived.promise;
  const began = performance.now();
  await bench.alerts.stop();
  assert.ok(performance.now() - began < 2000);
  assert.equal(bench.alerts.destinations()[0]!.waiting, 1, 'it goes out after the next start');
  assert.equal(bench.alerts.counters()['attempts_failed'], 0);
});

test('secrets are in no log, no error, no alert and no answer', async () => {
  const bench = benchOf();
  const [failing, well] = [await receiver(status(500)), await receiver(status(200))];
  bench.alerts.addDestination(webhook('failing', failing.url), 'joe');
  const { id } = bench.alerts.addDestination(webhook('well', well.url), 'joe');
  const mail = { kind: 'email', host: '127.0.0.1', port: 9, from: 'a@example.com', to: ['b@example.com'] };
  bench.alerts.addDestination(
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
    JSON.stringify(bench.alerts.destinations()),
    JSON.stringify(bench.told()),
    JSON.stringify(bench.rows('SELECT * FROM alerts, alert_deliveries, alert_subjects')),
    JSON.stringify(bench.rows('SELECT last_error FROM alert_destinations')),
    bench.logged.join(''),
  ];
  for (const text of given) assert.doesNotMatch(text, /T0PSECRET|S3CRET/);
  assert.match(bench.logged.join(''), /could not be delivered/);
  assert.match(bench.alerts.destinations()[0]!.target, /^http:\/\/127\.0\.0\.1:\d+\/…$/);
});

test('destinations are added, changed in part, tested and removed', async () => {
  const bench = benchOf();
  const well = await receiver(status(200));
  const added = bench.alerts.addDestination(webhook('one', well.url), 'joe');
  bench.alerts.addDestination(webhook('two', well.url), 'joe');
  assert.throws(
    () => bench.alerts.addDestination(webhook('one', well.url), 'joe'),
    /named "one" exists already/,
  );
  assert.throws(
    () => bench.alerts.changeDestination(added.id, { name: 'two' }, 'joe'),
    /named "two" exists already/,
  );
  const changed = bench.alerts.changeDestination(added.id, { rules: ['host_silent'], enabled: false }, 'joe');
  assert.deepEqual(changed, { ...added, rules: ['host_silent'], enabled: false });
  assert.deepEqual(await bench.alerts.sendTest(added.id), { ok: true });
  const { subject, version } = JSON.parse(well.received[0]!.body.toString());
  assert.deepEqual([subject, version], ['test', 1]);
  assert.ok(well.received[0]!.headers['x-imdswatch-signature'], 'the secret is still there');
  assert.equal(bench.alerts.removeDestination(added.id, 'joe'), true);
  assert.equal(bench.alerts.removeDestination(added.id, 'joe'), false);
  assert.equal(bench.alerts.changeDestination(added.id, {}, 'joe'), null);
  assert.deepEqual(await bench.alerts.sendTest(added.id), {
    ok: false,
    error: 'there is no alert destination with this id',
  });
  assert.deepEqual(
    bench.alerts.destinations().map(({ name }) => name),
    ['two'],
  );
});

test('a destination that is unsafe in itself is refused', () => {
  const bench = benchOf();
  const add = (config: unknown) => () =>
    bench.alerts.addDestination(newDestination.parse({ name: 'x', rules: ['host_silent'], config }), 'joe');
  const email = { kind: 'email', host: 'mail.example.com', from: 'a@example.com', to: ['b@example.com'] };
  assert.throws(add({ kind: 'webhook', url: 'http://169.254.7.7/' }), /link-local/);
  assert.throws(add({ kind: 'slack', url: 'http://[fd00:ec2::7]/' }), /link-local/);
  assert.throws(add({ kind: 'syslog', host: '[fe80::7]' }), /link-local/);
  assert.throws(add({ ...email, security: 'none', username: 'u', password: 'p' }), /unencrypted/);
  assert.throws(add({ ...email, username: 'u' }), /both username and password/);
  assert.deepEqual(bench.alerts.destinations(), []);
});
