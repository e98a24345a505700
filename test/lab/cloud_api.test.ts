/**
 * A change that the real SDK makes in the lab's cloud decides how the lab's metadata service answers real clients, and
 * its counts are those of the service's own log.
 */
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { openAwsWith } from '../../enforce/cloud/aws_cloud.ts';
import { MetadataLink } from '../../lab/cloud/metadata_link.ts';
import { addInstance } from '../../lab/cloud/state.ts';
import { CloudApi } from '../../lab/cloud_api.ts';
import { Lab } from '../../lab/lab.ts';
import { ACCOUNT, REGION } from '../support/enforce/lab_cloud.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces';
const ID = 'i-0123456789abcdef0';
const IMDS = 'http://169.254.169.254/latest';
const OLD = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `${IMDS}/meta-data/instance-id`];
const TOKEN = ['-X', 'PUT', '-H', 'X-aws-ec2-metadata-token-ttl-seconds: 60', `${IMDS}/api/token`];
const NEW = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', ...TOKEN];

const environment = { ...process.env };
let lab: Lab | null = null;
let api: CloudApi | null = null;
after(async () => {
  for (const key of Object.keys(process.env)) if (!(key in environment)) delete process.env[key];
  Object.assign(process.env, environment);
  await api?.close();
  await lab?.close();
});

it('an old client breaks when tokens are required, and works again when they are not', { skip }, async () => {
  lab = await Lab.create({ name: 'cloudapi', ipv6: false });
  const link = new MetadataLink(lab.metadata, ID);
  api = await CloudApi.start({ applied: link.applied });
  Object.assign(process.env, api.environment(ACCOUNT));
  const region = api.state.region(ACCOUNT, REGION);
  await link.follow(addInstance(region, ID).options);
  const cloud = openAwsWith({ profile: null, roles: [], externalId: null })({
    account: ACCOUNT,
    region: REGION,
    planId: 'p-0123456789ab',
  });
  const answers: string[] = [];
  const ask = async () => {
    for (const argv of [OLD, NEW]) answers.push((await lab!.run(argv)).stdout);
  };
  const set = async (http_tokens: 'optional' | 'required') => {
    const changed = await cloud.modifyInstance(
      ID,
      { http_tokens },
      { dryRun: false, isEndpointEnabled: true },
    );
    assert.ok(changed.ok);
    for (;;) {
      const read = await cloud.describeInstances([ID]);
      assert.ok(read.ok);
      if (read.value[0]?.optionsState === 'applied') return;
    }
  };
  // The service has to answer by the former options for that long.
  api.state.pendingMs = 30;
  await ask();
  await set('required');
  await ask();
  await set('optional');
  await ask();
  assert.deepEqual(answers, ['200', '200', '401', '200', '200', '200']);
  assert.deepEqual(api.problems, []);
  await link.count(region);
  await link.count(region);
  const sum = (metric: 'MetadataNoToken' | 'MetadataNoTokenRejected') =>
    [...(region.metrics[metric].get(ID)?.values() ?? [])].reduce((total, value) => total + value, 0);
  assert.deepEqual([sum('MetadataNoToken'), sum('MetadataNoTokenRejected')], [2, 1]);
});
