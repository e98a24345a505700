/**
 * `npm run bench:fleet` measures three collectors behind HAProxy on loopback, which share a PostgreSQL database, with
 * thousands of simulated agents: what an agent costs, and how agents come back when a collector or HAProxy ends.
 *
 *   --agents N       default: 5,000. HAProxy takes two descriptors for each, agents and collectors one
 *   --rate N         calls without a token a second, of all agents; default: 500
 *   --standbys N     quorum standbys of the database; default: 0
 *   --minutes N      time of the steady load; default: 10
 *   --tls            TLS from agents to HAProxy, and from HAProxy to collectors
 *   --quick          few agents, and a few seconds of each
 *
 * Each agent sends a coverage report and a roll-up a minute, and heartbeats of 5 kB as its collector asks for them.
 * Prints progress on stderr, a table and one JSON line on stdout. Exit codes as those of imdswatch.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import { NO_HAPROXY } from '../../test/support/balancer.ts';
import { type FleetCase, measureFleet } from './measure.ts';
import { tableOf } from './results.ts';

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

function wanted(argv: string[]): FleetCase & { quick: boolean } {
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

async function main(): Promise<number> {
  const options = wanted(process.argv.slice(2));
  if (NO_HAPROXY !== false) throw new OperatorError(1, `${NO_HAPROXY}: install the package haproxy.`);
  const loadBefore = loadavg()[0]!;
  const beganAt = new Date();
  const dir = mkdtempSync(join(tmpdir(), 'imdswatch-bench-'));
  try {
    const result = await measureFleet(options, dir, (text) => process.stderr.write(`${text}\n`));
    process.stdout.write(`${tableOf(result)}\n`);
    const machine = {
      cores: availableParallelism(),
      kernel: release(),
      node: process.version,
      load_average: [loadBefore, loadavg()[0]!],
    };
    const run = { bench: 'fleet', version: VERSION, time: beganAt.toISOString(), quick: options.quick };
    process.stdout.write(`${JSON.stringify({ ...run, machine, result })}\n`);
    return 0;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

await exitWith(main);
