/** Tests answers that are shared among questions at the same time, and kept for later ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoalescedInsight } from '../../../../collector/api/coalesced_insight.ts';
import type { FreshAnswers } from '../../../../collector/api/parts.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import type { Held } from '../../../../collector/insight/fix_first.ts';
import type { Fleet } from '../../../../collector/insight/group/fleet.ts';
import type { KeptAnswers } from '../../../../collector/insight/kept/kept_answers.ts';
import type { HostFilter } from '../../../../collector/insight/question.ts';
import type { Identity } from '../../../../collector/store/store.ts';
import { attributeName } from '../../../../common/group_id.ts';
import {
  makeFixFirst,
  makeGroup,
  makeHost,
  makeOffender,
  makeOverview,
} from '../../../support/collector/api/findings.ts';
import { boardOf, pageOfMade } from '../../../support/collector/api/host_pages.ts';

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
  const insight = new CoalescedInsight({ ...insightAnswers, offenders: slow }, { nowMs: () => 0 });
  const question = { window: { sinceUs: 0, untilUs: 1 } };
  await Promise.all(Array.from({ length: 50 }, () => insight.offenders(question, {})));
  assert.equal(asked, 1);
  await Promise.all([insight.offenders(question, {}), insight.offenders(question, { text: 'x' })]);
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
    offenders: async () => {
      throw new Error('once');
    },
  });
  await assert.rejects(failing.offenders(question, {}));
  await assert.rejects(failing.offenders(question, {}), /once/);
});

test('an expensive answer is kept, renewed in the background, and forgotten after a change', async () => {
  let now = 0;
  let asked = 0;
  let costMs = 400;
  const offenders = async () => {
    asked += 1;
    now += costMs;
    return [makeOffender(asked, { title: `answer ${asked}` })];
  };
  const insight = new CoalescedInsight({ ...insightAnswers, offenders }, { nowMs: () => now });
  const lastDays = (days: number) => {
    const untilUs = Math.ceil(Date.now() / 1000) * 1_000_000;
    return { window: { sinceUs: untilUs - days * 86_400_000_000, untilUs } };
  };
  const name = async (days = 14) => (await insight.offenders(lastDays(days), {}))[0]!.title;
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
  const before = insight.offenders(lastDays(1), {});
  insight.forget();
  const after = insight.offenders(lastDays(1), {});
  assert.notEqual((await before)[0]!.title, (await after)[0]!.title);
  assert.equal(await name(1), (await after)[0]!.title);
  costMs = 10;
  insight.forget();
  assert.notEqual(await name(), await name(), 'what is cheap is asked anew');
  const { questions_remembered, renewal_failures } = insight.counters();
  assert.ok(questions_remembered! >= 3);
  assert.equal(renewal_failures, 0);
});

test('what is kept is given with its time, and only to questions that it answers', async () => {
  const hosts = [makeHost(1), makeHost(2)];
  const group = makeGroup();
  const anew: string[] = [];
  const madeAnew = <T>(name: string, answer: T) => {
    anew.push(name);
    return answer;
  };
  let verdictsGiven: readonly string[] | undefined;
  let placesAsked: HostFilter | null = null;
  const fresh: FreshAnswers = {
    ...insightAnswers,
    untriagedOf: async (of, filter) => {
      assert.equal(of, sums);
      placesAsked = filter;
      return [untriaged];
    },
    board: async () => madeAnew('board', boardOf(hosts)),
    groups: async () => madeAnew('groups', []),
    groupsOf: async (of, by, filter) => {
      assert.equal(of, fleet);
      return [{ ...group, by: attributeName(by), accounts: [...(filter?.accounts ?? [])] }];
    },
    readinessGroups: async (_by, _question, _filter, board) => {
      if (board === undefined) madeAnew('readinessGroups', []);
      return [];
    },
    offenders: async () => madeAnew('offenders', []),
    fixFirst: async () => madeAnew('fixFirst', makeFixFirst()),
    overview: async (_question, _filter, board, verdicts) => {
      assert.equal(board!.asOfUs, 5);
      verdictsGiven = verdicts;
      return makeOverview();
    },
    hostPage: async (_question, _selection, _page, board) => ({
      items: [],
      next: null,
      asOfUs: board!.asOfUs,
    }),
    offendersOf: async (offenders) => offenders.map(({ offender }) => offender as Offender),
    fixFirstOf: async (_held, asOfUs) => ({ ...makeFixFirst(), as_of: String(asOfUs) }),
  };
  let renewals = 0;
  const fleet = {} as Fleet;
  const sums = { window: { sinceUs: 0, untilUs: 1 }, places: [] };
  const untriaged = { offender: makeOffender(1), identity: {} as Identity, tags: {} };
  const kept: KeptAnswers = {
    board: async () => ({ ...boardOf(hosts), asOfUs: 5 }),
    held: async () => ({ value: {} as Held, asOfUs: 6 }),
    groups: async (by) => (by === 'asg' ? { value: [group], asOfUs: 7 } : null),
    fleet: async () => ({ value: fleet, asOfUs: 9 }),
    places: async () => ({ value: sums, asOfUs: 10 }),
    offenders: async () => ({
      value: [untriaged],
      asOfUs: 8,
    }),
    renewSoon: () => {
      renewals += 1;
    },
  };
  const insight = new CoalescedInsight(fresh, { kept, keptDays: 14, nowMs: () => 0 });
  const lastDays = (days: number) => {
    const untilUs = Math.ceil(Date.now() / 1000) * 1_000_000;
    return { window: { sinceUs: untilUs - days * 86_400_000_000, untilUs } };
  };
  const page = { limit: 1, place: null };
  assert.equal((await insight.hostPage(lastDays(90), { regions: ['a'] }, page)).asOfUs, 5);
  await insight.overview(lastDays(14), {});
  assert.deepEqual(verdictsGiven, [group.verdict]);
  const groups = await insight.groups('asg', lastDays(1), {});
  assert.deepEqual([groups, insight.asOfUs(groups)], [[group], 7]);
  const offenders = await insight.offenders(lastDays(14), {});
  assert.deepEqual([offenders.length, insight.asOfUs(offenders)], [1, 8]);
  assert.equal((await insight.fixFirst(lastDays(14), {}, 3)).as_of, '6');
  const ofPlace = await insight.offenders(lastDays(14), { regions: ['a'] });
  assert.deepEqual([ofPlace.length, insight.asOfUs(ofPlace), placesAsked], [1, 10, { regions: ['a'] }]);
  const byTag = await insight.groups({ tag: 'team' }, lastDays(1), { accounts: ['1'] });
  assert.deepEqual([byTag[0]!.by, byTag[0]!.accounts, insight.asOfUs(byTag)], ['tag:team', ['1'], 9]);
  const counted = await insight.readinessGroups('zone', lastDays(14), {
    tags: [{ key: 'team', value: 'a' }],
  });
  assert.equal(insight.asOfUs(counted), 5);
  await insight.overview(lastDays(14), { regions: ['a'] });
  assert.deepEqual(verdictsGiven, [group.verdict]);
  await insight.overview(lastDays(14), { types: ['a'] });
  assert.equal(verdictsGiven, undefined, 'a type divides groups, of which a part proves nothing');
  assert.deepEqual(anew, [], 'nobody waited');
  await insight.offenders(lastDays(7), {});
  await insight.offenders(lastDays(14), { text: 'x' });
  await insight.fixFirst(lastDays(14), { regions: ['a'] });
  const past = { window: { sinceUs: 0, untilUs: 1_000_000 } };
  await insight.groups('asg', past, {});
  assert.equal((await insight.hostPage(past, {}, page)).asOfUs, boardOf(hosts).asOfUs);
  await insight.readinessGroups('zone', past);
  assert.deepEqual(anew, ['offenders', 'offenders', 'fixFirst', 'groups', 'board', 'readinessGroups']);
  const began = Date.now() * 1000;
  const made = await insight.offenders(lastDays(7), {});
  assert.ok(insight.asOfUs(made) >= began, 'an answer that is made now is of now');
  insight.forget();
  assert.equal(renewals, 1);
});

test('all pages of all lists of hosts share one judgement of the fleet', async () => {
  let now = 0;
  let judged = 0;
  const hosts = [makeHost(1), makeHost(2)];
  const fresh: FreshAnswers = {
    ...insightAnswers,
    board: async () => {
      judged += 1;
      now += 400;
      return { ...boardOf(hosts), asOfUs: judged };
    },
    hostPage: async (_question, selection, page, board) => {
      assert.equal(board!.hosts.length, 2);
      return { ...pageOfMade(hosts, selection, page), asOfUs: board!.asOfUs };
    },
    overview: async (_question, _filter, board) => {
      assert.equal(board!.hosts.length, 2);
      return makeOverview();
    },
  };
  const insight = new CoalescedInsight(fresh, { nowMs: () => now });
  const untilUs = Math.ceil(Date.now() / 1000) * 1_000_000;
  const lastDays = (days: number) => ({ window: { sinceUs: untilUs - days * 86_400_000_000, untilUs } });
  const page = { limit: 1, place: null };
  const first = await insight.hostPage(lastDays(14), {}, page);
  assert.deepEqual(
    first.items.map(({ id }) => id),
    [makeHost(1).id],
  );
  const second = await insight.hostPage(lastDays(14), {}, { limit: 1, place: first.next });
  assert.deepEqual([first.asOfUs, second.asOfUs], [1, 1], 'each page says when it was judged');
  await insight.hostPage(lastDays(90), { sort: 'name', accounts: ['1'] }, page);
  await insight.overview(lastDays(14), {});
  assert.equal(judged, 1, 'verdicts are about the readiness window, whatever the days of the question are');
  const past = { window: { sinceUs: 0, untilUs: untilUs - 86_400_000_000 } };
  await insight.hostPage(past, {}, page);
  assert.equal(judged, 2);
  insight.forget();
  await insight.hostPage(lastDays(14), {}, page);
  assert.equal(judged, 3);
});
