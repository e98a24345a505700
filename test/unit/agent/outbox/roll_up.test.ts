import assert from 'node:assert/strict';
import fs, { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { MAX_LINES_IN_ROLLUP, RollUp } from '../../../../agent/outbox/roll_up.ts';
import { FileJournal } from '../../../../agent/outbox/roll_up_journal.ts';
import { isRoutine } from '../../../../agent/outbox/routine.ts';
import type { Call } from '../../../../protocol/call.ts';
import { type Rollup, rollup as rollupSchema } from '../../../../protocol/records.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-rollup-'));
const rollUps: RollUp[] = [];
after(() => {
  for (const rollUp of rollUps) rollUp.close();
  rmSync(directory, { recursive: true });
});

let journals = 0;
function newPath(): string {
  journals += 1;
  return join(directory, `journal-${journals}`);
}

function open(path = newPath(), maxBytes = 4 * 1024 * 1024) {
  const emitted: Rollup[] = [];
  const journal = new FileJournal({ path, maxBytes, log: pino({ level: 'silent' }) });
  const rollUp = new RollUp({ journal, intervalMs: 3_600_000, emit: (rollup) => emitted.push(rollup) });
  rollUps.push(rollUp);
  return { rollUp, emitted, path };
}

function v2(changes: Partial<Call> = {}): Call {
  return makeCall({ 'imds.version': 2, 'imds.server_version': 2, ...changes });
}

const total = (rollups: Rollup[]) => rollups.reduce((sum, { count }) => sum + count, 0);

test('calls of one caller become one roll-up that adds up and is valid', () => {
  const { rollUp, emitted } = open();
  const times = ['2026-11-22T08:00:05.000001Z', '2026-11-22T08:00:01.5Z', '2026-11-22T08:00:09.000000Z'];
  for (const [index, time] of times.entries())
    rollUp.addCall(v2({ time: time.replace('.5Z', '.50Z'), 'url.path': `/${index % 2}` }));
  assert.equal(emitted.length, 0);
  rollUp.flush();
  assert.equal(emitted.length, 1);
  const [found] = emitted;
  rollupSchema.parse(found);
  assert.equal(found!.count, 3);
  assert.deepEqual(
    found!.lines.map((line) => [line['url.path'], line.count]),
    [
      ['/0', 2],
      ['/1', 1],
    ],
  );
  assert.deepEqual([found!.first_time, found!.last_time], ['2026-11-22T08:00:01.50Z', times[2]]);
});

test('another process, program, user agent, address or certainty is another roll-up', () => {
  const { rollUp, emitted } = open();
  const different: Partial<Call>[] = [
    {},
    { process: processFacts({ pid: 5 }) },
    { process: processFacts({ start_time: '2026-11-22T09:00:00.000000Z' }) },
    { process: processFacts({ 'executable.path': '/usr/bin/wget' }) },
    { process: null, 'attribution.method': 'none', 'attribution.confidence': 'none' },
    { 'user_agent.original': null },
    { 'source.address': '10.0.0.6' },
    { 'attribution.confidence': 'probable' },
  ];
  for (const changes of [...different, ...different]) rollUp.addCall(v2(changes));
  rollUp.flush();
  assert.deepEqual(
    emitted.map(({ count }) => count),
    different.map(() => 2),
  );
});

test('distinct lines are bounded; the rest is counted without path', () => {
  const { rollUp, emitted } = open();
  for (let index = 0; index < 1000; index += 1) rollUp.addCall(v2({ 'url.path': `/${index}` }));
  rollUp.flush();
  assert.equal(emitted[0]!.count, 1000);
  assert.equal(emitted[0]!.lines.length, MAX_LINES_IN_ROLLUP + 1);
  const rest = emitted[0]!.lines.find((line) => line['url.path'] === null);
  assert.equal(rest?.count, 1000 - MAX_LINES_IN_ROLLUP);
});

test('many callers, or a full journal, end the interval early and lose no count', () => {
  const many = open();
  for (let index = 0; index < 1300; index += 1)
    many.rollUp.addCall(v2({ process: processFacts({ pid: index + 1 }) }));
  assert.ok(many.emitted.length >= 1024);
  many.rollUp.flush();
  assert.equal(total(many.emitted), 1300);

  const small = open(newPath(), 4096);
  for (let index = 0; index < 500; index += 1) small.rollUp.addCall(v2());
  assert.ok(readFileSync(small.path).length < 8192);
  small.rollUp.flush();
  assert.equal(total(small.emitted), 500);
});

