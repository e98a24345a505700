/**
 * Headers that say from when the data of an answer is, where a standby of the database may have given it, and whether it
 * was worked out in advance.
 */
import type { MiddlewareHandler } from 'hono';
import { type Reading, withReading } from '../store/reading.ts';
import { toTimestamp } from '../store/time.ts';
import type { ApiEnv } from './env.ts';

export const AS_OF = 'Imdswatch-Data-As-Of';
export const SOURCE = 'Imdswatch-Data-Source';
export const LAG = 'Imdswatch-Standby-Lag';
export const IN_ADVANCE = 'Imdswatch-Judged-In-Advance';

/** Each request is a reading of its own, in which time never goes back. */
export const dataSource: MiddlewareHandler<ApiEnv> = (c, next) =>
  withReading(async (reading) => {
    await next();
    for (const [name, value] of sourceHeaders(reading)) c.res.headers.set(name, value);
  });

/** Returns no headers where the store itself answers all questions, and nothing is worked out in advance. */
export function sourceHeaders(reading: Reading): [string, string][] {
  return [...advanceHeader(reading), ...standbyHeaders(reading)];
}

/** An answer can be made of several. One that was missing counts, because somebody waited for it. */
function advanceHeader({ keptUs, notKept }: Reading): [string, string][] {
  if (notKept !== null) return [[IN_ADVANCE, `no; reason="${notKept}"`]];
  return keptUs === null ? [] : [[IN_ADVANCE, toTimestamp(keptUs)]];
}

function standbyHeaders(reading: Reading): [string, string][] {
  const { asOfUs, keptUs, lagUs, usedStandby, problems } = reading;
  if (asOfUs === null) return [];
  const primary = problems.size === 0 ? [] : [`primary; reason="${[...problems].join(' ')}"`];
  const source = [...(usedStandby ? ['standby'] : []), ...primary].join(', ');
  const lag: [string, string][] = usedStandby ? [[LAG, String(Math.floor(lagUs / 1e6))]] : [];
  return [[AS_OF, toTimestamp(Math.min(asOfUs, keptUs ?? asOfUs))], [SOURCE, source], ...lag];
}
