/**
 * Rows of answers that one collector works out for all that share the database. Each answer is a list of parts, which are
 * written together or not at all. They can be deleted at any time: whoever misses one works it out.
 */
import type { AdminSql } from './admin_sql.ts';

/** When an answer was worked out, and with what. */
export interface KeptHead {
  name: string;
  /** Everything that was stored before counts. Microseconds since 1970. */
  asOfUs: number;
  /** Names settings and release of the collector that made it. Others must not use it. */
  madeWith: string;
}

export interface KeptParts extends KeptHead {
  parts: Uint8Array[];
}

export class KeptAnswerRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async heads(): Promise<KeptHead[]> {
    const rows = await this.#sql.all(
      'SELECT name, as_of_us, made_with FROM kept_answers WHERE part = 0 ORDER BY name',
    );
    return rows.map((row) => ({
      name: row['name'] as string,
      asOfUs: Number(row['as_of_us']),
      madeWith: row['made_with'] as string,
    }));
  }

  /** Returns null where there is none. All parts are those of one moment. */
  async read(name: string): Promise<KeptParts | null> {
    const rows = await this.#sql.all(
      'SELECT as_of_us, made_with, body FROM kept_answers WHERE name = $1 ORDER BY part',
      name,
    );
    const [first] = rows;
    if (first === undefined) return null;
    return {
      name,
      asOfUs: Number(first['as_of_us']),
      madeWith: first['made_with'] as string,
      parts: rows.map((row) => row['body'] as Uint8Array),
    };
  }

  /** Replaces an answer. To be called in a transaction. `parts`: at least one. */
  async put({ name, asOfUs, madeWith, parts }: KeptParts): Promise<void> {
    await this.#sql.run('DELETE FROM kept_answers WHERE name = $1', name);
    for (const [part, body] of parts.entries()) {
      await this.#sql.run(
        'INSERT INTO kept_answers (name, part, as_of_us, made_with, body) VALUES ($1, $2, $3, $4, $5)',
        name,
        part,
        asOfUs,
        madeWith,
        body,
      );
    }
  }

  async clear(): Promise<void> {
    await this.#sql.run('DELETE FROM kept_answers');
  }
}
