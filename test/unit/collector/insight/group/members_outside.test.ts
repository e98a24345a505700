/** Groups with members that a viewer with a scope does not see: they are never proven for it. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { ViewScope } from '../../../../../collector/contract/host_scope.ts';
import { DAY_US, HOUR_US } from '../../../../../collector/contract/window.ts';
import { ScopeMembersOutside } from '../../../../../collector/insight/group/members_outside.ts';
import { Insight } from '../../../../../collector/insight/insight.ts';
import { ScopedQueries } from '../../../../../collector/store/scoped_queries.ts';
import type { Store } from '../../../../../collector/store/store.ts';
import type { HostFacts } from '../../../../../protocol/call.ts';
import { makeCall } from '../../../../support/collector/calls.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import {
  at,
  groupFleet,
  hostOf,
  inCloud,
  NOW_US,
  PLACE,
  WEB,
} from '../../../../support/collector/insight/group_fleet.ts';

const bench = new Bench();
after(() => bench.end());

const QUESTION = { window: { sinceUs: NOW_US - DAY_US, untilUs: NOW_US } };
const OTHER = '999999999999';
const SHOP: ViewScope = [{ tags: { team: ['shop'] } }];
const SHARED = ['asg:web', 'template:lt-1', 'image:ami-1', 'region:eu-west-1'];

/** A member of the same group that another team has in another account, and that called without a token. */
const stranger = (id: string): HostFacts => ({
  ...hostOf(id, { ...WEB, team: 'bank' }),
  'cloud.account.id': OTHER,
});
const v1Call = (host: HostFacts) =>
  makeCall({ time: at(NOW_US - 19 * HOUR_US + 120_000_000), 'imds.version': 1, host });

function insightOf(store: Store, scope: ViewScope): Insight {
  return new Insight(new ScopedQueries(store, scope), {
    readinessWindowDays: 1,
    silentAfterSeconds: 300,
    outside: new ScopeMembersOutside(store, scope),
    now: () => NOW_US / 1000,
  });
}

