/** Tests which requests look for another cloud, on bytes: a false one would hide a use of IMDSv1. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { answer, play, Script } from '../../../support/agent/conversation/script.ts';

interface Probe {
  source: string;
  line: string;
  headers?: string[];
  body?: string;
  status?: number;
}

/** Requests of real clients, each with the public source that shows them. */
const PROBES: Probe[] = [
  {
    source: 'googleapis/google-auth-library-python, google/auth/compute_engine/_metadata.py, ping()',
    line: 'GET /',
    headers: ['Metadata-Flavor: Google'],
    status: 200,
  },
  {
    source: 'googleapis/gcp-metadata, src/index.ts, isAvailable()',
    line: 'GET /computeMetadata/v1/instance',
    headers: ['metadata-flavor: Google', 'User-Agent: node-fetch'],
  },
  {
    source: 'Azure/azure-sdk-for-python, azure-identity ImdsCredential',
    line: 'GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net',
    headers: ['Metadata: true'],
  },
  {
    source: 'Azure/azure-sdk-for-net, ImdsManagedIdentityProbeSource: its probe has no Metadata header',
    line: 'GET /metadata/identity/oauth2/token?api-version=2018-02-01',
  },
  {
    source: 'tailscale/tailscale, util/cloudenv/cloudenv.go: reads the header Server only',
    line: 'HEAD /',
    headers: ['User-Agent: Go-http-client/1.1'],
    status: 200,
  },
  {
    source: 'oracle/oci-python-sdk, InstancePrincipalsSecurityTokenSigner',
    line: 'GET /opc/v2/instance/region',
    headers: ['Authorization: Bearer Oracle'],
  },
  { source: 'canonical/cloud-init, DataSourceDigitalOcean', line: 'GET /metadata/v1.json' },
  { source: 'canonical/cloud-init, DataSourceOpenStack', line: 'GET /openstack' },
  { source: 'canonical/cloud-init, DataSourceHetzner', line: 'GET /hetzner/v1/metadata' },
  {
    source: 'canonical/cloud-init, DataSourceVultr',
    line: 'GET /v1.json',
    headers: ['Metadata-Token: cloudinit'],
  },
  {
    source: 'IBM/go-sdk-core, VpcInstanceAuthenticator: a PUT with a body',
    line: 'PUT /instance_identity/v1/token?version=2022-03-01',
    headers: ['Metadata-Flavor: ibm', 'Content-Length: 19'],
    body: '{"expires_in":3600}',
  },
  {
    source:
      'AzureAD/microsoft-authentication-library-for-dotnet, probe of /credential: no header, a dot for a body',
    line: 'POST /metadata/identity/credential?cred-api-version=1.0',
    headers: ['Content-Length: 1'],
    body: '.',
  },
  {
    source: 'elastic/beats, add_cloud_metadata: Alibaba Cloud and others at the same address',
    line: 'GET /openstack/latest/meta_data.json',
  },
  {
    source: 'DataDog/datadog-agent, pkg/util/cloudproviders/gce',
    line: 'GET /computeMetadata/v1/instance/hostname',
  },
];

