/**
 * Hosts whose agents authenticated with a client certificate. An enrolment token cannot take over such a
 * host.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

export class CertifiedHosts {
  readonly #has: StatementSync;
  readonly #add: StatementSync;
  readonly #remove: StatementSync;

  constructor(database: DatabaseSync) {
    this.#has = database.prepare('SELECT 1 FROM certified_hosts WHERE host_id = ?');
    this.#add = database.prepare('INSERT OR IGNORE INTO certified_hosts (host_id, first_ms) VALUES (?, ?)');
    this.#remove = database.prepare('DELETE FROM certified_hosts WHERE host_id = ?');
  }

  has(hostId: string): boolean {
    return this.#has.get(hostId) !== undefined;
  }

  add(hostId: string, nowMs: number): void {
    this.#add.run(hostId, nowMs);
  }

  remove(hostId: string): boolean {
    return this.#remove.run(hostId).changes === 1;
  }
}
