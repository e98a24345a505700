/** Points in time, in the viewer's time zone. Their title has the exact time in UTC. */
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

/**
 * Formats the time since `at`. Clocks differ a little, so a time that is seconds ahead is also `just now`.
 */
export function formatAgo(at: string, nowMs: number): string {
  const seconds = (nowMs - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 5) return 'just now';
  for (const [unit, size, until] of STEPS) {
    if (Math.abs(seconds) < until) return relative.format(-Math.trunc(seconds / size), unit);
  }
  return '';
}

const tickListeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | null = null;

/** Returns the present time, kept up to date. Milliseconds since 1970. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const tick = () => setNow(Date.now());
    tickListeners.add(tick);
    timer ??= setInterval(() => {
      for (const listener of tickListeners) listener();
    }, TICK_MS);
    return () => {
      tickListeners.delete(tick);
      if (tickListeners.size === 0 && timer !== null) {
        clearInterval(timer);
        timer = null;
      }
    };
  }, []);
  return now;
}

interface Props {
  at: string | null | undefined;
  /** Shown if there is no time. */
  none?: string;
}

/** A time such as `3 hr. ago`, kept up to date. */
export function RelativeTime({ at, none = 'never' }: Props) {
  const now = useNow();
  if (!at) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={`${absolute.format(new Date(at))} · ${at}`}>
      {formatAgo(at, now)}
    </time>
  );
}

/** A date with the time of day. */
export function LocalTime({ at, none = 'never' }: Props) {
  if (!at) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={at}>
      {formatTime(at)}
    </time>
  );
}

/**
 * The time of day to the millisecond, for rows that follow each other closely. It has the date if that is not
 * today's.
 */
export function PreciseTime({ at }: { at: string }) {
  if (new Date(at).toDateString() !== new Date().toDateString()) return <LocalTime at={at} />;
  return (
    <time dateTime={at} title={`${absolute.format(new Date(at))} · ${at}`}>
      {precise.format(new Date(at))}
    </time>
  );
}

export function formatTime(at: string | number): string {
  return absolute.format(new Date(at));
}
