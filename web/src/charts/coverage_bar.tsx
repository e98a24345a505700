/** The window as a bar, with its gaps in place. A gap shows its reason on hover and on focus. */
import { useState } from 'preact/hooks';
import type { Gap, Readiness } from '../../../collector/contract/host.ts';
import { duration, percent, plural } from '../format.ts';
import { GAP } from '../parts/badge.tsx';
import { formatTime } from '../time.tsx';
import './coverage_bar.css';

/** The smallest width of a gap in percent of the bar, so that a short gap is visible. */
const MIN_PERCENT = 0.4;
const TICKS = 7;

export function CoverageBar({ readiness }: { readiness: Readiness }) {
  const [pointedGap, setPointedGap] = useState<Gap | null>(null);
  const { coverage, window, boots } = readiness;
  const from = Date.parse(window.from);
  const span = Math.max(1, Date.parse(window.to) - from);
  const position = (at: string) => Math.min(100, Math.max(0, ((Date.parse(at) - from) / span) * 100));
  const ticks = Array.from({ length: TICKS }, (_, index) => from + (span * index) / (TICKS - 1));
  return (
    <div class="coverage">
      <div class="bar" role="group" aria-label={`Watched ${percent(coverage.percent)} of the window`}>
        {coverage.gaps.map((gap) => {
          const left = position(gap.from);
          const width = Math.max(MIN_PERCENT, position(gap.to) - left);
          return (
            <button
              key={`${gap.from}${gap.reason}`}
              type="button"
              class={`gap gap-${gap.reason}`}
              aria-label={describeGap(gap)}
              style={{ left: `${Math.min(left, 100 - width)}%`, width: `${width}%` }}
              onMouseEnter={() => setPointedGap(gap)}
              onMouseLeave={() => setPointedGap(null)}
              onFocus={() => setPointedGap(gap)}
              onBlur={() => setPointedGap(null)}
            />
          );
        })}
        {boots.slice(1).map((boot) => (
          <i
            key={boot.id}
            class="boot"
            style={{ left: `${position(boot.first_report)}%` }}
            title={`Boot: first report at ${formatTime(boot.first_report)}`}
          />
        ))}
      </div>
      <div class="scale" aria-hidden="true">
        {ticks.map((at, index) => (
          <span key={at}>{index === TICKS - 1 ? 'now' : day.format(at)}</span>
        ))}
      </div>
      <p class="gap-name" aria-hidden="true">
        {pointedGap ? (
          describeGap(pointedGap)
        ) : (
          <>
            <b>{percent(coverage.percent)}</b> watched
            <span class="quiet">
              {' '}
              · {plural(coverage.gap_count, 'gap')}
              {coverage.gap_count > 0 && '. Point at a gap to see its reason.'}
            </span>
          </>
        )}
      </p>
    </div>
  );
}

const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });

function describeGap({ reason, detail, seconds, from, to }: Gap): string {
  return `${GAP[reason]}, ${duration(seconds)}: ${formatTime(from)} to ${formatTime(to)}${detail ? ` (${detail})` : ''}`;
}

/** The coverage of a host in a row of a table. */
export function CoverageShare({ value, gaps }: { value: number; gaps: number }) {
  return (
    <span class="share" title={plural(gaps, 'gap')}>
      <span class="track" aria-hidden="true">
        <i style={{ width: `${value}%` }} />
      </span>
      {percent(value)}
    </span>
  );
}
