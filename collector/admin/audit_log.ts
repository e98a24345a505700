/** The log of the actions of admins and commands. Entries are appended and never changed. */
import type { AuditEntry } from '../contract/administration.ts';
import type { AdminSql } from './admin_sql.ts';
import { isoTime } from './time.ts';

/** Beyond this number the oldest entries are deleted. An entry has some 200 bytes. */
const MAX_ENTRIES = 1_000_000;

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

  async append(entry: Omit<AuditEntry, 'id' | 'time'>, nowMs: number): Promise<void> {
    const { actor, action, subject, detail, source_address } = entry;
    const row = await this.#sql.get(
      `INSERT INTO audit (time_ms, actor, action, subject, detail, source_address)
       VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
      nowMs,
      actor,
      action,
      subject,
      detail,
      source_address,
    );
    await this.#sql.run('DELETE FROM audit WHERE id <= $1', Number(row?.['id']) - MAX_ENTRIES);
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
