/**
 * `npm run bench:collector` measures how much a collector takes in, its memory and its answers, on loopback.
 *
 *   --only LIST     of wire, shapes, ingest, idle, arrival, questions, hostile, with commas; default: all but hostile
 *   --attack NAME   only this attack of `hostile`
 *   --quick         small sizes and a few seconds each, for CI
 *   --data-dir DIR  keeps the large stores there and uses what is there already
 *   --profile DIR   has the collectors of the ingest measures write processor profiles there
 *
 * `bin/node bench/collector/main.ts soak` measures whether its memory grows under a long mixed load.
 *
 *   --minutes N     how long; default: 60
 *   --rate N        calls a second; default: 200
 *   --seed N        seed of the questions; default: 1
 *
 * `bin/node bench/collector/main.ts shared` measures collectors that share a PostgreSQL database with quorum standbys.
 *
 *   --collectors N, --standbys N   default: 3 and 2
 *   --agents N, --rate N           default: 3,000 agents, 10,000 calls a second
 *   --batch N                      calls of a batch; default: 3
 *   --seconds N                    default: 150
 *   --profile DIR                  as above, with the database's most expensive statements
 *
 * Prints progress on stderr, a table and one JSON line on stdout. Exit codes as those of imdswatch.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import { measureArrival } from './arrival.ts';
import { ATTACK_NAMES, measureHostile } from './hostile.ts';
import { measureIdle } from './idle.ts';
import { measureIngest, NEW_PROCESS_SHARE } from './ingest.ts';
import { inNewDirectory } from './new_directory.ts';
import { measureQuestions } from './questions.ts';
import { type Results, tableOf } from './results.ts';
import { bytesPerCall } from './script.ts';
import { measureShapes } from './shapes.ts';
import { measureShared, type SharedCase } from './shared_store.ts';
import { FULL_SIZES, QUICK_SIZES, type Sizes, SOAK_AGENTS, SOAK_SAMPLE_MS } from './sizes.ts';
import { measureSoak, type SoakSize } from './soak.ts';

const COMMANDS = ['soak', 'hostile', 'shared'];
const MEASURES = ['wire', 'shapes', 'ingest', 'idle', 'arrival', 'questions', 'hostile'] as const;
/** This measure takes a quarter of an hour, and runs only if it is named. */
const NOT_UNASKED: ReadonlySet<string> = new Set(['hostile']);
type Measure = (typeof MEASURES)[number];
/** A run that takes longer than this is stuck. */
const TIME_LIMIT_MS = 40 * 60_000;
const SHARED_WARM_UP_MS = 30_000;

interface Wanted {
  measures: Set<Measure>;
  quick: boolean;
  dataDir: string | null;
  profileDir: string | null;
  /** The options of a soak; null for the other measures. */
  soak: SoakSize | null;
  /** The options of a shared store; null for the other measures. */
  shared: SharedCase | null;
  /** The attack of `hostile`; null for all. */
  attack: string | null;
}

/** Returns a whole number above zero. */
function amount(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new OperatorError(2, `--${flag} ${text}: give 1 or more.`);
  return value;
}

