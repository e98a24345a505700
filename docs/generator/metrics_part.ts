/** Makes the tables of the collector's metrics. */
import { ApiMetrics, type MetricDescription } from '../../collector/api/metrics.ts';
import { code, table } from './generated_part.ts';

const TITLES = ['metric', 'type', 'what'];

export async function metricsPart(): Promise<string> {
  const metrics = (await new ApiMetrics().descriptions()).sort((a, b) => (a.name < b.name ? -1 : 1));
  const rows = (isOfFleet: boolean) => metrics.filter((metric) => metric.isOfFleet === isOfFleet).map(row);
  return `Of the fleet. Every collector that shares a database shows the same value: join them with \`max\`, never with \`sum\`.

${table(TITLES, rows(true))}

Of this collector. With many collectors add them up (\`imdswatch_ready\`, \`imdswatch_store_copies\` and the lease are of one each). Counters
begin at 0 when the process starts.

${table(TITLES, rows(false))}`;
}

function row({ name, labels, kind, help }: MetricDescription): string[] {
  return [code(`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}`), kind, help];
}
