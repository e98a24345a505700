/** Counts what a destination will never get, for alerts and for the records of streams. */
import type { AdminSql } from './admin_sql.ts';

/** Adds to the count of a destination. `reason` is that of the last one, `us` the time in microseconds since 1970. */
export async function countGivenUp(
  sql: AdminSql,
  destination: string,
  count: number,
  reason: string | null,
  us: number,
): Promise<void> {
  await sql.run(
    `UPDATE alert_destinations SET given_up = given_up + $1, given_up_us = $2, given_up_reason = $3 WHERE id = $4`,
    count,
    us,
    reason,
    destination,
  );
}
