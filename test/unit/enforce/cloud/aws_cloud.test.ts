/** The cloud of the enforcement, with the real SDK over the wire to the lab's cloud. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { openAwsWith } from '../../../../enforce/cloud/aws_cloud.ts';
import type { Cloud } from '../../../../enforce/cloud.ts';
import { addInstance, addTemplate, countCalls } from '../../../../lab/cloud/state.ts';
import type { CloudApi, CloudApiOptions } from '../../../../lab/cloud_api.ts';
import { ACCOUNT, labCloud, OTHER_ACCOUNT, REGION } from '../../../support/enforce/lab_cloud.ts';

const ID = 'i-0123456789abcdef0';
const PLAN = 'p-0123456789ab';
/** Longer than any test. */
const LONG_MS = 3_600_000;
const WET = { dryRun: false, isEndpointEnabled: false };
const OWN = { profile: null, roles: [], externalId: null };

async function opened(
  t: TestContext,
  options: CloudApiOptions = {},
): Promise<{ api: CloudApi; cloud: Cloud }> {
  const api = await labCloud(t, options);
  return { api, cloud: openAwsWith(OWN)({ account: ACCOUNT, region: REGION, planId: PLAN }) };
}

function here(api: CloudApi) {
  return api.state.region(ACCOUNT, REGION);
}

function value<T>(outcome: { ok: true; value: T } | { ok: false; error: unknown }): T {
  if (!outcome.ok) assert.fail(JSON.stringify(outcome.error));
  return outcome.value;
}

function kindOf(outcome: { ok: true } | { ok: false; error: { kind: string; code: string } }): string {
  return outcome.ok ? 'ok' : `${outcome.error.kind} ${outcome.error.code}`;
}

