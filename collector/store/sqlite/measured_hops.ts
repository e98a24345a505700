/**
 * Writes how many routers stood between a workload and the service when its token requests got no answer. A workload may
 * be at several distances on one host, such as `curl` in two containers.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { CallTemplate } from './packed_batch.ts';

/** More routers on one host are not plausible. The bound limits the rows that one host can make. */
const MAX_HOPS = 32;

interface Row {
  identity: number;
  host: number;
  hops: number;
  tokenHopLimit: number | null;
  lastUs: number;
}

export class MeasuredHopsWriter {
  readonly #add: StatementSync;
  /** The rows of one transaction. */
  readonly #rows = new Map<string, Row>();

  constructor(database: DatabaseSync) {
    this.#add = database.prepare(
      `INSERT INTO measured_hops (identity, host, hops, token_hop_limit, last_us) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET
         token_hop_limit = CASE WHEN excluded.last_us >= last_us
           THEN coalesce(excluded.token_hop_limit, token_hop_limit) ELSE token_hop_limit END,
         last_us = max(last_us, excluded.last_us)`,
    );
  }

  /** Adds a call, if it is a fallback whose way was measured. */
  addCall(template: CallTemplate, identity: number, host: number, timeUs: number): void {
    const { 'imds.fallback': fallback, 'imds.hops': hops } = template;
    if (fallback !== 'token_unanswered' || hops == null || hops > MAX_HOPS) return;
    const key = `${identity} ${host} ${hops}`;
    const known = this.#rows.get(key);
    const tokenHopLimit = template['imds.token_hop_limit'] ?? known?.tokenHopLimit ?? null;
    if (known !== undefined && known.lastUs > timeUs) return;
    this.#rows.set(key, { identity, host, hops, tokenHopLimit, lastUs: timeUs });
  }

  flush(): void {
    for (const { identity, host, hops, tokenHopLimit, lastUs } of this.#rows.values()) {
      this.#add.run(identity, host, hops, tokenHopLimit, lastUs);
    }
    this.#rows.clear();
  }

  /** Forgets all rows. Required after a rollback. */
  forget(): void {
    this.#rows.clear();
  }
}
