/** Tests that a receiver which takes only a part of a request gets the rest, and that each record that it refuses is counted. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { newDestination } from '../../../../collector/contract/destination.ts';
import { httpReceiver } from '../../../support/collector/alert/http_receiver.ts';
import { elasticBulk, plainBody } from '../../../support/collector/alert/siem_receivers.ts';
import { host, stream } from '../../../support/collector/store/records.ts';
import { callsOf, SECRET, StreamBench, write } from '../../../support/collector/streams/stream_bench.ts';

const ended: (() => Promise<void>)[] = [];
after(async () => {
  for (const end of ended.reverse()) await end();
});
function bench(): StreamBench {
  const made = new StreamBench();
  ended.push(() => made.remove());
  return made;
}
async function receiver(answer: Parameters<typeof httpReceiver>[0]) {
  const started = await httpReceiver(answer);
  ended.push(() => started.close());
  return started;
}

for (const form of ['otlp_json', 'otlp_protobuf'] as const) {
  test(`what a receiver of OTLP rejects in a partial success is given up, shown, and not sent again: ${form}`, async () => {
    const b = bench();
    let partial = { rejected: 3, message: `too old, and ${SECRET}` };
    const target = await receiver((response) => answerPartly(response, form, partial));
    const id = await b.add('calls', target.url, {
      shape: 'otlp',
      batch: { form, key: '', max_items: 100, max_bytes: 1e6, max_seconds: 0 },
    });
    const next = stream(host('a'));
    await write(b, [next], 1, 10);
    await b.round();
    await b.round(60);
    assert.equal(target.received.length, 1);
    const { progress, given_up: givenUp, given_up_reason: reason, last_error: error } = await b.progress(id);
    assert.deepEqual([progress!.sent, progress!.behind, givenUp], [7, 0, 3]);
    assert.equal(reason, 'the receiver took only a part: too old, and ****');
    assert.equal(error, 'gave up 3 of 10 records: the receiver took only a part: too old, and ****');
    const { counts } = b.streams.states()[0]!;
    assert.deepEqual([counts.given_up_partial, counts.sent], [3, 7]);

    // A receiver that has taken all may still warn.
    partial = { rejected: 0, message: 'use gzip' };
    await write(b, [next], 1, 5);
    await b.round();
    const after = await b.progress(id);
    assert.deepEqual([after.progress!.sent, after.given_up], [12, 3]);
    assert.equal(after.last_error, 'the receiver took all records, and says: use gzip');
    partial = { rejected: 0, message: '' };
    await write(b, [next], 1, 5);
    await b.round();
    assert.equal((await b.progress(id)).last_error, null);
  });
}

/** Answers with `ExportLogsServiceResponse` (opentelemetry-proto, `logs_service.proto`). */
function answerPartly(
  response: ServerResponse,
  form: 'otlp_json' | 'otlp_protobuf',
  { rejected, message }: { rejected: number; message: string },
) {
  if (form === 'otlp_json') {
    const partialSuccess = { rejectedLogRecords: String(rejected), errorMessage: message };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ partialSuccess }));
    return;
  }
  // Field 1 of the partial success is a varint, field 2 a text. The partial success is field 1 of the response.
  const text = Buffer.from(message);
  const inner = Buffer.concat([Buffer.from([0x08, rejected, 0x12, text.length]), text]);
  const body = Buffer.concat([Buffer.from([0x0a, inner.length]), inner]);
  response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end(body);
}

