/** Rows of settings that can change while the collector runs: JSON by key. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

export class StoredSettings {
  readonly #get: StatementSync;
  readonly #put: StatementSync;

  constructor(database: DatabaseSync) {
    this.#get = database.prepare('SELECT value FROM settings WHERE key = ?');
    this.#put = database.prepare(
      'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    );
  }

  get(key: string): unknown {
    const value = this.#get.get(key)?.['value'];
    return value === undefined ? undefined : JSON.parse(value as string);
  }

  put(key: string, value: unknown): void {
    this.#put.run(key, JSON.stringify(value));
  }
}
