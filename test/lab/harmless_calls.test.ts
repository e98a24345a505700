/**
 * Real packets of real clients that need no fix although they call without a token or are refused: probes for
 * other clouds, clients that adapt, stale tokens. A host that was `ready` stays so, and every request of the
 * service's own log is counted once. Credentials by the extended path end that.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { DAY_US } from '../../collector/contract/window.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { EvasionLab, until } from './evasions/evasion_lab.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const CLIENT = join(import.meta.dirname, '../support/lab/refused_client.py');
const SETTLE_TIMEOUT_MS = 90_000;

/** Arguments of curl for requests of other clouds' clients: see other_clouds.test.ts for their sources. */
const PROBES: string[][] = [
  ['-H', 'Metadata-Flavor: Google', '/'],
  ['-H', 'Metadata-Flavor: Google', '/computeMetadata/v1/instance'],
  ['-H', 'Metadata: true', '/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x'],
  ['/metadata/instance?api-version=2021-02-01'],
  ['-I', '/'],
  ['-H', 'Authorization: Bearer Oracle', '/opc/v2/instance/'],
  ['/openstack/latest/meta_data.json'],
  ['/metadata/v1.json'],
  ['/hetzner/v1/metadata'],
  ['-X', 'PUT', '-H', 'Metadata-Flavor: ibm', '-d', '{"expires_in":3600}', '/instance_identity/v1/token'],
  ['-X', 'POST', '-d', '.', '/metadata/identity/credential?cred-api-version=1.0'],
];

describe('a host that is ready', { skip }, () => {
  let lab: EvasionLab;
  before(async () => {
    lab = await EvasionLab.open('harmless', { isStrict: true });
    await lab.watch();
  });
  after(() => lab?.close());

  const readiness = async () => (await lab.host())!.readiness;
  const run = async (...argv: string[]) => {
    const { status, stderr } = await lab.lab.run(argv, { from: 'host', timeoutMs: 30_000 });
    assert.equal(status, 0, `${argv.join(' ')}: ${stderr}`);
  };
  type Counts = Awaited<ReturnType<typeof readiness>>;
  const counted = (counts: Counts) =>
    counts.calls_v1 + counts.calls_v2 + counts.adapted_v1 + counts.other_cloud_calls;
  /** Waits until as many requests are counted as the service's log has. */
  const settle = async () => {
    const log = await lab.lab.metadata.log();
    await until(
      'every request is counted',
      SETTLE_TIMEOUT_MS,
      async () => counted(await readiness()) >= log.length,
    );
    const counts = await readiness();
    assert.equal(counted(counts), log.length);
    return counts;
  };

  it('stays ready when clients of other clouds look for them, with tokens optional and required', async () => {
    for (const httpTokens of ['optional', 'required'] as const) {
      await lab.lab.metadata.set({ httpTokens });
      for (const probe of PROBES) {
        const url = `http://${IMDS_IPV4}${probe.at(-1)}`;
        await run('curl', '-s', '-o', '/dev/null', '--max-time', '5', ...probe.slice(0, -1), url);
      }
    }
    const { verdict, reason, offenders, calls_v1, other_cloud_calls } = await settle();
    assert.deepEqual([verdict, offenders, calls_v1], ['ready', [], 0], reason);
    assert.equal(other_cloud_calls, 2 * PROBES.length);
    assert.match(reason, /22 requests looked for another cloud/);
  });

  it('stays ready when clients that are refused take a token', async () => {
    await run('python3', CLIENT, 'adapts');
    await run('python3', CLIENT, 'probes');
    const script = join(lab.lab.home, 'instance-id.sh');
    writeFileSync(
      script,
      `#!/bin/bash
url=http://${IMDS_IPV4}
curl -sf --max-time 5 $url/latest/meta-data/instance-id && exit
token=$(curl -sf --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $url/latest/api/token)
curl -sf --max-time 5 -H "X-aws-ec2-metadata-token: $token" $url/latest/meta-data/instance-id\n`,
      { mode: 0o755 },
    );
    await run('bash', script);
    const { verdict, reason, rejected_v1, adapted_v1, calls_v1 } = await settle();
    assert.deepEqual([verdict, calls_v1, rejected_v1, adapted_v1], ['ready', 0, 0, 3], reason);
  });

  it('says that a token is refused, unless its client renews it', async () => {
    await run('python3', CLIENT, 'renews');
    assert.equal((await settle()).refused_tokens, 0);
    await run('python3', CLIENT, 'stale');
    const { verdict, reason, refused_tokens, offenders } = await settle();
    assert.deepEqual([verdict, refused_tokens], ['ready', 2], reason);
    assert.match(reason, /its token is refused/);
    assert.deepEqual(
      offenders.map(({ severity }) => severity),
      ['stale_token'],
    );
  });

  it('says whether its start was seen', async () => {
    assert.equal((await readiness()).start_seen, true);
    const database = new DatabaseSync(join(lab.lab.home, 'data', 'imdswatch.db'), { timeout: 20_000 });
    try {
      database.exec(`UPDATE boots SET first_us = first_us - ${20 * DAY_US}`);
    } finally {
      database.close();
    }
    const { verdict, reason, start_seen } = await readiness();
    assert.deepEqual([verdict, start_seen], ['ready', false]);
    assert.match(reason, /running state only/);
  });

  it('is rejected by a client that takes no token, and blocked by credentials of the extended path', async () => {
    await run('python3', CLIENT, 'ignores');
    const rejected = await settle();
    assert.deepEqual([rejected.verdict, rejected.rejected_v1], ['rejected', 1]);
    await lab.lab.metadata.set({ httpTokens: 'optional' });
    const roles = '/latest/meta-data/iam/security-credentials-extended/';
    for (const path of [
      roles,
      `${roles}lab-instance-role`,
      `//2021-07-15/meta-data/%69am/security-credentials-extended/lab-instance-role`,
    ]) {
      await run('curl', '-s', '-o', '/dev/null', '--path-as-is', `http://${IMDS_IPV4}${path}`);
    }
    const { verdict, offenders } = await settle();
    assert.equal(verdict, 'blocked');
    assert.deepEqual([offenders[0]!.severity, offenders[0]!.credentials_over_v1], ['credentials', 2]);
    const calls = await lab.recorded('security-credentials-extended');
    assert.deepEqual(calls.map((call) => call['imds.category']).sort(), [
      'credentials',
      'credentials',
      'role-list',
    ]);
  });
});
