/** Rows of settings that can change while the collector runs: JSON by key. */
import type { AdminSql } from './admin_sql.ts';

export class StoredSettings {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async get(key: string): Promise<unknown> {
    const value = (await this.#sql.get('SELECT value FROM settings WHERE key = $1', key))?.['value'];
    return value === undefined ? undefined : JSON.parse(value as string);
  }

  async put(key: string, value: unknown): Promise<void> {
    await this.#sql.run(
      'INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      key,
      JSON.stringify(value),
    );
  }
}
