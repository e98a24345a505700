/** `imdswatch cloud sync` with the real SDK over the wire: accounts, regions, groups, instances that are gone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CloudResourceInput, cloudDocument } from '../../../../collector/contract/cloud.ts';
import { sync } from '../../../../enforce/cloud/sync.ts';
import { addInstance, addTemplate, countCalls } from '../../../../lab/cloud/state.ts';
import type { CloudApi } from '../../../../lab/cloud_api.ts';
import { ACCOUNT, labCloud, OTHER_ACCOUNT, REGION } from '../../../support/enforce/lab_cloud.ts';

const OWN = { profile: null, roles: [], externalId: null };
const HOUR_MS = 3_600_000;
const READ = /^(Describe|Get|List|Assume)/;

/** A group of two, of which one instance is gone, a pet, and an instance that a service manages. */
function fleet(api: CloudApi): void {
  const region = api.state.region(ACCOUNT, REGION);
  const template = addTemplate(region, 'lt-1', { ImageId: 'ami-old' });
  template.versions.push(
    {
      number: 2,
      data: { ImageId: 'ami-new', MetadataOptions: { HttpTokens: 'required' } },
      description: '',
      clientToken: null,
    },
    { number: 3, data: { ImageId: 'ami-next' }, description: '', clientToken: null },
  );
  template.defaultVersion = 2;
  region.images.set('ami-new', { imdsSupport: 'v2.0' }).set('ami-pet', { imdsSupport: null });
  const tags = {
    'aws:autoscaling:groupName': 'web',
    'aws:ec2launchtemplate:id': 'lt-1',
    // Version 9 was deleted.
    'aws:ec2launchtemplate:version': '9',
    team: 'payments',
  };
  addInstance(region, 'i-00000001', { imageId: 'ami-new', tags, isSpot: true });
  addInstance(region, 'i-00000002', {
    imageId: 'ami-pet',
    options: { HttpEndpoint: 'disabled', HttpTokens: 'required' },
  });
  addInstance(region, 'i-00000003', { operator: { principal: 'eks.amazonaws.com', isHidden: true } });
  const group = { mixed: null, instances: ['i-00000001'] };
  region.groups.set('web', {
    ...group,
    name: 'web',
    template: { id: 'lt-1', version: null },
    launchConfiguration: null,
  });
  region.groups.set('old', {
    ...group,
    name: 'old',
    template: null,
    launchConfiguration: 'lc',
    instances: [],
  });
  region.launchConfigurations.set('lc', { HttpPutResponseHopLimit: 2 });
  region.defaults.HttpTokensEnforced = 'enabled';
  const activity = { group: 'web', status: 'Successful' as const };
  const start = Date.UTC(2026, 0, 10);
  region.activities.push(
    {
      ...activity,
      description: 'Terminating EC2 instance: i-000000aa',
      startMs: start + 5 * HOUR_MS,
      endMs: start + 6 * HOUR_MS,
    },
    {
      ...activity,
      description: 'Launching a new EC2 instance: i-000000aa',
      startMs: start,
      endMs: start + 60_000,
    },
    {
      ...activity,
      description: 'Launching a new EC2 instance: i-000000bb',
      status: 'Failed',
      startMs: start,
      endMs: start,
    },
    {
      ...activity,
      group: 'deleted',
      description: 'Terminating EC2 instance: i-000000cc',
      startMs: start,
      endMs: start,
    },
  );
  countCalls(region, 'MetadataNoToken', 'i-00000001', Date.now() - 30 * HOUR_MS, 4);
}

function only<K extends CloudResourceInput['kind']>(resources: CloudResourceInput[], kind: K) {
  return resources.filter((resource) => resource.kind === kind) as Extract<CloudResourceInput, { kind: K }>[];
}

