/** Reads files with figures of the cloud, well-formed and hostile ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cloudCount, cloudInstance } from '../../../../collector/contract/cloud.ts';
import { readCloudFile } from '../../../../collector/insight/cloud_import/cloud_file.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

const OPTIONS = { instanceId: null, periodSeconds: 3600 };
const ID = 'i-0123456789abcdef0';
const read = (content: unknown, options: Partial<typeof OPTIONS> | { instanceId: string } = {}) =>
  readCloudFile('f.json', typeof content === 'string' ? content : JSON.stringify(content), {
    ...OPTIONS,
    ...options,
  });

function result(label: string, times: string[], values: number[], more: object = {}) {
  return { Id: 'm1', Label: label, Timestamps: times, Values: values, StatusCode: 'Complete', ...more };
}
const HOURS = ['2026-11-22T09:00:00+00:00', '2026-11-22T08:00:00+00:00'];

describe('get-metric-data', () => {
  it('gives whole hours of each instance, both metrics of a span together', () => {
    const { counts, ignored } = read({
      MetricDataResults: [
        result(`${ID} MetadataNoToken 3600`, HOURS, [0, 7]),
        result(`${ID} MetadataNoTokenRejected 3600`, HOURS.slice(0, 1), [3]),
        result('i-00000001 MetadataNoToken', ['2026-11-22T08:00:00Z'], [1]),
        result('CPUUtilization', HOURS, [1, 2]),
        result(`${ID} MetadataNoToken`, HOURS, [1, 2], { StatusCode: 'PartialData' }),
        result('MetadataNoToken', ['2026-11-22T08:00:00Z'], [4], { Id: 'm_i_0badc0de' }),
      ],
    });
    assert.deepEqual(
      counts.map((of) => [of.instance_id, of.start, of.metadata_no_token, of.metadata_no_token_rejected]),
      [
        [ID, '2026-11-22T09:00:00.000Z', 0, 3],
        [ID, '2026-11-22T08:00:00.000Z', 7, null],
        ['i-00000001', '2026-11-22T08:00:00.000Z', 1, null],
        ['i-0badc0de', '2026-11-22T08:00:00.000Z', 4, null],
      ],
    );
    assert.equal(
      Object.values(ignored).reduce((a, b) => a + b),
      2,
    );
    for (const count of counts) cloudCount.parse(count);
  });

  it('adds up shorter periods to hours, and leaves out an hour that lacks one', () => {
    const five = (hour: string, count: number) =>
      Array.from({ length: count }, (_, i) => `2026-11-22T${hour}:${String(i * 5).padStart(2, '0')}:00Z`);
    const times = [...five('08', 12), ...five('09', 11)];
    const { counts, ignored } = read({
      MetricDataResults: [
        result(
          `${ID} MetadataNoToken 300`,
          times,
          times.map(() => 2),
        ),
      ],
    });
    assert.deepEqual(
      counts.map(({ start, end, metadata_no_token }) => [start, end, metadata_no_token]),
      [['2026-11-22T08:00:00.000Z', '2026-11-22T09:00:00.000Z', 24]],
    );
    assert.deepEqual(ignored, { 'hours of which a period is missing': 1 });
  });

  it('refuses results that are ambiguous', () => {
    const one = (label: string, times: string[], values: number[]) => () =>
      read({ MetricDataResults: [result(label, times, values)] });
    for (const [wrong, message] of [
      [one('MetadataNoToken', HOURS, [1, 2]), /PROP\('Dim.InstanceId'\)/],
      [one(`${ID} MetadataNoToken`, HOURS, [1]), /2 times but 1 values/],
      [one(`${ID} MetadataNoToken`, HOURS, [1, 1.5]), /Values/],
      [one(`${ID} MetadataNoToken`, HOURS, [1, -1]), /Values/],
      [one(`${ID} MetadataNoToken`, [HOURS[0]!, HOURS[0]!], [1, 1]), /two values/],
      [one(`${ID} MetadataNoToken`, ['2026-11-22T08:30:00Z'], [1]), /whole hour/],
      [one(`${ID} MetadataNoToken 86400`, HOURS, [1, 2]), /overlap/],
      [
        () =>
          read(
            { MetricDataResults: [result(`${ID} MetadataNoToken`, HOURS, [1, 2])] },
            { periodSeconds: 700 },
          ),
        /700 s/,
      ],
    ] as const) {
      assert.throws(wrong, (error: Error) => error instanceof OperatorError && message.test(error.message));
    }
  });
});

describe('other files', () => {
  it('reads get-metric-statistics for the instance that the operator names', () => {
    const file = { Label: 'MetadataNoToken', Datapoints: [{ Timestamp: HOURS[1], Sum: 5, Unit: 'Count' }] };
    assert.throws(() => read(file), /--instance-id/);
    const [count] = read(file, { instanceId: ID }).counts;
    assert.deepEqual([count!.instance_id, count!.metadata_no_token], [ID, 5]);
    assert.throws(() => read({ ...file, Label: 'CPUUtilization' }, { instanceId: ID }), /CPUUtilization/);
    assert.throws(
      () => read({ ...file, Datapoints: [{ Timestamp: HOURS[1], Average: 5 }] }, { instanceId: ID }),
      /Sum/,
    );
  });

  it('reads the options that are in force from describe-instances', () => {
    const options = {
      State: 'applied',
      HttpTokens: 'required',
      HttpPutResponseHopLimit: 2,
      HttpEndpoint: 'enabled',
    };
    const { instances, ignored } = read({
      Reservations: [
        {
          Instances: [
            { InstanceId: ID, MetadataOptions: options },
            { InstanceId: 'i-2', MetadataOptions: { ...options, State: 'pending' } },
            { InstanceId: 'i-3' },
          ],
        },
      ],
    });
    assert.deepEqual(instances, [
      { instance_id: ID, http_tokens: 'required', hop_limit: 2, http_endpoint: 'enabled' },
    ]);
    assert.equal(Object.keys(ignored).length, 2);
    cloudInstance.parse(instances[0]);
    assert.throws(() => read({ Reservations: [{ Instances: [{ InstanceId: 7 }] }] }), OperatorError);
  });

  it('reads CSV, and names the line of an error', () => {
    const header = 'instance_id,start,end,metadata_no_token';
    const line = `${ID},2026-11-22T08:00:00Z,2026-11-22T10:00:00Z,4`;
    const { counts } = read(`\uFEFF${header},rejected\r\n${line},\r\n${line.replaceAll('22T', '23T')},9\r\n`);
    assert.deepEqual(
      counts.map((count) => [count.metadata_no_token, count.metadata_no_token_rejected]),
      [
        [4, null],
        [4, 9],
      ],
    );
    for (const [text, message] of [
      [header, /no counts/],
      ['id,start', /first line/],
      [`${header}\n${line}\n${line}`, /line 3: .*earlier line/],
      [`${header}\n${line},1`, /line 2: it has 5 cells/],
      [`${header}\n${line.replace(/4$/, '-4')}`, /line 2: .*whole number/],
      [`${header}\n${line.replace('08:00', '08:30')}`, /line 2: start: .*whole hour/],
      [`${header}\n${line.replace('T08', 'T11')}`, /line 2: .*end after/],
      [`${header}\n${line.replace('2026-11-22T08', '2026-13-41T08')}`, /line 2: start/],
    ] as const) {
      assert.throws(
        () => read(text),
        (error: Error) => error instanceof OperatorError && message.test(error.message),
        text,
      );
    }
  });

  it('reads any file, or refuses it with an OperatorError', () => {
    const json = fc.jsonValue().map((value) => JSON.stringify(value));
    const shaped = fc
      .tuple(fc.constantFrom('MetricDataResults', 'Datapoints', 'Reservations', '__proto__'), fc.jsonValue())
      .map(([key, value]) => `{${JSON.stringify(key)}: ${JSON.stringify(value)}}`);
    const csv = fc.string().map((text) => `instance_id,start,end,metadata_no_token\n${text}`);
    const texts = fc.oneof(fc.string(), json, shaped, csv, fc.constant('['.repeat(200_000)));
    fc.assert(
      fc.property(texts, (text) => {
        try {
          const { counts, instances } = read(text);
          for (const count of counts) cloudCount.parse(count);
          for (const instance of instances) cloudInstance.parse(instance);
        } catch (error) {
          assert.ok(error instanceof OperatorError, `${error}`);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('imdswatch cloud sync', () => {
  const place = { account: '111111111111', region: 'eu-central-1' };
  const document = {
    imdswatch_cloud: 1,
    made: '2026-11-22T10:00:00.000Z',
    places: [{ ...place, problems: ['The scaling activities were not read: AccessDenied.'] }],
    counts: [{ instance_id: ID, start: HOURS[1], end: HOURS[0], metadata_no_token: 0 }],
    metadata_options: [{ instance_id: ID, http_tokens: 'optional', hop_limit: 1, http_endpoint: 'enabled' }],
    inventory: {
      instances: [{ instance_id: ID, ...place, scaling_group: 'web' }],
      resources: [{ kind: 'image', ...place, id: 'ami-1', imds_support: null }],
    },
  };

  it('gives everything that it wrote, and says what could not be read', () => {
    const { counts, instances, inventory, ignored } = read(document);
    assert.equal(counts[0]?.metadata_no_token_rejected, null);
    assert.equal(instances[0]?.http_endpoint, 'enabled');
    assert.equal(inventory.instances[0]?.scaling_group, 'web');
    assert.equal(inventory.instances[0]?.state, null);
    assert.equal(inventory.resources.length, 1);
    assert.deepEqual(Object.keys(ignored), [
      'read of 111111111111 in eu-central-1 that failed: The scaling activities were not read: AccessDenied.',
    ]);
  });

  it('is refused as a whole when a part is not valid, or is of a later format', () => {
    for (const broken of [
      { ...document, imdswatch_cloud: 2 },
      { ...document, counts: [{ ...document.counts[0], metadata_no_token: -1 }] },
      { ...document, inventory: { ...document.inventory, resources: [{ kind: 'image' }] } },
    ]) {
      assert.throws(() => read(broken), OperatorError);
    }
  });
});
