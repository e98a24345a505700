import type { DatabaseSync } from 'node:sqlite';
import { SqlAdminStore } from '../admin_store.ts';
import { SqliteSql } from './sqlite_sql.ts';

/** The admin data in SQLite. A connection has one such object. The caller closes `database`. */
export class SqliteAdminStore extends SqlAdminStore {
  constructor(database: DatabaseSync) {
    super(new SqliteSql(database));
  }
}
