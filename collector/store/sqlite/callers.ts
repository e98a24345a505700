/** Who calls, said once: processes and their workloads as rows that calls refer to. */
import { hash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import {
  type CallerFacts,
  identityId,
  type WorkloadIdentity,
  workloadIdentity,
} from '../../model/workload_identity.ts';
import type { PackedCaller } from './packed_batch.ts';

/** The lasting processes of some thousand hosts. One that was pushed out costs as much as a new one. */
const MAX_CACHED = 65_536;
const MAX_CACHED_IDENTITIES = 16_384;

export interface CallerRow {
  caller: number;
  identity: number;
  /** Of the latest record, to be stored by `flush`. */
  lastUs: number;
  changed: boolean;
}

export class Callers {
  readonly #insertIdentity: StatementSync;
  readonly #insertCaller: StatementSync;
  readonly #insertFacts: StatementSync;
  readonly #touch: StatementSync;
  readonly #cache = new Map<string, CallerRow>();
  readonly #identities = new Map<string, number>();
  readonly #changed = new Set<CallerRow>();

  constructor(database: DatabaseSync) {
    // An update that changes nothing makes RETURNING give the row that is there.
    this.#insertIdentity = database.prepare(
      'INSERT INTO identities (key, facts) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET key = key RETURNING id',
    );
    this.#insertCaller = database.prepare(
      `INSERT INTO callers (hash, identity, host, last_us) VALUES (?, ?, ?, 0)
       ON CONFLICT (hash) DO UPDATE SET hash = hash RETURNING id, identity, last_us`,
    );
    this.#insertFacts = database.prepare(
      'INSERT INTO caller_facts (caller, facts) VALUES (?, ?) ON CONFLICT DO NOTHING',
    );
    this.#touch = database.prepare('UPDATE callers SET last_us = max(last_us, ?) WHERE id = ?');
  }

  /** Most callers are known by the JSON of their facts: it is read only where it says something new. */
  rowOf(
    { json, attributed }: PackedCaller,
    host: { id: string; row: number },
    sourceAddress: string,
  ): CallerRow {
    // Where the process is not known, the source address tells workloads apart.
    const where = attributed ? '' : sourceAddress;
    const key = hash('sha256', JSON.stringify([host.id, where, json]), 'base64');
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const identity = workloadIdentity(JSON.parse(json) as CallerFacts, host.id, sourceAddress);
    const row = this.#insertCaller.get(Buffer.from(key, 'base64'), this.#identityRow(identity), host.row)!;
    // Nothing was seen yet of a new row, or of one whose calls were all known.
    if (row['last_us'] === 0) this.#insertFacts.run(Number(row['id']), json);
    const caller = {
      caller: Number(row['id']),
      identity: Number(row['identity']),
      lastUs: Number(row['last_us']),
      changed: false,
    };
    if (this.#cache.size >= MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(key, caller);
    return caller;
  }

  /** New processes are mostly of workloads that are known. */
  #identityRow(identity: WorkloadIdentity): number {
    const id = identityId(identity);
    let row = this.#identities.get(id);
    if (row === undefined) {
      row = Number(this.#insertIdentity.get(id, JSON.stringify(identity))!['id']);
      if (this.#identities.size >= MAX_CACHED_IDENTITIES) this.#identities.clear();
      this.#identities.set(id, row);
    }
    return row;
  }

  seen(row: CallerRow, timeUs: number): void {
    if (timeUs <= row.lastUs) return;
    row.lastUs = timeUs;
    if (row.changed) return;
    row.changed = true;
    this.#changed.add(row);
  }

  /** Before the end of every transaction. */
  flush(): void {
    for (const row of this.#changed) {
      this.#touch.run(row.lastUs, row.caller);
      row.changed = false;
    }
    this.#changed.clear();
  }

  /** After a rollback or a deletion, rows that were remembered may not exist. */
  forget(): void {
    this.#cache.clear();
    this.#identities.clear();
    this.#changed.clear();
  }
}