/** Requests that EC2's service serves although they carry another cloud's header, and other uses of it. */
const USES: (Probe & { category: string; version: 1 | 2 })[] = [
  { source: 'version list', line: 'GET /', category: 'metadata', version: 1 },
  {
    source: 'a path of EC2',
    line: 'GET /latest/meta-data/instance-id',
    headers: ['Metadata-Flavor: Google'],
    category: 'metadata',
    version: 1,
  },
  {
    source: 'credentials',
    line: 'HEAD /latest/meta-data/iam/security-credentials-extended/web',
    headers: ['Metadata: true', 'Authorization: Bearer Oracle'],
    category: 'credentials',
    version: 1,
  },
  {
    source: 'dot segments lead to a path of EC2',
    line: 'GET /computeMetadata/../latest/meta-data/iam/security-credentials/web',
    headers: ['Metadata-Flavor: Google'],
    category: 'credentials',
    version: 1,
  },
  {
    source: 'dot segments that a server may leave as they are',
    line: 'GET /latest/meta-data/%2e%2e/../computeMetadata/v1',
    headers: ['Metadata-Flavor: Google'],
    category: 'other',
    version: 1,
  },
  { source: 'an unknown path', line: 'GET /favicon.ico', category: 'other', version: 1 },
  {
    source: 'another authorization',
    line: 'GET /favicon.ico',
    headers: ['Authorization: Bearer Oracles'],
    category: 'other',
    version: 1,
  },
  {
    source: 'a header of another cloud in the value of another header',
    line: 'GET /favicon.ico',
    headers: ['X-Note: Metadata-Flavor: Google'],
    category: 'other',
    version: 1,
  },
  {
    source: 'a body that may hide a second request, and an answer with success',
    line: 'POST /computeMetadata/v1/',
    headers: ['Content-Length: 4'],
    body: 'GET ',
    status: 200,
    category: 'other',
    version: 1,
  },
  {
    source: 'a token request',
    line: 'PUT /latest/api/token',
    headers: ['Metadata-Flavor: Google', 'X-aws-ec2-metadata-token-ttl-seconds: 60'],
    category: 'token',
    version: 2,
  },
  {
    source: 'a token',
    line: 'GET /latest/user-data',
    headers: ['Metadata: true', 'X-aws-ec2-metadata-token: abc'],
    category: 'user-data',
    version: 2,
  },
];

function verdictOn({ line, headers = [], body = '', status = 404 }: Probe) {
  const head = [`${line} HTTP/1.1`, 'Host: 169.254.169.254', ...headers, '', body].join('\r\n');
  const { all } = play(
    new Script()
      .say({ from: 'client', text: head })
      .say({ from: 'server', text: answer(status) })
      .fin('client')
      .fin('server').segments,
  );
  assert.equal(all.length, 1);
  return all[0]!;
}

describe('a probe for another cloud', () => {
  for (const probe of PROBES) {
    it(`${probe.line} (${probe.source})`, () => {
      const { verdict } = verdictOn(probe);
      assert.equal(verdict.category, 'other-cloud');
      // Tokens are required: the probe is refused before its path is looked at.
      assert.equal(verdictOn({ ...probe, status: 401 }).verdict.category, 'other-cloud');
    });
  }

  it('keeps no value of its headers', () => {
    const { exchange } = verdictOn({
      source: '',
      line: 'GET /opc/v2/instance/',
      headers: [
        'Authorization: Bearer Oracle',
        'Metadata-Token: s3cr3t',
        'X-aliyun-ecs-metadata-token: s3cr3t',
      ],
    });
    assert.doesNotMatch(JSON.stringify(exchange), /s3cr3t|oracle/i);
  });
});

describe('a use of the EC2 service', () => {
  for (const use of USES) {
    it(`${use.line}: ${use.source}`, () => {
      const { verdict } = verdictOn(use);
      assert.deepEqual([verdict.category, verdict.version], [use.category, use.version]);
    });
  }

  it('is never hidden by a header of another cloud', () => {
    const header = fc.constantFrom(
      'Metadata-Flavor: Google',
      'Metadata: true',
      'Authorization: Bearer Oracle',
      'Metadata-Token: x',
    );
    const path = fc.constantFrom(
      '/latest',
      '/latest/',
      '/1.0/meta-data/',
      '/latest/meta-data/iam/security-credentials/r',
      '/latest/user-data',
      '/2021-07-15/dynamic/instance-identity/document',
      '/latest/unknown',
      '//latest/meta-data/mac',
      '/opc/../latest/meta-data/mac',
      '/%6catest/meta-data/mac',
    );
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'HEAD', 'POST', 'PUT'),
        path,
        fc.array(header),
        fc.constantFrom(200, 401, 404),
        (method, target, headers, status) => {
          const { verdict } = verdictOn({ source: '', line: `${method} ${target}`, headers, status });
          assert.notEqual(verdict.category, 'other-cloud');
          assert.equal(verdict.version, 1);
        },
      ),
    );
  });
});
