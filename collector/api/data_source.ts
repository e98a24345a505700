/** Headers that say from when the data of an answer is, where a standby of the database may have given it. */
import type { MiddlewareHandler } from 'hono';
import { type Reading, withReading } from '../store/reading.ts';
import { toTimestamp } from '../store/time.ts';
import type { ApiEnv } from './env.ts';

export const AS_OF = 'Imdswatch-Data-As-Of';
export const SOURCE = 'Imdswatch-Data-Source';
export const LAG = 'Imdswatch-Standby-Lag';

/** Each request is a reading of its own, in which time never goes back. */
export const dataSource: MiddlewareHandler<ApiEnv> = (c, next) =>
  withReading(async (reading) => {
    await next();
    for (const [name, value] of sourceHeaders(reading)) c.res.headers.set(name, value);
  });

/** Returns no headers where the store itself answers all questions. */
export function sourceHeaders(reading: Reading): [string, string][] {
  const { asOfUs, keptUs, lagUs, usedStandby, problems } = reading;
  if (asOfUs === null) return [];
  const primary = problems.size === 0 ? [] : [`primary; reason="${[...problems].join(' ')}"`];
  const source = [...(usedStandby ? ['standby'] : []), ...primary].join(', ');
  const lag: [string, string][] = usedStandby ? [[LAG, String(Math.floor(lagUs / 1e6))]] : [];
  return [[AS_OF, toTimestamp(Math.min(asOfUs, keptUs ?? asOfUs))], [SOURCE, source], ...lag];
}
