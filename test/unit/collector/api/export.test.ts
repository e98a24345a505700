/** Exports whole results as CSV for spreadsheets and as NDJSON for scripts. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import * as z from 'zod';
import { columnsOf, csvHead, csvLine } from '../../../../collector/api/csv.ts';
import { servedCall } from '../../../../collector/contract/served_call.ts';
import { type ApiBench, CALLS, startApi } from '../../../support/collector/api/api_bench.ts';
import { makeOffender } from '../../../support/collector/api/findings.ts';
import { ecsErrors } from '../../../support/collector/export/ecs_fields.ts';
import { ocsfErrors } from '../../../support/collector/export/ocsf_schema.ts';
import { type DecodedRequest, plainAttributes } from '../../../support/collector/export/otlp_messages.ts';
import { eventually } from '../../../support/collector/stored.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

/** Reads RFC 4180 strictly. Throws for a text that a strict reader would refuse. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let at = 0;
  while (at < text.length) {
    const row: string[] = [];
    for (;;) {
      let cell = '';
      if (text[at] === '"') {
        at += 1;
        for (;;) {
          assert.ok(at < text.length, 'a quote that does not end');
          if (text[at] !== '"') cell += text[at++];
          else if (text[at + 1] === '"') {
            cell += '"';
            at += 2;
          } else break;
        }
        at += 1;
      } else {
        while (at < text.length && !/[",\r\n]/.test(text[at]!)) cell += text[at++];
        assert.notEqual(text[at], '"', 'a quote in a plain cell');
      }
      row.push(cell);
      if (text[at] !== ',') break;
      at += 1;
    }
    assert.equal(text.slice(at, at + 2), '\r\n');
    at += 2;
    rows.push(row);
  }
  return rows;
}

test('calls as NDJSON: all calls, over all pages of the store', async () => {
  const response = await api.ask('/api/v1/calls?format=ndjson&limit=10');
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson; charset=utf-8');
  const lines = (await response.text()).trimEnd().split('\n');
  assert.equal(lines.length, CALLS);
  const paths = new Set(lines.map((line) => servedCall.strict().parse(JSON.parse(line))['url.path']));
  assert.equal(paths.size, CALLS);
});

test('calls in the shapes of other systems: all calls, each shape valid', async () => {
  const lines = async (format: string) => {
    const response = await api.ask(`/api/v1/calls?format=${format}&limit=10`);
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson; charset=utf-8');
    assert.match(
      response.headers.get('content-disposition')!,
      new RegExp(`imdswatch-calls\\.${format}\\.ndjson`),
    );
    return (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  };
  const events = await lines('ocsf');
  assert.equal(new Set(events.map(({ metadata }) => metadata.uid)).size, CALLS);
  for (const event of events) assert.deepEqual(ocsfErrors(event), []);
  const documents = await lines('ecs');
  assert.equal(new Set(documents.map(({ event }) => event.id)).size, CALLS);
  for (const document of documents) assert.deepEqual(ecsErrors(document), []);
  const requests: DecodedRequest[] = await lines('otlp');
  const ids = requests.flatMap(({ resourceLogs }) =>
    resourceLogs.flatMap(({ scopeLogs }) =>
      scopeLogs.flatMap(({ logRecords }) =>
        logRecords.map(({ attributes }) => plainAttributes(attributes)['log.record.uid']),
      ),
    ),
  );
  assert.equal(new Set(ids).size, CALLS);
  assert.ok(requests.length < CALLS / 10, 'a line has many records');

  assert.equal((await api.ask('/api/v1/calls?format=asff')).status, 400);
  assert.equal((await api.ask('/api/v1/hosts?format=ocsf')).status, 400);
});

test('calls as CSV: a column for each field, every call a row', async () => {
  const response = await api.ask('/api/v1/calls', {
    headers: { Accept: 'text/csv, application/json;q=0.5' },
  });
  assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8');
  assert.match(response.headers.get('content-disposition')!, /^attachment; filename="imdswatch-calls\.csv"$/);
  const [head, ...rows] = parseCsv(await response.text());
  assert.equal(rows.length, CALLS);
  for (const column of ['time', 'url.path', 'process.executable.path', 'host.id', 'offender']) {
    assert.ok(head!.includes(column), column);
  }
  assert.ok(rows.every((row) => row.length === head!.length));
});

test('offenders and hosts: the whole result, filtered and sorted like a page', async () => {
  const [, ...offenders] = parseCsv(
    await (await api.ask('/api/v1/offenders?format=csv&limit=1&severity=v1&sort=-calls_v1')).text(),
  );
  assert.equal(offenders.length, 5);
  const hosts = await (await api.ask('/api/v1/hosts?format=ndjson&state=silent')).text();
  assert.equal(hosts.trimEnd().split('\n').length, 12);
  assert.equal((await api.ask('/api/v1/hosts', { headers: { Accept: 'text/html, */*' } })).status, 200);
});

