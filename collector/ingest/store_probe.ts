/** Checks whether the store accepts records, without storing any. */

import type { Store } from '../store/store.ts';
import type { Writer } from './writer.ts';

const TIMEOUT_MS = 5000;

/** Returns null where the store accepts records, else the problem and what to do. */
export async function storeProblem(
  store: Pick<Store, 'write'>,
  { failing }: Pick<Writer, 'failing'>,
): Promise<string | null> {
  if (failing) {
    return 'The last records could not be stored. Check the free space and the permissions of data_dir.';
  }
  const late = new AbortController();
  const timeout = new Promise<'late'>((resolve) => {
    const timer = setTimeout(() => resolve('late'), TIMEOUT_MS);
    late.signal.addEventListener('abort', () => clearTimeout(timer));
  });
  try {
    // An empty write waits behind the transactions of the writer's thread, like any other.
    const result = await Promise.race([store.write([]), timeout]);
    return result === 'late' ? `The store did not answer within ${TIMEOUT_MS / 1000} s.` : null;
  } catch (error) {
    return `The store cannot be written: ${(error as Error).message}`;
  } finally {
    late.abort();
  }
}
