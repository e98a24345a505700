/** Whether the collector does what it is there for: taking in what agents report. */

import type { Store } from '../store/store.ts';
import type { Writer } from './writer.ts';

const TIMEOUT_MS = 5000;

/** Null when it does; else why not, and what to do. */
export async function takesRecords(
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
    // Nothing to write: it has its turn behind what is being written, in the thread that writes.
    const result = await Promise.race([store.write([]), timeout]);
    return result === 'late' ? `The store did not answer within ${TIMEOUT_MS / 1000} s.` : null;
  } catch (error) {
    return `The store cannot be written: ${(error as Error).message}`;
  } finally {
    late.abort();
  }
}
