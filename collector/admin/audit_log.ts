/** The log of the actions of admins and commands. Entries are appended and never changed. */
import type { AuditEntry } from '../contract/administration.ts';
import type { AdminSql } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';
import { isoTime } from './time.ts';

/** Beyond this number the oldest entries are deleted. An entry has some 200 bytes. */
const MAX_ENTRIES = 1_000_000;

export type AuditDraft = Omit<AuditEntry, 'id' | 'time'>;

export interface AuditQuestion {
  /** Only entries older than the one with this id. */
  before?: number | undefined;
  limit: number;
}

export class AuditLog {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async append(entry: AuditDraft, nowMs: number): Promise<void> {
    await this.appendAll([entry], nowMs);
  }

  /** Appends entries in their order. */
  async appendAll(entries: readonly AuditDraft[], nowMs: number): Promise<void> {
    let last: number | null = null;
    for (const part of inParts(entries)) {
      const found = await this.#sql.all(
        `INSERT INTO audit (time_ms, actor, action, subject, detail, source_address)
         VALUES ${places(part.length, 6, 0)} RETURNING id`,
        ...part.flatMap((entry) => [
          nowMs,
          entry.actor,
          entry.action,
          entry.subject,
          entry.detail,
          entry.source_address,
        ]),
      );
      last = found.reduce((highest, { id }) => Math.max(highest, Number(id)), last ?? 0);
    }
    if (last !== null) await this.#sql.run('DELETE FROM audit WHERE id <= $1', last - MAX_ENTRIES);
  }

  /**
   * Gives positions to the entries that have none. Entries of other collectors can become visible in another order than that
   * of their ids. Those that get their positions here are visible, so that nobody who reads by position passes an entry.
   */
  givePositions(): Promise<void> {
    return this.#sql.transaction('streams', async (sql) => {
      const found = await sql.all('SELECT id FROM audit WHERE position IS NULL ORDER BY id');
      if (found.length === 0) return;
      let position = Number((await sql.get('SELECT coalesce(max(position), 0) AS last FROM audit'))!['last']);
      for (const { id } of found) {
        position += 1;
        await sql.run('UPDATE audit SET position = $1 WHERE id = $2', position, id!);
      }
    });
  }

  /** Returns entries in the order of their positions, after one. */
  async after(position: number, limit: number): Promise<{ position: number; entry: AuditEntry }[]> {
    const found = (await this.#sql.all(
      `SELECT position, id, time_ms AS "timeMs", actor, action, subject, detail, source_address
       FROM audit WHERE position > $1 ORDER BY position LIMIT $2`,
      position,
      limit,
    )) as unknown as (Omit<AuditEntry, 'time'> & { timeMs: number; position: number })[];
    return found.map(({ timeMs, position: at, ...entry }) => ({
      position: at,
      entry: { ...entry, time: isoTime(timeMs) },
    }));
  }

  /** Returns the position of the newest entry, 0 for none, and the time of the first entry behind a position. */
  async behind(position: number): Promise<{ last: number; oldestMs: number | null }> {
    const row = await this.#sql.get(
      `SELECT (SELECT coalesce(max(position), 0) FROM audit) AS last,
         (SELECT time_ms FROM audit WHERE position > $1 ORDER BY position LIMIT 1) AS oldest`,
      position,
    );
    const oldest = row!['oldest'] ?? null;
    return { last: Number(row!['last']), oldestMs: oldest === null ? null : Number(oldest) };
  }

  /** Returns entries, newest first. */
  async newest({ before = Number.MAX_SAFE_INTEGER, limit }: AuditQuestion): Promise<AuditEntry[]> {
    const found = (await this.#sql.all(
      `SELECT id, time_ms AS "timeMs", actor, action, subject, detail, source_address
       FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2`,
      before,
      limit,
    )) as unknown as (Omit<AuditEntry, 'time'> & { timeMs: number })[];
    return found.map(({ timeMs, ...entry }) => ({ ...entry, time: isoTime(timeMs) }));
  }
}