test('a name that a spreadsheet would run as a formula stays text; numbers stay numbers', async () => {
  const insight = api.parts.views.of(null).insight.fresh;
  const { offenders } = insight;
  insight.offenders = async () => [
    makeOffender(1, { title: '=HYPERLINK("http://evil")', user_agents: ['@SUM(1)'], script: '+1' }),
    makeOffender(2, { title: '-2+3', user_agents: ['a', 'b'], calls_v1: 7 }),
  ];
  try {
    const [head, first, second] = parseCsv(await (await api.ask('/api/v1/offenders?format=csv')).text());
    const cell = (row: string[], name: string) => row[head!.indexOf(name)];
    assert.equal(cell(first!, 'title'), `'=HYPERLINK("http://evil")`);
    assert.equal(cell(first!, 'user_agents'), "'@SUM(1)");
    assert.equal(cell(first!, 'script'), "'+1");
    assert.equal(cell(second!, 'title'), "'-2+3");
    assert.equal(cell(second!, 'user_agents'), 'a; b');
    assert.equal(cell(second!, 'calls_v1'), '7');
    assert.equal(cell(second!, 'fallbacks.token_unanswered'), '0');
    assert.equal(cell(second!, 'categories_v1'), '{"credentials":1}');
  } finally {
    insight.offenders = offenders;
  }
});

test('any text is unchanged after CSV, and no cell begins like a formula', () => {
  const columns = columnsOf(
    z.object({ a: z.string().nullable(), b: z.object({ c: z.number() }).nullable() }),
  );
  assert.equal(csvHead(columns), 'a,b.c\r\n');
  const separators = fc.constantFrom(
    ...';|\t\r\n,"\' '.split(''),
    '\u00a0',
    '\ufeff',
    '\u200b',
    '\0',
    '\u0301',
    '\u2028',
  );
  const signs = fc.constantFrom(...'=+-@＝x'.split(''));
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.oneof(separators, signs), { maxLength: 8 }).map((parts) => parts.join('')),
  );
  const withoutApostrophes = (of: string) => of.replaceAll("'", '');
  fc.assert(
    fc.property(text, fc.integer(), (a, c) => {
      const line = csvLine(columns, { a, b: { c } });
      const [row] = parseCsv(line);
      assert.equal(row!.length, 2);
      assert.equal(withoutApostrophes(row![0]!), withoutApostrophes(a));
      assert.equal(row![1], String(c));
      // A program that splits at other characters and ignores our quotes finds no formula either.
      for (const cell of [row![0]!, ...line.slice(0, line.lastIndexOf(',')).split(/[;|\t\r\n\u2028]/)]) {
        assert.doesNotMatch(cell, /^["\p{Z}\p{C}\p{M}]*[=+\-@＝]/u, JSON.stringify(cell));
      }
    }),
    { numRuns: 1000 },
  );
  const cell = (a: string) => csvLine(columns, { a, b: null }).slice(0, -3);
  assert.equal(cell('plain text'), 'plain text');
  for (const [a, written] of [
    ["x;=cmd|' /C calc'!A0;y", `"x;'=cmd|' /C calc'!A0;y"`],
    ['a;b', '"a;b"'],
    ['a\tb', '"a\tb"'],
    ['a|b', '"a|b"'],
    ['a,b', '"a,b"'],
    ['a=b', '"a=b"'],
    ['=1', `"'=1"`],
    ['\u00a0=1', `"'\u00a0=1"`],
    ['\ufeff+1', `"'\ufeff+1"`],
    ['\u200b-1', `"'\u200b-1"`],
    ['\0@1', `"'\0@1"`],
    ['\u2003\u202e=1', `"'\u2003\u202e=1"`],
    ['a\n=1', `"a\n'=1"`],
  ] as const) {
    assert.equal(cell(a), written);
  }
  assert.equal(csvLine(columns, { a: null, b: null }), ',\r\n');
});

test('if the store fails midway, the connection is closed, so that a part is not taken for the whole', async () => {
  const view = api.parts.views.of(null);
  const { calls } = view;
  view.calls = async (filter, limit, cursor) => {
    if (cursor === '2000') throw new Error('the disk is gone');
    return calls(filter, limit, cursor);
  };
  try {
    // If the failure comes before the head of the response was sent, the request itself fails.
    await assert.rejects(async () => (await api.ask('/api/v1/calls?format=ndjson')).text());
    await eventually('the failure is logged', () =>
      api.logged.some(({ msg }) => msg === 'an export failed midway; its connection was closed'),
    );
  } finally {
    view.calls = calls;
  }
});
