/** The step of the schema that keeps when hosts were heard in a table of its own, and compresses what heartbeats say. */
import { packHeartbeatText } from '../packed_heartbeat.ts';
import { type Column, transposed, unnested } from './bulk.ts';
import type { Session } from './database_pool.ts';

/**
 * Half of a page stays free, so that the new version of a row finds room beside the old one. Bodies are compressed already.
 */
const BEFORE = `
  CREATE TABLE last_heard (host_id text COLLATE "C" PRIMARY KEY, heard_us bigint NOT NULL) WITH (fillfactor = 50);
  INSERT INTO last_heard SELECT host_id, received_us FROM heartbeats ORDER BY host_id;
  ALTER TABLE heartbeats SET (fillfactor = 50);
  ALTER TABLE heartbeats ADD COLUMN body bytea;
  ALTER TABLE heartbeats ALTER COLUMN body SET STORAGE EXTERNAL;
`;
const AFTER = `
  ALTER TABLE heartbeats ALTER COLUMN body SET NOT NULL;
  ALTER TABLE heartbeats DROP COLUMN heartbeat;
`;
const PACKED: readonly Column[] = [
  ['host_id', 'text'],
  ['body', 'bytea'],
];
const HOSTS_AT_ONCE = 1000;

export async function packHeartbeats(session: Session): Promise<void> {
  await session.query(BEFORE);
  for (let after = ''; ; ) {
    const rows = await session.query<{ host_id: string; heartbeat: string }>(
      'SELECT host_id, heartbeat FROM heartbeats WHERE host_id > $1 ORDER BY host_id LIMIT $2',
      [after, HOSTS_AT_ONCE],
    );
    if (rows.length === 0) break;
    after = rows.at(-1)!.host_id;
    const packed = rows.map(({ host_id, heartbeat }) => [host_id, Buffer.from(packHeartbeatText(heartbeat))]);
    await session.execute(
      `UPDATE heartbeats SET body = v.body FROM ${unnested(PACKED)} WHERE heartbeats.host_id = v.host_id`,
      transposed(PACKED, packed),
    );
  }
  await session.query(AFTER);
}
