/** The window as a bar: where the host was watched, and the gaps in place, each named on hover and focus. */
import { useState } from 'preact/hooks';
import type { Gap, Readiness } from '../../../collector/contract/host.ts';
import { duration, percent, plural } from '../format.ts';
import { GAP } from '../parts/badge.tsx';
import { localTime } from '../time.tsx';
import './coverage_bar.css';

/** What is shorter is drawn this wide all the same: a gap must be seen. */
const MIN_PERCENT = 0.4;
const TICKS = 7;

export function CoverageBar({ readiness }: { readiness: Readiness }) {
  const [named, setNamed] = useState<Gap | null>(null);
  const { coverage, window, boots } = readiness;
  const from = Date.parse(window.from);
  const span = Math.max(1, Date.parse(window.to) - from);
  const place = (at: string) => Math.min(100, Math.max(0, ((Date.parse(at) - from) / span) * 100));
  const ticks = Array.from({ length: TICKS }, (_, index) => from + (span * index) / (TICKS - 1));
  return (
    <div class="coverage">
      <div class="bar" role="group" aria-label={`Watched ${percent(coverage.percent)} of the window`}>
        {coverage.gaps.map((gap) => {
          const left = place(gap.from);
          const width = Math.max(MIN_PERCENT, place(gap.to) - left);
          return (
            <button
              key={`${gap.from}${gap.reason}`}
              type="button"
              class={`gap gap-${gap.reason}`}
              aria-label={nameOf(gap)}
              style={{ left: `${Math.min(left, 100 - width)}%`, width: `${width}%` }}
              onMouseEnter={() => setNamed(gap)}
              onMouseLeave={() => setNamed(null)}
              onFocus={() => setNamed(gap)}
              onBlur={() => setNamed(null)}
            />
          );
        })}
        {boots.slice(1).map((boot) => (
          <i
            key={boot.id}
            class="boot"
            style={{ left: `${place(boot.first_report)}%` }}
            title={`Boot: first report at ${localTime(boot.first_report)}`}
          />
        ))}
      </div>
      <div class="scale" aria-hidden="true">
        {ticks.map((at, index) => (
          <span key={at}>{index === TICKS - 1 ? 'now' : day.format(at)}</span>
        ))}
      </div>
      <p class="gap-name" aria-hidden="true">
        {named ? (
          nameOf(named)
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

function nameOf({ reason, detail, seconds, from, to }: Gap): string {
  return `${GAP[reason]}, ${duration(seconds)}: ${localTime(from)} to ${localTime(to)}${detail ? ` (${detail})` : ''}`;
}

/** In a table row. */
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
