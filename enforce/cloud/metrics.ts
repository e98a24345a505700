/**
 * Reads CloudWatch's counts of calls without a token, and the state of alarms. Limits: CloudWatch API
 * reference, GetMetricData: 500 queries and 100,800 points an answer, then `NextToken`.
 */
import {
  type CloudWatchClient,
  DescribeAlarmsCommand,
  GetMetricDataCommand,
  type MetricDataQuery,
} from '@aws-sdk/client-cloudwatch';
import type { Cloud, NoTokenCounts } from '../cloud.ts';
import type { Connection } from './connection.ts';
import { outcome } from './errors.ts';

export const METRICS = { accepted: 'MetadataNoToken', rejected: 'MetadataNoTokenRejected' } as const;
export type Metric = keyof typeof METRICS;

const MAX_QUERIES = 500;
const ALARMS_PER_CALL = 100;
const DAY_MS = 86_400_000;
/** Points of one minute are kept for 15 days, those of five minutes for 63. */
const FINE_SPAN_MS = DAY_MS;

export interface MetricPoint {
  startMs: number;
  sum: number;
}

export interface MetricSeries {
  id: string;
  label: string;
  points: MetricPoint[];
}

export function metricCalls({ cloudWatch }: Connection): Pick<Cloud, 'noTokenCounts' | 'alarmsNotGreen'> {
  return {
    noTokenCounts: (instanceIds, { sinceMs, untilMs }) =>
      outcome(async () => {
        const periodSeconds = untilMs - sinceMs <= FINE_SPAN_MS ? 60 : 300;
        const series = await instanceSeries(cloudWatch, instanceIds, { sinceMs, untilMs, periodSeconds });
        return instanceIds.map((instanceId): NoTokenCounts => {
          const { accepted, rejected } = series.get(instanceId)!;
          return { instanceId, accepted: sumOrNull(accepted), rejected: sumOrNull(rejected) };
        });
      }),

    alarmsNotGreen: (names) =>
      outcome(async () => {
        const green = new Set<string>();
        for (let from = 0; from < names.length; from += ALARMS_PER_CALL) {
          const { MetricAlarms: metric = [], CompositeAlarms: composite = [] } = await cloudWatch.send(
            new DescribeAlarmsCommand({
              AlarmNames: names.slice(from, from + ALARMS_PER_CALL),
              AlarmTypes: ['MetricAlarm', 'CompositeAlarm'],
              MaxRecords: ALARMS_PER_CALL,
            }),
          );
          for (const { AlarmName: name, StateValue: state } of [...metric, ...composite]) {
            if (name !== undefined && state !== undefined && state !== 'ALARM') green.add(name);
          }
        }
        return names.filter((name) => !green.has(name));
      }),
  };
}

function sumOrNull(points: readonly MetricPoint[]): number | null {
  return points.length === 0 ? null : points.reduce((total, { sum }) => total + sum, 0);
}

export interface MetricSpan {
  sinceMs: number;
  untilMs: number;
  periodSeconds: number;
}

/** Returns the points of both metrics for each instance. An instance without points has empty lists. */
export async function instanceSeries(
  client: CloudWatchClient,
  instanceIds: readonly string[],
  span: MetricSpan,
): Promise<Map<string, Record<Metric, MetricPoint[]>>> {
  const asked = instanceIds.flatMap((instanceId) =>
    (Object.keys(METRICS) as Metric[]).map((metric) => ({ instanceId, metric })),
  );
  const result = new Map(
    instanceIds.map((id): [string, Record<Metric, MetricPoint[]>] => [id, { accepted: [], rejected: [] }]),
  );
  for (let from = 0; from < asked.length; from += MAX_QUERIES) {
    const part = asked.slice(from, from + MAX_QUERIES);
    const queries = part.map(
      ({ instanceId, metric }, index): MetricDataQuery => ({
        Id: `m${index}`,
        MetricStat: {
          Metric: {
            Namespace: 'AWS/EC2',
            MetricName: METRICS[metric],
            Dimensions: [{ Name: 'InstanceId', Value: instanceId }],
          },
          Period: span.periodSeconds,
          Stat: 'Sum',
        },
      }),
    );
    for (const { id, points } of (await metricData(client, queries, span)).series) {
      const { instanceId, metric } = part[Number(id.slice(1))]!;
      result.get(instanceId)![metric].push(...points);
    }
  }
  return result;
}

/**
 * Returns the results of queries, the pages of one result joined. A query with GROUP BY has several results
 * with its id. `messages` say what was left out, for example that there are too many metrics. Throws if CloudWatch does not give all of them.
 */
export async function metricData(
  client: CloudWatchClient,
  queries: MetricDataQuery[],
  { sinceMs, untilMs }: Pick<MetricSpan, 'sinceMs' | 'untilMs'>,
): Promise<{ series: MetricSeries[]; messages: string[] }> {
  const messages: string[] = [];
  const series = new Map<string, MetricSeries & { status: string | undefined }>();
  let NextToken: string | undefined;
  do {
    const answer = await client.send(
      new GetMetricDataCommand({
        MetricDataQueries: queries,
        StartTime: new Date(sinceMs),
        EndTime: new Date(untilMs),
        ScanBy: 'TimestampAscending',
        ...(NextToken === undefined ? {} : { NextToken }),
      }),
    );
    for (const {
      Id = '',
      Label = '',
      Timestamps = [],
      Values = [],
      StatusCode,
    } of answer.MetricDataResults ?? []) {
      const key = JSON.stringify([Id, Label]);
      const known = series.get(key) ?? { id: Id, label: Label, points: [], status: undefined };
      series.set(key, known);
      known.status = StatusCode;
      for (const [index, time] of Timestamps.entries()) {
        known.points.push({ startMs: time.getTime(), sum: Values[index]! });
      }
    }
    messages.push(...(answer.Messages ?? []).map(({ Code: code, Value: value }) => `${code}: ${value}`));
    NextToken = answer.NextToken;
  } while (NextToken !== undefined);
  for (const { label, status } of series.values()) {
    if (status !== 'Complete') {
      const message = `CloudWatch did not give all points of ${label}: ${status ?? 'no status'}. Ask again later.`;
      throw Object.assign(new Error(message), { name: 'IncompleteMetricData' });
    }
  }
  return { series: [...series.values()].map(({ id, label, points }) => ({ id, label, points })), messages };
}
