/** `imdswatch cloud sync` as a program: into the collector's files, or by a file and `reconcile`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { withAdmin } from '../../../../collector/local.ts';
import { openStore, openStoreForReading } from '../../../../collector/store/sqlite/sqlite_store.ts';
import { addInstance, countCalls } from '../../../../lab/cloud/state.ts';
import type { CloudApi } from '../../../../lab/cloud_api.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { ACCOUNT, labCloud, REGION } from '../../../support/enforce/lab_cloud.ts';

const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const HOUR_MS = 3_600_000;

async function bench(t: TestContext) {
  const api = await labCloud(t);
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-cloud-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  await openStore(directory).close();
  const command = (...args: string[]) => run([...args, '--data-dir', directory]);
  return { api, directory, command };
}

/** The environment is that of this process, in which the SDK uses the lab's cloud. */
function run(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const argv = ['--disable-warning=ExperimentalWarning', MAIN, ...args];
    execFile(process.execPath, argv, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function populate(api: CloudApi): void {
  const region = api.state.region(ACCOUNT, REGION);
  const tags = { 'aws:autoscaling:groupName': 'web' };
  addInstance(region, 'i-00000001', {
    tags,
    options: { HttpTokens: 'required', HttpPutResponseHopLimit: 2 },
  });
  countCalls(region, 'MetadataNoToken', 'i-00000001', Date.now() - 30 * HOUR_MS, 3);
}

async function stored(directory: string) {
  const store = openStoreForReading(directory);
  try {
    const [options] = await store.cloudInstances(['i-00000001']);
    const { instances, resources } = await store.cloudInventory();
    const counts = await store.cloudCounts({ sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER }, ['i-00000001']);
    return {
      options: [options?.httpTokens, options?.hopLimit, options?.httpEndpoint],
      groups: instances.map(({ scalingGroup }) => scalingGroup),
      kinds: resources.map(({ facts }) => facts.kind),
      calls: counts.reduce((sum, { noToken }) => sum + noToken, 0),
    };
  } finally {
    await store.close();
  }
}

const EXPECTED = {
  options: ['required', 2, 'enabled'],
  groups: ['web'],
  kinds: ['account_defaults', 'complete_read'],
  calls: 3,
};

describe('imdswatch cloud sync', () => {
  it('stores what it read beside the collector, and compares the counts', async (t) => {
    const { api, directory, command } = await bench(t);
    populate(api);
    const { code, stdout, stderr } = await command('cloud', 'sync', '--region', REGION);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /No agent ever reported from 1 instance with counts/);
    assert.match(
      stderr,
      /Stored 1 instance, 0 Auto Scaling groups, 0 launch templates, 1 count from 111111111111\/eu-central-1/,
    );
    assert.deepEqual(await stored(directory), EXPECTED);
  });

  it('writes a file for another machine, which reconcile reads, with what is missing', async (t) => {
    const { api, directory, command } = await bench(t);
    populate(api);
    api.faults.push({ action: 'DescribeAutoScalingGroups', times: 9, kind: 'deny' });
    const file = join(directory, 'cloud.json');
    const written = await run(['cloud', 'sync', '--region', REGION, '--output', file]);
    assert.equal(written.code, 1);
    assert.match(
      written.stderr,
      /^NOT READ: 111111111111, eu-central-1: The Auto Scaling groups were not read: AccessDenied/m,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(!readFileSync(file, 'utf8').includes('lab-secret'));
    const read = await command('reconcile', file);
    assert.equal(read.code, 0, read.stderr);
    assert.match(read.stderr, /Left out: 1 read of 111111111111 in eu-central-1 that failed/);
    assert.deepEqual(await stored(directory), { ...EXPECTED, kinds: ['account_defaults'] });
  });

  it('sends what it read to a collector on another machine, by an admin only, and so does reconcile', async (t) => {
    const { api, directory } = await bench(t);
    populate(api);
    const collectors = new Bench();
    t.after(() => collectors.end());
    const collector = await collectors.collector({ data_dir: directory });
    const access = ['--collector', collector.pageUrl];
    const tokens = await withAdmin({ data_dir: directory }, collectors.log, ({ access: tokenMaker, actor }) =>
      Promise.all(
        (['viewer', 'admin'] as const).map(async (role) => {
          const file = join(directory, `${role}.token`);
          const { secret } = await tokenMaker.createToken({ kind: 'person', name: role, role }, actor);
          writeFileSync(file, secret);
          return ['--collector-token-file', file];
        }),
      ),
    );
    const [viewer, admin] = tokens as [string[], string[]];
    const asked = api.calls.length;
    const refused = await run(['cloud', 'sync', '--region', REGION, ...access, ...viewer]);
    assert.deepEqual([refused.code, /role admin, to supply/.test(refused.stderr)], [3, true], refused.stderr);
    assert.equal(api.calls.length, asked, 'the cloud was read for nothing');
    const { code, stdout, stderr } = await run(['cloud', 'sync', '--region', REGION, ...access, ...admin]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /No agent ever reported from 1 instance with counts/);
    assert.deepEqual(await stored(directory), EXPECTED);

    const counts = join(directory, 'counts.csv');
    const hour = new Date(Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 50 * HOUR_MS);
    const end = new Date(hour.getTime() + HOUR_MS).toISOString();
    writeFileSync(
      counts,
      `instance_id,start,end,metadata_no_token\ni-00000001,${hour.toISOString()},${end},4\n`,
    );
    const reconciled = await run(['reconcile', counts, ...access, ...admin]);
    assert.equal(reconciled.code, 0, reconciled.stderr);
    assert.match(reconciled.stderr, /Stored 1 counts/);
    assert.equal((await stored(directory)).calls, 7);
    assert.equal((await run(['reconcile', counts, ...access, ...viewer])).code, 3);
    const both = await run(['cloud', 'sync', '--region', REGION, ...access, ...admin, '--output', counts]);
    assert.deepEqual([both.code, /exclude each other/.test(both.stderr)], [2, true]);
  });

  it('says what to do when it has no region, a wrong role or no access, and stores nothing', async (t) => {
    const { api, directory, command } = await bench(t);
    populate(api);
    const noRegion = await command('cloud', 'sync');
    assert.deepEqual([noRegion.code, /--region/.test(noRegion.stderr)], [2, true]);
    const wrong = await command('cloud', 'sync', '--region', REGION, '--assume-role', 'reader');
    assert.deepEqual([wrong.code, /"reader" is not the ARN of a role/.test(wrong.stderr)], [2, true]);
    const role = 'arn:aws:iam::222222222222:role/reader';
    const refused = await command('cloud', 'sync', '--region', REGION, '--assume-role', role);
    assert.deepEqual(
      [refused.code, /NOT READ: 222222222222, eu-central-1: The account/.test(refused.stderr)],
      [1, true],
    );
    api.faults.push({ action: 'GetCallerIdentity', times: 9, kind: 'deny' });
    const denied = await command('cloud', 'sync', '--region', REGION);
    assert.deepEqual(
      [denied.code, /nothing was stored: AccessDenied.*Check your/.test(denied.stderr)],
      [1, true],
    );
    assert.equal((await stored(directory)).calls, 0);
  });
});
