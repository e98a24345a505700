/**
 * Prints calls in the order in which a collector stores them, on and on. The position moves on only when the lines are
 * written, so that a call is printed at least once, and again with the same id where the process was killed in between.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { followedCalls } from '../../collector/contract/followed_calls.ts';
import type { ServedCall } from '../../collector/contract/served_call.ts';
import { Backoff } from '../../common/backoff.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { CollectorAway, PlaceLost } from '../collector_client/collector_error.ts';
import { visibleLines } from '../terminal/visible_text.ts';

/** Exit code: calls were deleted before they were read, or the position is not known any more. */
export const CALLS_LOST = 4;

const PAGE = 1000;
const POLL_MS = 1000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;

export interface FollowedOutput {
  write(lines: readonly string[]): Promise<void> | void;
}

export interface FollowOptions {
  client: CollectorClient;
  /** Position after which to begin; null for now. */
  after: string | null;
  /** When that position was stored; null where that is not known. */
  afterTime: string | null;
  /** Stores a position. The lines before it are written. */
  save: (cursor: string, time: string) => void;
  /** Calls of a list have no time at which they were stored. */
  linesOf: (calls: readonly (ServedCall & { stored?: string })[]) => Iterable<string>;
  output: FollowedOutput;
  /** Pages of calls that are stored already; they are printed first where no position is given. */
  stored: ((ask: Ask) => AsyncGenerator<readonly ServedCall[]>) | null;
  skipsDeleted: boolean;
  /** Prints a sentence for the operator. */
  say: (text: string) => void;
  signal: AbortSignal;
}

/** Asks again until there is an answer. */
export type Ask = <T>(question: () => Promise<T>) => Promise<T>;

class Stopped extends Error {}

/** Returns the exit code when the signal is aborted, or calls are lost. Throws `OperatorError`. */
export async function followCalls(options: FollowOptions): Promise<number> {
  const place = { time: options.afterTime };
  try {
    return await follow(options, place);
  } catch (error) {
    if (error instanceof Stopped) return 0;
    if (!(error instanceof PlaceLost)) throw error;
    const since = place.time === null ? '--since TIME' : `--since ${place.time}`;
    options.say(
      `${error.message} To print the calls that may be missing, run the command once without its cursor and with ${since}: some calls come again with the same id.`,
    );
    return CALLS_LOST;
  }
}

/** `place.time`: when the last position was stored. */
async function follow(options: FollowOptions, place: { time: string | null }): Promise<number> {
  const { client, output, linesOf, say, signal, skipsDeleted } = options;
  const save = (cursor: string) => {
    const time = new Date().toISOString();
    options.save(cursor, time);
    place.time = time;
  };
  const ask = asker(options);
  const write = async (calls: readonly ServedCall[]) => {
    const lines = [...linesOf(calls)];
    if (lines.length > 0) await stoppable(Promise.resolve(output.write(lines)), signal);
  };
  let at = options.after;
  if (at === null) {
    const begun = await ask(() => client.get('/calls/arrivals', followedCalls, { attempts: 1 }));
    if (options.stored !== null) for await (const calls of options.stored(ask)) await write(calls);
    save(begun.next);
    at = begun.next;
  }
  for (;;) {
    const query = new URLSearchParams({ after: at, limit: String(PAGE) });
    const path = `/calls/arrivals?${query}`;
    const { items, next, deleted, waiting } = await ask(() =>
      client.get(path, followedCalls, { attempts: 1 }),
    );
    if (deleted > 0) {
      const lost = lostText(deleted, place.time);
      if (!skipsDeleted) {
        say(
          `${lost} Nothing after them was printed. To go on behind them, run the command once with --skip-deleted. To lose none again, raise raw_days or max_bytes of the collector's retention, or follow more often.`,
        );
        return CALLS_LOST;
      }
      say(lost);
    }
    await write(items);
    if (next !== at) save(next);
    at = next;
    if (waiting === 0) await pause(POLL_MS, signal);
    if (signal.aborted) return 0;
  }
}

function lostText(deleted: number, afterTime: string | null): string {
  const calls = deleted === 1 ? '1 call was' : `${deleted} calls were`;
  const since = afterTime === null ? '' : `, stored by the collector after ${afterTime},`;
  return `${calls} deleted by retention before this command read them${since} and will never be printed.`;
}

/** Returns a function that asks again, with growing pauses, while the collector is away. */
function asker({ say, signal }: FollowOptions): Ask {
  let hasAnswered = false;
  return async (question) => {
    const backoff = new Backoff(FIRST_RETRY_MS, MAX_RETRY_MS);
    for (let isAway = false; ; ) {
      if (signal.aborted) throw new Stopped();
      try {
        const answer = await stoppable(question(), signal);
        if (isAway) say('The collector answers again.');
        hasAnswered = true;
        return answer;
      } catch (error) {
        // A mistake in the settings does not go away. Later, somebody may be mending the collector.
        if (!(error instanceof CollectorAway) || (!error.mayRetry && !hasAnswered)) throw error;
        if (!isAway) say(`${error.message} The command asks again until it answers.`);
        isAway = true;
        await pause(Math.max(backoff.next(), (error.retryAfterSeconds ?? 0) * 1000), signal);
      }
    }
  };
}

/** Rejects with `Stopped` where the signal is aborted first. */
async function stoppable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new Stopped();
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(new Stopped());
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

/** Prints sentences on stderr. */
export function sayOnStderr(text: string): void {
  process.stderr.write(`imdswatch: ${visibleLines(text)}\n`);
}
