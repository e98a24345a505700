/**
 * Checks the advice for user agents from public material. Each row has its source: a case of this
 * project's issue, a measurement (test/support/fixtures), or the public file in which the user agent stands.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AdviceKind } from '../../../../collector/contract/advice.ts';
import { adviceOn } from '../../../../collector/insight/advice.ts';
import { tally } from '../../../../collector/insight/counts.ts';
import type { CountedCalls, Identity } from '../../../../collector/store/store.ts';
import { CLIENTS } from '../../../../known_clients/table.ts';
import { calls, identity } from '../../../support/collector/insight/rows.ts';

const V1_ONLY = /supports IMDSv1 only|calls IMDSv1\.$/;

function said(userAgent: string, executable = '/opt/app/server', changes: Partial<Identity> = {}) {
  const kinds = [calls({ userAgent, category: 'credentials', role: 'app' })];
  const who = identity({ executable, ...changes });
  const advice = adviceOn({ identity: who, kinds, calls: tally(kinds), hosts: [], hops: [], paths: [] });
  const text = JSON.stringify([advice.headline, advice.explanation, advice.steps]);
  return { ...advice, text };
}

type Row = [userAgent: string, kind: AdviceKind, client: string | null, headline: RegExp];

/** From CloudTrail samples, logs and documents that are public. All read credentials without a token. */
const ROWS: readonly Row[] = [
  // AWS CLI: samples of CloudTrail, documents of EKS, Cloud9 and Lambda layers.
  [
    'aws-cli/1.16.102 Python/2.7.16 Linux/4.14.121-109.181.amzn2.x86_64 botocore/1.12.92',
    'upgrade',
    'AWS CLI',
    /from 1\.16\.102 to 1\.16\.289 or later: 1\.16\.102/,
  ],
  ['aws-cli/1.16.144 Python/3.7.2 Darwin/18.5.0 botocore/1.12.134', 'upgrade', 'AWS CLI', V1_ONLY],
  ['aws-cli/1.16.272 Python/3.6.0 Windows/10 botocore/1.13.8', 'upgrade', 'AWS CLI', V1_ONLY],
  ['aws-cli/1.16.298 Python/3.6.0 Windows/10 botocore/1.13.34', 'configure', 'AWS CLI', /Turn IMDSv1 off/],
  [
    'aws-cli/1.18.156 Python/3.6.8 Linux/4.18.0-513.18.1.el8_9.x86_64 botocore/1.18.15',
    'configure',
    'AWS CLI',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-cli/1.18.220 Python/2.7.17 Linux/4.4.0-19041-Microsoft botocore/1.19.60',
    'configure',
    'AWS CLI',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-cli/1.16.81 Python/2.7.12 Linux/4.14.77-70.59.amzn1.x86_64 botocore/1.12.71',
    'upgrade',
    'AWS CLI',
    V1_ONLY,
  ],
  ['aws-cli/2.9.19', 'configure', 'AWS CLI', /Turn IMDSv1 off/],
  // Python. boto3 1.10.45 requires a botocore that asks for a token (boto3's setup.py).
  [
    'Boto3/1.10.45 Python/3.7.4 Linux/4.14.154-128.181.amzn2.x86_64 Botocore/1.13.45',
    'configure',
    'AWS SDK for Python (boto3)',
    /Turn IMDSv1 off/,
  ],
  [
    'Boto3/1.10.2 Python/3.8.0 Linux/4.14.138-99.102.amzn2.x86_64 Botocore/1.13.2',
    'upgrade',
    'AWS SDK for Python (boto3)',
    /from 1\.10\.2 to 1\.10\.25 or later/,
  ],
  [
    'Boto3/1.26.27 Python/3.11.2 Linux/6.1.128-136.201 awscrt/1.0.0.dev0 Botocore/1.29.27',
    'configure',
    'AWS SDK for Python (boto3)',
    /Turn IMDSv1 off/,
  ],
  ['Boto3/1.9.42 Python/3.7.1', 'upgrade', 'AWS SDK for Python (boto3)', V1_ONLY],
  [
    'Botocore/1.29.27 Python/3.11.2 Linux/6.1.128-136.201 awscrt/1.0.0.dev0',
    'configure',
    'AWS SDK for Python (botocore)',
    /Turn IMDSv1 off/,
  ],
  ['Botocore/1.12.42 Python/3.7.1 Linux/4.14', 'upgrade', 'AWS SDK for Python (botocore)', V1_ONLY],
  [
    'python-requests/2.7.0 CPython/2.7.12 Linux/4.4.0-1128-aws',
    'upgrade',
    'AWS SDK for Python (botocore before 1.10, under boto3 before 1.7)',
    /probably the AWS SDK for Python.*1\.13\.25/,
  ],
  ['Boto/2.27.0 Python/2.7.5 Linux/3.14.20-20.44.amzn1.x86_64', 'replace', 'boto (version 2)', /no release/],
  ['Boto/2.48.0 Python/2.7.13 Darwin/15.6.0', 'replace', 'boto (version 2)', /no release/],
  ['Boto/2.3.0 (darwin)', 'replace', 'boto (version 2)', /no release/],
  ['Python-urllib/2.7', 'replace', 'boto (version 2)', /probably boto \(version 2\)/],
  // Ruby: CloudTrail samples and specifications of aws-sdk-ruby.
  [
    'aws-sdk-ruby2/2.10.100',
    'upgrade',
    'AWS SDK for Ruby 2',
    /^Move from AWS SDK for Ruby 2 to version 3 .*3\.79\.0.*2\.10\.100 supports IMDSv1 only/,
  ],
  [
    'aws-sdk-ruby2/2.0.0.rc4 ruby/1.9.3 x86_64-linux Seahorse/0.1.0',
    'upgrade',
    'AWS SDK for Ruby 2',
    V1_ONLY,
  ],
  ['aws-sdk-ruby2/2.11.19 ruby/2.3.1 x86_64-linux', 'upgrade', 'AWS SDK for Ruby 2', V1_ONLY],
  [
    'aws-sdk-ruby2/2.11.447 jruby/2.5.7 java cloudhealth',
    'configure',
    'AWS SDK for Ruby 2',
    /Turn IMDSv1 off/,
  ],
  ['aws-sdk-ruby3/3.168.1', 'configure', 'AWS SDK for Ruby v3', /Turn IMDSv1 off/],
  ['aws-sdk-ruby3/3.50.0', 'upgrade', 'AWS SDK for Ruby v3', V1_ONLY],
  ['Ruby', 'replace', 'AWS SDK for Ruby v1', /probably AWS SDK for Ruby v1/],
  // cloud-init of Ubuntu and Debian: `git describe` and revisions.
  [
    'Cloud-Init/19.4-33-gbb4131a2-0ubuntu1~18.04.1',
    'configure',
    'cloud-init',
    /Update cloud-init to 20\.1-9 or later/,
  ],
  [
    'Cloud-Init/19.3-41-gc4735dd3-0ubuntu1~18.04.1',
    'configure',
    'cloud-init',
    /Update cloud-init to 20\.1-9 or later/,
  ],
  ['Cloud-Init/19.2-36-g059d049c-0ubuntu2~18.04.1', 'upgrade', 'cloud-init', V1_ONLY],
  ['Cloud-Init/18.5', 'upgrade', 'cloud-init', V1_ONLY],
  ['Cloud-Init/22.4.2', 'configure', 'cloud-init', /cloud-init/],
  // PHP and JavaScript: server logs, CloudTrail samples.
  [
    'aws-sdk-php/3.112.5 GuzzleHttp/6.3.3 curl/7.61.1 PHP/7.3.13',
    'upgrade',
    'AWS SDK for PHP',
    /3\.147\.7 or later/,
  ],
  ['aws-sdk-php/3.158.0 OS/Linux/4.14.0 lang/php/7.4.0', 'configure', 'AWS SDK for PHP', /Turn IMDSv1 off/],
  ['aws-sdk-php2/2.8.22 Guzzle/3.9.3 curl/7.40.0 PHP/5.6.16', 'replace', 'AWS SDK for PHP 2', /no release/],
  ['aws-sdk-nodejs/2.518.0 linux/v10.16.3', 'upgrade', 'AWS SDK for JavaScript v2', /2\.575\.0 or later/],
  ['aws-sdk-nodejs/2.2.35 darwin/v5.3.0', 'upgrade', 'AWS SDK for JavaScript v2', V1_ONLY],
  ['aws-sdk-nodejs/2.528.0 darwin/v10.16.0 callback', 'upgrade', 'AWS SDK for JavaScript v2', V1_ONLY],
  [
    'aws-sdk-nodejs/2.586.0 darwin/v13.2.0 promise',
    'configure',
    'AWS SDK for JavaScript v2',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-nodejs/2.819.0 linux/v12.18.2 callback',
    'configure',
    'AWS SDK for JavaScript v2',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-nodejs/2.1586.0 linux/v20.15.1 aws-cdk/2.135.0 promise',
    'configure',
    'AWS SDK for JavaScript v2',
    /Turn IMDSv1 off/,
  ],
  // Go: CloudTrail samples, logs of MinIO.
  ['aws-sdk-go/1.23.6 (go1.11.13; linux; amd64) S3Manager', 'upgrade', 'AWS SDK for Go v1', V1_ONLY],
  [
    'aws-sdk-go/1.25.41 (go1.13.15; linux; amd64) amazon-ssm-agent/',
    'configure',
    'AWS SDK for Go v1',
    /Turn IMDSv1 off/,
  ],
  ['aws-sdk-go/1.44.133 (go1.19.8; linux; amd64)', 'configure', 'AWS SDK for Go v1', /Turn IMDSv1 off/],
  ['aws-sdk-go/1.51.6 (go1.22.1; linux; amd64)', 'configure', 'AWS SDK for Go v1', /Turn IMDSv1 off/],
  [
    'aws-sdk-go/1.20.4 (go1.12.5; darwin; amd64) APN/1.0 HashiCorp/1.0 Terraform/0.12.2',
    'upgrade',
    'AWS SDK for Go v1 in Terraform',
    /Update Terraform/,
  ],
  [
    'aws-sdk-go/1.25.36 (go1.13.3; darwin; amd64) APN/1.0 HashiCorp/1.0 Terraform/0.12.16 (+https://www.terraform.io)',
    'upgrade',
    'AWS SDK for Go v1 in Terraform',
    /Update Terraform/,
  ],
  [
    'APN/1.0 HashiCorp/1.0 Terraform/1.5.6 aws-sdk-go/1.44.122 (go1.20.8; freebsd; amd64)',
    'configure',
    'AWS SDK for Go v1 in Terraform',
    /in Terraform/,
  ],
  [
    'aws-sdk-go-v2/1.17.1 os/linux lang/go/1.19.8 md/GOOS/linux md/GOARCH/amd64 ft/ec2-imds',
    'configure',
    'AWS SDK for Go v2',
    /Turn IMDSv1 off/,
  ],
  // Java: CloudTrail samples. The last is the JVM's own.
  [
    'aws-sdk-java/1.9.35 Linux/3.13.0-36-generic Java_HotSpot(TM)_64-Bit_Server_VM/25.40-b25/1.8.0_40',
    'upgrade',
    'AWS SDK for Java 1.x',
    V1_ONLY,
  ],
  ['aws-sdk-java/1.11.15 Linux/4.4.0-116-generic', 'upgrade', 'AWS SDK for Java 1.x', V1_ONLY],
  [
    'aws-sdk-java/1.11.789 Linux/5.4.0-56-generic OpenJDK_64-Bit_Server_VM/11.0.8+10 java/11.0.8 vendor/AdoptOpenJDK',
    'configure',
    'AWS SDK for Java 1.x',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-java/1.12.746 Linux/5.10.240 OpenJDK/11.0.25+9-LTS',
    'configure',
    'AWS SDK for Java 1.x',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-java/2.17.230 Mac_OS_X/12.5 OpenJDK_64-Bit_Server_VM/25.332-b08 Java/1.8.0_332',
    'configure',
    'AWS SDK for Java 2.x',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-java/2.9-SNAPSHOT Mac_OS_X/10.11.6 Java_HotSpot_TM__64-Bit_Server_VM/25.151-b12 Java/1.8.0_151',
    'upgrade',
    'AWS SDK for Java 2.x',
    V1_ONLY,
  ],
  ['Java/1.8.0_252', 'upgrade', 'AWS SDK for Java 1.x', /probably the AWS SDK for Java 1\.x/],
  // .NET: CloudTrail samples, captures, logs. The core's release decides.
  [
    'aws-sdk-dotnet-coreclr/ aws-sdk-dotnet-core/3.3.100.5 .NET_Core/4.6.27817.01 OS/Linux',
    'upgrade',
    'AWS SDK for .NET',
    /from 3\.3\.100\.5 to 3\.3\.103\.66/,
  ],
  [
    'aws-sdk-dotnet-coreclr/3.3.10.3 aws-sdk-dotnet-core/3.3.24.3 .NET_Core/4.6.26628.05 OS/Darwin_17.7.0',
    'upgrade',
    'AWS SDK for .NET',
    V1_ONLY,
  ],
  [
    'aws-sdk-dotnet-45/3.1.1.1 aws-sdk-dotnet-core/3.1.0.1 .NET_Runtime/4.0 .NET_Framework/4.0 OS/Microsoft_Windows_NT_6.1.7601_Service_Pack_1 ClientSync',
    'upgrade',
    'AWS SDK for .NET',
    V1_ONLY,
  ],
  [
    'aws-sdk-dotnet-45/3.3.110.30 aws-sdk-dotnet-core/3.3.104.32 .NET_Runtime/4.0 .NET_Framework/4.0 OS/Microsoft_Windows_NT_6.2.9200.0 ClientAsync',
    'configure',
    'AWS SDK for .NET',
    /Turn IMDSv1 off/,
  ],
  [
    'aws-sdk-dotnet-coreclr/3.7.108.0 aws-sdk-dotnet-core/3.7.108.2 .NET_Core/6.0.20 OS/Linux_5.15.0-76-generic ClientAsync',
    'configure',
    'AWS SDK for .NET',
    /Turn IMDSv1 off/,
  ],
  // C++, Rust.
  [
    'aws-sdk-cpp/1.7.176 Linux/3.10.0-957.27.2.el7.x86_64 x86_64 GCC/8.3.1',
    'upgrade',
    'AWS SDK for C++',
    V1_ONLY,
  ],
  ['aws-sdk-rust/0.55.2 os/linux lang/rust/1.69.0', 'unknown', 'AWS SDK for Rust', /Find out/],
  // Runtimes and tools that are no SDK, or may have one behind them.
  ['Apache-HttpClient/4.5.5 (Java/1.8.0_181)', 'raw_http', 'Apache HttpClient', /Change its own/],
  [
    'Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.18362.145',
    'raw_http',
    'PowerShell',
    /Change its own/,
  ],
  ['GuzzleHttp/7', 'raw_http', 'Guzzle', /Change its own/],
  ['curl/7.88.1', 'raw_http', 'curl', /Change its own/],
  ['Wget', 'raw_http', 'Wget', /Change its own/],
  ['Go-http-client/1.1', 'raw_http', 'Go net/http', /Change its own/],
  ['s3fs/1.90 (commit hash unknown; GnuTLS(gcrypt))', 'configure', 's3fs', /s3fs/],
];

