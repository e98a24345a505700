/**
 * Schema step 6: what earlier releases stored at a time far in the future is dated now, see
 * `future_records.ts`.
 */
import type { DatabaseSync } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import { FUTURE_CALLS_TABLE, MAX_AHEAD_US } from './future_records.ts';

/** Times by table. A row without one of them has it null, and stays so. */
const TIMES: Record<string, readonly string[]> = {
  hosts: ['first_us', 'last_us'],
  identity_hosts: ['first_us', 'last_us', 'last_v1_us'],
  paths_v1: ['last_us'],
  callers: ['last_us'],
  kinds: ['last_us'],
  shapes: ['last_us'],
  user_agents: ['last_us'],
  rollups: ['first_us', 'last_us'],
  coverage: ['start_us', 'end_us'],
  watched: ['first_us', 'last_us'],
  boots: ['first_us', 'last_us'],
  gaps: ['start_us', 'end_us'],
};
const SUMS = [
  { table: 'hourly', unit: 'hour', unitUs: HOUR_US, owner: 'identity, host, kind' },
  { table: 'daily', unit: 'day', unitUs: DAY_US, owner: 'identity, host, kind' },
  { table: 'fleet_hourly', unit: 'hour', unitUs: HOUR_US, owner: 'identity, kind' },
  { table: 'fleet_daily', unit: 'day', unitUs: DAY_US, owner: 'identity, kind' },
];

export function toPresent(database: DatabaseSync, nowUs: number = Date.now() * 1000): void {
  database.exec(FUTURE_CALLS_TABLE);
  // From the start of a day on: hours and days stay sums of the same calls.
  const day = Math.floor((nowUs + MAX_AHEAD_US) / DAY_US) + 1;
  const fromUs = day * DAY_US;
  database.exec(`
    INSERT OR IGNORE INTO gaps (host, reason, start_us, end_us, amounts)
      SELECT host, 'not_kept', ${nowUs}, ${nowUs}, json_object('future_calls', sum(count)) FROM daily
      WHERE day >= ${day} AND class > 0 GROUP BY host;
    INSERT INTO future_calls SELECT id, ${nowUs} FROM calls WHERE time_us >= ${fromUs};
    UPDATE calls SET time_us = ${nowUs} WHERE time_us >= ${fromUs};
    DELETE FROM coverage_days WHERE day >= ${day};
    UPDATE runs SET state = json_set(state, '$.endUs', ${nowUs}) WHERE json_extract(state, '$.endUs') >= ${fromUs};
  `);
  for (const { table, unit, unitUs, owner } of SUMS) {
    const bucket = Math.floor(nowUs / unitUs);
    const offsetUs = nowUs - bucket * unitUs;
    const first = fromUs / unitUs;
    database.exec(`
      INSERT INTO ${table} (class, ${unit}, ${owner}, count, first_us, last_us)
        SELECT class, ${bucket}, ${owner}, sum(count), ${offsetUs}, ${offsetUs} FROM ${table}
        WHERE ${unit} >= ${first} GROUP BY class, ${owner}
        ON CONFLICT DO UPDATE SET count = count + excluded.count, first_us = min(first_us, excluded.first_us),
          last_us = max(last_us, excluded.last_us);
      DELETE FROM ${table} WHERE ${unit} >= ${first};
    `);
  }
  for (const [table, columns] of Object.entries(TIMES)) {
    const changes = columns.map((column) => `${column} = min(${column}, ${nowUs})`);
    const isLate = columns.map((column) => `${column} >= ${fromUs}`);
    database.exec(`UPDATE OR REPLACE ${table} SET ${changes.join(', ')} WHERE ${isLate.join(' OR ')}`);
  }
}
