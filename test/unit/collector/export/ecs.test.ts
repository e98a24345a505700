/** Documents of ECS: all fields are published ones with their types, or our own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ecs } from '../../../../collector/export/ecs.ts';
import type { ExportItem } from '../../../../collector/export/item.ts';
import type { Call } from '../../../../protocol/call.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { ecsErrors } from '../../../support/collector/export/ecs_fields.ts';
import { generatedItem } from '../../../support/collector/export/generated_records.ts';

// biome-ignore lint/suspicious/noExplicitAny: the tests read fields of many kinds of documents.
type Document = any;

const documentOf = (item: ExportItem): Document => {
  const values = ecs.toValues(item);
  assert.equal(values.length, 1);
  const document = JSON.parse(JSON.stringify(values[0])) as Document;
  assert.deepEqual(ecsErrors(document), [], JSON.stringify(document));
  return document;
};
const callDocument = (changes: Partial<Call> = {}, stored: string | null = null) =>
  documentOf({ stream: 'calls', call: { ...makeCall(changes), offender: '0123456789abcdef' }, stored });

test('every record of every stream makes a document with fields of ECS 9.4 only, and our own', () => {
  const property = fc.property(generatedItem, (item) => {
    const document = documentOf(item);
    assert.equal(document.data_stream.dataset, `imdswatch.${item.stream}`);
  });
  fc.assert(property, { numRuns: 80 });
});

test('the check of the fields sees what is wrong', () => {
  const document = callDocument();
  assert.match(ecsErrors({ ...document, hosts: 'x' }).join(), /hosts is no field/);
  assert.match(ecsErrors({ ...document, source: { ip: 'web-1' } }).join(), /source.ip .* is no ip/);
  assert.match(
    ecsErrors({ ...document, event: { ...document.event, category: 'web' } }).join(),
    /is no array/,
  );
  assert.match(ecsErrors({ ...document, event: { ...document.event, kind: 'call' } }).join(), /not allowed/);
  assert.match(
    ecsErrors({ ...document, event: { ...document.event, type: ['group'] } }).join(),
    /fits no category/,
  );
  assert.match(ecsErrors({ ...document, imds: { 'a.b': 1 } }).join(), /has a dot/);
});

test('a call has the values that rules of detection look for', () => {
  const document = callDocument(
    {
      time: '2026-11-22T08:00:00.120934Z',
      'imds.category': 'credentials',
      'imds.fallback': 'token_refused',
      duration_ms: 1.25,
      host: {
        ...{ id: 'i-0123456789abcdef0', name: 'web-1', 'cloud.account.id': '123456789012', type: 'm5.large' },
        tags: { 'team.name': 'a' },
      },
      k8s: { 'pod.uid': 'u', 'pod.name': 'p', 'namespace.name': 'n', 'container.name': 'c' },
    },
    '2026-11-22T08:00:01.000000Z',
  );
  assert.equal(document['@timestamp'], '2026-11-22T08:00:00.120934Z');
  const { event } = document;
  assert.deepEqual([event.kind, event.category, event.type], ['event', ['network', 'web'], ['access']]);
  assert.deepEqual(
    [event.action, event.outcome, event.reason],
    ['imdsv1-credentials', 'success', 'token_refused'],
  );
  assert.equal(event.duration, 1_250_000);
  assert.equal(event.ingested, '2026-11-22T08:00:01.000000Z');
  assert.deepEqual(document.orchestrator, {
    ...{ type: 'kubernetes', namespace: 'n' },
    resource: { type: 'pod', name: 'p', id: 'u' },
  });
  assert.deepEqual(document.labels, { team_name: 'a' });
  assert.deepEqual(document.user, { id: '1000', name: 'app' });
  assert.equal(document.process.parent.pid, 4300);
  assert.equal(document.process.args_count, 3);
  assert.equal(document.cloud.instance.id, 'i-0123456789abcdef0');
  assert.equal(document.cloud.machine.type, 'm5.large');
  assert.deepEqual(document.related.hosts, ['i-0123456789abcdef0', 'web-1']);
  assert.equal(document.ecs.version, '9.4.0');
});

test('what was blocked or only partly seen is no success', () => {
  const blocked = callDocument({
    outcome: 'blocked',
    'imds.version': null,
    'http.response.status_code': null,
  });
  assert.deepEqual([blocked.event.category, blocked.event.type], [['network'], ['connection', 'denied']]);
  const outcomes = [
    [{ outcome: 'truncated' }, 'unknown'],
    [{ outcome: 'unanswered', 'http.response.status_code': null }, 'failure'],
    [{ 'http.response.status_code': 404 }, 'success'],
    [{ 'http.response.status_code': 401 }, 'failure'],
  ] as const;
  for (const [changes, outcome] of outcomes) assert.equal(callDocument(changes).event.outcome, outcome);
});