describe('user agents from public material', () => {
  it('are at least sixty', () => assert.ok(new Set(ROWS.map(([userAgent]) => userAgent)).size >= 60));

  for (const [userAgent, kind, client, headline] of ROWS) {
    it(userAgent, () => {
      const advice = said(userAgent);
      assert.deepEqual([advice.kind, advice.client], [kind, client], advice.headline);
      assert.match(advice.headline, headline);
    });
  }

  it('never lead to "IMDSv1 only" where the release asks for a token', () => {
    for (const [userAgent, kind] of ROWS) {
      if (kind === 'upgrade' || kind === 'replace') continue;
      assert.doesNotMatch(said(userAgent).text, /IMDSv1 only/, userAgent);
    }
  });

  it('are said to be of no SDK only where a program like curl names itself', () => {
    for (const [userAgent] of ROWS) {
      const isProgram = /^(curl|Wget)/.test(userAgent);
      assert.equal(/not an AWS SDK/.test(said(userAgent).text), isProgram, userAgent);
    }
  });
});

describe('botocore under boto3 and the AWS CLI', () => {
  it('decides, where a distribution has joined other releases', () => {
    const old = said('aws-cli/1.16.300 Python/3.6.9 Linux/4.15.0 botocore/1.13.20');
    assert.equal(old.kind, 'upgrade');
    assert.match(old.headline, /from 1\.13\.20 to 1\.13\.25 or later \(its botocore\)/);
    assert.equal(said('Boto3/1.9.253 Python/3.6.8 Linux/4.18.0 Botocore/1.18.5').kind, 'configure');
    const setting = said('Boto3/1.28.0 Python/3.11 Botocore/1.34.0');
    assert.doesNotMatch(setting.steps[0]!.code!, /pip install/);
  });
});