/** A stream to Elasticsearch, with documents for which the test has another answer. */
async function toElastic(b: StreamBench, judge: NonNullable<Parameters<typeof elasticBulk>[0]['judge']>) {
  const elastic = elasticBulk({ apiKey: 'key-of-the-tests', judge });
  const target = await receiver((response) => {
    const { status: code, body } = elastic(target.received.at(-1)!);
    response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(body ?? null));
  });
  const values = { url: `http://127.0.0.1:${target.port}`, api_key: 'key-of-the-tests' };
  const config = { kind: 'http', preset: 'elastic', values };
  const { id } = await b.destinations.add(newDestination.parse({ name: 'elastic', stream: 'calls', config }));
  await b.round();
  const sentIds = () =>
    target.received.map(({ body, headers }) =>
      plainBody({ body, headers })
        .split('\n')
        .flatMap((line) => JSON.parse(line || '{}').create?._id?.replace('calls-', '') ?? []),
    );
  const storedIds = () => [...elastic.stored.keys()].map((key) => key.split('/calls-')[1]!);
  return { id, sentIds, storedIds };
}

test('Elasticsearch: only the records that it refuses are given up, and only those without room are sent again', async () => {
  const b = bench();
  let [wrong, busy] = [new Set<string>(), new Set<string>()];
  const { id, sentIds, storedIds } = await toElastic(b, (_, name) => {
    const own = name.replace('calls-', '');
    if (wrong.has(own)) return { status: 400, type: 'document_parsing_exception' };
    return busy.has(own) ? { status: 429, type: 'es_rejected_execution_exception' } : null;
  });
  const all = callsOf(await write(b, [stream(host('a'))], 1, 60));
  wrong = new Set([all[7]!, all[50]!]);
  busy = new Set([all[3]!, all[40]!, all[41]!]);
  await b.round();
  const waits = await b.progress(id);
  assert.deepEqual([waits.progress!.sent, waits.progress!.behind, waits.given_up], [0, 60, 0]);
  assert.equal(
    waits.last_error,
    '3 of 60 records: the receiver did not store a record: HTTP 429, es_rejected_execution_exception',
  );
  const again = [...busy];
  busy = new Set();
  await b.round(60);
  assert.deepEqual(sentIds(), [all, again], 'the second request has only those without room');
  const { progress, given_up: givenUp, given_up_reason: reason, last_error: error } = await b.progress(id);
  assert.deepEqual([progress!.sent, progress!.behind, givenUp], [58, 0, 2]);
  assert.equal(reason, 'the receiver did not store a record: HTTP 400, document_parsing_exception');
  assert.match(error!, /^gave up 2 of 60 records: /);
  assert.deepEqual(storedIds().toSorted(), all.filter((each) => !wrong.has(each)).toSorted());
  const { counts } = b.streams.states()[0]!;
  assert.deepEqual([counts.sent, counts.given_up_refused, counts.attempts_failed], [58, 2, 1]);
});

test('Elasticsearch: a restart between two attempts sends all again, and what is there already counts as sent', async () => {
  const b = bench();
  let busy = '';
  const { id, storedIds } = await toElastic(b, (_, name) =>
    name === `calls-${busy}` ? { status: 503, type: 'unavailable_shards_exception' } : null,
  );
  const all = callsOf(await write(b, [stream(host('a'))], 1, 20));
  busy = all[9]!;
  await b.round();
  busy = '';
  await b.close();
  b.open();
  await b.round(60);
  const { progress, given_up: givenUp } = await b.progress(id);
  assert.deepEqual([progress!.sent, progress!.behind, givenUp], [20, 0, 0]);
  assert.deepEqual(storedIds().toSorted(), all.toSorted());
});

test('Elasticsearch: where it refuses record after record, none is given up and the destination waits', async () => {
  const b = bench();
  const { id, sentIds } = await toElastic(b, () => ({ status: 400, type: 'illegal_argument_exception' }));
  await write(b, [stream(host('a'))], 1, 40);
  await b.round();
  const { progress, given_up: givenUp, last_error: error } = await b.progress(id);
  assert.deepEqual([progress!.sent, progress!.behind, givenUp], [0, 40, 0]);
  assert.match(error!, /^20 records were refused one after the other: .*illegal_argument_exception$/);
  await b.round(1800);
  assert.equal(sentIds().length, 1, 'it waits for an hour');
});
