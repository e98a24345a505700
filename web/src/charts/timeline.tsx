/**
 * Calls over time: IMDSv1 as stacked bars with credentials at the bottom, and IMDSv2 as a line that can be
 * shown.
 */
import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import type { Timeline } from '../../../collector/contract/window.ts';
import { count, duration, plural } from '../format.ts';
import { EmptyNotice } from '../parts/states.tsx';
import { useColours } from '../theme.ts';
import { formatTime } from '../time.tsx';
import './timeline.css';

const HEIGHT_PX = 210;
const DAY_SECONDS = 86_400;
const SPAN: Record<number, string> = { 3600: 'hour', [DAY_SECONDS]: 'day' };
const day = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const hour = new Intl.DateTimeFormat(undefined, {
  weekday: 'short',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

export function TimelineChart({ timeline, label }: { timeline: Timeline; label: string }) {
  const [withV2, setWithV2] = useState(false);
  const [pointIndex, setPointIndex] = useState<number | null>(null);
  const { points, bucket_seconds } = timeline;
  if (points.every(({ v1, v2 }) => v1 === 0 && v2 === 0))
    return <EmptyNotice title="No calls in this window." />;
  const sum = (key: 'v1' | 'v1_credentials' | 'v2') => points.reduce((total, point) => total + point[key], 0);
  const point = pointIndex === null ? null : points[pointIndex];
  const shown = point ?? { v1: sum('v1'), v1_credentials: sum('v1_credentials'), v2: sum('v2') };
  const span = SPAN[bucket_seconds] ?? duration(bucket_seconds);
  return (
    <figure class="timeline">
      <figcaption>
        <span class="legend">
          <span class="series-credentials">Credentials over IMDSv1</span> <b>{count(shown.v1_credentials)}</b>
        </span>
        <span class="legend">
          <span class="series-v1">Other IMDSv1</span> <b>{count(shown.v1 - shown.v1_credentials)}</b>
        </span>
        <button
          type="button"
          class="legend"
          aria-pressed={withV2}
          title={withV2 ? 'Hide IMDSv2' : 'Show IMDSv2 on the same scale'}
          onClick={() => setWithV2(!withV2)}
        >
          <span class="series-v2">IMDSv2</span> <b>{count(shown.v2)}</b>
        </button>
        <span class="quiet at">{point ? formatTime(point.time) : `one bar per ${span}`}</span>
      </figcaption>
      <Plot timeline={timeline} withV2={withV2} label={label} onPoint={setPointIndex} />
      <details class="numbers">
        <summary>Show as a table</summary>
        <TimelineTable timeline={timeline} label={label} />
      </details>
    </figure>
  );
}

function TimelineTable({ timeline, label }: { timeline: Timeline; label: string }) {
  const pointsWithCalls = timeline.points.filter(({ v1, v2 }) => v1 > 0 || v2 > 0);
  return (
    <div class="table low" tabIndex={0} role="group" aria-label={`${label}, as a table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col" class="numeric">
              IMDSv1
            </th>
            <th scope="col" class="numeric">
              Credentials over IMDSv1
            </th>
            <th scope="col" class="numeric">
              IMDSv2
            </th>
          </tr>
        </thead>
        <tbody>
          {pointsWithCalls.map((point) => (
            <tr key={point.time}>
              <th scope="row">
                <time dateTime={point.time} title={point.time}>
                  {formatTime(point.time)}
                </time>
              </th>
              <td class="numeric">{count(point.v1)}</td>
              <td class="numeric">{count(point.v1_credentials)}</td>
              <td class="numeric">{count(point.v2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface PlotProps {
  timeline: Timeline;
  withV2: boolean;
  label: string;
  onPoint: (index: number | null) => void;
}

function Plot({ timeline, withV2, label, onPoint }: PlotProps) {
  const container = useRef<HTMLDivElement>(null);
  const colours = useColours();
  useEffect(() => {
    const element = container.current!;
    let plot: uPlot | null = null;
    let unmounted = false;
    const resizeObserver = new ResizeObserver(() => {
      plot?.setSize({ width: element.clientWidth, height: HEIGHT_PX });
    });
    void import('uplot').then(({ default: UPlot }) => {
      if (unmounted) return;
      plot = new UPlot(
        plotOptions(UPlot, element, timeline, withV2, onPoint),
        plotData(timeline, withV2),
        element,
      );
      resizeObserver.observe(element);
    });
    return () => {
      unmounted = true;
      resizeObserver.disconnect();
      plot?.destroy();
    };
  }, [timeline, withV2, colours]);
  const total = timeline.points.reduce((calls, { v1 }) => calls + v1, 0);
  return (
    <div class="plot" ref={container} role="img" aria-label={`${label}: ${plural(total, 'IMDSv1 call')}`} />
  );
}

/**
 * Returns the series of the plot. The bar of all IMDSv1 calls is drawn first, and the bar of the credentials
 * over it.
 */
function plotData({ points }: Timeline, withV2: boolean): uPlot.AlignedData {
  const times = points.map(({ time }) => Date.parse(time) / 1000);
  const series = [points.map(({ v1 }) => v1), points.map(({ v1_credentials }) => v1_credentials)];
  if (withV2) series.push(points.map(({ v2 }) => v2));
  return [times, ...series];
}

/**
 * Reads the colour of a CSS class from an element. uPlot draws on a canvas, which cannot use custom
 * properties.
 */
function readColour(element: HTMLElement, name: string): string {
  const probe = document.createElement('i');
  probe.className = name;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function plotOptions(
  UPlot: typeof uPlot,
  element: HTMLElement,
  { points, bucket_seconds }: Timeline,
  withV2: boolean,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const bars = UPlot.paths.bars!({ size: [0.8, 48], align: 1 });
  const v1 = readColour(element, 'series-v1');
  const credentials = readColour(element, 'series-credentials');
  const v2 = readColour(element, 'series-v2');
  const axis = {
    stroke: readColour(element, 'axis-text'),
    font: `11px ${getComputedStyle(element).fontFamily}`,
    ticks: { show: false },
  };
  const most = points.reduce((top, point) => Math.max(top, point.v1, withV2 ? point.v2 : 0), 0);
  const first = Date.parse(points[0]?.time ?? '') / 1000;
  const last = Date.parse(points.at(-1)?.time ?? '') / 1000 + bucket_seconds;
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false } },
    scales: {
      x: { time: true, range: () => [first, last] },
      // The axis needs a height even if there are no calls.
      y: { range: () => [0, Math.max(4, most * 1.08)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 64,
        values: (_plot, splits, _axis, _space, step) =>
          splits.map((at) =>
            // A label at the right edge would be cut off.
            at > last - bucket_seconds / 2 ? '' : (step >= DAY_SECONDS ? day : hour).format(at * 1000),
          ),
      },
      {
        ...axis,
        size: 52,
        grid: { stroke: readColour(element, 'axis-grid'), width: 1 },
        incrs: [
          1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 5e6, 1e7, 1e8,
        ],
        values: (_plot, splits) => splits.map((value) => count(value)),
      },
    ],
    series: [
      {},
      { paths: bars, fill: v1, stroke: v1, width: 0, points: { show: false } },
      { paths: bars, fill: credentials, stroke: credentials, width: 0, points: { show: false } },
      ...(withV2 ? [{ stroke: v2, width: 1.5, points: { show: false } }] : []),
    ],
    hooks: { setCursor: [(plot: uPlot) => onPoint(plot.cursor.idx ?? null)] },
  };
}
