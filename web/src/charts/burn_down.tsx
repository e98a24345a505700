/** Held hosts and offenders by day, as two lines, with the forecast in words. */
import type { BurnDown } from '../../../collector/contract/fix_first.ts';
import { forecastText, onDay } from '../forecast_text.ts';
import { count } from '../format.ts';
import { EmptyNotice } from '../parts/states.tsx';
import './burn_down.css';

const WIDTH = 600;
const HEIGHT = 120;
export function BurnDownChart({ burnDown }: { burnDown: BurnDown }) {
  const { days, forecast, window_days } = burnDown;
  const last = days.at(-1);
  if (last === undefined || days.every(({ hosts, offenders }) => hosts === 0 && offenders === 0)) {
    return <EmptyNotice title="No day with IMDSv1 calls is over yet." />;
  }
  const most = Math.max(1, ...days.map(({ hosts, offenders }) => Math.max(hosts, offenders)));
  const label = `From ${onDay(days[0]!.day)} to ${onDay(last.day)}: hosts with IMDSv1 calls from ${count(days[0]!.hosts)} to ${count(last.hosts)}, offenders from ${count(days[0]!.offenders)} to ${count(last.offenders)}`;
  const line = (value: (point: BurnDown['days'][number]) => number) =>
    days
      .map((point, index) => {
        const x = days.length === 1 ? WIDTH : (index / (days.length - 1)) * WIDTH;
        return `${x.toFixed(1)},${(HEIGHT - (value(point) / most) * (HEIGHT - 4) - 2).toFixed(1)}`;
      })
      .join(' ');
  const incomplete = days.filter(({ complete }) => !complete).length;
  return (
    <figure class="burn-down">
      <figcaption>
        <span class="legend">
          <span class="series-hosts">Hosts with IMDSv1 calls</span> <b>{count(last.hosts)}</b>
        </span>
        <span class="legend">
          <span class="series-offenders">Offenders</span> <b>{count(last.offenders)}</b>
        </span>
        <span class="quiet">each day over the {window_days} days that end with it</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        height={HEIGHT}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        <polyline class="series-hosts" points={line(({ hosts }) => hosts)} />
        <polyline class="series-offenders" points={line(({ offenders }) => offenders)} />
      </svg>
      <p class="ends quiet">
        <span>{onDay(days[0]!.day)}</span>
        <span>{onDay(last.day)}</span>
      </p>
      <p>{forecastText(forecast.hosts, 'host')}</p>
      {incomplete > 0 && (
        <p class="quiet">
          The first {count(incomplete)} {incomplete === 1 ? 'day' : 'days'} can be too low: records begin
          within their windows.
        </p>
      )}
      <details class="numbers">
        <summary>Show as a table</summary>
        <div class="table low" tabIndex={0} role="group" aria-label="Hosts and offenders by day">
          <table>
            <thead>
              <tr>
                <th scope="col">Day (UTC)</th>
                <th scope="col" class="numeric">
                  Hosts
                </th>
                <th scope="col" class="numeric">
                  Offenders
                </th>
              </tr>
            </thead>
            <tbody>
              {days.toReversed().map((point) => (
                <tr key={point.day}>
                  <th scope="row">{onDay(point.day)}</th>
                  <td class="numeric">{count(point.hosts)}</td>
                  <td class="numeric">{count(point.offenders)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
