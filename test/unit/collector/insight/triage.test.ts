import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TriageRecord } from '../../../../collector/contract/triage.ts';
import { triageChange } from '../../../../collector/contract/triage.ts';
import { triageOf } from '../../../../collector/insight/triage.ts';

const SET_US = 1_000_000;
const recordOf = (given: Partial<TriageRecord> = {}): TriageRecord => ({
  workload: 'a'.repeat(16),
  state: 'open',
  setUs: SET_US,
  setBy: 'ada',
  untilUs: null,
  reason: null,
  owner: null,
  ticket: null,
  notes: null,
  ...given,
});
const at = (nowUs: number, lastV1Us: number | null = null) => ({ nowUs, lastV1Us, ruleOwner: null });

test('a fixed workload is open again with the first call after the fix, and not with one before it', () => {
  const fixed = [recordOf({ state: 'fixed' })];
  for (const lastV1Us of [null, 0, SET_US - 1, SET_US]) {
    assert.equal(triageOf(fixed, at(2 * SET_US, lastV1Us)).state, 'fixed');
  }
  const again = triageOf(fixed, at(2 * SET_US, SET_US + 1));
  assert.deepEqual([again.state, again.ended, again.set_by], ['open', 'called_again', 'ada']);
});

test('an exception holds until its date, whatever the workload calls, and is open from then on', () => {
  const excepted = [
    recordOf({ state: 'exception', untilUs: 5 * SET_US, reason: 'The vendor ships in May.' }),
  ];
  assert.equal(triageOf(excepted, at(5 * SET_US - 1, 4 * SET_US)).state, 'exception');
  const over = triageOf(excepted, at(5 * SET_US));
  assert.deepEqual(
    [over.state, over.ended, over.reason],
    ['open', 'exception_over', 'The vendor ships in May.'],
  );
});

test('of the records of workloads that were joined the least done one counts', () => {
  const records: fc.Arbitrary<TriageRecord[]> = fc.array(
    fc
      .record({
        state: fc.constantFrom(
          'open' as const,
          'in_progress' as const,
          'exception' as const,
          'fixed' as const,
        ),
        setUs: fc.nat(20),
        untilUs: fc.nat(20),
      })
      .map((given) => recordOf({ ...given, ...(given.state !== 'exception' && { untilUs: null }) })),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(records, fc.nat(25), fc.option(fc.nat(25)), (given, nowUs, lastV1Us) => {
      const joined = triageOf(given, at(nowUs, lastV1Us));
      const each = given.map((record) => triageOf([record], at(nowUs, lastV1Us)).state);
      const order = ['open', 'in_progress', 'exception', 'fixed'];
      assert.equal(joined.state, order[Math.min(...each.map((state) => order.indexOf(state)))]);
      assert.deepEqual(triageOf(given.toReversed(), at(nowUs, lastV1Us)).state, joined.state);
    }),
  );
});

test('the owner that a person set counts before the one by rule', () => {
  const facts = { ...at(0), ruleOwner: { owner: 'payments', rule: 'tag:team', source: 'stored' as const } };
  assert.deepEqual(
    [triageOf([], facts).owner, triageOf([], facts).owner_by, triageOf([], facts).state],
    ['payments', 'rule', 'open'],
  );
  const set = triageOf([recordOf({ owner: 'shop' })], facts);
  assert.deepEqual([set.owner, set.owner_by], ['shop', 'person']);
});

test('a change is refused where it is not whole, not plain text or not a safe address', () => {
  const until = '2027-01-31T00:00:00Z';
  const good = [
    { state: 'exception', until, reason: 'The vendor ships in May.' },
    { owner: 'payments', ticket: 'https://tickets.example.com/OPS-1', notes: 'one\n\ntwo' },
    { owner: null, ticket: null, notes: null },
    { state: 'fixed' },
  ];
  const bad = [
    {},
    { state: 'exception' },
    { state: 'exception', until },
    { state: 'exception', reason: 'why' },
    { state: 'fixed', until, reason: 'why' },
    { until, reason: 'why' },
    { owner: '' },
    { owner: 'x'.repeat(101) },
    { owner: 'pay\u202ements' },
    { notes: 'bell\u0007' },
    { notes: 'x'.repeat(2001) },
    { ticket: 'javascript:alert(1)' },
    { ticket: '' },
    { ticket: 'no address' },
    { ticket: 'https://user:secret@tickets.example.com/' },
    { status: 'fixed' },
  ];
  for (const change of good)
    assert.equal(triageChange.safeParse(change).success, true, JSON.stringify(change));
  for (const change of bad)
    assert.equal(triageChange.safeParse(change).success, false, JSON.stringify(change));
});
