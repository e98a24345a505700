/**
 * Checks the advice against recorded requests of real clients, each with its own user agent. The file is
 * longer than 300 lines because of the table of clients.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { AdviceKind } from '../../../../collector/contract/advice.ts';
import { adviceOn } from '../../../../collector/insight/advice.ts';
import { tally } from '../../../../collector/insight/counts.ts';
import type { CountedCalls, Identity } from '../../../../collector/store/store.ts';
import { productsOf } from '../../../../known_clients/recognise.ts';
import { CLIENTS } from '../../../../known_clients/table.ts';
import { compareVersions } from '../../../../known_clients/version.ts';
import { calls, identity } from '../../../support/collector/insight/rows.ts';

interface Recorded {
  client: string;
  version: string;
  scenario: string;
  method: string;
  path: string;
  raw: string;
  has_token: boolean;
  status: number;
}

const FIXTURE = join(import.meta.dirname, '../../../support/fixtures/client-requests.jsonl');
const RECORDED = readFileSync(FIXTURE, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Recorded);

function userAgentOf({ raw }: Recorded): string | null {
  const head = Buffer.from(raw, 'base64').toString('latin1').split('\r\n\r\n', 1)[0]!;
  return /^user-agent:[ \t]*(.*?)[ \t]*$/im.exec(head)?.[1] || null;
}

/**
 * Counts calls like the agent and the store do: a read after a failed token request of the same run is a
 * fallback.
 */
function counted(requests: readonly Recorded[]): CountedCalls[] {
  let failed: CountedCalls['fallback'] = null;
  return requests.map((request) => {
    const isToken = request.method === 'PUT';
    if (isToken && request.status === 0) failed = 'token_unanswered';
    else if (isToken && request.status >= 400) failed = 'token_refused';
    else if (isToken) failed = null;
    const isV2 = isToken || request.has_token;
    const isCredentials = /security-credentials\/./.test(request.path);
    return calls({
      version: isV2 ? 2 : 1,
      category: isToken
        ? 'token'
        : isCredentials
          ? 'credentials'
          : /security-credentials/.test(request.path)
            ? 'role-list'
            : 'metadata',
      status: request.status === 0 ? null : request.status,
      outcome: request.status === 0 ? 'unanswered' : 'answered',
      fallback: isV2 ? null : failed,
      userAgent: userAgentOf(request),
    });
  });
}

function adviceFor(client: string, version: string, scenario: string, who: Partial<Identity> = {}) {
  const requests = RECORDED.filter(
    (of) => of.client === client && of.version === version && of.scenario === scenario,
  );
  assert.ok(requests.length > 0, `nothing is recorded of ${client} ${version}, ${scenario}`);
  const kinds = counted(requests);
  const paths = requests
    .filter(({ method, has_token }) => method !== 'PUT' && !has_token)
    .map(({ path }) => path);
  return adviceOn({ identity: identity(who), kinds, calls: tally(kinds), hosts: [], hops: [], paths });
}

const NODE = { executable: '/usr/bin/node', script: '/srv/app.js' };
const PYTHON = { executable: '/usr/bin/python3.11', script: '/srv/app.py' };

