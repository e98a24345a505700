/**
 * Reads CloudWatch's counts of calls without a token with few queries: Metrics Insights gives the sums of all
 * instances at once, by the day. The hours are asked for the days that had calls. Limits: CloudWatch guide,
 * "Metrics Insights quotas": two weeks back, 10,000 metrics looked at, 500 returned, one query in a call.
 */
import type { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import type { CloudCountInput } from '../../collector/contract/cloud.ts';
import { type CountSpan, countSpans } from './count_window.ts';
import { instanceSeries, METRICS, type Metric, type MetricPoint, metricData } from './metrics.ts';

const INSIGHTS_DAYS = 14;
const INSIGHTS_METRICS = 10_000;
const INSIGHTS_ROWS = 500;
const INSTANCE_ID = /\bi-(?:[0-9a-f]{17}|[0-9a-f]{8})\b/;
const DAY_SECONDS = 86_400;

type Counted = Map<string, Record<Metric, MetricPoint[]>>;

export interface CountsQuestion {
  /** Instances of the inventory, also those that are gone. Instances that only CloudWatch knows are added. */
  instanceIds: readonly string[];
  nowMs: number;
  /** 1 to 63: CloudWatch keeps five-minute points that long. */
  days: number;
}

/** Returns the sum of a day where it is zero, and of each hour otherwise. Where CloudWatch has no point there is none. */
export async function readCounts(
  client: CloudWatchClient,
  { instanceIds, nowMs, days }: CountsQuestion,
): Promise<CloudCountInput[]> {
  const counts: CloudCountInput[] = [];
  const withInsights = days <= INSIGHTS_DAYS;
  for (const span of countSpans(nowMs, days)) {
    const counted = withInsights
      ? await countedByInsights(client, instanceIds, span)
      : await instanceSeries(client, instanceIds, span);
    if (span.periodSeconds === DAY_SECONDS) {
      counts.push(...quietDays(counted), ...(await busyHours(client, counted, span)));
    } else counts.push(...toCounts(counted, 3600));
  }
  return counts;
}

/** Asks by name for the instances that Metrics Insights may have left out. */
async function countedByInsights(
  client: CloudWatchClient,
  instanceIds: readonly string[],
  span: CountSpan,
): Promise<Counted> {
  const counted: Counted = new Map();
  let isWhole = instanceIds.length < INSIGHTS_METRICS;
  for (const metric of Object.keys(METRICS) as Metric[]) {
    const { series, messages } = await metricData(client, [insightsQuery(metric, span)], span);
    const smallest = Math.min(
      ...series.map(({ points }) => points.reduce((sum, point) => sum + point.sum, 0)),
    );
    // The rows come in falling order: after a row of zero only zeros are missing.
    if (messages.length > 0 || (series.length >= INSIGHTS_ROWS && smallest > 0)) isWhole = false;
    for (const { label, points } of series) {
      const instanceId = INSTANCE_ID.exec(label)?.[0];
      if (instanceId === undefined) isWhole = false;
      else {
        const known = counted.get(instanceId) ?? { accepted: [], rejected: [] };
        known[metric].push(...points);
        counted.set(instanceId, known);
      }
    }
  }
  if (isWhole) return counted;
  const all = new Set([...instanceIds, ...counted.keys()]);
  return instanceSeries(client, [...all], span);
}

function insightsQuery(metric: Metric, { periodSeconds }: CountSpan) {
  const select = `SELECT SUM(${METRICS[metric]}) FROM SCHEMA("AWS/EC2", InstanceId)`;
  return {
    Id: metric,
    Expression: `${select} GROUP BY InstanceId ORDER BY SUM() DESC`,
    Period: periodSeconds,
  };
}

function quietDays(counted: Counted): CloudCountInput[] {
  return toCounts(counted, DAY_SECONDS).filter(
    ({ metadata_no_token: calls, metadata_no_token_rejected: refused }) =>
      calls === 0 && (refused ?? 0) === 0,
  );
}

/** Asks for the hours of the days that had calls, because neighbouring hours are compared with what agents saw. */
async function busyHours(
  client: CloudWatchClient,
  counted: Counted,
  span: CountSpan,
): Promise<CloudCountInput[]> {
  const busyDays = new Map<string, Set<number>>();
  for (const [instanceId, { accepted, rejected }] of counted) {
    const days = [...accepted, ...rejected].filter(({ sum }) => sum > 0).map(({ startMs }) => startMs);
    if (days.length > 0) busyDays.set(instanceId, new Set(days));
  }
  if (busyDays.size === 0) return [];
  const byHour = await instanceSeries(client, [...busyDays.keys()], { ...span, periodSeconds: 3600 });
  const dayMs = DAY_SECONDS * 1000;
  return [...byHour].flatMap(([instanceId, { accepted, rejected }]) => {
    const isBusy = ({ startMs }: MetricPoint) =>
      busyDays.get(instanceId)!.has(Math.floor(startMs / dayMs) * dayMs);
    const ofDays = { accepted: accepted.filter(isBusy), rejected: rejected.filter(isBusy) };
    return toCounts(new Map([[instanceId, ofDays]]), 3600);
  });
}

/** An instance has only one of the metrics at a time. Refused calls alone mean that none was answered. */
function toCounts(counted: Counted, periodSeconds: number): CloudCountInput[] {
  return [...counted].flatMap(([instanceId, { accepted, rejected }]) => {
    const periods = new Map<number, { accepted: number | null; rejected: number | null }>();
    for (const [metric, points] of Object.entries({ accepted, rejected }) as [Metric, MetricPoint[]][]) {
      for (const { startMs, sum } of points) {
        const period = periods.get(startMs) ?? { accepted: null, rejected: null };
        period[metric] = (period[metric] ?? 0) + sum;
        periods.set(startMs, period);
      }
    }
    return [...periods]
      .sort(([a], [b]) => a - b)
      .map(([startMs, period]) => ({
        instance_id: instanceId,
        start: new Date(startMs).toISOString(),
        end: new Date(startMs + periodSeconds * 1000).toISOString(),
        metadata_no_token: period.accepted ?? 0,
        metadata_no_token_rejected: period.rejected,
      }));
  });
}
