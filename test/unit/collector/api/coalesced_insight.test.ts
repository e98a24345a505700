/** Tests answers that are shared among questions at the same time, and kept for later ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoalescedInsight } from '../../../../collector/api/coalesced_insight.ts';
import type { FreshAnswers } from '../../../../collector/api/parts.ts';
import { makeHost } from '../../../support/collector/api/findings.ts';

/** The tests replace the only method that they call. */
const insightAnswers = {} as FreshAnswers;

test('equal questions at the same time are answered by one query; a later one is a new query', async () => {
  let asked = 0;
  const slow = async () => {
    asked += 1;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return [];
  };
  // No time passes on this clock, so no answer is expensive enough to be kept.
  const insight = new CoalescedInsight({ ...insightAnswers, hosts: slow }, () => 0);
  const question = { window: { sinceUs: 0, untilUs: 1 } };
  await Promise.all(Array.from({ length: 50 }, () => insight.hosts(question, {})));
  assert.equal(asked, 1);
  await Promise.all([insight.hosts(question, {}), insight.hosts(question, { text: 'x' })]);
  assert.equal(asked, 3);
  assert.deepEqual(insight.counters(), {
    questions: 52,
    questions_shared: 49,
    questions_remembered: 0,
    renewal_failures: 0,
    in_flight: 0,
  });
  const failing = new CoalescedInsight({
    ...insightAnswers,
    hosts: async () => {
      throw new Error('once');
    },
  });
  await assert.rejects(failing.hosts(question, {}));
  await assert.rejects(failing.hosts(question, {}), /once/);
});

test('an expensive answer is kept, renewed in the background, and forgotten after a change', async () => {
  let now = 0;
  let asked = 0;
  let costMs = 400;
  const hosts = async () => {
    asked += 1;
    now += costMs;
    return [{ ...makeHost(asked), name: `answer ${asked}` }];
  };
  const insight = new CoalescedInsight({ ...insightAnswers, hosts }, () => now);
  const lastDays = (days: number) => {
    const untilUs = Math.ceil(Date.now() / 1000) * 1_000_000;
    return { window: { sinceUs: untilUs - days * 86_400_000_000, untilUs } };
  };
  const name = async (days = 14) => (await insight.hosts(lastDays(days), {}))[0]!.name;
  assert.equal(await name(), 'answer 1');
  assert.equal(await name(), 'answer 1');
  assert.equal(await name(7), 'answer 2', 'another question');
  now += 1_100; // This is more than half of the 2 s for which the first answer is kept.
  assert.equal(await name(), 'answer 1', 'no one waits');
  assert.equal(asked, 3);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await name(), 'answer 3');
  now += 2_100;
  assert.equal(await name(), 'answer 4', 'too old to be shown');
  insight.forget();
  assert.equal(await name(), 'answer 5');
  // An answer that is being worked out during a change is only for those who asked before it.
  const before = insight.hosts(lastDays(1), {});
  insight.forget();
  const after = insight.hosts(lastDays(1), {});
  assert.notEqual((await before)[0]!.name, (await after)[0]!.name);
  assert.equal(await name(1), (await after)[0]!.name);
  costMs = 10;
  insight.forget();
  assert.notEqual(await name(), await name(), 'what is cheap is asked anew');
  const { questions_remembered, renewal_failures } = insight.counters();
  assert.ok(questions_remembered! >= 3);
  assert.equal(renewal_failures, 0);
});
