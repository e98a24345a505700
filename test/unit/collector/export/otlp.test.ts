/** Log records of OpenTelemetry: the requests are decoded by an independent library, and compared with what was given. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ExportItem } from '../../../../collector/export/item.ts';
import { otlp } from '../../../../collector/export/otlp.ts';
import { decodeOtlpAnswer, encodeOtlp, otlpJsonLine } from '../../../../collector/export/otlp_request.ts';
import type { OtlpValue } from '../../../../collector/export/otlp_value.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { generatedItem } from '../../../support/collector/export/generated_records.ts';
import {
  type DecodedRequest,
  decodeRequest,
  encodedAnswer,
  encodedRequest,
  plainAttributes,
} from '../../../support/collector/export/otlp_messages.ts';

const OFFENDER = '0123456789abcdef';
const valuesOf = (items: readonly ExportItem[]) =>
  items.flatMap((item) => otlp.toValues(item)) as OtlpValue[];
const callItem = (changes: Parameters<typeof makeCall>[0]): ExportItem => ({
  stream: 'calls',
  call: { ...makeCall(changes), offender: OFFENDER },
});
const fromJson = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes)) as DecodedRequest;

test('both encodings of any records say the same, and nothing is lost on the way', async () => {
  const property = fc.asyncProperty(
    fc.array(generatedItem, { minLength: 1, maxLength: 5 }),
    async (items) => {
      const values = valuesOf(items);
      const binary = await encodeOtlp(values, 'protobuf');
      const decoded = decodeRequest(binary);
      assert.deepEqual(decodeRequest(encodedRequest(decoded)), decoded);
      const json = fromJson(await encodeOtlp(values, 'json'));
      // The JSON form goes through protobuf too: a name or a type that the messages do not have would be lost.
      const rebuilt = decodeRequest(encodedRequest(json));
      assert.deepEqual(withoutDefaults(rebuilt), withoutDefaults(decoded));

      const records = decoded.resourceLogs.flatMap(({ resource, scopeLogs }) =>
        scopeLogs.flatMap(({ logRecords }) => logRecords.map((record) => ({ resource, record }))),
      );
      assert.equal(records.length, values.length);
      const expected = values.map(summary).sort();
      const found = records.map(({ resource, record }) =>
        JSON.stringify([
          ...[record.timeUnixNano, record.observedTimeUnixNano, record.severityNumber, record.severityText],
          ...[record.eventName, record.body.stringValue, comparable(plainAttributes(resource.attributes))],
          comparable(plainAttributes(record.attributes)),
        ]),
      );
      assert.deepEqual(found.sort(), expected);
      const resources = decoded.resourceLogs.map(({ resource }) => JSON.stringify(resource));
      assert.equal(new Set(resources).size, resources.length, 'each host has one ResourceLogs');
    },
  );
  await fc.assert(property, { numRuns: 40 });
});

test('the fields of a call have the names of the semantic conventions', async () => {
  const values = valuesOf([
    callItem({
      time: '2026-11-22T08:00:00.120034Z',
      'imds.category': 'credentials',
      duration_ms: 1000,
      'http.request.method': 'FETCH',
      container: { id: 'ab'.repeat(32), name: 'app', 'image.name': 'app:1', runtime: 'containerd' },
      k8s: { 'pod.uid': 'u', 'pod.name': 'p', 'namespace.name': 'n', 'container.name': 'c' },
      host: {
        id: 'i-0123456789abcdef0',
        name: 'web-1',
        'cloud.account.id': '123456789012',
        tags: { team: 'a' },
      },
    }),
  ]);
  for (const [format, decoded] of [
    ['protobuf', decodeRequest(await encodeOtlp(values, 'protobuf'))],
    ['json', decodeRequest(encodedRequest(fromJson(await encodeOtlp(values, 'json'))))],
  ] as const) {
    const [{ resource, scopeLogs }] = decoded.resourceLogs as [DecodedRequest['resourceLogs'][0]];
    const [{ scope, schemaUrl, logRecords }] = scopeLogs as [(typeof scopeLogs)[0]];
    assert.equal(scope.name, 'imdswatch', format);
    assert.equal(schemaUrl, 'https://opentelemetry.io/schemas/1.44.0');
    assert.deepEqual(plainAttributes(resource.attributes), {
      'host.id': 'i-0123456789abcdef0',
      'host.name': 'web-1',
      'cloud.provider': 'aws',
      'cloud.platform': 'aws_ec2',
      'cloud.account.id': '123456789012',
      'imdswatch.host.tag.team': 'a',
    });
    const [record] = logRecords as [(typeof logRecords)[0]];
    assert.equal(record.timeUnixNano, '1795334400120034000');
    assert.equal(record.severityNumber, 17);
    assert.equal(record.eventName, 'imdswatch.imds.call');
    const attributes = plainAttributes(record.attributes);
    assert.equal(attributes['http.request.method'], '_OTHER');
    assert.equal(attributes['http.request.method_original'], 'FETCH');
    assert.equal(attributes['process.creation.time'], '2026-11-22T08:00:00.120000Z');
    assert.equal(attributes['process.user.id'], 1000n);
    assert.equal(attributes['process.parent_pid'], 4300n);
    assert.equal(attributes['process.executable.name'], 'curl');
    assert.equal(attributes['imdswatch.process.comm'], 'curl');
    assert.equal(attributes['container.runtime.name'], 'containerd');
    assert.equal(attributes['k8s.namespace.name'], 'n');
    const duration = attributes['imdswatch.duration'];
    assert.ok(typeof duration === 'number' && Math.abs(duration - 1) < 1e-12, 'a double, though it is whole');
    assert.equal(attributes['imds.version'], 1n);
    assert.ok(!Object.keys(attributes).includes('service.instance.id'));
  }
});

test('the JSON form has integers of 64 bits as texts and enumerations as numbers', () => {
  const line = otlpJsonLine(valuesOf([callItem({ process: null, duration_ms: 0 })]));
  assert.ok(!line.includes('\n'));
  const { resourceLogs } = JSON.parse(line);
  const [record] = resourceLogs[0].scopeLogs[0].logRecords;
  assert.match(record.timeUnixNano, /^\d{19}$/);
  assert.equal(typeof record.severityNumber, 'number');
  const valueOfKey = (key: string) =>
    record.attributes.find((each: { key: string }) => each.key === key)?.value;
  assert.deepEqual(valueOfKey('imds.version'), { intValue: '1' });
  assert.deepEqual(valueOfKey('imdswatch.duration'), { doubleValue: 0 });
});

test('calls have the severity of their rating', () => {
  const levels = [
    [{ 'imds.version': 2 }, 9],
    [{}, 13],
    [{ 'imds.category': 'credentials' }, 17],
    [{ 'imds.category': 'credentials', 'http.response.status_code': 404 }, 13],
    [{ outcome: 'blocked', 'imds.version': null }, 9],
    [{ answered_by: 'host', 'imds.category': 'credentials' }, 9],
  ] as const;
  for (const [changes, level] of levels) {
    const [value] = valuesOf([callItem({ ...changes })]);
    assert.equal(value?.severity_number, level, JSON.stringify(changes));
  }
});

test('an answer with a partial success says how many records were not taken', async () => {
  const said = { rejected: 3, message: 'too old' };
  assert.deepEqual(await decodeOtlpAnswer(encodedAnswer(3, 'too old'), 'protobuf'), said);
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const asText = { partialSuccess: { rejectedLogRecords: '3', errorMessage: 'too old' } };
  assert.deepEqual(await decodeOtlpAnswer(json(asText), 'json'), said);
  const none = { rejected: 0, message: '' };
  assert.deepEqual(await decodeOtlpAnswer(json({}), 'json'), none);
  assert.deepEqual(await decodeOtlpAnswer(new Uint8Array(), 'protobuf'), none);
  assert.deepEqual(await decodeOtlpAnswer(new TextEncoder().encode('<html>'), 'json'), none);
  assert.deepEqual(await decodeOtlpAnswer(new Uint8Array([255, 255, 255]), 'protobuf'), none);
});

function summary(value: OtlpValue): string {
  return JSON.stringify([
    ...[`${value.time_us}000`, `${value.observed_us}000`, value.severity_number, value.severity_text],
    ...[value.event_name, value.body, comparable(value.resource), comparable(value.attributes)],
  ]);
}

/** Orders keys, and writes integers and doubles alike: the test of types is another one. */
function comparable(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'number')
    return Number(value.toPrecision(12)) < 1e-300 ? 0 : Number(value.toPrecision(12));
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => [key, comparable(each)]);
}

/** Fields with their default are written by some and left out by others, which is the same in protobuf. */
function withoutDefaults(value: unknown): unknown {
  if (typeof value === 'number') return comparable(value);
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null) return value;
  const known = Object.entries(value).filter(
    ([key, each]) =>
      !(key.startsWith('dropped') && each === 0) && !(Array.isArray(each) && each.length === 0),
  );
  return Object.fromEntries(known.map(([key, each]) => [key, withoutDefaults(each)]));
}
