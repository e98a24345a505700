/** Findings of Security Hub: a schema by AWS's documents checks each, with every limit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { Finding } from '../../../../collector/contract/finding.ts';
import { asff } from '../../../../collector/export/asff.ts';
import { generatedFinding, generatedItem } from '../../../support/collector/export/generated_records.ts';

const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength, pattern: '\\S' });
const strict = (properties: Record<string, object>, required: string[] = []) => ({
  ...{ type: 'object', additionalProperties: false, properties, required },
});
const instant = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$' };
const severity = strict(
  { Label: { enum: ['INFORMATIONAL', 'LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] }, Original: text(64) },
  ['Label'],
);
const types = {
  type: 'array',
  minItems: 1,
  maxItems: 50,
  items: {
    enum: [
      'Software and Configuration Checks/AWS Security Best Practices/Runtime Behavior Analysis',
      'TTPs/Credential Access',
    ],
  },
};

/**
 * The attributes that imdswatch sends, by the Security Hub user guide ("Required top-level attributes", "Optional top-level
 * attributes", "Resources") and the API reference (`AwsSecurityFinding`, `ProcessDetails`, `Recommendation`).
 */
const SCHEMA = strict(
  {
    SchemaVersion: { const: '2018-10-08' },
    Id: text(512),
    ProductArn: {
      type: 'string',
      pattern: '^arn:aws(-cn|-us-gov)?:securityhub:[a-z0-9-]+:(\\d{12}):product/\\2/default$',
    },
    GeneratorId: text(512),
    AwsAccountId: { type: 'string', pattern: '^\\d{12}$' },
    Types: types,
    ...{ FirstObservedAt: instant, LastObservedAt: instant, CreatedAt: instant, UpdatedAt: instant },
    Severity: severity,
    Title: { type: 'string', minLength: 1, maxLength: 256 },
    Description: { type: 'string', minLength: 1, maxLength: 1024 },
    Remediation: strict({ Recommendation: strict({ Text: text(512), Url: text(2048) }) }),
    SourceUrl: { type: 'string', pattern: '^https?://' },
    ProductFields: {
      ...{ type: 'object', maxProperties: 50, propertyNames: text(128), additionalProperties: text(2048) },
      required: ['ProviderName', 'ProviderVersion'],
    },
    Resources: {
      ...{ type: 'array', minItems: 1, maxItems: 32 },
      items: strict(
        {
          Type: { const: 'AwsEc2Instance' },
          Id: {
            type: 'string',
            pattern: '^arn:aws(-cn|-us-gov)?:ec2:[a-z0-9-]+:\\d{12}:instance/i-[0-9a-f]{8,17}$',
          },
          Partition: { enum: ['aws', 'aws-cn', 'aws-us-gov'] },
          Region: text(32),
          Tags: {
            ...{ type: 'object', minProperties: 1, maxProperties: 50 },
            propertyNames: { type: 'string', minLength: 1, maxLength: 128 },
            additionalProperties: { type: 'string', maxLength: 256 },
          },
          Details: strict({
            AwsEc2Instance: strict({
              ...{ Type: text(64), ImageId: text(64) },
              MetadataOptions: strict({
                HttpTokens: { enum: ['optional', 'required'] },
                HttpPutResponseHopLimit: { type: 'integer', minimum: 1, maximum: 64 },
              }),
            }),
          }),
        },
        ['Type', 'Id', 'Partition', 'Region'],
      ),
    },
    Process: strict({
      ...{ Name: text(64), Path: text(512), Pid: { type: 'integer' }, ParentPid: { type: 'integer' } },
      LaunchedAt: instant,
    }),
    Compliance: strict(
      {
        Status: { enum: ['PASSED', 'WARNING', 'FAILED', 'NOT_AVAILABLE'] },
        RelatedRequirements: { type: 'array', maxItems: 32, items: text(64) },
      },
      ['Status'],
    ),
    RecordState: { enum: ['ACTIVE', 'ARCHIVED'] },
    FindingProviderFields: strict({ Severity: severity, Types: types }, ['Severity', 'Types']),
  },
  [
    ...[
      'SchemaVersion',
      'Id',
      'ProductArn',
      'GeneratorId',
      'AwsAccountId',
      'Types',
      'CreatedAt',
      'UpdatedAt',
    ],
    ...['Severity', 'Title', 'Description', 'Resources', 'FindingProviderFields'],
  ],
);
const validate = new Ajv2020({ strict: false, allErrors: true }).compile(SCHEMA);
const MAX_BYTES = 240 * 1024;

