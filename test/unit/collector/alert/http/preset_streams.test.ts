/**
 * Sends records of every kind by the presets that take streams, in every shape that they offer, to a stand-in of the receiver
 * that refuses what the real one would refuse.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { servedPresets } from '../../../../../collector/alert/http/presets.ts';
import { StreamRequest } from '../../../../../collector/alert/http/stream_request.ts';
import type { ShapeName, StreamName } from '../../../../../collector/contract/export.ts';
import type { RequestDefinition } from '../../../../../collector/contract/http_request.ts';
import type { ExportItem } from '../../../../../collector/export/item.ts';
import { kept } from '../../../../support/collector/alert/channel_bench.ts';
import { httpReceiver } from '../../../../support/collector/alert/http_receiver.ts';
import { valuesOf } from '../../../../support/collector/alert/preset_bench.ts';
import { RECEIVERS } from '../../../../support/collector/alert/receivers.ts';
import {
  elasticBulk,
  plainBody,
  type Receiver,
  splunkHec,
} from '../../../../support/collector/alert/siem_receivers.ts';
import { generatedCall } from '../../../../support/collector/export/generated_calls.ts';
import { generatedAudit, generatedFinding } from '../../../../support/collector/export/generated_records.ts';

const ITEMS: Record<string, fc.Arbitrary<ExportItem>> = {
  calls: generatedCall.map((call) => ({ stream: 'calls', call })),
  findings: generatedFinding.map((finding) => ({ stream: 'findings', finding })),
  audit: generatedAudit.map((entry) => ({ stream: 'audit', entry })),
};
const LINES: Receiver = (request) => {
  const lines = plainBody(request).trimEnd().split('\n');
  const isRight = request.headers['content-type']!.startsWith('application/x-ndjson');
  return { status: isRight && lines.every((line) => typeof JSON.parse(line) === 'object') ? 200 : 400 };
};

async function open(
  preset: string,
  stream: StreamName,
  { receiver: judge, shape, values = {} }: { receiver: Receiver; shape?: ShapeName; values?: object },
) {
  const cut: string[] = [];
  const receiver = kept(
    await httpReceiver((response, number) => {
      const answer = judge(receiver.received[number - 1]!);
      cut.push(...(answer.cut ?? []));
      const text = preset === 'otlp' ? '' : JSON.stringify(answer.body ?? null);
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
    }),
  );
  const url = `http://127.0.0.1:${receiver.port}`;
  const request: RequestDefinition = shape === undefined ? {} : { shape };
  const config = {
    ...{ kind: 'http' as const, preset, values: { ...valuesOf(preset, url), ...values }, request },
  };
  const sender = await StreamRequest.open(
    config,
    stream,
    async () => [{ address: '127.0.0.1', family: 4 }],
    Date.now,
  );
  /** Sends all, in as many requests as they need. Returns what failed. */
  const send = async (items: readonly ExportItem[]) => {
    const failed: string[] = [];
    const outgoing = items.map((item, at) => sender.outgoing(item, at));
    for (let rest = outgoing; rest.length > 0; ) {
      const some = rest.slice(0, sender.countOf(rest));
      failed.push(...some.flatMap(({ error }) => error ?? []));
      try {
        const answer = await sender.send(some, AbortSignal.timeout(60_000));
        failed.push(...answer.failed.map(({ error }) => error));
      } catch (error) {
        failed.push((error as Error).message);
      }
      rest = rest.slice(some.length);
    }
    return failed;
  };
  return { send, cut, received: receiver.received, close: () => sender.close() };
}

for (const { name: preset, shapes } of await servedPresets()) {
  for (const stream of ['calls', 'findings', 'audit'] as const) {
    for (const shape of shapes[stream] ?? []) {
      test(`${preset}: ${stream} as ${shape} are accepted, whatever is in them`, async () => {
        const receiver = preset === 'webhook' ? LINES : RECEIVERS[preset]!;
        const opened = await open(preset, stream, { receiver, shape });
        const property = fc.asyncProperty(
          fc.array(ITEMS[stream]!, { minLength: 1, maxLength: 30 }),
          async (items) => assert.deepEqual(await opened.send(items), []),
        );
        await fc.assert(property, { numRuns: 5 });
        opened.close();
        // Azure cuts a value of more than 64 KB: the columns beside the record are never so long.
        assert.deepEqual(
          opened.cut.filter((name) => name !== 'Record'),
          [],
        );
      });
    }
  }
}

const [CALL] = fc.sample(ITEMS['calls']!, { numRuns: 1, seed: 7 }) as [ExportItem];

test('Splunk: what its codes say decides whether the record is given up or the destination waits', async () => {
  const rows: [Parameters<typeof splunkHec>[0], object, RegExp][] = [
    [{ token: 'other' }, {}, /HTTP 403: the token is invalid/],
    [{ token: 'T0PSECRETTOKEN', indexes: ['main'] }, { index: 'aws' }, /HTTP 400: the token may not write/],
    [{ token: 'T0PSECRETTOKEN', hasAck: true }, {}, /HTTP 400: the token wants a channel/],
    [{ token: 'T0PSECRETTOKEN', isBusy: () => true }, {}, /HTTP 503: the server is busy/],
  ];
  for (const [options, values, expected] of rows) {
    const { send, close } = await open('splunk', 'calls', { receiver: splunkHec(options), values });
    assert.match((await send([CALL])).join(), expected);
    close();
  }
  const channel = '0b8ff3ff-98c5-4d3a-8f5c-0f0f6a1a0001';
  const receiver = splunkHec({ token: 'T0PSECRETTOKEN', hasAck: true });
  const { send, close } = await open('splunk', 'calls', { receiver, values: { channel } });
  assert.deepEqual(await send([CALL]), []);
  close();
});

