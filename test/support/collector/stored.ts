/** Reads the records of a collector's store while it runs. */
import { openForReading } from '../../../collector/store/sqlite/database.ts';
import { FINDINGS } from '../../../collector/store/sqlite/findings_schema.ts';

export interface Stored {
  /** The numbers of the calls that were sent one by one (their path is `/NUMBER`), sorted. */
  numbers: number[];
  /** Number of calls in the lines of roll-ups. */
  rolledUp: number;
}

export function readStored(dataDir: string): Stored {
  const database = openForReading(dataDir, FINDINGS);
  try {
    const numbers = database
      .prepare('SELECT path FROM calls')
      .all()
      .map((row) => Number(String(row['path']).slice(1)));
    const rolledUp = database.prepare('SELECT coalesce(sum(count), 0) AS count FROM rollup_lines').get();
    return { numbers: numbers.sort((a, b) => a - b), rolledUp: Number(rolledUp!['count']) };
  } finally {
    database.close();
  }
}

/** Waits for a condition that a store or a process will meet, looking every `everyMs`; throws after `timeoutMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
  everyMs = 20,
) {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
