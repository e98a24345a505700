/**
 * `npm run bench:collector`: what a collector takes in, what it holds and how fast it answers, on loopback.
 *
 *   --only LIST     of wire, ingest, idle, arrival, questions, with commas; default: all
 *   --quick         small sizes and a few seconds each, for CI
 *   --data-dir DIR  keeps the large stores there and uses what is there already
 *   --profile DIR   has the collectors of the ingest measures write processor profiles there
 *
 * Prints progress on stderr, a table and one JSON line on stdout. Exit codes as those of imdswatch.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../protocol/operator_error.ts';
import { VERSION } from '../../protocol/version.ts';
import { measureArrival } from './arrival.ts';
import { measureIdle } from './idle.ts';
import { measureIngest, NEW_PROCESS_SHARE } from './ingest.ts';
import { measureQuestions } from './questions.ts';
import { type Results, tableOf } from './results.ts';
import { bytesPerCall } from './script.ts';
import { FULL_SIZES, QUICK_SIZES, type Sizes } from './sizes.ts';

const MEASURES = ['wire', 'ingest', 'idle', 'arrival', 'questions'] as const;
type Measure = (typeof MEASURES)[number];
/** A run that takes longer than this is stuck. */
const TIME_LIMIT_MS = 40 * 60_000;

interface Wanted {
  measures: Set<Measure>;
  quick: boolean;
  dataDir: string | null;
  profileDir: string | null;
}

function wanted(argv: string[]): Wanted {
  let values: { only?: string; quick?: boolean; 'data-dir'?: string; profile?: string };
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean' },
        'data-dir': { type: 'string' },
        profile: { type: 'string' },
      },
    }));
  } catch (error) {
    throw new OperatorError(2, (error as Error).message);
  }
  const names = values.only?.split(',') ?? [...MEASURES];
  for (const name of names) {
    if (!MEASURES.some((known) => known === name)) {
      throw new OperatorError(2, `--only ${name}: choose from ${MEASURES.join(', ')}.`);
    }
  }
  return {
    measures: new Set(MEASURES.filter((measure) => names.includes(measure))),
    quick: values.quick ?? false,
    dataDir: values['data-dir'] ?? null,
    profileDir: values.profile ?? null,
  };
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Each measure has a data directory of its own, gone after it. */
async function inNewDir<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'imdswatch-bench-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function measure({ measures, dataDir, profileDir }: Wanted, sizes: Sizes): Promise<Results> {
  const results: Results = {};
  if (measures.has('wire')) {
    const { calls, callsPerBatch } = sizes.wire;
    results.wire = [0, NEW_PROCESS_SHARE, 1].map((share) => {
      const bytes = bytesPerCall(share, calls, callsPerBatch);
      return {
        new_process_share: share,
        calls_per_batch: callsPerBatch,
        protocol_1_bytes_per_call: bytes.protocol_1,
        protocol_2_bytes_per_call: bytes.protocol_2,
      };
    });
  }
  if (measures.has('ingest')) {
    const nodeFlags = profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
    results.ingest = [];
    for (const one of sizes.ingest) {
      progress(`ingest: ${one.name}`);
      results.ingest.push(await inNewDir((dir) => measureIngest(one, dir, nodeFlags)));
    }
  }
  if (measures.has('idle')) {
    progress(`idle: ${sizes.idle.agents.join(', ')} agents`);
    results.idle = await inNewDir((dir) => measureIdle(sizes.idle.agents, sizes.idle.forMs, dir));
  }
  if (measures.has('arrival')) {
    results.arrival = [];
    for (const { calls, callsPerSecond } of sizes.arrival) {
      progress(`packet to page: ${calls} calls, ${callsPerSecond} calls/s meanwhile`);
      results.arrival.push(await inNewDir((dir) => measureArrival(calls, callsPerSecond, dir)));
    }
  }
  if (measures.has('questions')) {
    results.questions = [];
    for (const size of sizes.pasts) {
      const ask = (dir: string) =>
        measureQuestions(size, dir, sizes.questions, (text) => progress(`questions: ${text}`));
      if (dataDir === null) results.questions.push(await inNewDir(ask));
      else {
        const kept = join(dataDir, `${size.hosts}-hosts-${size.days}-days-${size.calls}-calls`);
        mkdirSync(kept, { recursive: true });
        results.questions.push(await ask(kept));
      }
    }
  }
  return results;
}

async function main(): Promise<number> {
  const what = wanted(process.argv.slice(2));
  const loadBefore = loadavg()[0]!;
  const beganAt = new Date();
  const timer = setTimeout(() => {
    process.stderr.write(`imdswatch bench: not done in ${TIME_LIMIT_MS / 60_000} minutes: ended\n`);
    process.exit(1);
  }, TIME_LIMIT_MS);
  let results: Results;
  try {
    results = await measure(what, what.quick ? QUICK_SIZES : FULL_SIZES);
  } finally {
    clearTimeout(timer);
  }
  const machine = {
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
    load_average_before: loadBefore,
  };
  process.stdout.write(`${tableOf(results)}\n`);
  const run = { bench: 'collector', version: VERSION, time: beganAt.toISOString(), quick: what.quick };
  process.stdout.write(`${JSON.stringify({ ...run, machine, results })}\n`);
  return 0;
}

await exitWith(main);
