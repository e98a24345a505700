/** Makes the messages of a hostile agent after its hello: spoilt frames, and messages that never were frames. */
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { makeCall } from '../support/collector/calls.ts';
import { hostileText, spoilt } from './schema_values.ts';

/** One message on the socket. */
export type Message =
  | { how: 'text'; text: string }
  | { how: 'binary'; bytes: Buffer }
  /** Parts of one WebSocket message; it is never ended where `isEnded` is false. */
  | { how: 'parts'; parts: string[]; isEnded: boolean }
  /** Straight to the TCP socket, past the WebSocket. */
  | { how: 'raw'; bytes: Buffer };

/** In a text it stands for the number that the collector expects next. */
export const NEXT_SEQ = '"the next"';

const LARGEST = 4 * 1024 * 1024;
const TIME = '2026-11-22T10:00:00.000000Z';

const NO_FRAMES = [
  '',
  '{',
  'null',
  '[]',
  '1e999',
  '{"type":"batch"}',
  '{"type":"hello","type":"batch","seq":1,"records":[]}',
  '{"type":"batch","seq":1e308,"records":[]}',
  '{"type":"batch","seq":9007199254740993,"records":[]}',
  '{"type":"batch","seq":1,"records":[{"kind":"call","call":{"__proto__":{"id":1}}}]}',
  '{"__proto__":{"type":"batch"},"type":"heartbeat"}',
  '{"type":"batch","seq":1,"records":["\\ud800"],"callers":[{"ref":0,"process":"\\udfff"}]}',
  `${'['.repeat(200_000)}`,
  `${'{"type":'.repeat(50_000)}`,
  `{"type":"batch","seq":1,"records":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  `{"type":"batch","seq":1,"records":[${'{},'.repeat(20_000)}{}]}`,
  `{"type":"heartbeat","heartbeat":"${'x'.repeat(100_000)}"}`,
  'x'.repeat(LARGEST),
  'x'.repeat(LARGEST + 1),
];

/** RFC 6455 section 5.2: a length of 2^62, a reserved opcode, an unmasked frame, a ping that is too long, a close with half a code. */
const RAW = [
  Buffer.from([0x82, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
  Buffer.from([0x8b, 0x80, 0, 0, 0, 0]),
  Buffer.from([0x81, 0x02, 0x7b, 0x7d]),
  Buffer.from([0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0]),
  Buffer.from([0x88, 0x81, 0, 0, 0, 0, 3]),
  Buffer.from([0xc1, 0x82, 0, 0, 0, 0, 0x7b, 0x7d]),
  Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
];

function good(hostId: string, stream: string): fc.Arbitrary<unknown> {
  const { process, container, k8s, systemd, host, ...rest } = makeCall();
  const { 'attribution.method': method, 'attribution.confidence': confidence, ...call } = rest;
  const facts = {
    process,
    container,
    k8s,
    systemd,
    'attribution.method': method,
    'attribution.confidence': confidence,
  };
  const line = {
    'imds.kind': 'read',
    'imds.category': 'metadata',
    'http.request.method': 'GET',
    'url.path': '/latest/meta-data/',
    'http.response.status_code': 200,
    outcome: 'answered',
    count: 3,
  };
  const rollup = {
    first_time: TIME,
    last_time: TIME,
    count: 3,
    'user_agent.original': 'x',
    'source.address': '10.0.0.1',
    lines: [line],
  };
  const coverage = {
    host_id: hostId,
    boot_id: stream,
    start: '2026-11-22T09:59:00.000Z',
    end: TIME,
    live_ms: 60_000,
    kernel_connections: 3,
    seen_connections: 3,
    losses: { 'capture.dropped': 1 },
  };
  const heartbeat = {
    time: TIME,
    host_id: hostId,
    agent_version: '0.1.0',
    started: TIME,
    counters: { capture: { received: 1 } },
    coverage: { live: true, sources: ['any'] },
    attribution: { method: 'ebpf', reason: null },
    agent: { cpu_percent: 0.1, memory_bytes: 1 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  };
  const caller = fc.nat(3);
  // Ids are new with every frame: known ones would be left out before anything is looked at.
  const record = fc.oneof(
    caller.map((ref) => ({ kind: 'call', caller: ref, call: { ...call, id: uuidv7() } })),
    caller.map((ref) => ({ kind: 'rollup', caller: ref, rollup: { ...rollup, id: uuidv7() } })),
    fc.constant(null).map(() => ({ kind: 'coverage', coverage: { ...coverage, id: uuidv7() } })),
  );
  const definitions = fc
    .nat(4)
    .map((count) => Array.from({ length: count }, (_, ref) => ({ ref, ...facts })));
  const batch = fc.record(
    {
      type: fc.constant('batch'),
      seq: fc.oneof(
        { weight: 20, arbitrary: fc.constant(JSON.parse(NEXT_SEQ) as unknown) },
        { weight: 1, arbitrary: fc.constantFrom(1, 2, 0, -1, 2 ** 53, 1.5) },
      ),
      records: fc.oneof(
        { weight: 1, arbitrary: fc.array(record, { maxLength: 5 }) },
        // One bad record must not cost the others.
        { weight: 3, arbitrary: fc.array(fc.oneof(record, spoilt(record)), { minLength: 1, maxLength: 5 }) },
      ),
      callers: definitions,
      // Without it a second batch defines its callers once more, which is refused.
      forget: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
    },
    { requiredKeys: ['type', 'seq', 'records', 'callers', 'forget'] },
  );
  const hello = {
    type: 'hello',
    protocol: 1,
    protocol_max: 2,
    agent_version: '0',
    stream,
    host: { id: hostId, name: 'n' },
  };
  return fc.oneof(
    { weight: 6, arbitrary: batch },
    { weight: 2, arbitrary: fc.constant({ type: 'heartbeat', heartbeat }) },
    { weight: 1, arbitrary: fc.constant(hello) },
  );
}

/** A few messages of one connection. */
export function messagesOf(hostId: string, stream: string): fc.Arbitrary<Message[]> {
  const frame = good(hostId, stream);
  const text = fc.oneof(
    { weight: 8, arbitrary: frame },
    { weight: 4, arbitrary: spoilt(frame) },
    { weight: 2, arbitrary: spoilt(spoilt(frame)) },
  );
  const said = text.map((value): Message => ({ how: 'text', text: JSON.stringify(value) ?? '' }));
  const cut = fc
    .tuple(text, fc.nat(4_000))
    .map(([value, at]): Message => ({ how: 'text', text: (JSON.stringify(value) ?? '').slice(0, at) }));
  const parts = fc
    .tuple(text, fc.integer({ min: 1, max: 40 }), fc.boolean())
    .map(([value, size, isEnded]): Message => {
      const whole = JSON.stringify(value) ?? '';
      const length = Math.max(1, Math.ceil(whole.length / size));
      return { how: 'parts', parts: whole.match(new RegExp(`.{1,${length}}`, 'gs')) ?? [''], isEnded };
    });
  const message = fc.oneof(
    { weight: 24, arbitrary: said },
    { weight: 1, arbitrary: cut },
    { weight: 1, arbitrary: parts },
    { weight: 1, arbitrary: fc.constantFrom(...NO_FRAMES).map((text): Message => ({ how: 'text', text })) },
    { weight: 1, arbitrary: hostileText.map((text): Message => ({ how: 'text', text })) },
    {
      weight: 1,
      arbitrary: fc
        .uint8Array({ maxLength: 300 })
        .map((bytes): Message => ({ how: 'binary', bytes: Buffer.from(bytes) })),
    },
    { weight: 1, arbitrary: fc.constantFrom(...RAW).map((bytes): Message => ({ how: 'raw', bytes })) },
  );
  return fc.array(message, { minLength: 1, maxLength: 6 });
}
