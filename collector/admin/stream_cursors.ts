/** Rows of the places up to which streams were sent, one for each destination of a stream. */
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { countGivenUp } from './given_up.ts';
import { type Held, Leases } from './leases.ts';

export interface CursorRow {
  destination: string;
  /** Null: the stream has not begun. Records with lower positions are not sent. */
  position: number | null;
  /** When it began. */
  sinceUs: number | null;
  sent: number;
  /** Records that were deleted before they were sent. */
  deleted: number;
  /** Records that the shape of the destination cannot express. */
  unfit: number;
  /** Records that waited at `checkedUs`, and the time of the oldest one. */
  behind: number;
  oldestUs: number | null;
  checkedUs: number | null;
  /** Says that records will be deleted before they are sent; null where that is not near. */
  warning: string | null;
}

/** A cursor's move, with counts of the records between the two positions. */
export interface Progress {
  from: number;
  to: number;
  sent: number;
  deleted: number;
  unfit: number;
  givenUp: number;
  /** Why records were given up. */
  reason: string | null;
}

export class StreamCursors {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async all(): Promise<CursorRow[]> {
    return (await this.#sql.all('SELECT * FROM stream_cursors ORDER BY destination')).map(cursorOf);
  }

  async add(destination: string): Promise<void> {
    await this.#sql.run(
      'INSERT INTO stream_cursors (destination, sent, deleted, unfit, behind) VALUES ($1, 0, 0, 0, 0)',
      destination,
    );
  }

  /** Sets the place at which a stream begins. Does nothing where it has begun. */
  begin(destination: string, position: number, nowUs: number, held: Held | null): Promise<void> {
    return this.#checked(held, async (sql) => {
      await sql.run(
        'UPDATE stream_cursors SET position = $1, since_us = $2 WHERE destination = $3 AND position IS NULL',
        position,
        nowUs,
        destination,
      );
    });
  }

  /**
   * Moves a cursor, and counts what it passes. Throws `LeaseLostError` where another collector sends by now. Does nothing
   * where the destination was removed, or its cursor is not at `from` any more; returns false then.
   */
  advance(destination: string, progress: Progress, nowUs: number, held: Held | null): Promise<boolean> {
    const { from, to, sent, deleted, unfit, givenUp, reason } = progress;
    return this.#checked(held, async (sql) => {
      const moved = await sql.run(
        `UPDATE stream_cursors SET position = $1, sent = sent + $2, deleted = deleted + $3, unfit = unfit + $4
         WHERE destination = $5 AND position = $6`,
        to,
        sent,
        deleted,
        unfit,
        destination,
        from,
      );
      if (moved === 0) return false;
      if (sent > 0) {
        const text = 'UPDATE alert_destinations SET last_delivered_us = $1, last_error = NULL WHERE id = $2';
        await sql.run(text, nowUs, destination);
      }
      if (givenUp > 0) await countGivenUp(sql, destination, givenUp, reason, nowUs);
      return true;
    });
  }

  async noteWaiting(
    destination: string,
    { behind, oldestUs, warning }: Pick<CursorRow, 'behind' | 'oldestUs' | 'warning'>,
    nowUs: number,
  ): Promise<void> {
    await this.#sql.run(
      `UPDATE stream_cursors SET behind = $1, oldest_us = $2, warning = $3, checked_us = $4 WHERE destination = $5`,
      behind,
      oldestUs,
      warning,
      nowUs,
      destination,
    );
  }

  #checked<T>(held: Held | null, work: (sql: AdminSql) => Promise<T>): Promise<T> {
    return this.#sql.transaction('streams', async (sql) => {
      if (held !== null) await new Leases(sql).check(held);
      return work(sql);
    });
  }
}

function cursorOf(row: SqlRow): CursorRow {
  const orNull = (name: string) => (row[name] === null ? null : Number(row[name]));
  return {
    destination: String(row['destination']),
    position: orNull('position'),
    sinceUs: orNull('since_us'),
    sent: Number(row['sent']),
    deleted: Number(row['deleted']),
    unfit: Number(row['unfit']),
    behind: Number(row['behind']),
    oldestUs: orNull('oldest_us'),
    checkedUs: orNull('checked_us'),
    warning: row['warning'] as string | null,
  };
}
