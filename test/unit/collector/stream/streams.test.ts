/** Tests that streams send every record in order, and count each that was not sent. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { httpReceiver, status } from '../../../support/collector/alert/http_receiver.ts';
import { call, host, stream } from '../../../support/collector/store/records.ts';
import { findingOf } from '../../../support/collector/streams/findings.ts';
import {
  callsOf,
  idsOf,
  SECRET,
  StreamBench,
  write,
} from '../../../support/collector/streams/stream_bench.ts';

const ended: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ended.reverse()) await end();
});
function bench(): StreamBench {
  const made = new StreamBench();
  ended.push(() => made.remove());
  return made;
}
async function receiver(answer: Parameters<typeof httpReceiver>[0] = status(200)) {
  const started = await httpReceiver(answer);
  ended.push(() => started.close());
  return started;
}

test('a destination that is down gets everything afterwards, once and in order, also over a restart', async () => {
  const b = bench();
  let isDown = true;
  const target = await receiver((response) => status(isDown ? 503 : 200)(response));
  const id = await b.add('calls', target.url);
  const next = [stream(host('a')), stream(host('b'))];
  const written = await write(b, next, 3, 400);
  await b.round();
  assert.equal((await b.progress(id)).last_error, 'the receiver answered HTTP 503');
  assert.equal((await b.progress(id)).progress!.behind, 2400);
  await b.close();
  b.open();
  written.push(...(await write(b, next, 2, 300)));
  isDown = false;
  const before = target.received.length;
  await b.round(700);
  await b.round();
  const sent = target.received.slice(before);
  const ids = idsOf(sent);
  assert.deepEqual(ids, callsOf(written), 'each once, in the order of arrival');
  assert.ok(sent.every(({ body }) => body.length < 4_000_000));
  const { progress, given_up: givenUp, last_error: error } = await b.progress(id);
  assert.deepEqual(
    [progress!.sent, progress!.behind, progress!.deleted, givenUp, error],
    [3600, 0, 0, 0, null],
  );
  assert.deepEqual((await b.store.arrivals(0, 10)).calls.length, 10, 'notes are kept until they are pruned');
  await b.round(20);
  assert.ok((await b.store.arrivals(0, 10_000)).calls.length <= 300, 'notes that all have are deleted');
});

test('calls that come while a request is on its way wait for others, and are not sent one by one', async () => {
  const b = bench();
  const next = stream(host('a'));
  const target = await receiver(async (response) => {
    if (target.received.length < 10) await b.store.write([next(call(Date.now() * 1000))]);
    status(200)(response);
  });
  const id = await b.add('calls', target.url);
  await write(b, [next], 1, 5);
  await b.round();
  assert.equal(target.received.length, 1);
  assert.equal((await b.progress(id)).progress!.sent, 5);
  await b.round();
  assert.equal(idsOf(target.received).length, 6);
});

test('what nobody noted is sent again with the same ids, and nothing else twice', async () => {
  const b = bench();
  const target = await receiver();
  const id = await b.add('calls', target.url, {
    batch: { form: 'lines', key: '', max_items: 10, max_bytes: 1e6, max_seconds: 0 },
  });
  const written = await write(b, [stream(host('a'))], 1, 35);
  // The collector ends after the receiver has accepted the first request, and before the cursor moves.
  const advance = b.admin.cursors.advance;
  b.admin.cursors.advance = async () => {
    throw new Error('the process ended here');
  };
  await b.round();
  b.admin.cursors.advance = advance;
  const lost = idsOf(target.received);
  assert.equal(lost.length, 10);
  await b.close();
  b.open();
  await b.round();
  const ids = idsOf(target.received);
  assert.deepEqual(ids, [...lost, ...callsOf(written)]);
  assert.equal((await b.progress(id)).progress!.sent, 35);
});

test('the one record that is refused is found, counted and shown; the others arrive', async () => {
  const b = bench();
  let bad = '';
  const target = await receiver((response) => {
    const last = target.received.at(-1)!;
    status(bad !== '' && last.body.includes(bad) ? 400 : 200)(response);
  });
  const id = await b.add('calls', target.url);
  const written = await write(b, [stream(host('a'))], 1, 64);
  const all = callsOf(written);
  bad = all[41]!;
  await b.round();
  const accepted = new Set(idsOf(target.received.filter(({ body }) => !body.includes(bad))));
  assert.deepEqual(
    [...accepted],
    all.filter((each) => each !== bad),
  );
  assert.ok(target.received.length < 20, 'halves, not one by one');
  const { given_up: givenUp, given_up_reason: reason, progress } = await b.progress(id);
  assert.deepEqual([givenUp, progress!.sent, progress!.behind], [1, 63, 0]);
  assert.equal(reason, 'it was refused: the receiver answered HTTP 400');
  assert.equal(b.streams.states()[0]!.counts.given_up_refused, 1);
});

test('a receiver that refuses everything blocks the destination: it is not emptied', async () => {
  const b = bench();
  const target = await receiver(status(400));
  const id = await b.add('calls', target.url);
  await write(b, [stream(host('a'))], 1, 200);
  await b.round();
  const { given_up: givenUp, last_error: error, progress } = await b.progress(id);
  assert.ok(givenUp <= 20, `${givenUp} records were given up`);
  assert.match(error!, /20 records were refused one after the other/);
  assert.equal(givenUp + progress!.behind, 200);
  const requests = target.received.length;
  await b.round(60);
  assert.equal(target.received.length, requests, 'it waits for an hour');
});

test('a collector shows what it did for each destination, and what waits, until the destination is removed', async () => {
  const b = bench();
  let isDown = true;
  const target = await receiver((response) => status(isDown ? 503 : 200)(response));
  const id = await b.add('calls', target.url);
  await write(b, [stream(host('a'))], 1, 30);
  await b.round(20);
  const [state] = b.streams.states();
  assert.deepEqual([state!.name, state!.stream, state!.waiting!.records], ['calls', 'calls', 30]);
  assert.ok(state!.waiting!.seconds >= 19, `${state!.waiting!.seconds} s`);
  assert.deepEqual([state!.counts.attempts_failed, state!.counts.sent], [1, 0]);
  isDown = false;
  await b.round(60);
  await b.round();
  assert.deepEqual([state!.counts.sent, b.streams.states()[0]!.waiting], [30, { records: 0, seconds: 0 }]);
  await b.destinations.remove(id);
  await b.round();
  assert.deepEqual(b.streams.states(), []);
});

test('Retry-After is respected', async () => {
  const b = bench();
  let isBusy = true;
  const target = await receiver((response) =>
    isBusy ? status(429, { 'Retry-After': '900' })(response) : status(200)(response),
  );
  await b.add('calls', target.url);
  await write(b, [stream(host('a'))], 1, 5);
  await b.round();
  isBusy = false;
  await b.round(890);
  assert.equal(target.received.length, 1);
  await b.round(15);
  assert.equal(target.received.length, 2);
});

test('calls that retention deletes before they are sent are counted, and announced before', async () => {
  const b = bench();
  let isDown = true;
  const target = await receiver((response) => status(isDown ? 503 : 200)(response));
  const id = await b.add('calls', target.url);
  const next = stream(host('a'));
  const days = (count: number) => Date.now() * 1000 - count * 86_400_000_000;
  await b.store.write([next(call(days(12)), call(days(12)), call(days(12)))]);
  const kept = next(call(days(1)), call(days(12)), call(days(0)));
  await b.store.write([kept]);
  await b.round();
  const { warning } = (await b.progress(id)).progress!;
  assert.match(warning!, /^6 calls wait, and the first ones are deleted from .* \(raw_days 14\)/);
  await b.store.retain({ rawDays: 5, rollupDays: 400, maxBytes: 1e12 }, Date.now() * 1000);
  await b.round(10);
  assert.equal((await b.progress(id)).progress!.deleted, 3, 'also while the receiver is down');
  isDown = false;
  const before = target.received.length;
  await b.round(3600);
  const { progress } = await b.progress(id);
  assert.deepEqual([progress!.sent, progress!.deleted, progress!.behind], [2, 4, 0]);
  const all = callsOf([kept]);
  assert.deepEqual(idsOf(target.received.slice(before)), [all[0], all[2]]);
});

test('the audit log is sent from its end on, and findings with all that there are', async () => {
  const b = bench();
  const [logs, findings] = [await receiver(), await receiver()];
  const entry = (subject: string) => ({
    actor: 'a',
    action: 'x',
    subject,
    detail: null,
    source_address: null,
  });
  await b.admin.auditLog.append(entry('before'), 1);
  await b.admin.findings.store(
    [{ key: 'verdict/i-1', change: 'new', state: 's', minor: '', timeUs: 1, finding: findingOf() }],
    null,
  );
  await b.add('audit', logs.url);
  await b.add('findings', findings.url);
  for (const subject of ['one', 'two']) await b.admin.auditLog.append(entry(subject), 2);
  await b.round();
  await b.round();
  const subjects = logs.received.flatMap(({ body }) =>
    body
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).subject),
  );
  assert.deepEqual(subjects, ['one', 'two']);
  assert.equal(idsOf(findings.received).length, 1);
  await b.admin.findings.store(
    ['updated', 'resolved'].map((change) => ({
      ...{ key: 'verdict/i-1', change: change as 'updated', state: 's', minor: '', timeUs: 2 },
      finding: findingOf({ change: change as 'updated' }),
    })),
    null,
  );
  await b.round();
  const last = JSON.parse(findings.received.at(-1)!.body.toString());
  assert.deepEqual([last.change, findings.received.length], ['resolved', 2], 'only the latest state');
});

test('secrets of the destination are in no list, log or error', async () => {
  const b = bench();
  const target = await receiver(status(500));
  const id = await b.add('calls', target.url);
  await write(b, [stream(host('a'))], 1, 2);
  await b.round();
  const shown = JSON.stringify([
    await b.destinations.list(),
    await b.progress(id),
    b.streams.states(),
    b.logged,
  ]);
  for (const secret of [SECRET, 'T0PSECRETPATH', 'T0PSECRETKEY']) assert.ok(!shown.includes(secret));
  assert.ok(target.received[0]!.headers['x-imdswatch-signature'] !== undefined);
});