test('the stand-ins refuse what the contracts do not allow', () => {
  const post = (preset: string, path: string, headers: Record<string, string>, body: string) =>
    RECEIVERS[preset]!({ method: 'POST', path, headers, body: Buffer.from(body) });
  const hec = (
    body: string,
    headers: Record<string, string> = { authorization: 'Splunk T0PSECRETTOKEN' },
  ) => {
    const { status, body: answer } = post('splunk', '/services/collector/event', headers, body);
    return [status, (answer as { code: number } | undefined)?.code];
  };
  const event = (more: object) =>
    JSON.stringify({ time: 1, host: 'h', source: 's', sourcetype: 't', ...more });
  assert.deepEqual(hec(event({ event: { a: '}{' } }) + event({ event: 'x' })), [200, 0]);
  assert.deepEqual(hec(''), [400, 5]);
  assert.deepEqual(hec(`[${event({ event: 1 })}`), [400, 6]);
  assert.deepEqual(hec(event({ event: 1, other: 1 })), [400, 6]);
  assert.deepEqual(hec(event({})), [400, 12]);
  assert.deepEqual(hec(event({ event: '' })), [400, 13]);
  assert.deepEqual(hec(event({ event: 1, fields: { a: {} } })), [400, 15]);
  assert.deepEqual(hec(event({ event: 'x'.repeat(1_000_000) })), [413, undefined]);
  assert.deepEqual(hec(event({ event: 1 }), {}), [401, 2]);
  assert.deepEqual(hec(event({ event: 1 }), { authorization: 'Bearer T0PSECRETTOKEN' }), [401, 3]);

  const log = { ddsource: 'a', ddtags: '', service: 'a', hostname: 'h', message: 'm' };
  const datadog = (logs: unknown, key = 'T0PSECRETKEY') =>
    post(
      'datadog',
      '/api/v2/logs',
      { 'dd-api-key': key, 'content-type': 'application/json' },
      JSON.stringify(logs),
    );
  assert.equal(datadog([log]).status, 202);
  assert.equal(datadog(Array(1001).fill(log)).status, 400);
  assert.equal(datadog([]).status, 400);
  assert.equal(datadog([{ ...log, message: 'x'.repeat(5_000_000) }]).status, 413);
  assert.deepEqual(datadog([{ ...log, message: 'x'.repeat(1_000_001) }]).cut, ['message']);
  assert.equal(datadog([log], 'other').status, 403);

  const azure = (stream: string, rows: unknown) =>
    post(
      'sentinel',
      `/dataCollectionRules/dcr-${'0'.repeat(32)}/streams/${stream}?api-version=2023-01-01`,
      { authorization: 'Bearer T0PSECRET-access' },
      JSON.stringify(rows),
    ).status;
  const row = {
    TimeGenerated: '2026-01-01T00:00:00Z',
    EntryId: 1,
    Actor: 'a',
    Action: 'x',
    Subject: 's',
    Record: {},
  };
  assert.equal(azure('Custom-ImdswatchAudit_CL', [row]), 204);
  assert.equal(azure('Custom-ImdswatchAudit_CL', [{ ...row, Unknown: 1 }]), 400);
  assert.equal(azure('Custom-ImdswatchAudit_CL', [{ ...row, TimeGenerated: 'now' }]), 400);
  assert.equal(azure('Custom-Other_CL', [row]), 404);
  assert.equal(azure('Custom-ImdswatchAudit_CL', Array(9000).fill({ ...row, Detail: 'x'.repeat(100) })), 413);

  const elastic = elasticBulk({ apiKey: 'k' });
  const bulk = (body: string, type = 'application/x-ndjson') =>
    elastic({
      ...{ method: 'POST', path: '/logs-a-b/_bulk', body: Buffer.from(body) },
      headers: { authorization: 'ApiKey k', 'content-type': type },
    });
  const lines = (action: object, document: object) =>
    `${JSON.stringify(action)}\n${JSON.stringify(document)}\n`;
  const dated = { '@timestamp': '2026-01-01T00:00:00Z' };
  const statusOf = ({ body }: ReturnType<typeof bulk>) =>
    (body as { items: { create: { status: number } }[] }).items.map(({ create }) => create.status);
  assert.deepEqual(statusOf(bulk(lines({ create: { _id: '1' } }, dated))), [201]);
  assert.deepEqual(statusOf(bulk(lines({ create: { _id: '1' } }, dated))), [409]);
  assert.deepEqual(statusOf(bulk(lines({ index: { _id: '2' } }, dated))), [400]);
  assert.deepEqual(statusOf(bulk(lines({ create: { _id: '2' } }, {}))), [400]);
  assert.deepEqual(statusOf(bulk(lines({ create: { _id: '2' } }, { ...dated, source: { ip: 'x' } }))), [400]);
  assert.equal(bulk(lines({ create: { _id: '2' } }, dated).trimEnd()).status, 400);
  assert.equal(bulk(lines({ create: { _id: '2' } }, dated), 'text/plain').status, 406);
});
