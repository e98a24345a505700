/**
 * Measures the processor time that notes of arrivals cost, in one process: the same batches are written in turn with and
 * without notes, so that other work on the machine meets both alike.
 */

import type { Store } from '../../collector/store/store.ts';
import { call, host, stream } from '../../test/support/collector/store/records.ts';

/** Calls of a batch, batches of a transaction, and transactions of a block. */
const CALLS = 50;
const BATCHES = 10;
const TRANSACTIONS = 8;
/** Blocks with and without notes. The first pair warms up. */
const PAIRS = 12;

export interface NotesCost {
  /** Microseconds of a call: the median of the blocks. */
  without_us: number;
  with_us: number;
  /** The median of the differences of neighbours. */
  notes_us: number;
}

/** `cpuSeconds`: processor time of everything that stores, so far. */
export async function notesCost(
  store: Store,
  cpuSeconds: () => number | Promise<number>,
): Promise<NotesCost> {
  const streams = Array.from({ length: BATCHES }, (_, number) => stream(host(`h${number}`)));
  let timeUs = Date.now() * 1000;
  const nextCall = () => {
    timeUs += 100;
    return call(timeUs);
  };
  const block = async (areNoted: boolean) => {
    if (areNoted) await store.noteArrivals(timeUs);
    else await store.endArrivals(Number.MAX_SAFE_INTEGER);
    const transactions = Array.from({ length: TRANSACTIONS }, () =>
      streams.map((next) => next(...Array.from({ length: CALLS }, nextCall))),
    );
    const before = await cpuSeconds();
    for (const batches of transactions) await store.write(batches);
    return (((await cpuSeconds()) - before) / (TRANSACTIONS * BATCHES * CALLS)) * 1e6;
  };
  const pairs: [without: number, noted: number][] = [];
  for (let pair = 0; pair <= PAIRS; pair += 1) {
    // Each goes first in turn, because the store grows.
    const isNotedFirst = pair % 2 === 1;
    const first = await block(isNotedFirst);
    const second = await block(!isNotedFirst);
    if (pair > 0) pairs.push(isNotedFirst ? [second, first] : [first, second]);
  }
  return {
    without_us: median(pairs.map(([without]) => without)),
    with_us: median(pairs.map(([, noted]) => noted)),
    notes_us: median(pairs.map(([without, noted]) => noted - without)),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}