describe('programs that contain an SDK', () => {
  const consul = 'aws-sdk-go/1.25.31 (go1.12.13; linux; amd64)';

  it('are updated themselves, because their users cannot update the SDK', () => {
    for (const [executable, name] of [
      ['/usr/local/bin/consul', 'Consul'],
      ['/usr/bin/kubelet', 'kubelet'],
      ['/usr/bin/prometheus', 'Prometheus'],
    ] as const) {
      const advice = said(consul, executable);
      assert.equal(advice.kind, 'upgrade');
      assert.match(advice.headline, new RegExp(`^Update ${name}: it contains AWS SDK for Go v1 1\\.25\\.31`));
      assert.doesNotMatch(advice.text, /go get/);
      assert.match(advice.text, /1\.25\.38 or later/);
    }
  });

  it('are found by their image, and with an SDK of an interpreted language', () => {
    assert.match(
      said(consul, '/bin/server', { image: 'docker.io/hashicorp/consul' }).headline,
      /^Update Consul/,
    );
    const agent = said('aws-sdk-ruby2/2.10.100', '/usr/bin/ruby2.3', {
      script: '/opt/codedeploy-agent/bin/codedeploy-agent',
    });
    assert.match(agent.headline, /^Update the CodeDeploy agent: it contains AWS SDK for Ruby 2/);
    assert.doesNotMatch(agent.text, /bundle add/);
  });

  it('are named where only the runtime shows', () => {
    const advice = said('GuzzleHttp/6', '/usr/bin/java', { script: '/usr/share/jenkins/jenkins.war' });
    assert.match(advice.headline, /^Update Jenkins/);
  });

  it('that are not known get both advices', () => {
    const advice = said(consul);
    assert.match(advice.text, /go get/);
    assert.match(advice.text, /If the program is not your own: update it/);
  });

  it('that are refused get the same steps', () => {
    const kinds = [calls({ userAgent: consul, status: 401 })];
    const who = identity({ executable: '/usr/bin/consul' });
    const advice = adviceOn({ identity: who, kinds, calls: tally(kinds), hosts: [], hops: [], paths: [] });
    assert.equal(advice.kind, 'rejected');
    assert.match(advice.steps[0]!.text, /Update Consul/);
  });
});

