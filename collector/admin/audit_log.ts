/** The log of the actions of admins and commands. Entries are appended and never changed. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { AuditEntry } from '../contract/administration.ts';
import { isoTime } from './time.ts';

/** Beyond this number the oldest entries are deleted. An entry has some 200 bytes. */
const MAX_ENTRIES = 1_000_000;

export interface AuditQuestion {
  /** Only entries older than the one with this id. */
  before?: number | undefined;
  limit: number;
}

export class AuditLog {
  readonly #insert: StatementSync;
  readonly #trim: StatementSync;
  readonly #newest: StatementSync;

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare(
      'INSERT INTO audit (time_ms, actor, action, subject, detail, source_address) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#trim = database.prepare('DELETE FROM audit WHERE id <= ?');
    this.#newest = database.prepare(
      `SELECT id, time_ms AS timeMs, actor, action, subject, detail, source_address
       FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?`,
    );
  }

  append(entry: Omit<AuditEntry, 'id' | 'time'>, nowMs: number): void {
    const { actor, action, subject, detail, source_address } = entry;
    const { lastInsertRowid } = this.#insert.run(nowMs, actor, action, subject, detail, source_address);
    this.#trim.run(Number(lastInsertRowid) - MAX_ENTRIES);
  }

  /** Returns entries, newest first. */
  newest({ before = Number.MAX_SAFE_INTEGER, limit }: AuditQuestion): AuditEntry[] {
    const found = this.#newest.all(before, limit) as unknown as (Omit<AuditEntry, 'time'> & {
      timeMs: number;
    })[];
    return found.map(({ timeMs, ...entry }) => ({ ...entry, time: isoTime(timeMs) }));
  }
}
