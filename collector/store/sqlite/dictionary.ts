/** Values that many rows share. They are stored once, and rows refer to them by number. */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { deleteOldestEntries } from '../../../common/bounded_map.ts';

const MAX_CACHED = 8192;

type Value = string | number | null;
interface Entry {
  id: number;
  /** Time of the latest record that refers to it. Retention uses it. */
  lastUs: number;
  changed: boolean;
}

/** Access to a table with `id`, `key` (JSON of its values), the values' columns and `last_us`. */
export class Dictionary {
  readonly #find: StatementSync;
  readonly #add: StatementSync;
  readonly #touch: StatementSync;
  readonly #cache = new Map<string, Entry>();
  readonly #changed = new Set<Entry>();

  constructor(database: DatabaseSync, table: 'kinds' | 'shapes' | 'user_agents', columns: string[]) {
    this.#find = database.prepare(`SELECT id, last_us FROM ${table} WHERE key = ?`);
    this.#add = database.prepare(
      `INSERT INTO ${table} (key, last_us, ${columns.join(', ')}) VALUES (?, ?, ${columns.map(() => '?').join(', ')}) RETURNING id`,
    );
    this.#touch = database.prepare(`UPDATE ${table} SET last_us = max(last_us, ?) WHERE id = ?`);
  }

  /** Returns the number of an entry. `values` identify it; `columns` are stored for it. */
  idOf(values: Value[], columns: Value[], timeUs: number): number {
    return this.entryOf(JSON.stringify(values), columns, timeUs).id;
  }

  has(key: string): boolean {
    return this.#cache.has(key) || this.#find.get(key) !== undefined;
  }

  entryOf(key: string, columns: Value[], timeUs: number): { id: number; added: boolean } {
    let entry = this.#cache.get(key) ?? this.#load(key);
    const added = entry === null;
    entry ??= this.#remember(key, {
      id: Number(this.#add.get(key, timeUs, ...columns)!['id']),
      lastUs: timeUs,
      changed: false,
    });
    if (timeUs > entry.lastUs) {
      entry.lastUs = timeUs;
      if (!entry.changed) {
        entry.changed = true;
        this.#changed.add(entry);
      }
    }
    return { id: entry.id, added };
  }

  #load(key: string): Entry | null {
    const row = this.#find.get(key);
    if (row === undefined) return null;
    return this.#remember(key, { id: Number(row['id']), lastUs: Number(row['last_us']), changed: false });
  }

  #remember(key: string, entry: Entry): Entry {
    deleteOldestEntries(this.#cache, MAX_CACHED - 1);
    this.#cache.set(key, entry);
    return entry;
  }

  /** Writes times. Must be called before the end of every transaction. */
  flush(): void {
    for (const entry of this.#changed) {
      this.#touch.run(entry.lastUs, entry.id);
      entry.changed = false;
    }
    this.#changed.clear();
  }

  /** Forgets all rows. Required after a rollback or a deletion, when they may not exist. */
  forget(): void {
    this.#cache.clear();
    this.#changed.clear();
  }
}
