/** Tests the live feed over real HTTP: its events, calls that are left out, and the permission to watch. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  LiveFeed,
  MAX_WATCHERS,
  MAX_WATCHERS_OF_ADDRESS,
  MAX_WATCHERS_OF_PERSON,
  RESERVED_WATCHERS,
} from '../../../../collector/api/live_feed.ts';
import { type ServedCall, servedCall } from '../../../../collector/contract/served_call.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import { BUILT_IN_RULES } from '../../../../collector/store/workload_rules.ts';
import type { Call } from '../../../../protocol/call.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { eventually } from '../../../support/collector/stored.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

function batchOf(calls: Call[]): StoredBatch {
  const bodies = calls.map((call) => {
    const { process, container, k8s, systemd, host: _, ...rest } = call;
    const { 'attribution.method': method, 'attribution.confidence': confidence, ...body } = rest;
    const caller = {
      process,
      container,
      k8s,
      systemd,
      'attribution.method': method,
      'attribution.confidence': confidence,
    };
    return { caller, body };
  });
  return {
    stream: randomUUID(),
    seq: 1,
    host: HOST,
    callers: bodies.map(({ caller }) => caller),
    records: bodies.map(({ body }, caller) => ({ kind: 'call', caller, call: body })),
  };
}

class Watcher {
  readonly calls: ServedCall[] = [];
  readonly comments: string[] = [];
  leftOut = 0;
  ended = false;
  readonly #abort = new AbortController();
  status = 0;

  async open(
    query = '',
    as: 'viewer' | 'admin' = 'viewer',
    headers: Record<string, string> = {},
  ): Promise<this> {
    const response = await api.ask(`/api/v1/live${query}`, { as, headers, signal: this.#abort.signal });
    this.status = response.status;
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    void this.#read(response.body!);
    await eventually('connected', () => this.comments.includes('connected'));
    return this;
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true });
        const events = text.split('\n\n');
        text = events.pop()!;
        for (const event of events) this.#on(event);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) throw error;
    }
    this.ended = true;
  }

  #on(event: string): void {
    let name = 'message';
    let data = '';
    for (const line of event.split('\n')) {
      if (line.startsWith(':')) this.comments.push(line.slice(1).trim());
      else if (line.startsWith('event: ')) name = line.slice(7);
      else if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (name === 'call') this.calls.push(servedCall.strict().parse(JSON.parse(data)));
    if (name === 'left_out') this.leftOut += (JSON.parse(data) as { calls: number }).calls;
  }

  close(): void {
    this.#abort.abort();
  }
}

const CONNECTION = { person: 'somebody', address: '192.0.2.1', mayStay: async () => true, cut: () => {} };
const watchers = () => api.parts.live.counters()['watchers']!;

test('stored calls are sent with their offender to watchers whose filter matches', async () => {
  const all = await new Watcher().open();
  const credentials = await new Watcher().open('?category=credentials&version=1&path=APP');
  const elsewhere = await new Watcher().open('?host=i-other');
  const call = makeCall({ 'imds.category': 'credentials', 'url.path': '/x/app', 'imds.version': 1 });
  const other = makeCall({ 'imds.category': 'metadata', 'url.path': '/latest/meta-data/' });
  const offender = BUILT_IN_RULES.workloadIdOfCall(call);
  const theirs = await new Watcher().open(`?offender=${offender}`);
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
  const watcher = await new Watcher().open();
  api.parts.live.publish([batchOf(Array.from({ length: 3000 }, () => makeCall()))]);
  await eventually('all accounted for', () => watcher.calls.length + watcher.leftOut === 3000);
  assert.ok(watcher.calls.length >= 500 && watcher.leftOut >= 1000);
  watcher.close();
  await eventually('nobody left', () => watchers() === 0);
});

test('a watcher that does not read has a bounded queue, and loses the rest', async (t) => {
  let nowMs = performance.now();
  t.mock.method(performance, 'now', () => nowMs);
  const feed = new LiveFeed(10_000);
  const stream = feed.watch(
    { hosts: null, offenders: null, version: null, categories: null, outcomes: null, path: null },
    CONNECTION,
  )!;
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

const EVERYTHING = {
  hosts: null,
  offenders: null,
  version: null,
  categories: null,
  outcomes: null,
  path: null,
};

test('HEAD opens no stream, and the number of feeds is bounded', async () => {
  assert.equal((await api.ask('/api/v1/live', { method: 'HEAD' })).status, 200);
  assert.equal(watchers(), 0);
  const { live } = api.parts;
  const streams = Array.from({ length: MAX_WATCHERS }, (_, index) => {
    const who = { person: `person ${index}`, address: `192.0.2.${index}` };
    return live.watch(EVERYTHING, { ...CONNECTION, ...who })!;
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
    feed.watch(EVERYTHING, { ...CONNECTION, person, address });
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
    if (feed.watch(EVERYTHING, { ...CONNECTION, ...who }) !== null) opened += 1;
  }
  assert.equal(opened, MAX_WATCHERS - RESERVED_WATCHERS);
  assert.notEqual(feed.watch(EVERYTHING, { ...CONNECTION, person: 'late', address: '192.0.2.250' }), null);
  assert.equal(feed.counters()['watchers_refused'], RESERVED_WATCHERS);
  feed.close();
});