describe('proxies', () => {
  it('are bypassed by their clients', () => {
    const advice = said('curl/7.88.1', '/usr/sbin/squid');
    assert.match(advice.headline, /proxy/);
    assert.match(advice.text, /NO_PROXY=169\.254\.169\.254,fd00:ec2::254,\[fd00:ec2::254\] no_proxy=169/);
    assert.match(advice.text, /nonProxyHosts/);
  });

  it('are recognised by calls that they sent on for others, whatever program they are', () => {
    const adviceFor = (who: Partial<Identity>, kinds: CountedCalls[]) => {
      const question = { identity: identity(who), kinds, calls: tally(kinds) };
      return adviceOn({ ...question, hosts: [], hops: [], paths: [] });
    };
    const sentOn = calls({ userAgent: 'curl/7.88.1', callerRole: 'relay' });
    const own = calls({ userAgent: 'curl/7.88.1' });
    const gateway = { executable: '/opt/gateway/bin/gateway', script: null };
    const proxy = adviceFor(gateway, [sentOn]);
    assert.equal(proxy.kind, 'unknown');
    assert.match(proxy.explanation, /^It speaks for other programs, and its clients are not named\./);
    assert.match(JSON.stringify(proxy.steps), /NO_PROXY=169\.254\.169\.254/);
    // Its own requests need the ordinary advice first.
    const both = adviceFor(gateway, [sentOn, own]);
    assert.equal(both.kind, 'raw_http');
    assert.match(both.explanation, /Some of its calls were sent on for other programs/);
    // A tool that is known to relay has advice of its own.
    const tool = adviceFor({ executable: '/bin/kube2iam', script: null }, [sentOn]);
    assert.doesNotMatch(tool.explanation, /speaks for other programs/);
    assert.doesNotMatch(adviceFor(gateway, [own]).explanation, /other programs/);
  });

  it('are not user-mode networks, whose clients are in a container', () => {
    for (const program of ['/usr/bin/slirp4netns', '/usr/bin/pasta', '/usr/bin/passt.avx2']) {
      const advice = said('curl/7.88.1', program);
      assert.match(advice.headline, /^Find the program in the container behind this network/, program);
      assert.doesNotMatch(advice.text, /ACCESS_LOG|no_proxy=/, program);
    }
    assert.doesNotMatch(said('curl/7.88.1', '/opt/pasta/server').text, /behind this network/);
  });

  it('are named as a cause of refused token requests', () => {
    const kinds = [calls({ userAgent: 'Botocore/1.43.11', fallback: 'token_refused' })];
    const advice = adviceOn({
      identity: identity(),
      kinds,
      calls: tally(kinds),
      hosts: [],
      hops: [],
      paths: [],
    });
    assert.match(JSON.stringify(advice.steps), /NO_PROXY=169\.254\.169\.254/);
  });
});

describe('the table of clients', () => {
  it('has a source for every client, and for every release that it names', () => {
    for (const { id, sources, minimum, fallbackOffSince, neverFallsBackSince } of CLIENTS) {
      assert.ok(sources.length > 0 && sources.every((source) => source.length > 10), id);
      for (const release of [minimum, fallbackOffSince, neverFallsBackSince]) {
        if (release === null || release === '4.0.0') continue;
        assert.ok(
          sources.some((source) => source.includes(release)),
          `${id} ${release}`,
        );
      }
    }
  });

  it('has an id for every client that a library names', () => {
    assert.equal(new Set(CLIENTS.map(({ id }) => id)).size, CLIENTS.length);
    assert.match(said('Go-http-client/1.1').explanation, /also sent by Datadog Agent, kube2iam/);
  });
});