describe('requests of real clients', () => {
  it('give the client and its release if their user agent names them', () => {
    const expected: [RegExp, string, string | null][] = [
      [/^Boto3\//, 'AWS SDK for Python (boto3)', '1.26.27'],
      [/^Botocore\/1\.29/, 'AWS SDK for Python (botocore)', '1.29.27'],
      [/^aws-cli\/1/, 'AWS CLI', '1.45.11'],
      [/^aws-cli\/2/, 'AWS CLI', '2.9.19'],
      [/^aws-sdk-nodejs\/2\.1693/, 'AWS SDK for JavaScript v2', '2.1693.0'],
      [/^aws-sdk-go\//, 'AWS SDK for Go v1', '1.44.133'],
      [/^rclone\//, 'rclone', null],
      [/^curl\//, 'curl', '7.88.1'],
      [/^Wget\//, 'Wget', '1.21.3'],
      [/^Wget$/, 'Wget', null],
      [/^python-requests\//, 'requests', '2.28.1'],
      [/^Go-http-client\//, 'Go net/http', '1.1'],
      [/^Java\//, 'Java HttpURLConnection', '17.0.15'],
      [/^libwww-perl\//, 'libwww-perl', '6.68'],
      [/^got \(/, 'got', null],
      [/^node$/, 'Node.js fetch', null],
      [/^Ruby$/, 'Ruby Net::HTTP', null],
    ];
    const userAgents = new Set(RECORDED.flatMap((of) => userAgentOf(of) ?? []));
    for (const [pattern, name, version] of expected) {
      const userAgent = [...userAgents].find((text) => pattern.test(text));
      assert.ok(userAgent !== undefined, `${pattern} is not recorded`);
      const [first] = productsOf(userAgent);
      assert.deepEqual([first?.name, first?.version], [name, version], userAgent);
    }
    const unknown = [...userAgents].filter((text) => productsOf(text).length === 0);
    assert.deepEqual(unknown, []);
  });

  const told: [
    client: string,
    version: string,
    scenario: string,
    who: Partial<Identity>,
    kind: AdviceKind,
    name: string | null,
  ][] = [
    // These two releases were measured: one is below the minimum version and one is not.
    [
      'aws-sdk-js v2 EC2MetadataCredentials',
      '2.574.0',
      'normal',
      NODE,
      'upgrade',
      'AWS SDK for JavaScript v2',
    ],
    ['aws-sdk-js v2 EC2MetadataCredentials', '2.575.0', 'normal', NODE, 'none', null],
    [
      'aws-sdk-js v2 EC2MetadataCredentials',
      '2.575.0',
      'token403',
      NODE,
      'token_refused',
      'AWS SDK for JavaScript v2',
    ],
    [
      'aws-sdk-js v2 EC2MetadataCredentials',
      '2.1693.0',
      'tokenhang',
      NODE,
      'hop_limit',
      'AWS SDK for JavaScript v2',
    ],
    [
      'aws-sdk-js v2 MetadataService.request (raw)',
      '2.1693.0',
      'normal',
      NODE,
      'replace',
      'AWS SDK for JavaScript v2',
    ],
    [
      'aws-sdk-js v2 MetadataService.request (raw)',
      '2.1693.0',
      'required',
      NODE,
      'rejected',
      'AWS SDK for JavaScript v2',
    ],
    [
      '@smithy/credential-provider-imds',
      '4.5.2',
      'tokenhang',
      NODE,
      'hop_limit',
      'AWS SDK for JavaScript v3',
    ],
    ['@aws-sdk/credential-provider-imds', '0.1.0-preview.1', 'token403', NODE, 'raw_http', null],
    [
      'botocore(debian) credentials',
      '1.29.27',
      'token403',
      PYTHON,
      'token_refused',
      'AWS SDK for Python (botocore)',
    ],
    [
      'botocore(newest) credentials',
      '1.43.11',
      'tokenhang',
      PYTHON,
      'hop_limit',
      'AWS SDK for Python (botocore)',
    ],
    ['boto3(debian) client', '1.26.27', 'token403', PYTHON, 'token_refused', 'AWS SDK for Python (boto3)'],
    ['awscli(debian v2) sts', '2.9.19', 'tokenhang', {}, 'hop_limit', 'AWS CLI'],
    ['awscli(v1) sts', '1.45.11', 'token405', {}, 'token_refused', 'AWS CLI'],
    ['aws-sdk-go v1 credentials', '1.44.133', 'tokenhang', {}, 'hop_limit', 'AWS SDK for Go v1'],
    ['rclone s3 env_auth', '1.60.1', 'token403', {}, 'token_refused', 'rclone'],
    ['curl', '7.88.1', 'normal', { executable: '/usr/bin/curl' }, 'raw_http', 'curl'],
    ['requests', '2.28.1', 'normal', PYTHON, 'raw_http', 'requests'],
    ['urllib', 'python3.11', 'normal', PYTHON, 'raw_http', 'urllib'],
    ['go net/http raw', 'go1.19.8', 'normal', {}, 'raw_http', 'Go net/http'],
    ['Net::HTTP ruby', '3.1.2', 'normal', { executable: '/usr/bin/ruby3.1' }, 'raw_http', 'Ruby Net::HTTP'],
    ['nc', '1.219', 'normal', { executable: '/usr/bin/nc.openbsd' }, 'raw_http', null],
    ['node http.get', 'node 20.20.2', 'normal', NODE, 'raw_http', null],
    ['node http.get', 'node 20.20.2', 'normal', {}, 'unknown', null],
    ['curl', '7.88.1', 'normal', { executable: '/usr/bin/s3fs' }, 'configure', 's3fs'],
    ['go net/http raw', 'go1.19.8', 'normal', { executable: '/bin/kube2iam' }, 'replace', 'kube2iam'],
  ];
  for (const [client, version, scenario, who, kind, name] of told) {
    it(`${client} ${version}, ${scenario}${who.executable === undefined ? '' : ` (${who.executable})`}: ${kind}`, () => {
      const advice = adviceFor(client, version, scenario, who);
      assert.equal(advice.kind, kind);
      if (kind !== 'none') assert.equal(advice.client, name);
      assert.ok(advice.headline.length > 10 && advice.headline.length < 200);
      if (kind !== 'none') assert.ok(advice.steps.length > 0 && advice.explanation !== '');
    });
  }

  it('never lead to the advice to update if every call without a token followed a failed token request', () => {
    const runs = Map.groupBy(RECORDED, ({ client, version, scenario }) =>
      JSON.stringify([client, version, scenario]),
    );
    let checked = 0;
    for (const requests of runs.values()) {
      const kinds = counted(requests);
      const sums = tally(kinds);
      const { kind } = adviceOn({ identity: identity(), kinds, calls: sums, hosts: [], hops: [], paths: [] });
      const withoutV1 = sums.refusedTokens > 0 ? 'stale_token' : 'none';
      assert.equal(sums.v1 === 0, kind === withoutV1, `${requests[0]!.client}: ${kind}`);
      if (sums.v1 > 0 && sums.plainV1 === 0 && sums.rejectedV1 === 0) {
        assert.ok(kind === 'hop_limit' || kind === 'token_refused', `${requests[0]!.client}: ${kind}`);
        checked += 1;
      }
    }
    assert.ok(checked > 20, `${checked}`);
  });
});

describe('the table of clients', () => {
  const withMinimum = CLIENTS.filter(({ tokens }) => tokens === 'since');

  it('has a minimum version and an update step for every client that supports tokens since a release', () => {
    for (const { id, minimum, upgrade } of withMinimum) {
      assert.ok(minimum !== null && compareVersions(minimum, '0') === 1, id);
      assert.ok(upgrade.length > 0, id);
    }
  });

  it('distinguishes releases before the minimum from later ones', () => {
    const agents: Record<string, (version: string) => string> = {
      boto3: (v) => `Boto3/${v} Python/3.8.10 Linux/5.4`,
      botocore: (v) => `Botocore/${v} Python/3.8.10 Linux/5.4`,
      'aws-cli': (v) => `aws-cli/${v} Python/3.8.10 Linux/5.4`,
      'aws-sdk-js-v2': (v) => `aws-sdk-nodejs/${v} linux/v20.20.2`,
      'aws-sdk-go-v1': (v) => `aws-sdk-go/${v} (go1.19.8; linux; amd64)`,
      'aws-sdk-go-v2': (v) => `aws-sdk-go-v2/${v} os/linux lang/go/1.19.8`,
      'aws-sdk-ruby-v3': (v) => `aws-sdk-ruby3/${v}`,
      'aws-sdk-java-v1': (v) => `aws-sdk-java/${v} Linux/5.4`,
      'aws-sdk-java-v2': (v) => `aws-sdk-java/${v} Linux/5.4`,
      'cloud-init': (v) => `Cloud-Init/${v}`,
    };
    for (const [id, agent] of Object.entries(agents)) {
      const { minimum, name } = withMinimum.find((client) => client.id === id)!;
      const kindOf = (version: string) => {
        const kinds = [calls({ userAgent: agent(version), category: 'credentials' })];
        const advice = adviceOn({
          identity: identity(),
          kinds,
          calls: tally(kinds),
          hosts: [],
          hops: [],
          paths: [],
        });
        assert.equal(advice.client, name);
        assert.deepEqual(advice.versions_seen, [version]);
        return advice.kind;
      };
      const parts = minimum!.split('.').map(Number);
      const index = parts.findLastIndex((part) => part > 0);
      const before = parts.with(index, parts[index]! - 1).join('.');
      assert.equal(kindOf(before), 'upgrade', `${id} ${before}`);
      assert.notEqual(kindOf(minimum!), 'upgrade', `${id} ${minimum}`);
      assert.notEqual(kindOf([...parts.with(index, parts[index]! + 8), 3].join('.')), 'upgrade', id);
    }
  });

  it('advises to raise the hop limit with a command for each instance, and to check local rules on the host itself', () => {
    const kinds = [calls({ fallback: 'token_unanswered', userAgent: 'Boto3/1.26.27 Botocore/1.29.27' })];
    const hosts = [
      { id: 'i-0123456789abcdef0', name: 'a', 'cloud.region': 'eu-west-1' },
      { id: 'i-x; rm -rf /', name: 'b' },
    ];
    const ask = (who: Partial<Identity>, measured: number | null) =>
      adviceOn({
        identity: identity(who),
        kinds,
        calls: tally(kinds),
        hosts,
        hops: hosts.map((host) => ({ host, hops: measured, setting: null })),
        paths: [],
      });
    const inContainer = ask({ image: 'registry.example/app' }, 1);
    assert.equal(
      inContainer.steps[0]!.code,
      'aws ec2 modify-instance-metadata-options --instance-id i-0123456789abcdef0 --region eu-west-1 --http-put-response-hop-limit 2',
    );
    // Its botocore does not have the setting, so the advice is to update and then to set it.
    assert.match(inContainer.steps.at(-2)!.code!, /botocore>=1\.32\.4/);
    assert.equal(inContainer.steps.at(-1)!.code, 'AWS_EC2_METADATA_V1_DISABLED=true');
    assert.match(ask({ unit: 'app.service' }, null).steps[0]!.code!, /nft list ruleset/);
    for (const where of [ask({ unit: 'app.service' }, 0), ask({ image: 'registry.example/app' }, 0)]) {
      assert.match(where.headline, /^Find what blocks its token requests/);
      assert.match(where.steps[0]!.code!, /nft list ruleset/);
      assert.match(where.explanation, /runs on the host itself/);
    }
  });

  it('recognises @aws-sdk/ec2-metadata-service and boto 2 by their double slashes', () => {
    const kinds = [calls({ fallback: 'token_refused' })];
    const ask = (who: Partial<Identity>, path: string, of: CountedCalls[]) =>
      adviceOn({ identity: identity(who), kinds: of, calls: tally(of), hosts: [], hops: [], paths: [path] })
        .client;
    assert.equal(ask(NODE, '//latest/meta-data/instance-id', kinds), '@aws-sdk/ec2-metadata-service');
    const urllib = [calls({ userAgent: 'Python-urllib/3.11' })];
    assert.equal(ask(PYTHON, '/latest/dynamic/instance-identity//document', urllib), 'boto (version 2)');
  });
});
