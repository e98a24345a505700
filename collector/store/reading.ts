/**
 * From when the data of an answer is, and which server it came from. One question of a person asks the store several
 * times. Whoever answers it opens a reading, and the store notes in it what it has read. A reading follows the question
 * through its asynchronous calls, and a kept answer carries its reading along.
 *
 * Within a reading time never goes back: what is read later is never older. Verdicts depend on that, because a report
 * that is read before the calls of its time would show watched time without calls.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { StandbyProblem } from '../contract/storage.ts';
import { toTimestamp } from './time.ts';

/** The reason why an answer was not there in advance: none was made yet, it is too old, or was made with other settings. */
export type NotKept = 'none_yet' | 'too_old' | 'other_settings';

/** Describes all that was read for one answer. Times in microseconds since 1970, by the collector's clock. */
export interface Reading {
  /** Everything that was stored before is in what was read; null where nothing was noted. */
  asOfUs: number | null;
  /** The same without kept answers: for what this question has asked of the store itself. */
  viewedUs: number | null;
  /** The same for the oldest answer that was worked out in advance; null without one. */
  keptUs: number | null;
  /** Why an answer that large fleets have in advance was worked out now; null where none was missing. */
  notKept: NotKept | null;
  /** The same as `asOfUs` for the newest of what was read. */
  newestUs: number;
  /** Age of the oldest data of a standby when it was read. */
  lagUs: number;
  /** True where a standby was read. */
  usedStandby: boolean;
  /** Why the primary was read; empty where it was not. */
  problems: ReadonlySet<StandbyProblem>;
}

const readings = new AsyncLocalStorage<Reading>();

function empty(): Reading {
  return {
    asOfUs: null,
    viewedUs: null,
    keptUs: null,
    notKept: null,
    newestUs: 0,
    lagUs: 0,
    usedStandby: false,
    problems: new Set(),
  };
}

/** Returns the reading of the question that is being answered; undefined outside one. */
export function currentReading(): Reading | undefined {
  return readings.getStore();
}

/** Answers a question in a reading of its own, and returns the reading with the answer. */
export async function readingOf<T>(answer: () => Promise<T>): Promise<{ value: T; reading: Reading }> {
  const reading = empty();
  return { value: await readings.run(reading, answer), reading };
}

/** Answers a question in a reading of its own, which the answer can look at while it is made. */
export function withReading<T>(answer: (reading: Reading) => T): T {
  const reading = empty();
  return readings.run(reading, () => answer(reading));
}

/** Adds what was read elsewhere, such as for a kept answer, to a reading. */
export function noteIn(reading: Reading | undefined, read: Readonly<Reading>): void {
  if (reading === undefined) return;
  reading.asOfUs = earlier(reading.asOfUs, read.asOfUs);
  reading.keptUs = earlier(reading.keptUs, read.keptUs);
  reading.notKept ??= read.notKept;
  reading.newestUs = Math.max(reading.newestUs, read.newestUs);
  reading.lagUs = Math.max(reading.lagUs, read.lagUs);
  reading.usedStandby ||= read.usedStandby;
  if (read.problems.size > 0) reading.problems = new Set([...reading.problems, ...read.problems]);
}

/** Notes that an answer is made of one that was worked out in advance. Microseconds since 1970. */
export function noteKept(asOfUs: number): void {
  const reading = currentReading();
  if (reading !== undefined) reading.keptUs = earlier(reading.keptUs, asOfUs);
}

/** Notes that an answer was missing among those that are worked out in advance. */
export function noteNotKept(reason: NotKept): void {
  const reading = currentReading();
  if (reading !== undefined) reading.notKept ??= reason;
}

function earlier(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}

/** Notes what was read from a server. Times in microseconds since 1970. */
export function noteView(
  reading: Reading,
  view: { asOfUs: number; lagUs: number; problem: StandbyProblem | null },
): void {
  const { asOfUs, lagUs, problem } = view;
  reading.viewedUs = Math.min(reading.viewedUs ?? asOfUs, asOfUs);
  const problems = new Set(problem === null ? [] : [problem]);
  noteIn(reading, {
    asOfUs,
    viewedUs: asOfUs,
    keptUs: null,
    notKept: null,
    newestUs: asOfUs,
    lagUs,
    usedStandby: problem === null,
    problems,
  });
}

/** Returns the present, or the time of the oldest data in the answer to the current question. Microseconds since 1970. */
export function dataAsOfUs(nowUs: number): number {
  const reading = currentReading();
  return Math.min(nowUs, earlier(reading?.asOfUs ?? null, reading?.keptUs ?? null) ?? nowUs);
}

/** Returns the present, or the time of the data that the current question has read. Microseconds since 1970. */
export function dataNowUs(nowUs: number): number {
  return Math.min(nowUs, currentReading()?.viewedUs ?? nowUs);
}

/** Says where an answer came from; null where no standby was to be asked. */
export function sourceText({ asOfUs, lagUs, usedStandby, problems }: Readonly<Reading>): string | null {
  if (asOfUs === null) return null;
  const asOf = toTimestamp(asOfUs);
  const reasons = [...problems].join(', ');
  if (!usedStandby) return `The primary answered, because no standby could (${reasons}).`;
  const rest = problems.size === 0 ? '' : ` The primary answered a part (${reasons}).`;
  return `A standby answered, with the data of ${asOf} (${Math.floor(lagUs / 1e6)} s behind the primary).${rest}`;
}
