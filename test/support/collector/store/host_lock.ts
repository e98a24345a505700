/** Locks a host as a writer does, in a process of its own that can be frozen: ADDRESS HOST-ID. */
import { DatabasePool } from '../../../../collector/store/postgres/database_pool.ts';
import { parseDatabaseUrl } from '../../../../collector/store/postgres/database_url.ts';

const [url, hostId] = process.argv.slice(2);
await new DatabasePool(parseDatabaseUrl(url!)).transaction(async (session) => {
  await session.query('SELECT 1 FROM hosts WHERE host_id = $1 FOR UPDATE', [hostId]);
  process.send!('locked');
  await new Promise(() => {});
});