describe('a sync', () => {
  it('reads instances with their groups, also those that are gone, and what they launch from', async (t) => {
    const api = await labCloud(t);
    api.state.pageSize = 1;
    fleet(api);
    const { document } = await sync({ credentials: OWN, regions: [REGION], days: 14, nowMs: Date.now() });
    cloudDocument.parse(document);
    assert.deepEqual(document.places, [{ account: ACCOUNT, region: REGION, problems: [] }]);
    const { instances, resources } = document.inventory;
    assert.deepEqual(
      instances
        .map((of) => [
          of.instance_id,
          of.state,
          of.scaling_group,
          of.template_version,
          of.managed_by,
          of.is_spot,
        ])
        .sort(),
      [
        ['i-00000001', 'running', 'web', 9, null, true],
        ['i-00000002', 'running', null, null, null, false],
        ['i-00000003', 'running', null, null, 'eks.amazonaws.com', false],
        ['i-000000aa', 'terminated', 'web', null, null, null],
        ['i-000000bb', null, 'web', null, null, null],
        ['i-000000cc', 'terminated', 'deleted', null, null, null],
      ],
    );
    const gone = instances.find(({ instance_id }) => instance_id === 'i-000000aa')!;
    assert.deepEqual(
      [gone.launched, gone.terminated],
      ['2026-01-10T00:00:00.000Z', '2026-01-10T06:00:00.000Z'],
    );
    assert.deepEqual(
      document.metadata_options.find(({ instance_id }) => instance_id === 'i-00000002'),
      {
        instance_id: 'i-00000002',
        http_tokens: 'required',
        hop_limit: 1,
        http_endpoint: 'disabled',
      },
    );
    assert.equal(instances[0]!.tags === null, false);

    assert.equal(only(resources, 'complete_read')[0]?.made, document.made);
    const [web] = only(resources, 'scaling_group').filter(({ id }) => id === 'web');
    assert.deepEqual(
      [web?.template_reference, web?.template_version, web?.image_id],
      ['$Default', 2, 'ami-new'],
    );
    const [old] = only(resources, 'scaling_group').filter(({ id }) => id === 'old');
    assert.deepEqual([old?.other_source, old?.image_id], ['launch_configuration', 'ami-0123456789abcdef0']);
    const [template] = only(resources, 'launch_template');
    assert.deepEqual(
      template?.versions.map(({ version, http_tokens }) => [version, http_tokens]),
      [
        [2, 'required'],
        [3, null],
      ],
    );
    assert.deepEqual(
      only(resources, 'image')
        .map(({ id, imds_support }) => [id, imds_support])
        .sort(),
      [
        ['ami-new', 'v2.0'],
        ['ami-pet', null],
      ],
    );
    assert.equal(only(resources, 'account_defaults')[0]?.http_tokens_enforced, 'enabled');
    assert.equal(only(resources, 'launch_configuration')[0]?.hop_limit, 2);
    assert.equal(
      document.counts.reduce((sum, count) => sum + count.metadata_no_token, 0),
      4,
    );
    for (const { action, userAgent } of api.calls) {
      assert.match(action, READ);
      assert.match(userAgent, /\bapp\/cloud-sync\b/);
    }
  });

  it('names what it could not read, and has the rest', async (t) => {
    const api = await labCloud(t);
    fleet(api);
    for (const action of ['DescribeScalingActivities', 'GetMetricData', 'DescribeLaunchTemplates'])
      api.faults.push({ action, times: Number.POSITIVE_INFINITY, kind: 'deny' });
    const { document } = await sync({ credentials: OWN, regions: [REGION], days: 14, nowMs: Date.now() });
    assert.deepEqual(
      document.places[0]?.problems.map((text) => /^(.*) were not read: (\w+)/.exec(text)?.slice(1)),
      [
        ['The scaling activities', 'AccessDenied'],
        ['The launch templates', 'UnauthorizedOperation'],
        ["CloudWatch's counts", 'AccessDenied'],
      ],
    );
    assert.equal(document.inventory.instances.length, 3);
    assert.deepEqual(document.counts, []);
    assert.deepEqual(only(document.inventory.resources, 'complete_read'), []);
    assert.equal(only(document.inventory.resources, 'scaling_group')[0]?.template_version, null);
  });

  it('leaves out options that are being changed, and those of instances that are gone', async (t) => {
    const api = await labCloud(t);
    const region = api.state.region(ACCOUNT, REGION);
    const changing = addInstance(region, 'i-00000001');
    changing.change = { before: changing.options, acceptedMs: Date.now(), isApplied: false };
    addInstance(region, 'i-00000002', { state: 'terminated' });
    addInstance(region, 'i-00000003');
    const { document, pending } = await sync({
      credentials: OWN,
      regions: [REGION],
      days: 1,
      nowMs: Date.now(),
    });
    assert.equal(pending, 1);
    assert.deepEqual(
      document.metadata_options.map(({ instance_id }) => instance_id),
      ['i-00000003'],
    );
    assert.equal(document.inventory.instances.length, 3);
  });

  it('reads the accounts of the roles, in every region, and names one that it cannot reach', async (t) => {
    const api = await labCloud(t);
    const role = `arn:aws:iam::${OTHER_ACCOUNT}:role/reader`;
    const credentials = { ...OWN, roles: [role], externalId: 'shared' };
    const asked = { credentials, regions: [REGION, 'us-east-1'], days: 1, nowMs: Date.now() };
    const refused = (await sync(asked)).document;
    assert.match(
      refused.places[1]!.problems.join(),
      /^The account was not reached: AccessDenied: .*reader\.$/,
    );
    assert.deepEqual(refused.places.length, 2);
    api.state.roles.add(role);
    addInstance(api.state.region(OTHER_ACCOUNT, 'us-east-1'), 'i-00000001');
    addInstance(api.state.region(ACCOUNT, REGION), 'i-00000002');
    const { document } = await sync(asked);
    assert.deepEqual(
      document.places.map(({ account, region }) => `${account} ${region}`),
      [`${OTHER_ACCOUNT} ${REGION}`, `${OTHER_ACCOUNT} us-east-1`],
    );
    assert.deepEqual(
      document.inventory.instances.map(({ instance_id }) => instance_id),
      ['i-00000001'],
    );
    const assumed = api.calls.find(({ action }) => action === 'AssumeRole');
    assert.equal(assumed?.parameters['ExternalId'], 'shared');
  });
});
