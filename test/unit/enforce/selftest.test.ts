import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAwsWith } from '../../../enforce/cloud/aws_cloud.ts';
import { PREVENTIONS, prevent } from '../../../enforce/prevent/prevent.ts';
import { selftest } from '../../../enforce/selftest.ts';
import { addInstance } from '../../../lab/cloud/state.ts';
import { ACCOUNT, labCloud, REGION } from '../../support/enforce/lab_cloud.ts';

const ID = 'i-0123456789abcdef0';

test('the self-test changes an instance, gives it back, and names nothing in its transcript', async (t) => {
  const api = await labCloud(t);
  const instance = addInstance(api.state.region(ACCOUNT, REGION), ID);
  const run = async (mayChange: boolean, signal = new AbortController().signal) => {
    let text = '';
    let nowMs = 0;
    const isGood = await selftest({
      cloud: openAwsWith({ profile: null, roles: [], externalId: null })({
        account: ACCOUNT,
        region: REGION,
        planId: 'selftest',
      }),
      instanceId: ID,
      mayChange,
      signal,
      now: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
      },
      print: (line) => {
        text += line;
      },
    });
    return { isGood, text };
  };
  const read = await run(false);
  assert.equal(read.isGood, true, read.text);
  const isWrite = ({ action, parameters }: (typeof api.calls)[number]) =>
    action === 'ModifyInstanceMetadataOptions' && parameters['DryRun'] === undefined;
  const writes = () => api.calls.filter(isWrite).length;
  assert.equal(writes(), 0);

  const changed = await run(true);
  assert.equal(changed.isGood, true, changed.text);
  assert.equal(writes(), 2);
  assert.equal(instance.options.HttpTokens, 'optional');
  assert.match(changed.text, /DescribeInstances: required applied[\s\S]*DescribeInstances: optional applied/);
  assert.ok(![ID, ACCOUNT, REGION].some((name) => changed.text.includes(name)), changed.text);

  // A signal in the middle ends it, and the value is given back first.
  const stop = new AbortController();
  const requiring = api.calls.length;
  api.state.pendingMs = 200;
  const ending = run(true, stop.signal);
  while (!api.calls.slice(requiring).some(isWrite)) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  const ended = await ending;
  api.state.pendingMs = 0;
  assert.equal(ended.isGood, false);
  assert.match(ended.text, /ended by a signal[\s\S]*ModifyInstanceMetadataOptions optional: /);
  assert.equal(instance.options.HttpTokens, 'optional');
  assert.equal(writes(), 4);

  api.state.denied.push({ action: 'ModifyInstanceMetadataOptions', parameters: { HttpTokens: 'optional' } });
  const closed = await run(true);
  assert.equal(closed.isGood, false);
  assert.match(closed.text, /optional, dry run: error denied UnauthorizedOperation[\s\S]*Nothing is changed/);
  assert.equal(writes(), 4);
  assert.equal(instance.options.HttpTokens, 'optional');
});

test('each prevention says first what it breaks and how it is opened again', () => {
  for (const kind of PREVENTIONS) {
    const { warnings, text } = prevent(kind, { hopLimit: 3, adminRole: 'arn:aws:iam::*:role/a' });
    assert.ok(warnings.length >= 2, kind);
    if (kind === 'config-rules' || kind === 'account-default')
      assert.match(text, /^aws \S+ \S+ --region REGION/);
    else JSON.parse(text);
  }
  const { Statement: scp } = JSON.parse(prevent('scp', { hopLimit: 3, adminRole: 'r' }).text) as {
    Statement: { Sid: string; Condition: object }[];
  };
  assert.deepEqual(
    scp.map(({ Sid, Condition }) => [Sid, Condition]),
    [
      ['RequireImdsV2AtLaunch', { StringNotEquals: { 'ec2:MetadataHttpTokens': 'required' } }],
      ['LimitHopsAtLaunch', { NumericGreaterThan: { 'ec2:MetadataHttpPutResponseHopLimit': '3' } }],
      [
        'NoWayBackToImdsV1',
        {
          StringNotEquals: { 'ec2:Attribute/HttpTokens': 'required' },
          Null: { 'ec2:Attribute/HttpTokens': 'false' },
        },
      ],
      ['DefaultsForAdministrators', { ArnNotLike: { 'aws:PrincipalArn': 'r' } }],
    ],
  );
});
