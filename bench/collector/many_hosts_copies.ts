/**
 * Multiplies the hosts of a PostgreSQL store that the store's own writer has made, with SQL: the copies have the same
 * callers, roll-ups and reports under names and numbers of their own. The sums over the fleet and the calls are left to
 * many_calls.ts, which makes them anew.
 */
import type { DatabasePool } from '../../collector/store/postgres/database_pool.ts';
import { FILLING } from './many_calls.ts';

/** Columns of tables with rows about a host, besides its number. */
const HOST_TABLES = {
  host_profiles: 'profile, until_us',
  hourly: 'class, hour, identity, kind, count, first_us, last_us',
  identity_hosts: 'identity, first_us, last_us, last_v1_us',
  measured_hops: 'identity, hops, token_hop_limit, last_us',
  host_usage: 'day, used',
  watched: 'first_us, last_us, boot_id',
  runs: 'state',
  boots: 'boot_id, first_us, last_us',
  gaps: 'reason, start_us, end_us, amounts',
  coverage_days: 'day, live_ms, kernel_connections, seen_connections, losses',
} as const;

/** `copies`: of each host, besides itself. */
export async function multiplyHosts(pool: DatabasePool, copies: number): Promise<void> {
  await pool.session(async (session) => {
    await session.query(FILLING);
    const [base] = await session.query<{ hosts: number; id: number; caller: number }>(
      'SELECT count(*) AS hosts, max(id) AS id, (SELECT max(id) FROM callers) AS caller FROM hosts',
    );
    const { hosts, id, caller } = base!;
    const each = `generate_series(1, ${copies}) AS copy`;
    const nameOf = `lpad((${numberOf('b.host_id')} + copy * ${hosts})::text, 5, '0')`;
    const idOf = `'i-' || lpad(to_hex(${numberOf('b.host_id')} + copy * ${hosts}), 17, '0')`;
    await session.query(
      `CREATE TEMPORARY TABLE copied AS SELECT b.id AS base, b.id + copy * ${id} AS id, copy, b.host_id AS base_id,
         ${idOf} AS host_id, 'host-' || ${nameOf} AS name FROM hosts b, ${each}`,
    );
    await session.query(
      `INSERT INTO hosts (id, host_id, name, facts, first_us, last_us, version) OVERRIDING SYSTEM VALUE
       SELECT c.id, c.host_id, c.name, replace(replace(b.facts, b.host_id, c.host_id), b.name, c.name), b.first_us, b.last_us,
         b.version FROM copied c JOIN hosts b ON b.id = c.base`,
    );
    await session.query(
      `INSERT INTO callers (id, hash, identity, host, last_us) OVERRIDING SYSTEM VALUE
       SELECT b.id + c.copy * ${caller}, sha256(b.hash || c.copy::text::bytea), b.identity, c.id, b.last_us
       FROM copied c JOIN callers b ON b.host = c.base`,
    );
    await session.query(
      `INSERT INTO caller_facts SELECT b.id + c.copy * ${caller}, f.facts
       FROM copied c JOIN callers b ON b.host = c.base JOIN caller_facts f ON f.caller = b.id`,
    );
    await session.query(
      `INSERT INTO calls (time_us, id, host, identity, caller, kind, shape, user_agent, path, query, duration_ms,
         source_address, source_port)
       SELECT b.time_us, gen_random_uuid(), c.id, b.identity, b.caller + c.copy * ${caller}, b.kind, b.shape, b.user_agent,
         b.path, b.query, b.duration_ms, b.source_address, b.source_port FROM copied c JOIN calls b ON b.host = c.base`,
    );
    for (const [table, columns] of Object.entries(HOST_TABLES)) {
      const others = columns.split(', ').map((column) => `b.${column}`);
      await session.query(
        `INSERT INTO ${table} (host, ${columns}) SELECT c.id, ${others.join(', ')} FROM copied c JOIN ${table} b ON b.host = c.base`,
      );
    }
    await session.query(
      `INSERT INTO heartbeats (host_id, time_us, body, received_us)
       SELECT c.host_id, b.time_us, b.body, b.received_us FROM copied c JOIN heartbeats b ON b.host_id = c.base_id;
       INSERT INTO last_heard SELECT c.host_id, b.heard_us FROM copied c JOIN last_heard b ON b.host_id = c.base_id`,
    );
    await session.query(
      `INSERT INTO cloud_briefs SELECT c.id, b.state, b.launched_us, b.terminated_us, b.supplied_us, b.profile, b.tokens,
         b.tokens_supplied_us, b.launch_counted_us, b.end_counted_us FROM copied c JOIN cloud_briefs b ON b.host = c.base`,
    );
    for (const table of ['hosts', 'callers']) {
      await session.query(
        `SELECT setval(pg_get_serial_sequence('${table}', 'id'), (SELECT max(id) FROM ${table}))`,
      );
    }
    await session.query('ANALYZE');
  });
}

/** Returns SQL for the number of a host in its id (`hostOf` of fleet.ts). */
function numberOf(column: string): string {
  return `('x' || lpad(substr(${column}, 4), 16, '0'))::bit(64)::bigint`;
}
