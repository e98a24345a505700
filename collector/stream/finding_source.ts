/** Reads findings in the order of their last reports. A destination that was away gets each as it is now. */
import type { AdminStore } from '../admin/admin_store.ts';
import type { StreamPage, StreamSource, Waiting } from './stream_source.ts';

/** Findings that are over are kept for this time, so that one that comes back is known. */
const KEPT_US = 30 * 86_400_000_000;

export class FindingSource implements StreamSource {
  /** A report takes the place of the one before, and its number stays empty. */
  readonly isDense = false;
  readonly #rows: AdminStore['findings'];
  readonly #nowUs: () => number;

  constructor(rows: AdminStore['findings'], nowUs: () => number) {
    this.#rows = rows;
    this.#nowUs = nowUs;
  }

  /** A new destination gets all findings that there are. */
  async begin(): Promise<number> {
    return 0;
  }

  async read(after: number, limit: number): Promise<StreamPage> {
    const found = await this.#rows.after(after, limit);
    const items = found.map(({ number, finding }) => ({
      position: number,
      item: { stream: 'findings' as const, finding },
    }));
    return { items, next: found.at(-1)?.number ?? after };
  }

  async waiting(after: number): Promise<Waiting> {
    const { behind, oldestUs } = await this.#rows.behind(after);
    return { behind, waitsSinceUs: oldestUs, oldestUs, deletedUpTo: after };
  }

  passed(position: number): Promise<void> {
    return this.#rows.forgetResolved(position, this.#nowUs() - KEPT_US);
  }
}
