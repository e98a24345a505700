/**
 * Bounds on what one host may add to the store. Beyond them records are merged, counted and shown, and other
 * hosts are not affected.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, test } from 'node:test';
import { v7 as uuidv7 } from 'uuid';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { OTHER_WORKLOADS } from '../../../../collector/store/sqlite/callers.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { MAX_GAPS_OF_DAY } from '../../../../collector/store/sqlite/gap_rows.ts';
import { MAX_BOOTS } from '../../../../collector/store/sqlite/gap_writer.ts';
import { DAILY } from '../../../../collector/store/sqlite/host_bounds.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import type { StoredBatch, StoredRecord } from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Coverage } from '../../../../protocol/records.ts';
import {
  ALL,
  ALL_CALLS,
  call,
  EVER,
  host,
  idsIn,
  program,
} from '../../../support/collector/store/records.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;
const FLOOD = host('flood');
const HONEST = host('honest');

let database: DatabaseSync;
let writer: FindingsWriter;
let reader: FindingsReader;
let nowUs: number;
beforeEach(() => {
  database = new DatabaseSync(':memory:');
  for (const step of FINDINGS.migrations) {
    if (typeof step === 'string') database.exec(step);
    else step(database);
  }
  nowUs = NOW_US;
  writer = new FindingsWriter(database, () => nowUs);
  reader = new FindingsReader(database);
});

const seqs = new Map<string, number>();
function write(
  of: typeof FLOOD,
  records: StoredRecord[],
  callers: StoredBatch['callers'] = [],
  more = {},
): void {
  const stream = `${of.id} ${runId}`;
  const seq = (seqs.get(stream) ?? 0) + 1;
  seqs.set(stream, seq);
  const [result] = writer.write(pack([{ stream, seq, host: of, callers, records, ...more }]));
  assert.equal(result!.result, 'stored');
}
let runId = '';
beforeEach(() => {
  runId = randomUUID();
});

function coverage(
  of: typeof FLOOD,
  startUs: number,
  endUs: number,
  changes: Partial<Coverage> = {},
): StoredRecord {
  return {
    kind: 'coverage',
    coverage: {
      id: uuidv7(),
      host_id: of.id,
      boot_id: 'one',
      start: toTimestamp(startUs),
      end: toTimestamp(endUs),
      live_ms: (endUs - startUs) / 1000,
      kernel_connections: 0,
      seen_connections: 0,
      losses: {},
      ...changes,
    },
  };
}

const rows = (table: string, where = '1') =>
  Number(database.prepare(`SELECT count(*) AS count FROM ${table} WHERE ${where}`).get()!['count']);
const inChunks = function* <T>(count: number, make: (index: number) => T): Generator<T[]> {
  for (let at = 0; at < count; at += 1000) {
    yield Array.from({ length: Math.min(1000, count - at) }, (_, index) => make(at + index));
  }
};
const notKept = async (of: typeof FLOOD) =>
  (await reader.coverage(EVER, [of.id]))[0]!.gaps.filter(({ reason }) => reason === 'not_kept');

test('a day and a half of reports that were kept while offline: no bound, no gap', async () => {
  const minutes = 36 * 60;
  const startUs = NOW_US - minutes * 60_000_000;
  for (const chunk of inChunks(minutes, (index) => index)) {
    write(
      HONEST,
      chunk.map((index) =>
        coverage(HONEST, startUs + index * 60_000_000, startUs + (index + 1) * 60_000_000),
      ),
    );
  }
  const [of] = await reader.coverage(EVER, [HONEST.id]);
  assert.deepEqual([of!.gaps, of!.lastUs], [[], NOW_US]);
});

test('reports with a loss each, every 20 s of two weeks: few gaps, and they cover every one of the losses', async () => {
  const startUs = NOW_US - 14 * DAY_US;
  const stepUs = 20_000_000;
  const reports = Math.floor((14 * DAY_US) / stepUs);
  const starts: number[] = [];
  for (const chunk of inChunks(reports, (index) => startUs + index * stepUs)) {
    starts.push(...chunk);
    write(
      FLOOD,
      chunk.map((at) => coverage(FLOOD, at, at + 1000, { losses: { x: 1 } })),
    );
  }
  assert.ok(rows('coverage') <= DAILY.coverage_reports, `${rows('coverage')} reports`);
  const reasons = 3;
  const gapRows = rows('gaps');
  assert.ok(gapRows <= reasons * 16 * MAX_GAPS_OF_DAY, `${gapRows} gaps`);
  const [of] = await reader.coverage(EVER, [FLOOD.id]);
  const losses = of!.gaps.filter(({ reason }) => reason === 'losses');
  const stored = Math.min(reports, DAILY.coverage_reports);
  for (const at of starts.slice(0, stored)) {
    assert.ok(
      losses.some((gap) => gap.startUs <= at && gap.endUs >= at + 1000),
      `the loss at ${at}`,
    );
  }
  const [gap] = await notKept(FLOOD);
  assert.match(gap!.detail!, /gaps \d+/);
  assert.deepEqual([gap!.startUs, gap!.endUs], [NOW_US, NOW_US]);
});

test('a boot with every report: the latest are kept', async () => {
  const boots = MAX_BOOTS + 500;
  for (const chunk of inChunks(boots, (index) => index)) {
    write(
      FLOOD,
      chunk.map((index) => {
        const at = NOW_US - (boots - index) * 1_000_000;
        return coverage(FLOOD, at, at + 1_000_000, { boot_id: `boot ${index}` });
      }),
    );
  }
  assert.equal(rows('boots'), MAX_BOOTS);
  assert.equal(rows('boots', `boot_id = 'boot ${boots - 1}'`), 1);
  assert.match((await notKept(FLOOD))[0]!.detail!, /boots 500/);
});

test('endless new workloads: a bounded number, then one row for the others, and every call counts with its version', async () => {
  const workloads = DAILY.workloads + 1500;
  for (const chunk of inChunks(workloads, (index) => index)) {
    write(
      FLOOD,
      chunk.map((_, caller) => call(NOW_US, { 'imds.version': 1 }, caller)),
      chunk.map((index) => program(`p${index}`)),
    );
  }
  write(HONEST, [call(NOW_US, { 'imds.version': 1 })], [program('p5000')]);
  assert.equal(rows('identities'), DAILY.workloads + 2);
  const totals = await reader.identityTotals(ALL);
  assert.equal(
    totals
      .flatMap(({ kinds }) => kinds)
      .reduce((sum, { count, version }) => sum + (version === 1 ? count : 0), 0),
    workloads + 1,
    'every call without a token counts',
  );
  const others = totals.find(({ identity }) => identity.name === OTHER_WORKLOADS)!;
  assert.equal(others.identity.hostId, FLOOD.id);
  assert.equal(
    others.kinds.reduce((sum, { count }) => sum + count, 0),
    1500,
  );
  assert.match((await notKept(FLOOD))[0]!.detail!, /workloads 1500/);
  assert.deepEqual(await notKept(HONEST), []);
  // The workloads that it has are told apart as before, and the next day has room for new ones.
  write(FLOOD, [call(NOW_US)], [program('p7')]);
  assert.equal(rows('identities'), DAILY.workloads + 2);
  nowUs += DAY_US;
  write(FLOOD, [call(nowUs)], [program('tomorrow')]);
  assert.equal(rows('identities'), DAILY.workloads + 3);
});

test('the bound outlives a restart of the collector', () => {
  for (const chunk of inChunks(DAILY.workloads, (index) => index)) {
    write(
      FLOOD,
      chunk.map((_, caller) => call(NOW_US, {}, caller)),
      chunk.map((index) => program(`p${index}`)),
    );
  }
  writer = new FindingsWriter(database, () => nowUs);
  write(
    FLOOD,
    Array.from({ length: 500 }, (_, caller) => call(NOW_US, {}, caller)),
    Array.from({ length: 500 }, (_, index) => program(`again${index}`)),
  );
  assert.ok(rows('identities') <= DAILY.workloads * 1.02 + 1, `${rows('identities')} workloads`);
});

test('endless roles, user agents, methods and statuses: other hosts keep theirs', async () => {
  const made = 3000;
  for (const chunk of inChunks(made, (index) => index)) {
    write(
      FLOOD,
      chunk.map((index) =>
        call(NOW_US, {
          'imds.version': 1,
          'imds.role': `role-${index}`,
          'user_agent.original': `agent/${index}`,
          'http.request.method': `M${index}`,
          'http.response.status_code': 100 + (index % 900),
          'url.path': `/${index}`,
        }),
      ),
      [program('flood')],
    );
  }
  write(
    HONEST,
    [call(NOW_US, { 'imds.role': 'mine', 'user_agent.original': 'curl/8' })],
    [program('honest')],
  );
  assert.ok(rows('kinds') <= DAILY.kinds + 50, `${rows('kinds')} kinds`);
  assert.ok(rows('user_agents') <= DAILY.user_agents + 2);
  assert.ok(rows('shapes') <= DAILY.shapes + 10);
  assert.ok(rows('paths_v1') <= 102);
  const totals = await reader.hostTotals({ ...ALL, hosts: await idsIn(reader) });
  const mine = totals.find(({ hostId, identity }) => hostId === HONEST.id && identity !== null)!;
  assert.deepEqual([mine.kinds[0]!.role, mine.kinds[0]!.userAgent], ['mine', 'curl/8']);
  const flood = totals.filter(({ hostId, identity }) => hostId === FLOOD.id && identity !== null);
  assert.equal(
    flood.flatMap(({ kinds }) => kinds).reduce((sum, { count }) => sum + count, 0),
    made,
  );
  assert.match((await notKept(FLOOD))[0]!.detail!, /kinds \d+/);
});

test('calls dated to every hour of history: sums stay bounded, and the calls count when they came', async () => {
  const hours = DAILY.sums + 4000;
  for (const chunk of inChunks(hours, (index) => index)) {
    write(
      FLOOD,
      chunk.map((index) => call((index + 1) * HOUR_US, { 'imds.version': 1 })),
      [program('flood')],
    );
  }
  assert.ok(rows('hourly') <= DAILY.sums + 1001, `${rows('hourly')} rows`);
  const window = { sinceUs: NOW_US - HOUR_US, untilUs: NOW_US + HOUR_US };
  const [recent] = await reader.identityTotals({ ...ALL, window });
  assert.ok(recent!.kinds[0]!.count >= 3000, 'what is beyond the bound is of now');
  assert.equal(recent!.kinds[0]!.version, 1);
});

test('a page of calls ends early where their processes have long descriptions, and nothing is left out', async () => {
  const long = (index: number) => {
    const facts = program(`p${index}`);
    facts.process!.command_args = Array.from({ length: 8 }, () => 'x'.repeat(4096));
    facts.process!.ancestors = Array.from({ length: 64 }, (_, pid) => ({
      pid: pid + 1,
      name: 'sh',
      'executable.path': '/bin/sh',
      command_args: ['y'.repeat(4096)],
    }));
    return facts;
  };
  const made = 60;
  write(
    FLOOD,
    Array.from({ length: made }, (_, index) => call(NOW_US + index, { 'url.path': `/${index}` }, index)),
    Array.from({ length: made }, (_, index) => long(index)),
  );
  const paths: (string | null)[] = [];
  let pages = 0;
  for (let cursor: string | null = null; pages === 0 || cursor !== null; pages += 1) {
    const page = await reader.calls(ALL_CALLS, 1000, cursor);
    assert.ok(JSON.stringify(page).length < 10_000_000);
    paths.push(...page.calls.map((of) => of['url.path']));
    cursor = page.next;
  }
  assert.ok(pages > 1, `${pages} pages`);
  assert.deepEqual(
    paths,
    Array.from({ length: made }, (_, index) => `/${made - 1 - index}`),
  );
});

test('records that were refused leave a gap that is never tolerated', async () => {
  write(HONEST, [coverage(HONEST, NOW_US - DAY_US, NOW_US)], [], { leftOut: 3 });
  const [gap] = await notKept(HONEST);
  assert.equal(gap!.detail, 'refused_records 3');
});
