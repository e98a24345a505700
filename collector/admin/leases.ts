/**
 * Rows of leases: which of the collectors that share a database does what only one of them must do.
 *
 * A lease ends by the database's clock. A collector with another clock gets none (`lease.ts`). Its epoch grows with each new holder. Who
 * acts for a lease checks the epoch in the transaction that acts: then a collector that was frozen, and whose lease
 * somebody else has by now, stores nothing.
 */
import type { AdminSql } from './admin_sql.ts';

export interface Held {
  name: string;
  holder: string;
  epoch: number;
}

/** Another collector has the lease by now. Nothing was stored. */
export class LeaseLostError extends Error {
  constructor({ name, epoch }: Held) {
    super(`Another collector has the lease ${name} by now (epoch ${epoch} is over), so nothing was stored.`);
    this.name = 'LeaseLostError';
  }
}

export class Leases {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /** Takes a lease that nobody has, or keeps one, for this time. Returns null where another holder has it. */
  async take(name: string, holder: string, durationMs: number): Promise<Held | null> {
    const row =
      this.#sql.clockMs === null
        ? await this.#takeAlone(name, holder)
        : await this.#sql.get(
            `INSERT INTO leases (name, holder, epoch, until_ms) VALUES ($1, $2, 1, ${this.#sql.clockMs} + $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms,
               epoch = leases.epoch + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
             WHERE leases.holder = excluded.holder OR leases.until_ms <= ${this.#sql.clockMs}
             RETURNING epoch`,
            name,
            holder,
            durationMs,
          );
    return row === undefined ? null : { name, holder, epoch: Number(row['epoch']) };
  }

  /**
   * Returns by how much a clock is ahead of the database's, in milliseconds, to half the time that the question takes; null
   * where no other collector uses the database. `now`: the clock, in milliseconds since 1970.
   */
  async clockAheadMs(now: () => number): Promise<number | null> {
    if (this.#sql.clockMs === null) return null;
    const askedMs = now();
    const row = await this.#sql.get(`SELECT ${this.#sql.clockMs} AS ms`);
    return (askedMs + now()) / 2 - Number(row!['ms']);
  }

  /** Gives a lease up, so that another collector gets it at once. */
  async release({ name, holder, epoch }: Held): Promise<void> {
    const text = 'UPDATE leases SET until_ms = 0 WHERE name = $1 AND holder = $2 AND epoch = $3';
    await this.#sql.run(text, name, holder, epoch);
  }

  /**
   * Makes sure that nobody else gets the lease before the end of this transaction. Throws `LeaseLostError` where somebody
   * has it already.
   */
  async check(held: Held): Promise<void> {
    // The row is locked by a change of nothing, which both kinds of databases know.
    const text = 'UPDATE leases SET epoch = epoch WHERE name = $1 AND holder = $2 AND epoch = $3';
    const rows = await this.#sql.run(text, held.name, held.holder, held.epoch);
    if (rows === 0) throw new LeaseLostError(held);
  }

  /** An embedded database has one collector, so the one that started last has the lease, also after a crash. */
  async #takeAlone(name: string, holder: string) {
    const known = await this.#sql.get(
      'SELECT epoch FROM leases WHERE name = $1 AND holder = $2',
      name,
      holder,
    );
    return (
      known ??
      (await this.#sql.get(
        `INSERT INTO leases (name, holder, epoch, until_ms) VALUES ($1, $2, 1, 0)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1 RETURNING epoch`,
        name,
        holder,
      ))
    );
  }
}
