/** The flags of a run with a fleet. */
import { parseArgs } from 'node:util';
import { OperatorError } from '../../common/operator_error.ts';
import type { FleetCase } from './measure.ts';

const MINUTE_MS = 60_000;

const FULL: Omit<FleetCase, 'agents' | 'callsPerSecond' | 'standbys' | 'tls' | 'steadyMs'> = {
  startMs: 30_000,
  // The first reports of all agents are over then.
  warmUpMs: 90_000,
  sampleMs: 10_000,
  drainSeconds: 30,
  pauseMs: 15_000,
};
const QUICK = { startMs: 1_000, warmUpMs: 1_000, sampleMs: 500, drainSeconds: 12, pauseMs: 1_000 };
const QUICK_AGENTS = 40;
const QUICK_STEADY_MS = 3_000;

/** Reads the flags of `npm run bench:fleet`, which main.ts lists. Throws `OperatorError` (2). */
export function fleetOptions(argv: string[]): FleetCase & { quick: boolean } {
  let values: Record<'agents' | 'rate' | 'standbys' | 'minutes', string | undefined> & {
    tls: boolean;
    quick: boolean;
  };
  try {
    const number = { type: 'string' } as const;
    const flag = { type: 'boolean', default: false } as const;
    const options = {
      agents: number,
      rate: number,
      standbys: number,
      minutes: number,
      tls: flag,
      quick: flag,
    };
    values = {
      agents: undefined,
      rate: undefined,
      standbys: undefined,
      minutes: undefined,
      ...parseArgs({ args: argv, options }).values,
    };
  } catch (error) {
    throw new OperatorError(2, (error as Error).message);
  }
  const { quick, tls } = values;
  const amount = (name: 'agents' | 'rate' | 'standbys' | 'minutes', usual: number, least: number) => {
    const value = Number(values[name] ?? usual);
    if (!Number.isInteger(value) || value < least) {
      throw new OperatorError(2, `--${name} ${values[name]}: give ${least} or more.`);
    }
    return value;
  };
  const minutes = amount('minutes', 10, 1);
  return {
    ...(quick ? QUICK : FULL),
    agents: amount('agents', quick ? QUICK_AGENTS : 5_000, 1),
    callsPerSecond: amount('rate', quick ? 100 : 500, 0),
    standbys: amount('standbys', 0, 0),
    steadyMs: quick ? QUICK_STEADY_MS : minutes * MINUTE_MS,
    tls,
    quick,
  };
}
