import type { DatabasePool } from '../../store/postgres/database_pool.ts';
import { migrate } from '../../store/postgres/schema_steps.ts';
import type { OnSchemaChange } from '../../store/schema_change.ts';
import { SqlAdminStore } from '../admin_store.ts';
import { POSTGRES_ADMIN } from './postgres_schema.ts';
import { PostgresSql } from './postgres_sql.ts';

/** The admin data in PostgreSQL, which many collectors share. The caller closes `pool`. */
export class PostgresAdminStore extends SqlAdminStore {
  private constructor(pool: DatabasePool) {
    super(new PostgresSql(pool));
  }

  /** Makes or updates the schema. Throws `OperatorError`. */
  static async open(pool: DatabasePool, onSchemaChange?: OnSchemaChange): Promise<PostgresAdminStore> {
    await migrate(pool, POSTGRES_ADMIN, onSchemaChange);
    return new PostgresAdminStore(pool);
  }
}