/** Waits until no change is pending. */
async function settled(cloud: Cloud): Promise<void> {
  while (value(await cloud.describeInstances([ID]))[0]?.optionsState === 'pending') {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('an instance', () => {
  it('gets only the options that change, and says pending until they apply', async (t) => {
    const service = Promise.withResolvers<void>();
    let answersBy = '';
    const { api, cloud } = await opened(t, {
      applied: ({ options: { HttpTokens: tokens } }) => {
        answersBy = tokens;
        return service.promise;
      },
    });
    const options = {
      HttpPutResponseHopLimit: 3,
      InstanceMetadataTags: 'enabled',
      HttpEndpoint: 'disabled',
    } as const;
    addInstance(here(api), ID, { options });

    const answered = value(await cloud.modifyInstance(ID, { http_tokens: 'required' }, WET));
    assert.equal(answered?.optionsState, 'pending');
    assert.deepEqual(api.calls.at(-1)?.parameters, { InstanceId: ID, HttpTokens: 'required' });
    const [pending] = value(await cloud.describeInstances([ID]));
    assert.equal(pending?.optionsState, 'pending');
    service.resolve();
    await settled(cloud);
    assert.equal(answersBy, 'required');
    const [after] = value(await cloud.describeInstances([ID]));
    assert.deepEqual(
      [after?.optionsState, after?.options],
      [
        'applied',
        {
          http_tokens: 'required',
          http_endpoint: 'disabled',
          hop_limit: 3,
          http_protocol_ipv6: 'disabled',
          instance_metadata_tags: 'enabled',
        },
      ],
    );
    await cloud.modifyInstance(ID, { hop_limit: 2 }, { dryRun: false, isEndpointEnabled: true });
    assert.deepEqual(api.calls.at(-1)?.parameters, {
      InstanceId: ID,
      HttpPutResponseHopLimit: '2',
      HttpEndpoint: 'enabled',
    });
  });

  it('is named by the plan in the user agent', async (t) => {
    const { api, cloud } = await opened(t);
    addInstance(here(api), ID);
    await cloud.modifyInstance(ID, { http_tokens: 'required' }, WET);
    assert.match(api.calls.at(-1)!.userAgent, /\bapp\/p-0123456789ab\b/);
  });

  it('is not changed by a dry run, which says what is denied', async (t) => {
    const { api, cloud } = await opened(t);
    const instance = addInstance(here(api), ID);
    const dry = { dryRun: true, isEndpointEnabled: true };
    assert.equal(value(await cloud.modifyInstance(ID, { http_tokens: 'required' }, dry)), null);
    assert.equal(instance.options.HttpTokens, 'optional');
    api.state.denied.push({
      action: 'ModifyInstanceMetadataOptions',
      parameters: { HttpTokens: 'optional' },
    });
    const back = await cloud.modifyInstance(ID, { http_tokens: 'optional' }, dry);
    assert.equal(kindOf(back), 'denied UnauthorizedOperation');
    assert.equal(kindOf(await cloud.modifyInstance(ID, { http_tokens: 'required' }, dry)), 'ok');
  });

  it('cannot go back where the account enforces tokens', async (t) => {
    const { api, cloud } = await opened(t);
    addInstance(here(api), ID, { options: { HttpTokens: 'required' } });
    here(api).defaults.HttpTokensEnforced = 'enabled';
    assert.equal(
      kindOf(await cloud.modifyInstance(ID, { http_tokens: 'optional' }, WET)),
      'unsupported UnsupportedOperation',
    );
    assert.equal(value(await cloud.accountDefaults()).http_tokens_enforced, 'enabled');
  });

  it('is asked for once after a cut connection: the answer is lost, the change may be made', async (t) => {
    const { api, cloud } = await opened(t);
    const instance = addInstance(here(api), ID);
    api.faults.push({ action: 'ModifyInstanceMetadataOptions', times: 1, kind: 'cut_after' });
    const lost = await cloud.modifyInstance(ID, { http_tokens: 'required' }, WET);
    assert.match(kindOf(lost), /^lost /);
    assert.equal(instance.options.HttpTokens, 'required');
    assert.equal(api.calls.length, 1);

    api.faults.push({ action: 'ModifyInstanceMetadataOptions', times: 1, kind: 'throttle' });
    const throttled = await cloud.modifyInstance(ID, { http_tokens: 'optional' }, WET);
    assert.equal(kindOf(throttled), 'throttled RequestLimitExceeded');
    assert.equal(instance.options.HttpTokens, 'required');
    assert.equal(api.calls.length, 2);
  });

  it('is refused by its state, by its manager, and when it is gone', async (t) => {
    const { api, cloud } = await opened(t);
    const terminated = addInstance(here(api), 'i-00000001', { state: 'terminated' });
    addInstance(here(api), 'i-00000002', { operator: { principal: 'eks.amazonaws.com', isHidden: true } });
    const results = [];
    for (const id of [terminated.id, 'i-00000002', 'i-00000003', 'nonsense']) {
      results.push(kindOf(await cloud.modifyInstance(id, { http_tokens: 'required' }, WET)));
    }
    assert.deepEqual(results, [
      'wrong_state IncorrectInstanceState',
      'other OperationNotPermitted',
      'not_found InvalidInstanceID.NotFound',
      'not_found InvalidInstanceID.Malformed',
    ]);
  });

  it('is described page by page, hidden ones too, and without those that are gone', async (t) => {
    const { api, cloud } = await opened(t);
    api.state.pageSize = 2;
    const ids = Array.from({ length: 7 }, (_, index) => `i-0000000${index}`);
    for (const id of ids) addInstance(here(api), id, { tags: { Name: id } });
    addInstance(here(api), 'i-0000000a', { operator: { principal: 'eks.amazonaws.com', isHidden: true } });
    api.faults.push({ action: 'DescribeInstances', times: 1, kind: 'throttle' });
    const found = value(await cloud.describeInstances([...ids, 'i-0000000a', 'i-0000000b']));
    assert.deepEqual(found.map(({ instanceId }) => instanceId).sort(), [...ids, 'i-0000000a']);
    assert.equal(
      found.find(({ instanceId }) => instanceId === 'i-0000000a')?.owner.operator,
      'eks.amazonaws.com',
    );
    assert.equal(found.find(({ instanceId }) => instanceId === ids[3])?.owner.tags['Name'], ids[3]);
  });

  it('keeps every option that a change leaves out, in any order of changes', async (t) => {
    const { api, cloud } = await opened(t);
    const tokens = fc.constantFrom('optional' as const, 'required' as const);
    const change = fc.record(
      { http_tokens: tokens, hop_limit: fc.integer({ min: 1, max: 64 }) },
      { requiredKeys: [] },
    );
    const onOff = fc.constantFrom('enabled' as const, 'disabled' as const);
    const before = fc.record({
      HttpTokens: tokens,
      HttpPutResponseHopLimit: fc.integer({ min: 1, max: 64 }),
      HttpEndpoint: onOff,
      HttpProtocolIpv6: onOff,
      InstanceMetadataTags: onOff,
    });
    await fc.assert(
      fc.asyncProperty(before, fc.array(change, { minLength: 1, maxLength: 4 }), async (options, changes) => {
        const expected = { ...addInstance(here(api), ID, { options }).options };
        const isEndpointEnabled = options.HttpEndpoint === 'enabled';
        for (const each of changes) {
          assert.ok((await cloud.modifyInstance(ID, each, { dryRun: false, isEndpointEnabled })).ok);
          expected.HttpTokens = each.http_tokens ?? expected.HttpTokens;
          expected.HttpPutResponseHopLimit = each.hop_limit ?? expected.HttpPutResponseHopLimit;
        }
        assert.deepEqual(here(api).instances.get(ID)!.options, expected);
      }),
      { numRuns: 25 },
    );
  });

  it('may be described with values from before the change', async (t) => {
    const { api, cloud } = await opened(t);
    api.state.staleReadMs = LONG_MS;
    addInstance(here(api), ID);
    await cloud.modifyInstance(ID, { http_tokens: 'required' }, WET);
    const tokens = async () => value(await cloud.describeInstances([ID]))[0]?.options.http_tokens;
    assert.equal(await tokens(), 'optional');
    api.state.staleReadMs = 0;
    assert.equal(await tokens(), 'required');
  });
});

describe('clocks', () => {
  it('are compared by the answers of EC2', async (t) => {
    const { api, cloud } = await opened(t);
    value(await cloud.describeInstances([ID]));
    const hours = () => Math.round(cloud.clockAheadMs() / 3_600_000);
    assert.ok(Math.abs(cloud.clockAheadMs()) < 60_000);
    for (const ahead of [-5, 7]) {
      api.state.clockAheadMs = ahead * 3_600_000;
      value(await cloud.describeInstances([ID]));
      assert.equal(hours(), ahead);
    }
  });
});

describe('accounts', () => {
  it('are reached by the role that is given for them', async (t) => {
    const api = await labCloud(t);
    const role = `arn:aws:iam::${OTHER_ACCOUNT}:role/imdswatch`;
    const open = openAwsWith({ ...OWN, roles: [role] });
    const place = { account: OTHER_ACCOUNT, region: 'us-east-1', planId: PLAN };
    assert.equal(kindOf(await open(place).callerAccount()), 'denied AccessDenied');
    api.state.roles.add(role);
    addInstance(api.state.region(OTHER_ACCOUNT, 'us-east-1'), ID);
    assert.equal(value(await open(place).callerAccount()), OTHER_ACCOUNT);
    assert.equal(value(await open(place).describeInstances([ID])).length, 1);
    const assumed = api.calls.find(({ action, result }) => action === 'AssumeRole' && result === 'ok');
    assert.equal(assumed?.parameters['RoleSessionName'], `imdswatch-${PLAN}`);
    assert.equal(value(await open({ ...place, account: ACCOUNT }).callerAccount()), ACCOUNT);
  });

  it('have defaults: one field is sent, a policy refuses it', async (t) => {
    const { api, cloud } = await opened(t);
    Object.assign(here(api).defaults, { HttpPutResponseHopLimit: 2, HttpEndpoint: 'enabled' });
    assert.equal(kindOf(await cloud.setAccountTokens('required', { dryRun: true })), 'ok');
    assert.equal(value(await cloud.accountDefaults()).http_tokens, null);
    assert.equal(kindOf(await cloud.setAccountTokens('required', { dryRun: false })), 'ok');
    assert.deepEqual(api.calls.at(-1)?.parameters, { HttpTokens: 'required' });
    assert.deepEqual(value(await cloud.accountDefaults()), {
      http_tokens: 'required',
      http_endpoint: 'enabled',
      hop_limit: 2,
      instance_metadata_tags: null,
      http_tokens_enforced: null,
      managed_by: 'account',
    });
    assert.equal(kindOf(await cloud.setAccountTokens(null, { dryRun: false })), 'ok');
    assert.equal(value(await cloud.accountDefaults()).http_tokens, null);
    here(api).defaults.ManagedBy = 'declarative-policy';
    assert.equal(value(await cloud.accountDefaults()).managed_by, 'declarative-policy');
    const refused = await cloud.setAccountTokens('required', { dryRun: false });
    assert.equal(kindOf(refused), 'denied UnauthorizedOperation');
  });
});

describe('a launch template', () => {
  const DATA = {
    ImageId: 'ami-1',
    InstanceType: 't3.micro',
    UserData: 'c2VjcmV0',
    BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: 'snap-1', VolumeSize: 8 } }],
    MetadataOptions: { HttpPutResponseHopLimit: 2, HttpTokens: 'optional' as const },
  };

  it('gets a version that differs in its metadata options only, snapshots included', async (t) => {
    const { api, cloud } = await opened(t);
    const template = addTemplate(here(api), 'lt-1', DATA);
    const source = value(await cloud.describeTemplateVersion('lt-1', 1));
    const version = {
      templateId: 'lt-1',
      sourceVersion: 1,
      options: { ...source.options, http_tokens: 'required' as const },
      clientToken: 'p-0123456789ab-s1',
      description: 'imdswatch',
    };
    assert.equal(value(await cloud.createTemplateVersion(version, { dryRun: true })), null);
    assert.equal(template.versions.length, 1);
    api.faults.push({ action: 'CreateLaunchTemplateVersion', times: 1, kind: 'cut_after' });
    assert.match(kindOf(await cloud.createTemplateVersion(version, { dryRun: false })), /^lost /);
    // The client token makes the repetition harmless.
    assert.equal(value(await cloud.createTemplateVersion(version, { dryRun: false })), 2);
    assert.equal(template.versions.length, 2);
    const made = value(await cloud.describeTemplateVersion('lt-1', 2));
    assert.equal(made.restSha256, source.restSha256);
    assert.deepEqual(made.options, { ...source.options, http_tokens: 'required' });
    assert.equal(made.options.http_endpoint, null);
    assert.deepEqual(value(await cloud.describeTemplate('lt-1')), {
      templateId: 'lt-1',
      name: 'template-lt-1',
      defaultVersion: 1,
      latestVersion: 2,
    });
    template.versions[1]!.data['ImageId'] = 'ami-2';
    assert.notEqual(value(await cloud.describeTemplateVersion('lt-1', 2)).restSha256, source.restSha256);
  });

  it('goes live by its default version, or by the number that a group names', async (t) => {
    const { api, cloud } = await opened(t);
    const template = addTemplate(here(api), 'lt-1', DATA);
    template.versions.push({ ...template.versions[0]!, number: 2 });
    assert.equal(kindOf(await cloud.setDefaultVersion('lt-1', 2, { dryRun: true })), 'ok');
    assert.equal(template.defaultVersion, 1);
    assert.equal(kindOf(await cloud.setDefaultVersion('lt-1', 2, { dryRun: false })), 'ok');
    assert.equal(template.defaultVersion, 2);
    assert.equal(
      kindOf(await cloud.setDefaultVersion('lt-1', 9, { dryRun: false })),
      'not_found InvalidLaunchTemplateId.VersionNotFound',
    );

    const group = { launchConfiguration: null, mixed: null, instances: [ID] };
    here(api).groups.set('web', { ...group, name: 'web', template: { id: 'lt-1', version: '1' } });
    here(api).groups.set('api', { ...group, name: 'api', template: { id: 'lt-1', version: null } });
    here(api).groups.set('old', { ...group, name: 'old', template: null, launchConfiguration: 'lc' });
    assert.deepEqual(value(await cloud.scalingGroup('web'))?.template, { templateId: 'lt-1', reference: 1 });
    assert.equal(value(await cloud.scalingGroup('api'))?.template?.reference, '$Default');
    assert.equal(value(await cloud.scalingGroup('old'))?.otherSource, 'launch_configuration');
    assert.equal(value(await cloud.scalingGroup('none')), null);
    assert.equal(kindOf(await cloud.setGroupVersion('web', 'lt-1', 2)), 'ok');
    assert.deepEqual(here(api).groups.get('web')?.template, { id: 'lt-1', version: '2' });
    assert.equal(kindOf(await cloud.setGroupVersion('web', 'lt-2', 2)), 'wrong_state IncorrectState');
    assert.equal(kindOf(await cloud.setGroupVersion('none', 'lt-1', 2)), 'not_found NotFound');
  });

  it('keeps the rest of a mixed instances policy', async (t) => {
    const { api, cloud } = await opened(t);
    addTemplate(here(api), 'lt-1', DATA);
    const mixed = (overrides: object[]) => ({
      LaunchTemplate: {
        LaunchTemplateSpecification: { LaunchTemplateId: 'lt-1', Version: '1' },
        Overrides: overrides,
      },
      InstancesDistribution: { OnDemandBaseCapacity: 1 },
    });
    const group = { name: 'web', template: null, launchConfiguration: null, instances: [] };
    here(api).groups.set('web', { ...group, mixed: mixed([{ InstanceType: 't3.small' }]) });
    assert.deepEqual(value(await cloud.scalingGroup('web'))?.template, { templateId: 'lt-1', reference: 1 });
    assert.equal(kindOf(await cloud.setGroupVersion('web', 'lt-1', 2)), 'ok');
    assert.deepEqual(here(api).groups.get('web')?.mixed, {
      LaunchTemplate: {
        LaunchTemplateSpecification: { LaunchTemplateId: 'lt-1', Version: '2' },
        Overrides: [{ InstanceType: 't3.small' }],
      },
      InstancesDistribution: { OnDemandBaseCapacity: '1' },
    });
    const other = { LaunchTemplateSpecification: { LaunchTemplateId: 'lt-2' } };
    here(api).groups.set('web', { ...group, mixed: mixed([other]) });
    assert.equal(value(await cloud.scalingGroup('web'))?.otherSource, 'mixed_instances');
  });
});

