/**
 * Reads answers of CloudWatch for `MetadataNoToken` and `MetadataNoTokenRejected`, statistic `Sum`. Shapes:
 * AWS CLI reference, `cloudwatch get-metric-data` and `get-metric-statistics`.
 */
import * as z from 'zod';
import { OperatorError } from '../../../common/operator_error.ts';
import type { CloudFigures, CloudFileOptions } from './cloud_figures.ts';
import { hourlyCounts, type Series } from './hourly_counts.ts';

const INSTANCE_ID = /\bi-[0-9a-f]{8,17}\b/;
/** The id of a query cannot have a hyphen, so `i_0123…` stands for `i-0123…`. */
const INSTANCE_ID_IN_QUERY = /(?:^|_)i_([0-9a-f]{8,17})(?:_|$)/;
const METRIC = /\bMetadataNoToken(Rejected)?\b/;
const LABEL_PERIOD = /\b(60|300|900|3600|21600|86400)\b/;

const moment = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const sum = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const metricData = z.object({
  MetricDataResults: z.array(
    z.object({
      Id: z.string(),
      Label: z.string(),
      StatusCode: z.string().optional(),
      Timestamps: z.array(moment),
      Values: z.array(sum),
    }),
  ),
});
const metricStatistics = z.object({
  Label: z.string(),
  Datapoints: z.array(z.object({ Timestamp: moment, Sum: sum })),
});

/** Throws `OperatorError` (1). */
export function readMetricData(name: string, document: unknown, options: CloudFileOptions): CloudFigures {
  const { MetricDataResults: results } = checked(name, metricData, document);
  const series: Series[] = [];
  const ignored: Record<string, number> = {};
  const ignore = (reason: string) => (ignored[reason] = (ignored[reason] ?? 0) + 1);
  for (const { Id: id, Label: label, StatusCode: status, Timestamps: times, Values: values } of results) {
    if (times.length !== values.length) {
      throw new OperatorError(
        1,
        `${name}: the result "${id}" has ${times.length} times but ${values.length} values. Export it again.`,
      );
    }
    const metric = METRIC.exec(label) ?? METRIC.exec(id);
    const inQuery = INSTANCE_ID_IN_QUERY.exec(id)?.[1];
    const hostId =
      INSTANCE_ID.exec(label)?.[0] ?? (inQuery === undefined ? options.instanceId : `i-${inQuery}`);
    if (status !== undefined && status !== 'Complete')
      ignore('results that CloudWatch says are not complete');
    else if (metric === null) ignore('results whose label names neither metric');
    else if (hostId === null) ignore('results whose label names no instance');
    else {
      const period = LABEL_PERIOD.exec(label.replace(hostId, ''))?.[1];
      series.push({
        hostId,
        isRejected: metric[1] !== undefined,
        periodSeconds: period === undefined ? options.periodSeconds : Number(period),
        points: times.map((startMs, index) => ({ startMs, sum: values[index]! })),
      });
    }
  }
  if (series.length === 0) {
    throw new OperatorError(
      1,
      `${name}: no result names both an instance and a metric. Give each query of get-metric-data the label "\${PROP('Dim.InstanceId')} \${PROP('MetricName')} \${PROP('Period')}".`,
    );
  }
  return hourlyCounts(name, series, ignored);
}

/** Throws `OperatorError` (1). */
export function readMetricStatistics(
  name: string,
  document: unknown,
  { instanceId, periodSeconds }: CloudFileOptions,
): CloudFigures {
  const { Label: label, Datapoints: points } = checked(name, metricStatistics, document);
  const metric = METRIC.exec(label);
  if (metric === null) {
    throw new OperatorError(
      1,
      `${name}: the metric is ${JSON.stringify(label.slice(0, 100))}. It must be MetadataNoToken or MetadataNoTokenRejected.`,
    );
  }
  if (instanceId === null) {
    throw new OperatorError(
      1,
      `${name} does not name its instance. Name it with --instance-id, or use get-metric-data.`,
    );
  }
  const series = {
    hostId: instanceId,
    isRejected: metric[1] !== undefined,
    periodSeconds,
    points: points.map(({ Timestamp: startMs, Sum: value }) => ({ startMs, sum: value })),
  };
  return hourlyCounts(name, [series], {});
}

function checked<T extends z.ZodType>(name: string, schema: T, document: unknown): z.output<T> {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new OperatorError(1, `${name}: ${issue!.path.join('.')}: ${issue!.message}.`);
}
