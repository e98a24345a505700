/** Points in time: in the viewer's zone, with the exact UTC in the title. */
import { useEffect, useState } from 'preact/hooks';

const TICK_MS = 15_000;
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const precise = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hourCycle: 'h23',
});
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' });

const STEPS: [Intl.RelativeTimeFormatUnit, number, number][] = [
  ['second', 1, 60],
  ['minute', 60, 3_600],
  ['hour', 3_600, 86_400],
  ['day', 86_400, 30 * 86_400],
  ['month', 30 * 86_400, 365 * 86_400],
  ['year', 365 * 86_400, Number.POSITIVE_INFINITY],
];

/** Seconds ago, clocks that differ a little aside: what is a moment ahead is `now`. */
export function ago(at: string, nowMs: number): string {
  const seconds = (nowMs - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 5) return 'just now';
  for (const [unit, size, until] of STEPS) {
    if (Math.abs(seconds) < until) return relative.format(-Math.trunc(seconds / size), unit);
  }
  return '';
}

const ticking = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | null = null;

function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const tick = () => setNow(Date.now());
    ticking.add(tick);
    timer ??= setInterval(() => {
      for (const one of ticking) one();
    }, TICK_MS);
    return () => {
      ticking.delete(tick);
      if (ticking.size === 0 && timer !== null) {
        clearInterval(timer);
        timer = null;
      }
    };
  }, []);
  return now;
}

interface Props {
  at: string | null | undefined;
  /** Where there is no time. */
  none?: string;
}

/** `3 hr. ago`, kept up to date. */
export function Ago({ at, none = 'never' }: Props) {
  const now = useNow();
  if (!at) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={`${absolute.format(new Date(at))} · ${at}`}>
      {ago(at, now)}
    </time>
  );
}

/** Date and time of day. */
export function When({ at, none = 'never' }: Props) {
  if (!at) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={at}>
      {localTime(at)}
    </time>
  );
}

/** Time of day to the millisecond, for rows that follow each other closely; with the date where that is not today's. */
export function Clock({ at }: { at: string }) {
  if (new Date(at).toDateString() !== new Date().toDateString()) return <When at={at} />;
  return (
    <time dateTime={at} title={`${absolute.format(new Date(at))} · ${at}`}>
      {precise.format(new Date(at))}
    </time>
  );
}

export function localTime(at: string | number): string {
  return absolute.format(new Date(at));
}