describe('CloudWatch', () => {
  it('gives sums for the span, and null where it has no point', async (t) => {
    const { api, cloud } = await opened(t);
    api.state.pointsPerAnswer = 2;
    const start = Date.UTC(2026, 2, 1, 12);
    for (const minute of [0, 5, 10, 15]) {
      countCalls(here(api), 'MetadataNoToken', ID, start + minute * 60_000, 1 + minute);
    }
    countCalls(here(api), 'MetadataNoToken', 'i-00000002', start, 0);
    countCalls(here(api), 'MetadataNoTokenRejected', 'i-00000003', start, 9);
    const span = { sinceMs: start, untilMs: start + 15 * 60_000 };
    const asked = [ID, 'i-00000002', 'i-00000003', 'i-00000004'];
    assert.deepEqual(value(await cloud.noTokenCounts(asked, span)), [
      { instanceId: ID, accepted: 18, rejected: null },
      { instanceId: 'i-00000002', accepted: 0, rejected: null },
      { instanceId: 'i-00000003', accepted: null, rejected: 9 },
      { instanceId: 'i-00000004', accepted: null, rejected: null },
    ]);
  });

  it('names the alarms that are not green, also those that do not exist', async (t) => {
    const { api, cloud } = await opened(t);
    here(api).alarms.set('fine', 'OK').set('quiet', 'INSUFFICIENT_DATA').set('bad', 'ALARM');
    const names = ['fine', 'quiet', 'bad', 'gone'];
    assert.deepEqual(value(await cloud.alarmsNotGreen(names)), ['bad', 'gone']);
    api.faults.push({ action: 'DescribeAlarms', times: 1, kind: 'deny' });
    assert.equal(kindOf(await cloud.alarmsNotGreen(names)), 'denied AccessDenied');
  });
});
