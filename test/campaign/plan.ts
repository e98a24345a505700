/** Plans the faults of a campaign and their times: the same for the same seed and length. Values in, values out. */
import { Random } from '../../bench/collector/random.ts';

export const FAULT_KINDS = [
  'kill_agent',
  'kill_collector',
  'kill_both',
  'end_agent',
  'end_collector',
  'stop_agent',
  'stop_collector',
  'cut_network',
  'cut_and_kill_agent',
  'damage_spool',
  'fill_spool',
  'fill_spool_and_cut',
  'fill_data',
  'step_host_clock',
  'step_collector_clock',
  'restart_service',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Fault {
  kind: FaultKind;
  /** Not before this much of the campaign has passed, and not before the fault before it is over. */
  atMs: number;
  /** Time until the fault is undone: a process is started again, a cut is mended, a full disk is freed. */
  forMs: number;
  /** Seed of what the fault does at random within itself, such as which bytes it damages. */
  seed: number;
  /** Seconds that a clock is off afterwards. 0 for other faults. */
  seconds: number;
}

interface Shape {
  weight: number;
  leastMs: number;
  mostMs: number;
}

/** A cut of less than a heartbeat is often not noticed at all, one of more makes the spool fill. */
const SHAPES: Record<FaultKind, Shape> = {
  kill_agent: { weight: 5, leastMs: 0, mostMs: 2_500 },
  kill_collector: { weight: 4, leastMs: 0, mostMs: 4_000 },
  kill_both: { weight: 2, leastMs: 0, mostMs: 3_000 },
  end_agent: { weight: 2, leastMs: 0, mostMs: 1_500 },
  end_collector: { weight: 2, leastMs: 0, mostMs: 3_000 },
  stop_agent: { weight: 3, leastMs: 200, mostMs: 7_500 },
  stop_collector: { weight: 2, leastMs: 200, mostMs: 6_000 },
  cut_network: { weight: 3, leastMs: 500, mostMs: 12_000 },
  cut_and_kill_agent: { weight: 3, leastMs: 1_500, mostMs: 8_000 },
  damage_spool: { weight: 4, leastMs: 1_500, mostMs: 9_000 },
  fill_spool: { weight: 2, leastMs: 1_000, mostMs: 6_000 },
  fill_spool_and_cut: { weight: 2, leastMs: 1_000, mostMs: 6_000 },
  fill_data: { weight: 2, leastMs: 1_000, mostMs: 6_000 },
  step_host_clock: { weight: 2, leastMs: 500, mostMs: 3_000 },
  step_collector_clock: { weight: 2, leastMs: 500, mostMs: 3_000 },
  restart_service: { weight: 2, leastMs: 0, mostMs: 500 },
};

/** Between the end of one fault and the next. */
const PAUSE_MS = { least: 300, most: 6_000 };
/** Forward only a little: at the end the campaign waits until the last such time is past. */
const CLOCK_SECONDS = { forward: 12, back: 90 };
/** Nothing begins so shortly before the end. */
const LAST_MS = 3_000;

export interface PlanOptions {
  seed: number;
  lengthMs: number;
  kinds?: readonly FaultKind[];
}

export function makePlan({ seed, lengthMs, kinds = FAULT_KINDS }: PlanOptions): Fault[] {
  const random = new Random(seed);
  const between = (least: number, most: number) => least + random.below(most - least + 1);
  const faults: Fault[] = [];
  // Every kind comes once before any is drawn by its weight, so that a short campaign has all it has time for.
  const first = shuffled(kinds, random);
  let atMs = 2_000;
  for (;;) {
    const kind = first.shift() ?? drawn(kinds, random);
    const { leastMs, mostMs } = SHAPES[kind];
    const forMs = between(leastMs, mostMs);
    if (atMs + forMs > lengthMs - LAST_MS) return faults;
    const isClock = kind === 'step_host_clock' || kind === 'step_collector_clock';
    const seconds = isClock ? between(-CLOCK_SECONDS.back, CLOCK_SECONDS.forward) : 0;
    faults.push({ kind, atMs, forMs, seed: random.below(2 ** 31), seconds });
    atMs += forMs + between(PAUSE_MS.least, PAUSE_MS.most);
  }
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    [copy[last], copy[other]] = [copy[other]!, copy[last]!];
  }
  return copy;
}

function drawn(kinds: readonly FaultKind[], random: Random): FaultKind {
  const total = kinds.reduce((sum, kind) => sum + SHAPES[kind].weight, 0);
  let left = random.next() * total;
  for (const kind of kinds) {
    left -= SHAPES[kind].weight;
    if (left < 0) return kind;
  }
  return kinds.at(-1)!;
}

/** One line, for the log and for whoever runs it again. */
export function describeFault({ kind, atMs, forMs, seconds }: Fault): string {
  const clock = seconds === 0 ? '' : `, clock off by ${seconds} s`;
  return `${(atMs / 1000).toFixed(1)} s: ${kind} for ${forMs} ms${clock}`;
}
