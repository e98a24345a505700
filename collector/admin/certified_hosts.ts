/**
 * Hosts whose agents authenticated with a client certificate. An enrolment token cannot take over such a
 * host.
 */
import type { AdminSql } from './admin_sql.ts';

export class CertifiedHosts {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async has(hostId: string): Promise<boolean> {
    const row = await this.#sql.get('SELECT 1 AS found FROM certified_hosts WHERE host_id = $1', hostId);
    return row !== undefined;
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
