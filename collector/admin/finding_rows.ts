/**
 * Rows of findings: the latest report of each. A report has a number that grows with each report, so that who reads them in
 * the order of their numbers gets every finding that has changed since, as it is now.
 */
import type { Finding } from '../contract/finding.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { type Held, Leases } from './leases.ts';
import { inParts, places } from './many_rows.ts';

export interface FindingState {
  key: string;
  change: Finding['change'];
  /** A text that changes with what must be reported at once, and one with what can wait. */
  state: string;
  minor: string;
  /** When it was last reported. */
  timeUs: number;
}

export interface FindingReport extends FindingState {
  finding: Finding;
}

export class FindingRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /** Returns what was reported last of each finding. */
  async states(): Promise<FindingState[]> {
    const rows = await this.#sql.all('SELECT key, change, state, minor, time_us FROM findings');
    return rows.map(stateOf);
  }

  /** Returns the latest reports of findings. Those that are not known are left out. */
  async latest(keys: readonly string[]): Promise<Finding[]> {
    const found: Finding[] = [];
    for (const part of inParts(keys)) {
      const rows = await this.#sql.all(
        `SELECT finding FROM findings WHERE key IN (${places(part.length, 1, 0)})`,
        ...part,
      );
      for (const row of rows) found.push(JSON.parse(String(row['finding'])) as Finding);
    }
    return found;
  }

  /** Stores reports in the order given. Throws `LeaseLostError` where another collector makes them by now. */
  store(reports: readonly FindingReport[], held: Held | null): Promise<void> {
    return this.#sql.transaction('streams', async (sql) => {
      if (held !== null) await new Leases(sql).check(held);
      let number = Number((await sql.get('SELECT coalesce(max(number), 0) AS last FROM findings'))!['last']);
      for (const part of inParts(reports)) {
        await sql.run(
          `INSERT INTO findings (key, number, change, state, minor, time_us, finding) VALUES ${places(part.length, 7, 0)}
           ON CONFLICT (key) DO UPDATE SET number = excluded.number, change = excluded.change, state = excluded.state,
             minor = excluded.minor, time_us = excluded.time_us, finding = excluded.finding`,
          ...part.flatMap(({ key, change, state, minor, timeUs, finding }) => {
            number += 1;
            return [key, number, change, state, minor, timeUs, JSON.stringify(finding)];
          }),
        );
      }
    });
  }

  /** Returns reports in the order of their numbers, after one. */
  async after(number: number, limit: number): Promise<{ number: number; finding: Finding }[]> {
    const rows = await this.#sql.all(
      'SELECT number, finding FROM findings WHERE number > $1 ORDER BY number LIMIT $2',
      number,
      limit,
    );
    return rows.map((row) => ({
      number: Number(row['number']),
      finding: JSON.parse(String(row['finding'])) as Finding,
    }));
  }

  /** Returns how many findings were reported after a number, and when the first of these was. */
  async behind(number: number): Promise<{ behind: number; oldestUs: number | null }> {
    const row = await this.#sql.get(
      'SELECT count(*) AS behind, min(time_us) AS oldest FROM findings WHERE number > $1',
      number,
    );
    const oldest = row!['oldest'] ?? null;
    return { behind: Number(row!['behind']), oldestUs: oldest === null ? null : Number(oldest) };
  }

  /**
   * Deletes findings that are over, and that everybody has who wants them. The one with the highest number stays, because
   * the next numbers follow it.
   */
  async forgetResolved(upTo: number, beforeUs: number): Promise<void> {
    await this.#sql.run(
      `DELETE FROM findings WHERE change = 'resolved' AND number <= $1 AND time_us < $2
         AND number < (SELECT max(number) FROM findings)`,
      upTo,
      beforeUs,
    );
  }
}

function stateOf(row: SqlRow): FindingState {
  return {
    key: String(row['key']),
    change: row['change'] as Finding['change'],
    state: String(row['state']),
    minor: String(row['minor']),
    timeUs: Number(row['time_us']),
  };
}
