/**
 * Hosts whose agents authenticated with a client certificate. An enrolment token cannot take over such a
 * host.
 */
import type { AdminSql } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';

export class CertifiedHosts {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async has(hostId: string): Promise<boolean> {
    const row = await this.#sql.get('SELECT 1 AS found FROM certified_hosts WHERE host_id = $1', hostId);
    return row !== undefined;
  }

  /** Returns those of a list that are certified. */
  async among(hostIds: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>();
    for (const part of inParts(hostIds)) {
      const rows = await this.#sql.all(
        `SELECT host_id AS "hostId" FROM certified_hosts WHERE host_id IN (${places(part.length, 1, 0)})`,
        ...part,
      );
      for (const { hostId } of rows) found.add(String(hostId));
    }
    return found;
  }

  async add(hostId: string, nowMs: number): Promise<void> {
    await this.#sql.run(
      'INSERT INTO certified_hosts (host_id, first_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      hostId,
      nowMs,
    );
  }

  async remove(hostId: string): Promise<boolean> {
    return (await this.#sql.run('DELETE FROM certified_hosts WHERE host_id = $1', hostId)) === 1;
  }
}
