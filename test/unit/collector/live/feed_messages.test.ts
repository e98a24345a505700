/** Tests the messages of calls between collectors: sizes, order, other people's notifications, secrecy. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { ServedCall } from '../../../../collector/contract/served_call.ts';
import { MessageReader, packMessage } from '../../../../collector/live/postgres/feed_messages.ts';
import { makeCall } from '../../../support/collector/calls.ts';

const KEY = randomBytes(32);
/** PostgreSQL 15 documentation, NOTIFY: the payload must be shorter than 8,000 bytes. */
const MAX_PAYLOAD_BYTES = 7_999;

function calls(count: number, path: (number: number) => string): ServedCall[] {
  return Array.from({ length: count }, (_, number) => ({
    ...makeCall({ 'url.path': path(number) }),
    offender: '0123456789abcdef',
  }));
}

function pack(of: readonly ServedCall[], { sender = 'other', number = 1, key = KEY } = {}) {
  const texts = of.map((call) => JSON.stringify(call));
  return packMessage(key, { sender, number, calls: texts, leftOut: [['{}', 3]] });
}

test('messages of any size arrive whole, in payloads that NOTIFY takes', async () => {
  const reader = new MessageReader(KEY, 'this');
  const random = () => `/${randomBytes(2_000).toString('hex')}ü\u0001`;
  const rows: [number, (number: number) => string][] = [
    [0, String],
    [1, () => '/latest/meta-data/'],
    [100, (number) => `/${number}`],
    [1, random],
    [60, random],
  ];
  let number = 0;
  let longest = 0;
  for (const [count, path] of rows) {
    const sent = calls(count, path);
    number += 1;
    const parts = await pack(sent, { number });
    longest = Math.max(longest, parts.length);
    for (const part of parts) assert.ok(Buffer.byteLength(part) <= MAX_PAYLOAD_BYTES);
    const taken = parts.map((part) => reader.take(part));
    assert.deepEqual(
      taken.map((message) => message !== null),
      parts.map((_, part) => part === parts.length - 1),
    );
    assert.deepEqual(taken.at(-1), { calls: sent, leftOut: [['{}', 3]] });
  }
  assert.ok(longest > 10, `${longest} parts`);
  assert.equal(reader.missed, 0);
});

test('messages of several senders are kept apart, and those of the collector itself are ignored', async () => {
  const reader = new MessageReader(KEY, 'this');
  const long = () => randomBytes(6_000).toString('hex');
  const [a, b] = [calls(3, long), calls(3, long)];
  const [fromA, fromB] = [await pack(a, { sender: 'a' }), await pack(b, { sender: 'b' })];
  assert.ok(fromA.length > 1 && fromA.length === fromB.length);
  const found = fromA.flatMap((part, at) => [reader.take(part), reader.take(fromB[at]!)]);
  assert.deepEqual(
    found.flatMap((message) => (message === null ? [] : [message.calls])),
    [a, b],
  );
  for (const part of await pack(a, { sender: 'this' })) assert.equal(reader.take(part), null);
  assert.equal(reader.missed, 0);
});

test('what is lost, of another release or not from a collector is counted and harms nothing', async () => {
  const reader = new MessageReader(KEY, 'this');
  const missed = (payloads: readonly string[]) => {
    const before = reader.missed;
    for (const payload of payloads) assert.equal(reader.take(payload), null, payload.slice(0, 40));
    return reader.missed - before;
  };
  const parts = await pack(
    calls(3, () => randomBytes(6_000).toString('hex')),
    { number: 7 },
  );
  assert.equal(missed(parts.slice(1)), parts.length - 1, 'the first part is missing');
  assert.equal(missed(parts.slice(0, 1)), 0, 'the rest may come');
  assert.equal(missed(await pack([], { number: 9, key: randomBytes(32) })), 3, '7, 8, and 9 has another key');
  const foreign = ['', 'hello', '2 other 10 0 1 AAAA', '1 other 10 0 1 AAAA', '1 other 11 0 99999999 AAAA'];
  assert.equal(missed(foreign), foreign.length);
  const [last] = await pack(calls(1, String), { number: 12 });
  assert.equal(reader.take(last!)?.calls.length, 1);
});

test('a payload shows nothing of a call to those without the key', async () => {
  const [part] = await pack(calls(1, () => '/latest/meta-data/iam/security-credentials/app'));
  const data = Buffer.from(part!.split(' ').at(-1)!, 'base64').toString('latin1');
  assert.ok(!data.includes('security-credentials') && !part!.includes('security-credentials'));
});
