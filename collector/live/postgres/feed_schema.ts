/** The tables of the live feed in PostgreSQL. */
import type { DatabasePool } from '../../store/postgres/database_pool.ts';
import type { DatabaseSchema } from '../../store/postgres/schema_steps.ts';

const TABLES = `
  -- Collectors at which somebody watches now, and the filters of those feeds. A row ends by itself, by the database's
  -- clock. It is UNLOGGED: nobody waits for a disk or a standby, and a crash empties the table.
  CREATE UNLOGGED TABLE live_watchers (
    collector text COLLATE "C" PRIMARY KEY,
    filters text[] NOT NULL,
    until timestamptz NOT NULL
  );

  -- Whoever may connect to a database may listen to its notifications. So calls are encrypted with a key that only those
  -- have who may read the tables.
  CREATE TABLE live_key (key bytea NOT NULL);
  INSERT INTO live_key
    SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
`;

export const LIVE_SCHEMA: DatabaseSchema = {
  name: 'live',
  steps: [{ release: '0.1.0', summary: 'makes the tables of the live feed', apply: TABLES }],
};

/** Returns the key of this database's messages: 32 bytes. */
export async function readLiveKey(pool: DatabasePool): Promise<Buffer> {
  const [row] = await pool.query<{ key: Buffer }>('SELECT key FROM live_key');
  return row!.key;
}