function wanted(argv: string[]): Wanted {
  let values: {
    only?: string;
    quick?: boolean;
    'data-dir'?: string;
    profile?: string;
    attack?: string;
    minutes: string;
    rate?: string;
    seed: string;
    collectors: string;
    standbys: string;
    agents: string;
    batch: string;
    seconds: string;
  };
  let positionals: string[];
  try {
    ({ values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        minutes: { type: 'string', default: '60' },
        rate: { type: 'string' },
        seed: { type: 'string', default: '1' },
        collectors: { type: 'string', default: '3' },
        standbys: { type: 'string', default: '2' },
        agents: { type: 'string', default: '3000' },
        batch: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '150' },
        only: { type: 'string' },
        quick: { type: 'boolean' },
        'data-dir': { type: 'string' },
        profile: { type: 'string' },
        attack: { type: 'string' },
      },
    }));
  } catch (error) {
    throw new OperatorError(2, (error as Error).message);
  }
  const [command, ...others] = positionals;
  if (others.length > 0 || (command !== undefined && !COMMANDS.includes(command))) {
    throw new OperatorError(2, `${positionals.join(' ')}: the commands are ${COMMANDS.join(', ')}.`);
  }
  const soak: SoakSize = {
    minutes: amount('minutes', values.minutes),
    callsPerSecond: amount('rate', values.rate ?? '200'),
    seed: amount('seed', values.seed),
    agents: SOAK_AGENTS,
    sampleMs: SOAK_SAMPLE_MS,
  };
  const shared: SharedCase = {
    collectors: amount('collectors', values.collectors),
    standbys: values.standbys === '0' ? 0 : amount('standbys', values.standbys),
    agents: amount('agents', values.agents),
    callsPerSecond: amount('rate', values.rate ?? '10000'),
    callsPerBatch: amount('batch', values.batch),
    warmUpMs: SHARED_WARM_UP_MS,
    forMs: amount('seconds', values.seconds) * 1000,
  };
  const unasked = command === 'hostile' ? [command] : MEASURES.filter((name) => !NOT_UNASKED.has(name));
  const names = values.only?.split(',') ?? unasked;
  if (values.attack !== undefined && !ATTACK_NAMES.includes(values.attack)) {
    throw new OperatorError(2, `--attack ${values.attack}: choose one of ${ATTACK_NAMES.join('; ')}.`);
  }
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
    soak: command === 'soak' ? soak : null,
    shared: command === 'shared' ? shared : null,
    attack: values.attack ?? null,
  };
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function measure(
  { measures, dataDir, profileDir, soak, shared, attack: only }: Wanted,
  sizes: Sizes,
): Promise<Results> {
  const results: Results = {};
  if (soak !== null) {
    progress(`soak: ${soak.minutes} minutes at ${soak.callsPerSecond} calls/s`);
    results.soak = await inNewDirectory((dir) => measureSoak(soak, dir, (text) => progress(`soak: ${text}`)));
    return results;
  }
  if (shared !== null) {
    const { collectors, standbys, agents, callsPerSecond } = shared;
    progress(
      `shared: ${collectors} collectors, ${standbys} standbys, ${agents} agents at ${callsPerSecond} calls/s`,
    );
    results.shared = await inNewDirectory((dir) => measureShared(shared, dir, profileDir));
    return results;
  }
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
  if (measures.has('shapes')) {
    progress('shapes of calls');
    results.shapes = await measureShapes(sizes.shapesMs);
  }
  if (measures.has('ingest')) {
    const nodeFlags = profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
    results.ingest = [];
    for (const one of sizes.ingest) {
      progress(`ingest: ${one.name}`);
      results.ingest.push(await inNewDirectory((dir) => measureIngest(one, dir, nodeFlags)));
    }
  }
  if (measures.has('idle')) {
    progress(`idle: ${sizes.idle.agents.join(', ')} agents`);
    results.idle = await inNewDirectory((dir) => measureIdle(sizes.idle.agents, sizes.idle.forMs, dir));
  }
  if (measures.has('arrival')) {
    results.arrival = [];
    for (const { calls, callsPerSecond } of sizes.arrival) {
      progress(`packet to page: ${calls} calls, ${callsPerSecond} calls/s meanwhile`);
      results.arrival.push(await inNewDirectory((dir) => measureArrival(calls, callsPerSecond, dir)));
    }
  }
  if (measures.has('hostile')) {
    results.hostile = [];
    for (const attack of only === null ? ATTACK_NAMES : [only]) {
      progress(`hostile: ${attack}`);
      results.hostile.push(await inNewDirectory((dir) => measureHostile(attack, sizes.hostile, dir)));
    }
  }
  if (measures.has('questions')) {
    results.questions = [];
    for (const size of sizes.pasts) {
      const ask = (dir: string) =>
        measureQuestions(size, dir, sizes.questions, (text) => progress(`questions: ${text}`));
      if (dataDir === null) results.questions.push(await inNewDirectory(ask));
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
  const limitMs = TIME_LIMIT_MS + (what.soak === null ? 0 : what.soak.minutes * 60_000);
  const timer = setTimeout(() => {
    process.stderr.write(`imdswatch bench: not done in ${limitMs / 60_000} minutes: ended\n`);
    process.exit(1);
  }, limitMs);
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