// biome-ignore lint/suspicious/noExplicitAny: the tests read single attributes.
const valuesOf = (finding: Finding): any[] => {
  const values = asff.toValues({ stream: 'findings', finding });
  for (const value of values) {
    validate(value);
    assert.deepEqual(validate.errors ?? [], [], JSON.stringify(value));
    assert.ok(Buffer.byteLength(JSON.stringify(value)) <= MAX_BYTES);
  }
  return [...values];
};

const isInstance = ({ id, account, region }: { id: string; account: string | null; region: string | null }) =>
  /^i-[0-9a-f]{8,17}$/.test(id) && /^\d{12}$/.test(account ?? '') && region !== null;

test('every finding about instances keeps all limits, and each account and Region has its own', () => {
  fc.assert(
    fc.property(generatedFinding, (finding) => {
      const values = valuesOf(finding);
      if (finding.type === 'sensor') return assert.equal(values.length, 0);
      const hosts = (finding.type === 'offender' ? finding.hosts : [finding.host]).filter(isInstance);
      const places = new Set(hosts.map(({ account, region }) => `${account}/${region}`));
      assert.deepEqual(new Set(values.map(({ Id }) => Id.split('/').slice(-2).join('/'))), places);
      for (const value of values) {
        assert.ok(
          value.ProductArn.includes(`:${value.AwsAccountId}:`),
          'a finding belongs to its own account',
        );
        for (const { Id } of value.Resources) assert.ok(Id.includes(`:${value.AwsAccountId}:`));
        assert.equal(value.RecordState, finding.change === 'resolved' ? 'ARCHIVED' : 'ACTIVE');
        assert.equal(value.UpdatedAt, finding.time);
      }
    }),
    { numRuns: 50 },
  );
});

test('the severity and the type follow from the offender, and the verdict makes the status', () => {
  const labels = {
    credentials: 'HIGH',
    v1: 'MEDIUM',
    fallback: 'LOW',
    rejected: 'INFORMATIONAL',
    blocked: 'INFORMATIONAL',
  };
  const statuses = {
    ready: 'PASSED',
    enforced: 'PASSED',
    fallback: 'WARNING',
    blocked: 'FAILED',
    rejected: 'FAILED',
    unproven: 'NOT_AVAILABLE',
  };
  fc.assert(
    fc.property(generatedFinding, (finding) => {
      for (const value of valuesOf(finding)) {
        if (finding.type === 'verdict') assert.equal(value.Compliance.Status, statuses[finding.verdict]);
        if (finding.type !== 'offender') continue;
        const { severity: rating } = finding.offender;
        if (rating in labels) assert.equal(value.Severity.Label, labels[rating as keyof typeof labels]);
        assert.equal(value.Types.includes('TTPs/Credential Access'), rating === 'credentials');
      }
    }),
    { numRuns: 30 },
  );
});

test('only findings have this shape: all else is for the caller to count', () => {
  fc.assert(
    fc.property(generatedItem, (item) => {
      if (item.stream !== 'findings') assert.deepEqual(asff.toValues(item), []);
    }),
    { numRuns: 40 },
  );
  assert.deepEqual(asff.streams, ['findings']);
});

test('a finding about many instances with large tags stays below the limit of 240 KB', () => {
  const [finding] = fc.sample(
    generatedFinding.filter((each) => each.type === 'offender' && each.hosts.some(isInstance)),
    1,
  ) as [Extract<Finding, { type: 'offender' }>];
  const host = finding.hosts.find(isInstance)!;
  const tags = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`key-${index}-`.padEnd(128, 'k'), 'ü'.repeat(256)]),
  );
  const hosts = Array.from({ length: 40 }, (_, index) => ({
    ...host,
    id: `i-${String(index).padStart(17, '0')}`,
    tags,
  }));
  const [value, ...others] = valuesOf({ ...finding, hosts });
  assert.equal(others.length, 0);
  assert.equal(value.Resources.length, 32);
  assert.match(value.Description, /40 instances, of which 32 are listed/);
});
