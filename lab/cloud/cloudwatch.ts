/** CloudWatch's metric data. Source: CloudWatch API reference, GetMetricData; guide, "Metrics Insights quotas". */
import { ApiError } from './request.ts';
import type { CloudState, LabRegion, MetricName } from './state.ts';

const MAX_QUERIES = 500;
const INSIGHTS_BACK_MS = 14 * 86_400_000;
const INSIGHTS_ROWS = 500;
const INSIGHTS =
  /^SELECT SUM\((MetadataNoToken|MetadataNoTokenRejected)\) FROM SCHEMA\("AWS\/EC2", InstanceId\) GROUP BY InstanceId ORDER BY SUM\(\) DESC$/;

interface Query {
  Id: string;
  Expression?: string;
  Period?: number;
  Label?: string;
  MetricStat?: {
    Metric: { MetricName: string; Namespace: string; Dimensions?: { Name: string; Value: string }[] };
    Period: number;
    Stat: string;
  };
}

interface Request {
  MetricDataQueries: Query[];
  /** Seconds since 1970. */
  StartTime: number;
  EndTime: number;
  NextToken?: string;
}

interface Result {
  Id: string;
  Label: string;
  points: { time: number; value: number }[];
}

export function getMetricData(state: CloudState, region: LabRegion, body: unknown): object {
  const { MetricDataQueries: queries, StartTime, EndTime, NextToken } = body as Request;
  if (queries.length > MAX_QUERIES) throw new ApiError('ValidationError', 'More than 500 queries.');
  const insights = queries.filter(({ Expression }) => Expression !== undefined);
  if (insights.length > 1) {
    throw new ApiError('ValidationError', 'A call can have one Metrics Insights query only.');
  }
  if (insights.length > 0 && StartTime * 1000 < Date.now() - INSIGHTS_BACK_MS) {
    throw new ApiError('ValidationError', 'Metrics Insights looks two weeks back only.');
  }
  const results = queries.flatMap((query) => resultsOf(region, query, StartTime * 1000, EndTime * 1000));
  return paged(results, NextToken === undefined ? 0 : Number(NextToken), state.pointsPerAnswer);
}

function resultsOf(region: LabRegion, query: Query, sinceMs: number, untilMs: number): Result[] {
  const { Id, Expression: expression, MetricStat: stat } = query;
  if (expression !== undefined) {
    const metric = INSIGHTS.exec(expression)?.[1];
    if (metric === undefined || query.Period === undefined) {
      throw new ApiError('ValidationError', `The lab's cloud does not know the expression ${expression}`);
    }
    return [...region.metrics[metric as MetricName].keys()]
      .map((instanceId) => ({
        Id,
        Label: instanceId,
        points: pointsOf(region, metric, instanceId, query.Period!, sinceMs, untilMs),
      }))
      .filter(({ points }) => points.length > 0)
      .sort((a, b) => total(b) - total(a))
      .slice(0, INSIGHTS_ROWS);
  }
  const instanceId = stat?.Metric.Dimensions?.find(({ Name }) => Name === 'InstanceId')?.Value;
  if (stat === undefined || stat.Stat !== 'Sum') throw new ApiError('ValidationError', 'Only Sum is known.');
  // A query without a dimension has no points, which is not zero.
  const points =
    instanceId === undefined
      ? []
      : pointsOf(region, stat.Metric.MetricName, instanceId, stat.Period, sinceMs, untilMs);
  return [{ Id, Label: query.Label ?? stat.Metric.MetricName, points }];
}

function total({ points }: Result): number {
  return points.reduce((sum, { value }) => sum + value, 0);
}

function pointsOf(
  region: LabRegion,
  metric: string,
  instanceId: string,
  periodSeconds: number,
  sinceMs: number,
  untilMs: number,
): Result['points'] {
  const sums = new Map<number, number>();
  for (const [startMs, value] of region.metrics[metric as MetricName]?.get(instanceId) ?? []) {
    if (startMs < sinceMs || startMs >= untilMs) continue;
    const period = Math.floor(startMs / (periodSeconds * 1000)) * periodSeconds;
    sums.set(period, (sums.get(period) ?? 0) + value);
  }
  return [...sums].sort(([a], [b]) => a - b).map(([time, value]) => ({ time, value }));
}

/** Cuts after a number of points. A result that goes on in the next answer is `PartialData`. */
function paged(results: readonly Result[], from: number, size: number): object {
  let position = 0;
  const shown: object[] = [];
  for (const { Id, Label, points } of results) {
    const begin = Math.max(0, from - position);
    const end = Math.min(points.length, from + size - position);
    const isHere = points.length === 0 ? position >= from && position <= from + size : end > begin;
    if (isHere) {
      const part = points.slice(begin, end);
      shown.push({
        Id,
        Label,
        Timestamps: part.map(({ time }) => time),
        Values: part.map(({ value }) => value),
        StatusCode: end < points.length ? 'PartialData' : 'Complete',
      });
    }
    position += points.length;
  }
  const next = from + size < position ? { NextToken: String(from + size) } : {};
  return { MetricDataResults: shown, Messages: [], ...next };
}

export function describeAlarms(region: LabRegion, body: unknown): object {
  const { AlarmNames: names = [] } = body as { AlarmNames?: string[] };
  return {
    MetricAlarms: [...region.alarms]
      .filter(([name]) => names.includes(name))
      .map(([AlarmName, StateValue]) => ({ AlarmName, StateValue })),
    CompositeAlarms: [],
  };
}
