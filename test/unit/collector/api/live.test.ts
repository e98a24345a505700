/** Tests the live feed over real HTTP: its events, calls that are left out, and the permission to watch. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  LiveFeed,
  MAX_WATCHERS,
  MAX_WATCHERS_OF_ADDRESS,
  MAX_WATCHERS_OF_PERSON,
  RESERVED_WATCHERS,
} from '../../../../collector/live/live_feed.ts';
import { ALL_CALLS } from '../../../../collector/live/live_filter.ts';
import { BUILT_IN_RULES } from '../../../../collector/store/workload_rules.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { batchOf, FeedReader } from '../../../support/collector/live.ts';
import { eventually } from '../../../support/collector/stored.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

const watch = (query = '', as: 'viewer' | 'admin' = 'viewer') =>
  FeedReader.open((signal) => api.ask(`/api/v1/live${query}`, { as, signal }));

const CONNECTION = { person: 'somebody', address: '192.0.2.1', mayStay: async () => true, cut: () => {} };
const watchers = () => api.parts.live.counters()['watchers']!;

test('stored calls are sent with their offender to watchers whose filter matches', async () => {
  const all = await watch();
  const credentials = await watch('?category=credentials&version=1&path=APP');
  const elsewhere = await watch('?host=i-other');
  const call = makeCall({ 'imds.category': 'credentials', 'url.path': '/x/app', 'imds.version': 1 });
  const other = makeCall({ 'imds.category': 'metadata', 'url.path': '/latest/meta-data/' });
  const offender = BUILT_IN_RULES.workloadIdOfCall(call);
  const theirs = await watch(`?offender=${offender}`);
  api.parts.live.publish([batchOf([call, other])]);
  await eventually('both', () => all.calls.length === 2);
  await eventually('one', () => credentials.calls.length === 1);
  assert.deepEqual(credentials.calls[0], { ...call, host: HOST, offender });
  assert.ok(theirs.calls.every((served) => served.offender === offender) && theirs.calls.length > 0);
  await eventually('a heartbeat', () => elsewhere.comments.includes('heartbeat'));
  assert.equal(elsewhere.calls.length, 0);
  for (const watcher of [all, credentials, elsewhere, theirs]) watcher.close();
  await eventually('nobody left', () => watchers() === 0);
});

test('the rate is bounded, and the watcher gets the number of calls that were left out', async () => {
  const watcher = await watch();
  api.parts.live.publish([batchOf(Array.from({ length: 3000 }, () => makeCall()))]);
  await eventually('all accounted for', () => watcher.calls.length + watcher.leftOut === 3000);
  assert.ok(watcher.calls.length >= 500 && watcher.leftOut >= 1000);
  watcher.close();
  await eventually('nobody left', () => watchers() === 0);
});

test('a watcher that does not read has a bounded queue, and loses the rest', async (t) => {
  let nowMs = performance.now();
  t.mock.method(performance, 'now', () => nowMs);
  const feed = new LiveFeed({ heartbeatMs: 10_000 });
  const stream = feed.watch(ALL_CALLS, CONNECTION)!;
  const batch = batchOf(Array.from({ length: 500 }, () => makeCall()));
  for (let second = 0; second < 4; second += 1) {
    feed.publish([batch]);
    nowMs += 1000;
  }
  const leftOut = feed.counters()['calls_left_out']!;
  assert.ok(leftOut >= 500, `${leftOut}`);
  let text = '';
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  while (!text.includes('event: left_out')) text += decoder.decode((await reader.read()).value);
  assert.equal((text.match(/event: call/g) ?? []).length + leftOut, 2000);
  assert.match(text, new RegExp(`"calls":${leftOut}}`));
  feed.close();
});

test('the feed of a revoked token ends', async () => {
  const by = { name: 'test', sourceAddress: null };
  const { token, secret } = await api.parts.access.createToken(
    { kind: 'person', name: 'dora', role: 'viewer' },
    by,
  );
  const response = await api.ask('/api/v1/live', {
    as: 'nobody',
    headers: { Authorization: `Bearer ${secret}` },
  });
  const reader = response.body!.getReader();
  await reader.read();
  await api.parts.access.revokeToken(token.id, by);
  await api.parts.live.check();
  for (;;) if ((await reader.read()).done) break;
  assert.equal(watchers(), 0);
});

test('HEAD opens no stream, and the number of feeds is bounded', async () => {
  assert.equal((await api.ask('/api/v1/live', { method: 'HEAD' })).status, 200);
  assert.equal(watchers(), 0);
  const { live } = api.parts;
  const streams = Array.from({ length: MAX_WATCHERS }, (_, index) => {
    const who = { person: `person ${index}`, address: `192.0.2.${index}` };
    return live.watch(ALL_CALLS, { ...CONNECTION, ...who })!;
  });
  const refused = await api.ask('/api/v1/live');
  assert.equal(refused.headers.get('retry-after'), '30');
  await problemOf(refused, 503);
  for (const stream of streams) await stream.cancel();
  assert.equal(watchers(), 0);
});

test('one viewer cannot take all feeds: they are bounded per person and per address', async () => {
  const open: Response[] = [];
  for (let index = 0; index < MAX_WATCHERS_OF_PERSON; index += 1) open.push(await api.ask('/api/v1/live'));
  assert.ok(open.every(({ status }) => status === 200));
  const refused = await api.ask('/api/v1/live');
  assert.equal(refused.headers.get('retry-after'), '30');
  assert.match((await problemOf(refused, 429)).detail, /20 live feeds open/);
  const another = await api.ask('/api/v1/live', { as: 'admin' });
  assert.equal(another.status, 200);
  for (const { body } of [...open, another]) await body!.cancel();
  await eventually('all have gone', () => watchers() === 0);

  const feed = new LiveFeed();
  const watch = (person: string, address: string) =>
    feed.watch(ALL_CALLS, { ...CONNECTION, person, address });
  for (let index = 0; index < MAX_WATCHERS_OF_ADDRESS; index += 1) {
    assert.notEqual(watch(`person ${index}`, '192.0.2.1'), null);
  }
  assert.equal(feed.refusalOf({ person: 'another', address: '192.0.2.1' }), 'address');
  assert.equal(feed.refusalOf({ person: 'another', address: '192.0.2.2' }), null);
  feed.close();
});

test('the last places are reserved for people without a feed', () => {
  const feed = new LiveFeed();
  let opened = 0;
  for (let index = 0; index < MAX_WATCHERS; index += 1) {
    const who = { person: `person ${index % 10}`, address: `192.0.2.${index}` };
    if (feed.watch(ALL_CALLS, { ...CONNECTION, ...who }) !== null) opened += 1;
  }
  assert.equal(opened, MAX_WATCHERS - RESERVED_WATCHERS);
  assert.notEqual(feed.watch(ALL_CALLS, { ...CONNECTION, person: 'late', address: '192.0.2.250' }), null);
  assert.equal(feed.counters()['watchers_refused'], RESERVED_WATCHERS);
  feed.close();
});