describe('a group that a scope shows a part of', () => {
  it('is ready while the scope has all of its members', async () => {
    const { store } = await groupFleet(bench);
    for (const id of [...SHARED, 'tag:team=shop']) {
      const found = await insightOf(store, SHOP).group(id, QUESTION);
      assert.equal(found?.verdict, 'ready', `${id}: ${found?.reason}`);
      assert.doesNotMatch(JSON.stringify(found), /your scope/);
    }
  });

  it('is unproven where members outside of it call without a token, and says nothing else of these', async () => {
    const { store, put, insight } = await groupFleet(bench);
    await put(v1Call(stranger('i-stranger')));
    const scoped = insightOf(store, SHOP);
    for (const id of SHARED) {
      assert.equal((await insight.group(id, QUESTION))?.verdict, 'blocked');
      const found = (await scoped.group(id, QUESTION))!;
      assert.deepEqual(
        [found.verdict, found.members, found.offending, found.calls_v1, found.accounts],
        ['unproven', 4, 0, 0, [PLACE.account]],
        id,
      );
      assert.deepEqual(
        found.problems.map(({ code, members, examples }) => [code, members, examples.length]),
        [['members_outside_scope', 0, 0]],
      );
      assert.match(found.reason, /members outside your scope/);
      assert.match(found.limits.join(' '), /members outside your scope/);
      assert.doesNotMatch(JSON.stringify(found), /stranger|bank|999999999999/);
    }
    for (const by of ['asg', 'template', 'image', 'account', 'region', { tag: 'team' }] as const) {
      const verdicts = (await scoped.groups(by, QUESTION)).map(({ value, verdict }) => [value, verdict]);
      const isWhole = by === 'account' || typeof by !== 'string';
      assert.deepEqual(
        verdicts.map(([, verdict]) => verdict),
        [isWhole ? 'ready' : 'unproven'],
        JSON.stringify([by, verdicts]),
      );
    }
    const { groups } = await scoped.overview(QUESTION);
    assert.deepEqual([groups?.total, groups?.verdicts.ready, groups?.verdicts.unproven], [1, 0, 1]);
  });

  it('is the same whether they call or not, have an agent or not', async () => {
    const answers: unknown[] = [];
    for (const kind of ['calls', 'silent', 'agentless'] as const) {
      const { store, put } = await groupFleet(bench);
      const host = stranger('i-stranger');
      if (kind === 'calls') await put(v1Call(host));
      if (kind === 'silent') await put({ ...v1Call(host), 'imds.version': 2 });
      if (kind === 'agentless') {
        const place = { account: OTHER, imageId: 'ami-1', scalingGroup: 'web', templateId: 'lt-1' };
        await store.putCloudInventory({ instances: [inCloud('i-stranger', place)], resources: [] });
      }
      answers.push(await insightOf(store, SHOP).group('asg:web', QUESTION));
    }
    assert.deepEqual(answers[1], answers[0]);
    assert.deepEqual(answers[2], answers[0]);
  });

  it('is not enforced either, and blocked by what the scope shows', async () => {
    const { store, put } = await groupFleet(bench);
    const options = { hopLimit: 1, httpEndpoint: null, suppliedUs: NOW_US } as const;
    await store.putCloudInstances([{ ...options, hostId: 'i-old', httpTokens: 'required' }]);
    const scoped = insightOf(store, SHOP);
    assert.equal((await scoped.group('asg:web', QUESTION))?.verdict, 'enforced');
    await put(v1Call(stranger('i-stranger')));
    assert.equal((await scoped.group('asg:web', QUESTION))?.verdict, 'unproven');
    await store.putCloudInstances([{ ...options, hostId: 'i-old', httpTokens: 'optional' }]);
    await put(v1Call(hostOf('i-b', WEB)));
    const blocked = await scoped.group('asg:web', QUESTION);
    assert.equal(blocked?.verdict, 'blocked');
    assert.match(blocked.reason, /^Only instances in your scope count\. 1 of 4 instances called/);
  });

  it('is narrowed by places of the scope, and by no others, which a viewer could guess', async () => {
    const { store, put } = await groupFleet(bench);
    await put(v1Call(stranger('i-stranger')));
    const scoped = insightOf(store, SHOP);
    const verdict = async (accounts: string[]) =>
      (await scoped.group('asg:web', QUESTION, { accounts }))?.verdict;
    assert.equal(await verdict([PLACE.account]), 'ready', 'the other one has another account');
    assert.equal(await verdict([PLACE.account, OTHER]), 'unproven');
    assert.equal(await verdict([PLACE.account, '000000000000']), 'unproven', 'as with any other account');
    assert.equal(await verdict([OTHER]), undefined);
  });

  it('follows a member that leaves the scope', async () => {
    const { store, put } = await groupFleet(bench);
    await put(makeCall({ time: at(NOW_US - 1000), 'imds.version': 2, host: stranger('i-a') }));
    const found = await insightOf(store, SHOP).group('asg:web', QUESTION);
    assert.deepEqual([found?.verdict, found?.members], ['unproven', 3]);
    assert.ok(found?.problems.some(({ code }) => code === 'members_outside_scope'));
  });
});

it('never proves a group to a viewer that is not proven', async () => {
  const { store, put, insight } = await groupFleet(bench);
  await put(v1Call(stranger('i-stranger')));
  const scopes: ViewScope = [undefined, [PLACE.account], [OTHER], [PLACE.account, OTHER]].flatMap(
    (accounts) =>
      [undefined, ['shop'], ['bank'], ['shop', 'bank']].flatMap((team) =>
        accounts === undefined && team === undefined
          ? []
          : [{ ...(accounts && { accounts }), ...(team && { tags: { team } }) }],
      ),
  );
  const found = { proven: 0, withheld: 0 };
  for (const by of ['asg', 'template', 'account', { tag: 'team' }] as const) {
    const whole = new Map((await insight.groups(by, QUESTION)).map((group) => [group.id, group]));
    for (const scope of scopes) {
      for (const { id, verdict, problems } of await insightOf(store, [scope]).groups(by, QUESTION)) {
        const isProven = verdict === 'ready' || verdict === 'enforced';
        if (isProven) assert.equal(whole.get(id)?.verdict, verdict, `${id} ${JSON.stringify(scope)}`);
        if (isProven) found.proven += 1;
        if (problems.some(({ code }) => code === 'members_outside_scope')) found.withheld += 1;
      }
    }
  }
  assert.ok(found.proven > 10 && found.withheld > 10, JSON.stringify(found));
});
