/** Tests the parts of a request's target and user agent that are never kept. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { redactPath, redactQuery, redactUserAgent } from '../../../../agent/secrets/redact.ts';

const SESSION_TOKEN = 'AQAEAHtB1lxkqz2QmFhY3Rva2VuMDEyMzQ1Njc4OWFiY2RlZmdoaWo1234567890==';
const STS_TOKEN = `IQoJb3JpZ2luX2VjE${'aB3'.repeat(20)}`;
const SECRET_KEY = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';

describe('a query', () => {
  const table: [string, string][] = [
    ['a=b&c=d', 'a=b&c=d'],
    ['', ''],
    ['x-aws-ec2-metadata-token=anything', 'x-aws-ec2-metadata-token=****'],
    ['X-Aws-Ec2-Metadata-Token=anything&a=b', 'X-Aws-Ec2-Metadata-Token=****&a=b'],
    ['x-aws-ec2-metadata-token-ttl-seconds=60', 'x-aws-ec2-metadata-token-ttl-seconds=60'],
    ['a=b&token=s', 'a=b&token=****'],
    ['a=b;password=s;c=d', 'a=b;password=****;c=d'],
    ['aws_secret_access_key=s&a=b', 'aws_secret_access_key=****&a=b'],
    ['SecretAccessKey=s', 'SecretAccessKey=****'],
    [
      'X-Amz-Security-Token=s&X-Amz-Credential=s&X-Amz-Signature=s',
      'X-Amz-Security-Token=****&X-Amz-Credential=****&X-Amz-Signature=****',
    ],
    ['%74oken=s', '%74oken=****'],
    ['x%2Daws-ec2-metadata-token=s', 'x%2Daws-ec2-metadata-token=****'],
    ['user[password]=s', 'user[password]=****'],
    [`next=http://somebody:hunter2@example.com/`, 'next=http://****@example.com/'],
    [`t=${SESSION_TOKEN}`, 't=****'],
    [`t=${STS_TOKEN}`, 't=****'],
    [`id=AKIAIOSFODNN7EXAMPLE&k=${SECRET_KEY}`, 'id=AKIA****MPLE&k=****'],
    [SESSION_TOKEN, '****'],
    ['token', 'token'],
  ];
  for (const [query, shown] of table)
    it(JSON.stringify(query), () => assert.equal(redactQuery(query), shown));
});

describe('a path', () => {
  it('of the service stays as it is', () => {
    for (const path of [
      '/latest/api/token',
      '/latest/meta-data/iam/security-credentials/eksctl-Cluster1-nodegroup-NodeInstanceRole-1ABCDEF2GHIJ3',
      '/latest/meta-data/network/interfaces/macs/02:29:96:8f:6a:2d/vpc-ipv4-cidr-blocks',
      '/latest/meta-data/x-aws-ec2-metadata-token',
      '/latest/meta-data/public-keys/0/openssh-key',
    ]) {
      assert.equal(redactPath(path), path);
    }
  });
  it('loses tokens', () => {
    assert.equal(redactPath(`/latest/${SESSION_TOKEN}`), '/latest/****');
    assert.equal(redactPath(`/latest/${STS_TOKEN}?`), '/latest/****?');
    assert.equal(redactPath('/latest/;token=s'), '/latest/;token=****');
  });
});

describe('a user agent', () => {
  it('of a client stays as it is', () => {
    for (const agent of [
      'curl/7.88.1',
      'aws-sdk-go-v2/1.2 os/linux lang/go/1.19.8 md/GOOS/linux md/GOARCH/amd64 ft/ec2-imds',
      'Boto3/1.26.27 Python/3.11.2 Linux/6.18.0 Botocore/1.29.27',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)',
    ]) {
      assert.equal(redactUserAgent(agent), agent);
    }
  });
  it('masks values that look like a secret, or have the name of one', () => {
    assert.equal(redactUserAgent('x-aws-ec2-metadata-token: anything'), 'x-aws-ec2-metadata-token: ****');
    assert.equal(redactUserAgent('job password=hunter2'), 'job password=****');
    assert.equal(redactUserAgent(`a ${SESSION_TOKEN} b`), 'a **** b');
    assert.equal(redactUserAgent('probe Bearer abcdef123456'), 'probe Bearer ****');
  });
});

describe('properties', () => {
  it('a token is nowhere, with any text around it', () => {
    const around = fc.string({ maxLength: 20 }).map((text) => text.replace(/[\w+/=%-]$/, ' '));
    fc.assert(
      fc.property(around, fc.string({ maxLength: 20 }), (before, after) => {
        for (const redact of [redactPath, redactQuery, redactUserAgent]) {
          assert.ok(!redact(`${before}${SESSION_TOKEN} ${after}`).includes(SESSION_TOKEN.slice(0, 24)));
        }
      }),
    );
  });
  it('long text costs little', () => {
    const before = process.threadCpuUsage();
    for (const text of [
      '?token&'.repeat(1_200),
      'a'.repeat(8_192),
      'token:'.repeat(1_400),
      '://'.repeat(2_700),
      '%3A'.repeat(2_700),
    ]) {
      for (const redact of [redactPath, redactQuery, redactUserAgent]) redact(text);
    }
    const spentMs = process.threadCpuUsage(before).user / 1_000;
    assert.ok(spentMs < 1_000, `${spentMs} ms`);
  });
});
