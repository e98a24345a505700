import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GIVE_UP_AFTER_US, retryAfterUs } from '../../../../collector/alert/deliveries.ts';
import { benchOf, idsOf, receiver, webhook } from '../../../support/collector/alert/alert_benches.ts';
import { offenderOf, thiefOf } from '../../../support/collector/alert/findings.ts';
import { status } from '../../../support/collector/alert/http_receiver.ts';
import { eventually } from '../../../support/collector/stored.ts';

test('an alert goes once to every destination that has its rule', async () => {
  const bench = benchOf();
  const [all, hostsOnly, off] = [
    await receiver(status(200)),
    await receiver(status(200)),
    await receiver(status(200)),
  ];
  await bench.alerts.addDestination(webhook('all', all.url), 'joe');
  await bench.alerts.addDestination(webhook('hosts', hostsOnly.url, ['host_silent']), 'joe');
  const { id } = await bench.alerts.addDestination(webhook('off', off.url), 'joe');
  await bench.alerts.changeDestination(id, { enabled: false }, 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [thiefOf(1, bench.nowMs * 1000)];
  for (let round = 0; round < 3; round++) {
    bench.pass(10);
    await bench.alerts.evaluate();
    await bench.alerts.sendDue();
  }
  const told = await bench.told();
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
  const [shown] = await bench.alerts.destinations();
  assert.deepEqual([shown!.waiting, shown!.last_error], [0, null]);
  assert.notEqual(shown!.last_delivered, null);
});

test('a server that fails is tried again later, and then gets the alert exactly once', async () => {
  const bench = benchOf();
  const failing = await receiver((response, number) => status(number <= 3 ? 500 : 200)(response));
  await bench.alerts.addDestination(webhook('failing', failing.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  const attempts: number[] = [];
  for (let second = 0; second <= 120; second += 5) {
    const before = failing.received.length;
    await bench.alerts.sendDue();
    if (failing.received.length > before) attempts.push(second);
    const [shown] = await bench.alerts.destinations();
    if (second === 0)
      assert.deepEqual([shown!.waiting, shown!.last_error], [1, 'the receiver answered HTTP 500']);
    bench.pass(5);
  }
  assert.deepEqual(attempts, [0, 10, 30, 70]);
  assert.equal(new Set(idsOf(failing.received)).size, 1);
  assert.equal(new Set(failing.received.map(({ headers }) => headers['idempotency-key'])).size, 1);
  const { delivered, attempts_failed } = bench.alerts.counters();
  assert.deepEqual([delivered, attempts_failed], [1, 3]);
  assert.equal((await bench.alerts.destinations())[0]!.last_error, null);
});

test('one destination that hangs delays no other', async () => {
  const bench = benchOf({ timeoutMs: 120_000 });
  const answers = Promise.withResolvers<void>();
  const hanging = await receiver((response) => void answers.promise.then(() => status(500)(response)));
  const quick = await receiver(status(200));
  await bench.alerts.addDestination(webhook('a hanging one', hanging.url), 'joe');
  await bench.alerts.addDestination(webhook('quick', quick.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  const round = bench.alerts.sendDue();
  await eventually('the quick one has it', () => bench.alerts.counters()['delivered'] === 1);
  assert.equal(quick.received.length, 1);
  await eventually('the hanging one is asked', () => hanging.received.length === 1);
  assert.equal(bench.alerts.counters()['attempts_failed'], 0);
  answers.resolve();
  await round;
  const [slow] = await bench.alerts.destinations();
  assert.deepEqual([slow!.waiting, slow!.last_error], [1, 'the receiver answered HTTP 500']);
});

test('an alert that a receiver refuses delays none behind it', async () => {
  const bench = benchOf();
  let refusedId = '';
  const choosy = await receiver((response, number) => {
    const id = idsOf(choosy.received)[number - 1]!;
    if (number === 1) refusedId = id;
    status(id === refusedId ? 400 : 200)(response);
  });
  await bench.alerts.addDestination(webhook('choosy', choosy.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1), offenderOf(2), offenderOf(3)];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  const { delivered, given_up, given_up_refused, attempts_failed } = bench.alerts.counters();
  assert.deepEqual([delivered, given_up, given_up_refused, attempts_failed], [2, 1, 1, 1]);
  const [shown] = await bench.alerts.destinations();
  assert.deepEqual(
    [shown!.waiting, shown!.given_up, shown!.given_up_reason],
    [0, 1, 'it was refused: the receiver answered HTTP 400'],
  );
  assert.equal(shown!.last_given_up, new Date(bench.nowMs).toISOString().replace('Z', '000Z'));
  assert.match(bench.logged.join(''), /an alert was given up: it was refused/);
  assert.equal(choosy.received.length, 3, 'what was refused is not sent again');
});

test('a receiver that asks for time is left alone for that time, with everything that waits for it', async () => {
  for (const header of ['90', 'Sun, 22 Nov 2026 12:01:30 GMT']) {
    const bench = benchOf();
    const busy = await receiver((response, number) =>
      status(number === 1 ? 429 : 200, { 'retry-after': header })(response),
    );
    await bench.alerts.addDestination(webhook('busy', busy.url), 'joe');
    await bench.alerts.evaluate();
    bench.offenders = [offenderOf(1), offenderOf(2)];
    await bench.alerts.evaluate();
    for (let second = 0; second < 90; second += 10) {
      await bench.alerts.sendDue();
      bench.pass(10);
      assert.equal(busy.received.length, 1, `after ${second} s`);
    }
    await bench.alerts.sendDue();
    assert.equal(bench.alerts.counters()['delivered'], 2);
  }
});

test('a destination that needs a person is tried hourly, and at once when it was changed', async () => {
  const bench = benchOf();
  const strict = await receiver((response) => {
    const isRight = strict.received.at(-1)!.path.endsWith('right');
    status(isRight ? 200 : 401)(response);
  });
  const { id } = await bench.alerts.addDestination(webhook('strict', strict.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1), offenderOf(2)];
  await bench.alerts.evaluate();
  for (let minute = 0; minute < 60; minute += 5) {
    await bench.alerts.sendDue();
    bench.pass(300);
  }
  assert.equal(strict.received.length, 1);
  await bench.alerts.sendDue();
  assert.equal(strict.received.length, 2);
  assert.equal((await bench.alerts.destinations())[0]!.last_error, 'the receiver answered HTTP 401');
  const { config } = webhook('strict', `${strict.url}/right`);
  await bench.alerts.changeDestination(id, { config }, 'joe');
  await bench.alerts.sendDue();
  assert.equal(bench.alerts.counters()['delivered'], 2);
});

test('a connection is kept between alerts, and one that the receiver closed meanwhile loses nothing', async () => {
  const bench = benchOf();
  const sockets = new Set<unknown>();
  const well = await receiver((response) => {
    sockets.add(response.socket);
    status(200)(response);
  });
  await bench.alerts.addDestination(webhook('well', well.url), 'joe');
  await bench.alerts.evaluate();
  for (let round = 1; round <= 5; round++) {
    bench.offenders = Array.from({ length: 2 * round }, (_, index) => offenderOf(index));
    await bench.alerts.evaluate();
    await bench.alerts.sendDue();
  }
  assert.deepEqual([well.received.length, sockets.size], [10, 1]);
  well.closeConnections();
  bench.offenders = [...bench.offenders, offenderOf(99)];
  await bench.alerts.evaluate();
  await bench.alerts.sendDue();
  assert.deepEqual([well.received.length, bench.alerts.counters()['attempts_failed']], [11, 0]);
});

test('after 24 hours an alert is dropped, counted and shown', async () => {
  const bench = benchOf();
  const down = await receiver(status(503));
  await bench.alerts.addDestination(webhook('down', down.url), 'joe');
  await bench.alerts.evaluate();
  bench.offenders = [offenderOf(1)];
  await bench.alerts.evaluate();
  for (let minutes = 0; minutes < 27 * 60; minutes += 10) {
    await bench.alerts.sendDue();
    bench.pass(600);
  }
  const [shown] = await bench.alerts.destinations();
  assert.equal(shown!.waiting, 0);
  assert.match(shown!.last_error!, /gave up an alert of 2026-11-22T12:00:00.*HTTP 503/);
  assert.equal(shown!.given_up_reason, 'it could not be delivered for 24 h: the receiver answered HTTP 503');
  assert.equal(bench.alerts.counters()['given_up'], 1);
  assert.ok(down.received.length >= 24 && down.received.length < 40, String(down.received.length));
  assert.deepEqual(
    [0, 1, 2, 8, 9, 500].map((n) => retryAfterUs(n) / 1e6),
    [10, 20, 40, 2560, 3600, 3600],
  );
  assert.equal(GIVE_UP_AFTER_US, 24 * 3600e6);
});

test('a flood is one alert for people and many for machines, and what waits is bounded', async () => {
  const bench = benchOf();
  const down = await receiver(status(503));
  await bench.alerts.addDestination(webhook('down', down.url), 'joe');
  await bench.alerts.evaluate();
  const people = { ...webhook('people', down.url), digest: true };
  await bench.alerts.addDestination(people, 'joe');
  bench.offenders = Array.from({ length: 10_005 }, (_, index) => offenderOf(index));
  await bench.alerts.evaluate();
  const [machine, digest] = await bench.alerts.destinations();
  assert.deepEqual([machine!.waiting, digest!.waiting], [10_000, 1]);
  const { summaries, left_out } = bench.alerts.counters();
  assert.deepEqual([summaries, left_out], [1, 5]);
  bench.offenders = [...bench.offenders, offenderOf(20_000)];
  await bench.alerts.evaluate();
  assert.equal((await bench.alerts.destinations())[0]!.waiting, 10_000);
  assert.equal(bench.alerts.counters()['queue_overflowed'], 1);
});
