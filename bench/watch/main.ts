/**
 * `npm run bench` measures how many callers `imdswatch watch` names, and its cost, in a lab of network
 * namespaces.
 *
 *   --only LIST  of ebpf, tracepoint, proc (ways of attribution) and idle, one-shot, memory, cost, ceiling (measures); default: all
 *   --unit       the watch has the capabilities of systemd/imdswatch-agent.service only (needs setpriv)
 *   --quick      a tenth of the calls and a seventh of the time, for CI
 *   --rounds N   N rounds of the chosen ways, one after the other, with fewer calls each; every value is shown
 *
 * Prints progress on stderr, a table and one JSON line on stdout. Exit codes as those of imdswatch.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import { Lab } from '../../lab/lab.ts';
import {
  Bench,
  FULL_SIZE,
  MEASURES,
  type Measure,
  type ModeResult,
  QUICK_SIZE,
  ROUND_SIZE,
} from './measures.ts';
import { tableOf, tableOfRounds } from './report.ts';
import { type Mode, Subject } from './subject.ts';

const MODES = ['ebpf', 'tracepoint', 'proc'] as const;
/** A run that takes longer than this is stuck. */
const TIME_LIMIT_MS = 15 * 60_000;

interface Wanted {
  modes: Mode[];
  measures: Set<Measure>;
  quick: boolean;
  asUnit: boolean;
  /** 0: one run of full size. */
  rounds: number;
}

function wanted(argv: string[]): Wanted {
  let values: { only?: string; unit?: boolean; quick?: boolean; rounds?: string };
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        ...{ only: { type: 'string' }, unit: { type: 'boolean' } },
        ...{ quick: { type: 'boolean' }, rounds: { type: 'string' } },
      },
    }));
  } catch (error) {
    throw new OperatorError(2, (error as Error).message);
  }
  const { rounds = '0' } = values;
  if (!/^\d$/.test(rounds)) throw new OperatorError(2, `--rounds ${rounds}: give a number from 1 to 9.`);
  const names = values.only?.split(',') ?? [];
  for (const name of names) {
    if (![...MODES, ...MEASURES].some((known) => known === name)) {
      throw new OperatorError(2, `--only ${name}: choose from ${[...MODES, ...MEASURES].join(', ')}.`);
    }
  }
  const modes = MODES.filter((mode) => names.includes(mode));
  const measures = MEASURES.filter((measure) => names.includes(measure));
  return {
    modes: modes.length > 0 ? modes : [...MODES],
    measures: new Set(measures.length > 0 ? measures : MEASURES),
    quick: values.quick ?? false,
    asUnit: values.unit ?? false,
    rounds: Number(rounds),
  };
}

async function main(): Promise<number> {
  const { modes, measures, quick, asUnit, rounds } = wanted(process.argv.slice(2));
  const loadBefore = loadavg()[0]!;
  const beganAt = new Date();
  // This is the launcher's compile cache if we run through it; otherwise one that is removed after this run.
  const own = process.env['NODE_COMPILE_CACHE'] ? null : mkdtempSync(join(tmpdir(), 'imdswatch-bench-'));
  const compileCache = process.env['NODE_COMPILE_CACHE'] ?? own!;
  const timer = setTimeout(() => {
    process.stderr.write(`imdswatch bench: not done in ${TIME_LIMIT_MS / 60_000} minutes: ended\n`);
    process.exit(1);
  }, TIME_LIMIT_MS);
  const results: ModeResult[][] = [];
  const size = quick ? QUICK_SIZE : rounds > 0 ? ROUND_SIZE : FULL_SIZE;
  const runtime = { compileCache, asUnit };
  try {
    await Subject.warmCompileCache(compileCache);
    for (let round = 0; round < Math.max(1, rounds); round++) {
      results.push([]);
      for (const mode of modes) {
        const lab = await Lab.create({ name: `bench${mode}`, ipv6: false });
        try {
          const progress = (what: string) => process.stderr.write(`${mode}: ${what}\n`);
          results[round]!.push(await Bench.run(lab, mode, measures, size, runtime, progress));
        } finally {
          await lab.close();
        }
      }
    }
  } finally {
    clearTimeout(timer);
    if (own !== null) rmSync(own, { recursive: true, force: true });
  }
  const machine = {
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
    load_average_before: loadBefore,
  };
  process.stdout.write(`${rounds > 0 ? tableOfRounds(results) : tableOf(results[0]!)}\n`);
  for (const { mode, said } of results.flat())
    if (said !== '') process.stdout.write(`${mode} said: ${said}\n`);
  const line = {
    ...{ bench: 'watch', version: VERSION, time: beganAt.toISOString(), quick, as_unit: asUnit, machine },
    ...(rounds > 0 ? { rounds: results } : { results: results[0]! }),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  return 0;
}

await exitWith(main);
