/**
 * Compares the reported calls of a load with the metadata service's own log and the processes that were
 * started.
 */
import { compareCalls, describeDifference } from '../../lab/compare.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import type { Call } from '../../protocol/call.ts';
import type { Made } from './load.ts';

export interface Judgement {
  /** Calls that the service saw. */
  calls: number;
  lost: number;
  /** Calls that were reported more than once, or never made. */
  surplus: number;
  /** Calls that were reported with another version, status, path or endpoint than the service saw. */
  misjudged: number;
  /** Calls with the right pid, and with the right executable or none. */
  attributed: number;
  /** Calls of these with the right executable. */
  with_executable: number;
  unattributed: number;
  /** Calls with another process or another executable. */
  wrongly_attributed: number;
  /** Rightly attributed calls without executable, without arguments, or without the ancestors up to pid 1. */
  incomplete: number;
  /** The first few differences, for people. */
  examples: string[];
}

const EXAMPLES = 3;

/** Compares. `seen` is the service's log since the load began. Throws if the service missed a call. */
export function judge(made: Made, seen: readonly SeenRequest[], calls: readonly Call[]): Judgement {
  const truths = seen.filter(({ target }) => made.pids.has(numberIn(target)));
  if (truths.length !== made.pids.size) {
    throw new Error(`the metadata service saw ${truths.length} of ${made.pids.size} calls`);
  }
  const differences = compareCalls(truths, calls);
  const of = (kind: string) => differences.filter((difference) => difference.kind === kind);
  const judgement: Judgement = {
    calls: truths.length,
    lost: of('missing').length,
    surplus: of('doubled').length + of('unexpected').length,
    misjudged: new Set(of('wrong').map(({ request }) => request)).size,
    attributed: 0,
    with_executable: 0,
    unattributed: 0,
    wrongly_attributed: 0,
    incomplete: 0,
    examples: differences.slice(0, EXAMPLES).map(describeDifference),
  };
  const reported = Map.groupBy(calls, (call) => numberIn(`?${call['url.query']}`));
  for (const [number, pid] of made.pids) {
    const caller = reported.get(number)?.[0]?.process ?? null;
    const executable = caller?.['executable.path'] ?? null;
    if (caller === null) {
      judgement.unattributed++;
    } else if (caller.pid !== pid || (executable !== null && executable !== made.executable)) {
      judgement.wrongly_attributed++;
      judgement.examples.push(`call ${number}: ${caller.pid} ${executable}, not ${pid} ${made.executable}`);
    } else {
      judgement.attributed++;
      if (executable !== null) judgement.with_executable++;
      const known = executable !== null && caller.command_args !== null;
      if (!known || caller.ancestors.at(-1)?.pid !== 1) judgement.incomplete++;
    }
  }
  judgement.examples.splice(EXAMPLES);
  return judgement;
}

function numberIn(target: string | null): number {
  return Number(/\?n=(\d+)$/.exec(target ?? '')?.[1] ?? Number.NaN);
}
