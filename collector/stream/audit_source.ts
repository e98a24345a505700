/** Reads the audit log, oldest entry first. */
import type { AdminStore } from '../admin/admin_store.ts';
import type { StreamPage, StreamSource, Waiting } from './stream_source.ts';

export class AuditSource implements StreamSource {
  readonly isDense = true;
  readonly #log: AdminStore['auditLog'];

  constructor(log: AdminStore['auditLog']) {
    this.#log = log;
  }

  async begin(): Promise<number> {
    await this.#log.givePositions();
    return (await this.#log.behind(0)).last;
  }

  async read(after: number, limit: number): Promise<StreamPage> {
    const found = await this.#log.after(after, limit);
    const items = found.map(({ position, entry }) => ({
      position,
      item: { stream: 'audit' as const, entry },
    }));
    return { items, next: found.at(-1)?.position ?? after };
  }

  async waiting(after: number): Promise<Waiting> {
    await this.#log.givePositions();
    const { last, oldestMs } = await this.#log.behind(after);
    const us = oldestMs === null ? null : oldestMs * 1000;
    return { behind: Math.max(0, last - after), waitsSinceUs: us, oldestUs: us, deletedUpTo: after };
  }

  async passed(): Promise<void> {}
}
