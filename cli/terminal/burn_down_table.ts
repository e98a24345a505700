/** Prints how the number of callers falls: a line for each week, and the forecasts. */
import type { BurnDown } from '../../collector/contract/fix_first.ts';
import { forecastText } from '../../collector/contract/forecast_text.ts';

const WEEK_DAYS = 7;
const COLUMN = 14;

export function burnDownTable({ window_days: windowDays, days, forecast }: BurnDown): string {
  // Today comes last, and the days before it are those of the same weekday.
  const shown = days.filter((_, at) => (days.length - 1 - at) % WEEK_DAYS === 0);
  const row = (first: string, ...rest: string[]) =>
    `${first.padEnd(COLUMN)}${rest.map((text) => text.padStart(COLUMN)).join('')}`;
  const lines =
    days.length === 0
      ? ['No day is stored from its beginning yet.']
      : [
          `Hosts and workloads with IMDSv1 calls in the ${windowDays} days until then:`,
          '',
          row('DAY', 'HOSTS', 'OFFENDERS'),
        ];
  for (const { day, hosts, offenders, complete } of shown) {
    const atLeast = complete ? '' : '>= ';
    lines.push(row(onDay(day), `${atLeast}${hosts}`, `${atLeast}${offenders}`));
  }
  if (shown.some(({ complete }) => !complete))
    lines.push('', '">=": the store does not reach back to the beginning of these windows.');
  lines.push(
    '',
    `Hosts: ${forecastText(forecast.hosts, 'host', onDay)}`,
    `Offenders: ${forecastText(forecast.offenders, 'workload', onDay)}`,
  );
  return `${lines.join('\n')}\n`;
}

function onDay(time: string): string {
  return time.slice(0, 'YYYY-MM-DD'.length);
}
