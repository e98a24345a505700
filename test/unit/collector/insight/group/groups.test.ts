/** Groups over the real store: membership by tags, by the inventory and by what hosts were before. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import * as contract from '../../../../../collector/contract/group.ts';
import { DAY_US, HOUR_US } from '../../../../../collector/contract/window.ts';
import { Insight } from '../../../../../collector/insight/insight.ts';
import { makeCall } from '../../../../support/collector/calls.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import { newFindings, watched } from '../../../../support/collector/insight/findings.ts';
import {
  at,
  completeRead,
  groupFleet,
  hostOf,
  inCloud,
  NOW_US,
  PLACE,
  WEB,
} from '../../../../support/collector/insight/group_fleet.ts';

const bench = new Bench();
after(() => bench.end());

const WINDOW = { sinceUs: NOW_US - DAY_US, untilUs: NOW_US };
const fleet = () => groupFleet(bench);

const IDS = [
  'asg:web',
  'template:lt-1',
  'image:ami-1',
  'eks-nodegroup:nodes',
  'tag:team=shop',
  'region:eu-west-1',
];

describe('groups', () => {
  it('of instances that are gone are ready, by every attribute', async () => {
    const { insight } = await fleet();
    for (const id of IDS) {
      const found = await insight.group(id, { window: WINDOW });
      contract.groupDetail.strict().parse(found);
      assert.deepEqual(
        [id, found?.verdict, found?.members, found?.watched, found?.running, found?.starts[0]?.seen],
        [id, 'ready', 4, 4, 1, 3],
        found?.reason,
      );
      assert.ok(found?.start_seen);
      assert.match(found.limits[0]!, /^1 of 1 running instances did not start in the window/);
    }
    for (const by of ['asg', 'template', 'image', 'eks-nodegroup', 'region'] as const) {
      const groups = await insight.groups(by, { window: WINDOW });
      assert.deepEqual(
        groups.map(({ verdict, members }) => [verdict, members]),
        [['ready', 4]],
      );
    }
    assert.equal(await insight.group('asg:none', { window: WINDOW }), null);
    assert.equal(await insight.group('colour:red', { window: WINDOW }), null);
  });

  it('one offender that is gone blocks the group, by name', async () => {
    const { insight, put } = await fleet();
    const time = at(NOW_US - 19 * HOUR_US + 120_000_000);
    await put(makeCall({ time, 'imds.version': 1, host: hostOf('i-b', WEB) }));
    const found = await insight.group('asg:web', { window: WINDOW });
    assert.equal(found?.verdict, 'blocked');
    assert.match(found.reason, /1 of 4 instances called without a token.*On: name-i-b/);
    assert.equal(found.offenders.length, 1);
    assert.deepEqual([found.instances[0]!.id, found.instances[0]!.state], ['i-b', 'blocked']);
  });

  it('are counted in the overview by their verdicts, unless the question leaves members out', async () => {
    const { insight, put } = await fleet();
    const overview = async (filter = {}) => (await insight.overview({ window: WINDOW }, filter)).groups;
    const before = await overview({ accounts: [PLACE.account] });
    assert.deepEqual([before?.by, before?.total, before?.verdicts.ready], ['asg', 1, 1]);
    const time = at(NOW_US - 19 * HOUR_US + 120_000_000);
    await put(makeCall({ time, 'imds.version': 1, host: hostOf('i-b', WEB) }));
    const blocked = await overview();
    assert.deepEqual([blocked?.total, blocked?.verdicts.ready, blocked?.verdicts.blocked], [1, 0, 1]);
    assert.equal((await overview({ regions: ['us-east-1'] }))?.total, 0);
    for (const filter of [{ ids: ['i-a'] }, { text: 'i-a' }, { accounts: [null] }])
      assert.equal(await overview(filter), null);
  });

  it('that never started have proven nothing about what runs at boot', async () => {
    const { store, put } = newFindings(bench);
    const alone = hostOf('i-1', { 'aws:autoscaling:groupName': 'still' });
    await put(
      makeCall({ time: at(NOW_US - 30 * HOUR_US), 'imds.version': 2, host: alone }),
      watched('i-1', at(NOW_US - 30 * HOUR_US), at(NOW_US)),
    );
    const launchedUs = NOW_US - 40 * DAY_US;
    const instances = [inCloud('i-1', { launchedUs, scalingGroup: 'still' })];
    await store.putCloudInventory({ instances, resources: [completeRead(NOW_US - HOUR_US)] });
    const options = { hostId: 'i-1', hopLimit: 1, httpEndpoint: null, suppliedUs: NOW_US } as const;
    await store.putCloudInstances([{ ...options, httpTokens: 'required' }]);
    const insight = new Insight(store, {
      readinessWindowDays: 1,
      silentAfterSeconds: 300,
      now: () => NOW_US / 1000,
    });
    const found = await insight.group('asg:still', { window: WINDOW });
    assert.deepEqual([found?.verdict, found?.start_seen], ['enforced', false]);
    assert.match(found!.reason, /No start was seen .*can still call without a token and fail\.$/);
    assert.match(found!.limits.join(' '), /running state only: what runs at boot is not proven/);
  });

  it('an instance of the inventory without an agent is a member', async () => {
    const { insight, store } = await fleet();
    const instances = [
      inCloud('i-none', {
        launchedUs: NOW_US - HOUR_US,
        imageId: 'ami-1',
        scalingGroup: 'web',
        templateId: 'lt-1',
        templateVersion: 7,
      }),
    ];
    await store.putCloudInventory({ instances, resources: [] });
    const found = await insight.group('asg:web', { window: WINDOW });
    assert.equal(found?.verdict, 'unproven');
    assert.match(found.reason, /^4 of 5 instances watched/);
    assert.deepEqual(
      found.problems.map(({ code }) => code),
      ['no_agent'],
    );
    assert.deepEqual(found.problems[0]!.examples, [{ id: 'i-none', name: 'i-none' }]);
  });

  it('an inventory that was read a day ago proves nothing, however late it was supplied', async () => {
    const { insight, store } = await fleet();
    await store.putCloudInventory({ instances: [], resources: [completeRead(NOW_US - 25 * HOUR_US)] });
    const found = await insight.group('asg:web', { window: WINDOW });
    assert.deepEqual(
      found?.problems.map(({ code }) => code),
      ['no_inventory'],
    );
  });

  it('a host that left the group in the window still belongs to it', async () => {
    const { insight, put } = await fleet();
    const moved = makeCall({
      time: at(NOW_US - HOUR_US),
      'imds.version': 1,
      host: hostOf('i-old', { team: 'other' }),
    });
    await put(moved);
    assert.equal((await insight.group('asg:web', { window: WINDOW }))?.verdict, 'blocked');
    assert.equal((await insight.group('tag:team=other', { window: WINDOW }))?.members, 1);
  });

  it("the cloud's count of a call that nobody saw, also by a host that is gone", async () => {
    const { insight, store } = await fleet();
    const startUs = NOW_US - 20 * HOUR_US;
    await store.putCloudCounts([
      { hostId: 'i-a', startUs, endUs: startUs + HOUR_US, noToken: 1, noTokenRejected: null },
    ]);
    const found = await insight.group('asg:web', { window: WINDOW });
    assert.deepEqual(
      [found?.verdict, found?.problems.map(({ code }) => code)],
      ['unproven', ['cloud_saw_more', 'boot_not_counted', 'starts_missing']],
    );
  });

  it('what the group launches now counts, where the inventory says it', async () => {
    const { insight, store } = await fleet();
    const facts = {
      kind: 'scaling_group' as const,
      ...PLACE,
      id: 'web',
      template_id: 'lt-1',
      template_reference: '$Latest',
      template_version: 8,
      image_id: 'ami-1',
      other_source: null,
      instances: 1,
    };
    await store.putCloudInventory({ instances: [], resources: [{ facts, suppliedUs: NOW_US }] });
    const found = await insight.group('asg:web', { window: WINDOW });
    assert.deepEqual(
      [found?.verdict, found?.start_seen, found?.starts[0]?.template_version, found?.starts[0]?.seen],
      ['unproven', false, '8', 0],
    );
  });

  it('narrows to accounts and regions', async () => {
    const { insight } = await fleet();
    const question = { window: WINDOW };
    assert.equal((await insight.groups('asg', question, { regions: ['eu-west-1'] })).length, 1);
    assert.equal((await insight.groups('asg', question, { regions: ['us-east-1'] })).length, 0);
    assert.equal((await insight.groups('asg', question, { accounts: ['999999999999'] })).length, 0);
  });
});
