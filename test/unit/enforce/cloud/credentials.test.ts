/** Our own credentials never come by IMDSv1, whichever part of the SDK asks for them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connect, credentialsFor } from '../../../../enforce/cloud/connection.ts';

const PLACE = { account: null, region: 'eu-central-1' };
const ROLE = 'arn:aws:iam::222222222222:role/imdswatch';
const OWN = { profile: null, roles: [], externalId: null };

/** Plays a metadata service that gives credentials to everybody. `token`: how it answers token requests. */
async function metadataService(t: TestContext, token: 'given' | 'refused' | 'hangs') {
  const withoutToken: string[] = [];
  const withToken: string[] = [];
  const server = createServer((request, response) => {
    const { method, url = '', headers } = request;
    if (method === 'PUT') {
      if (token === 'given') response.end('AQAEtoken');
      else if (token === 'refused') response.writeHead(403).end();
      return;
    }
    (headers['x-aws-ec2-metadata-token'] === undefined ? withoutToken : withToken).push(url);
    if (url.endsWith('/security-credentials/')) response.end('role');
    else if (url.endsWith('/role')) {
      const Expiration = '2099-01-01T00:00:00Z';
      response.end(
        JSON.stringify({
          Code: 'Success',
          AccessKeyId: 'ASIA',
          SecretAccessKey: 's',
          Token: 't',
          Expiration,
        }),
      );
    } else response.end('eu-central-1');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-credentials-'));
  const config = join(directory, 'config');
  writeFileSync(
    config,
    `[default]\ndefaults_mode = auto\nec2_metadata_v1_disabled = false\n
[profile by-instance]\nrole_arn = ${ROLE}\ncredential_source = Ec2InstanceMetadata\ndefaults_mode = auto\n`,
  );
  const before = { ...process.env };
  for (const key of Object.keys(process.env)) if (key.startsWith('AWS_')) delete process.env[key];
  Object.assign(process.env, {
    AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    AWS_CONFIG_FILE: config,
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    // The opposite of what we need, as an operator may have set it.
    AWS_EC2_METADATA_V1_DISABLED: 'false',
    AWS_DEFAULTS_MODE: 'auto',
    // Nothing listens there: an STS that the SDK may ask gets nowhere.
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
    AWS_MAX_ATTEMPTS: '1',
  });
  t.after(async () => {
    for (const key of Object.keys(process.env)) if (!(key in before)) delete process.env[key];
    Object.assign(process.env, before);
    rmSync(directory, { recursive: true });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { withoutToken, withToken };
}

describe('credentials of an instance role', () => {
  it('are taken with a token', async (t) => {
    const seen = await metadataService(t, 'given');
    const { accessKeyId } = await credentialsFor(OWN, PLACE, 'cloud-sync')();
    assert.equal(accessKeyId, 'ASIA');
    assert.equal(seen.withToken.length, 2);
    assert.deepEqual(seen.withoutToken, []);
  });

  const cases = [
    { name: 'the default chain', settings: OWN, account: null },
    { name: 'a profile that assumes a role', settings: { ...OWN, profile: 'by-instance' }, account: null },
    { name: 'a role of another account', settings: { ...OWN, roles: [ROLE] }, account: '222222222222' },
  ];
  for (const { name, settings, account } of cases) {
    for (const token of ['refused', 'hangs'] as const) {
      it(`are not taken without one by ${name} when the token request is ${token}`, async (t) => {
        const seen = await metadataService(t, token);
        await assert.rejects(async () => credentialsFor(settings, { ...PLACE, account }, 'cloud-sync')());
        assert.deepEqual(seen.withoutToken, []);
      });
    }
  }

  it('and no client asks the service for its region without a token', async (t) => {
    const seen = await metadataService(t, 'given');
    const connection = connect(
      { ...OWN, roles: [ROLE] },
      { ...PLACE, account: '222222222222' },
      'cloud-sync',
    );
    t.after(() => connection.close());
    for (const { config } of Object.values(connection).filter((part) => typeof part === 'object')) {
      await config.defaultsMode?.();
      await config.credentials().catch(() => undefined);
    }
    assert.ok(seen.withToken.length > 0);
    assert.deepEqual(seen.withoutToken, []);
  });
});