test('a killed process: its counts are found again, under the same id', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 80 })), { minLength: 1, maxLength: 150 }),
      (calls) => {
        const { rollUp, emitted, path } = open();
        for (const [caller, page] of calls) {
          rollUp.addCall(v2({ process: processFacts({ pid: caller + 1 }), 'url.path': `/${page}` }));
        }
        const killed = newPath();
        cpSync(path, killed);
        rollUp.flush();
        assert.deepEqual(open(killed).emitted, emitted);
        assert.deepEqual(open(killed).emitted, [], 'once only');
      },
    ),
    { numRuns: 30 },
  );
});

test('a damaged journal gives what comes before the damage, and never more than there was', () => {
  const { rollUp, path } = open();
  for (let index = 0; index < 50; index += 1) rollUp.addCall(v2({ 'url.path': `/${index % 7}` }));
  const intact = readFileSync(path);
  fc.assert(
    fc.property(fc.nat({ max: intact.length - 1 }), fc.boolean(), (at, cut) => {
      const damaged = newPath();
      const bytes = Buffer.from(intact);
      bytes[at] = bytes[at]! ^ 0x55;
      writeFileSync(damaged, bytes);
      if (cut) truncateSync(damaged, at);
      const { emitted } = open(damaged);
      assert.ok(total(emitted) <= 50);
      for (const found of emitted) {
        rollupSchema.parse(found);
        assert.equal(
          found.count,
          found.lines.reduce((sum, { count }) => sum + count, 0),
        );
      }
    }),
  );
});

test('only calls that were answered as usual are routine', () => {
  const routine: [string, Partial<Call>][] = [
    ['a v2 read', {}],
    ['a token', { 'imds.kind': 'token', 'imds.category': 'token', 'http.request.method': 'PUT' }],
    ['a role list', { 'imds.category': 'role-list' }],
    ['a poll that finds nothing yet', { 'http.response.status_code': 404 }],
  ];
  const whole: [string, Partial<Call>][] = [
    ['v1', { 'imds.version': 1, 'imds.server_version': 1 }],
    ['credentials', { 'imds.category': 'credentials' }],
    ['no answer', { outcome: 'unanswered', 'http.response.status_code': null }],
    ['a reset', { outcome: 'reset', 'http.response.status_code': null }],
    ['a truncated answer', { outcome: 'truncated' }],
    ['a refusal', { 'http.response.status_code': 401 }],
    ['a token request refused', { 'imds.kind': 'token', 'http.response.status_code': 404 }],
    ['an error', { 'http.response.status_code': 503 }],
    ['another method', { 'imds.kind': 'other' }],
    ['the service says v1', { 'imds.server_version': 1 }],
  ];
  for (const [name, changes] of routine) assert.equal(isRoutine(v2(changes)), true, name);
  for (const [name, changes] of whole) assert.equal(isRoutine(v2(changes)), false, name);
});

test('an entry that could not be written is written before the next one: nothing after it is lost', () => {
  const path = newPath();
  const { rollUp } = open(path);
  rollUp.addCall(v2({ 'url.path': '/a' }));
  const write = fs.writeSync;
  let part = true;
  const writes = mock.method(fs, 'writeSync', (fd: number, bytes: Buffer) => {
    part = !part;
    if (part) throw new Error('no space left on device');
    return write(fd, bytes, 0, 7); // a short write
  });
  syncBuiltinESMExports();
  try {
    rollUp.addCall(v2({ 'url.path': '/b' }));
    rollUp.addCall(v2({ 'url.path': '/b' }));
  } finally {
    writes.mock.restore();
    syncBuiltinESMExports();
  }
  rollUp.addCall(v2({ 'url.path': '/a' }));
  const copy = newPath();
  cpSync(path, copy); // what a killed process leaves
  const { emitted } = open(copy);
  assert.deepEqual(
    emitted.map(({ lines }) => lines.map((line) => [line['url.path'], line.count])),
    [
      [
        ['/a', 2],
        ['/b', 2],
      ],
    ],
  );
});
