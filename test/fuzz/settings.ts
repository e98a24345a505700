/** Reads the time and the seed of a fuzzer: `npm run test:fuzz -- --seconds N --seed N`, or from the environment. */
import { randomInt } from 'node:crypto';
import type { Parameters } from 'fast-check';

/** For each fuzzer within `npm test`; CI gives them more. */
const DEFAULT_SECONDS = 8;

export interface FuzzSettings {
  seed: number;
  seconds: number;
}

export function fuzzSettings(): FuzzSettings {
  const { IMDSWATCH_FUZZ_SEED: seed, IMDSWATCH_FUZZ_SECONDS: seconds } = process.env;
  return {
    seed: seed === undefined ? randomInt(2 ** 31) : Number(seed),
    seconds: seconds === undefined ? DEFAULT_SECONDS : Number(seconds),
  };
}

/** Runs until the time is over; a failure is shrunk within the same time again. */
export function timeBoxed<T>({ seed, seconds }: FuzzSettings): Parameters<T> {
  return {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
    // The path to a failure is reported with the seed; thousands of runs before it are not kept.
    verbose: 0,
  };
}

export function howToRepeat({ seed, seconds }: FuzzSettings): string {
  return `npm run test:fuzz -- --seed ${seed} --seconds ${seconds}`;
}
