/** Bounds on the texts of the contract: what a record may say, whatever it is made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { call, hostFacts } from '../../../protocol/call.ts';
import { coverage, heartbeat, record } from '../../../protocol/records.ts';
import {
  boundAncestors,
  CUT_MARK,
  cleanLabel,
  cutArguments,
  cutText,
  isIdentifier,
  MAX_ARGUMENTS,
  MAX_ARGUMENTS_CHARACTERS,
  MAX_PATH_CHARACTERS,
  plainNames,
} from '../../../protocol/text_bounds.ts';
import { makeCall } from '../../support/collector/calls.ts';

/** UTF-16 units of every kind: halves of surrogate pairs, controls, signs that turn the direction. */
const units = fc
  .array(
    fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0xd800, 0xdc00, 0x202e, 0x2028, 0x9b)),
    {
      maxLength: 60,
    },
  )
  .map((codes) => String.fromCharCode(...codes));

/** No text longer than any path, no half of a surrogate pair. */
function assertBounded(value: unknown, where: string): void {
  if (typeof value === 'string') {
    assert.ok(value.isWellFormed(), `${where} is well-formed`);
    assert.ok(value.length <= MAX_PATH_CHARACTERS, `${where} has ${value.length} characters`);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, of] of Object.entries(value)) {
      assertBounded(key, `a key of ${where}`);
      assertBounded(of, `${where}.${key}`);
    }
  }
}

test('a text is cut to its bound, in whole characters, and the cut shows', () => {
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 40 }), (text, max) => {
      const cut = cutText(text, max);
      assert.ok(cut.length <= max && cut.isWellFormed());
      if (text.length > max) assert.ok(cut.endsWith(CUT_MARK));
      else assert.equal(cut, text.toWellFormed());
      const cleaned = cleanLabel(text, max);
      assert.ok(cleaned === '' || cleaned.trim() === '' || isIdentifier(cleaned), JSON.stringify(cleaned));
    }),
  );
});

test('a path of 4,096 characters arrives whole, a longer one cut and marked', () => {
  const whole = `/${'a'.repeat(MAX_PATH_CHARACTERS - 1)}`;
  assert.equal(call.parse(makeCall({ 'url.path': whole }))['url.path'], whole);
  const cut = call.parse(makeCall({ 'url.path': `${whole}b` }))['url.path']!;
  assert.equal(cut, `${whole.slice(0, -1)}${CUT_MARK}`);
});

test('arguments: so many, together so long, and the mark in place of the rest', () => {
  const many = Array.from({ length: 3 * MAX_ARGUMENTS }, (_, index) => String(index));
  assert.deepEqual(cutArguments(many), [...many.slice(0, MAX_ARGUMENTS - 1), CUT_MARK]);
  assert.deepEqual(cutArguments(many.slice(0, MAX_ARGUMENTS)), many.slice(0, MAX_ARGUMENTS));
  fc.assert(
    fc.property(fc.array(units, { maxLength: 30 }), fc.integer({ min: 1, max: 600 }), (args, times) => {
      const cut = cutArguments(args.map((arg) => arg.repeat(times)));
      assert.ok(cut.length <= MAX_ARGUMENTS);
      assert.ok(cut.join('').length <= MAX_ARGUMENTS_CHARACTERS);
    }),
  );
  const parents = Array.from({ length: 100 }, (_, index) => ({
    pid: index + 1,
    name: 'sh',
    'executable.path': '/bin/sh',
    command_args: ['x'.repeat(4000)],
  }));
  const chain = boundAncestors(parents);
  assert.equal(chain.length, 64);
  assert.deepEqual([chain[0]!.command_args![0]!.length, chain[63]!.command_args], [4000, [CUT_MARK]]);
});

test('identifiers: half a character, a control, a sign that turns the direction are refused', () => {
  for (const id of ['i-0\ud800', 'i-0\n', 'i-\u202e0', 'i-\u2028', '\u009b', '  ', '', 'x'.repeat(201)]) {
    assert.ok(!hostFacts.safeParse({ id, name: 'n' }).success, JSON.stringify(id));
  }
  for (const id of ['i-0123456789abcdef0', 'büro 7', '節点']) {
    assert.ok(hostFacts.safeParse({ id, name: 'n' }).success, id);
  }
});

test('amounts keep their sum, however many names they have', () => {
  const amounts = fc.dictionary(units, fc.integer({ min: 0, max: 1000 }), { maxKeys: 40 });
  fc.assert(
    fc.property(amounts, fc.integer({ min: 2, max: 10 }), (given, max) => {
      const plain = plainNames(given, max);
      const sum = (of: Record<string, number>) => Object.values(of).reduce((a, b) => a + b, 0);
      assert.equal(sum(plain), sum(given));
      assert.ok(Object.keys(plain).length <= max);
      assert.ok(Object.keys(plain).every((name) => isIdentifier(name) && name.length <= 100));
    }),
  );
});

test('with any text in a record it is refused, or all its texts are bounded', () => {
  const longOrOdd = fc
    .tuple(units, fc.integer({ min: 1, max: 400 }))
    .map(([text, times]) => text.repeat(times));
  const anything = fc.oneof(
    longOrOdd,
    fc.jsonValue(),
    fc.array(longOrOdd),
    fc.dictionary(longOrOdd, longOrOdd),
  );
  const template = JSON.parse(JSON.stringify(makeCall())) as Record<string, unknown>;
  const places: string[][] = [];
  const walk = (value: unknown, at: string[]) => {
    if (typeof value === 'object' && value !== null) {
      for (const [key, of] of Object.entries(value)) walk(of, [...at, key]);
    }
    if (at.length > 0) places.push(at);
  };
  walk(template, []);
  let taken = 0;
  fc.assert(
    fc.property(fc.constantFrom(...places), anything, (at, value) => {
      const made = structuredClone(template);
      let parent = made as Record<string, unknown>;
      for (const key of at.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
      parent[at.at(-1)!] = value;
      const parsed = record.safeParse({ kind: 'call', call: made });
      if (!parsed.success) return;
      taken += 1;
      assertBounded(parsed.data, at.join('.'));
    }),
    { numRuns: 1000 },
  );
  assert.ok(taken > 50, `${taken} records were taken`);
});

test('a report and a heartbeat say as much as an agent has to say, and no more', () => {
  const names = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`loss.${index}`, 1]));
  const report = coverage.parse({
    id: '01890000-0000-7000-8000-000000000000',
    host_id: 'h',
    boot_id: 'b',
    start: '2026-01-01T00:00:00.000Z',
    end: '2026-01-01T00:01:00.000Z',
    live_ms: 60_000,
    kernel_connections: null,
    seen_connections: 0,
    losses: names,
  });
  assert.equal(Object.keys(report.losses).length, 256);
  assert.equal(report.losses['other'], 5000 - 255);
  const said = heartbeat.parse({
    time: '2026-01-01T00:00:00.000Z',
    host_id: 'h',
    agent_version: '1',
    started: '2026-01-01T00:00:00.000Z',
    counters: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`stage${index}`, names])),
    coverage: { live: true, sources: Array.from({ length: 500 }, () => 'any') },
    attribution: { method: 'none', reason: null },
    agent: { cpu_percent: 0, memory_bytes: 0 },
    spool: { bytes: 0, records: 0, overflowed: {} },
  });
  assert.deepEqual([Object.keys(said.counters).length, said.coverage.sources.length], [64, 64]);
});
