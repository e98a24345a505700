/** Queues alerts for the destinations that want them. */
import type { AdminSql } from './admin_sql.ts';
import type { Audience } from './alert_records.ts';
import type { DestinationRow } from './destination_row.ts';
import { countGivenUp } from './given_up.ts';
import { inParts, places } from './many_rows.ts';

/** Deliveries that wait for one destination. Beyond this number the oldest are deleted. */
const MAX_WAITING_PER_DESTINATION = 10_000;

/** Queues the alerts behind this number for a destination. */
export async function queueAll(
  sql: AdminSql,
  { id, rules, digest, sendResolved }: DestinationRow,
  last: number,
  nowUs: number,
): Promise<void> {
  await sql.run(
    `INSERT INTO alert_deliveries (destination, alert, attempts, queued_us, next_us)
     SELECT CAST($2 AS text), number, 0, CAST($1 AS bigint), CAST($1 AS bigint) FROM alerts
     WHERE number > $3 AND audience <> $4 AND audience <> 'own' AND state <> $5 AND rule IN (${places(rules.length, 1, 5)})`,
    nowUs,
    id,
    last,
    notFor(digest),
    sendResolved ? 'none' : 'resolved',
    ...rules,
  );
}

/** Queues the alerts with these ids for a destination, if it wants such alerts. */
export async function queueSome(
  sql: AdminSql,
  { id, rules, sendResolved }: DestinationRow,
  alertIds: readonly string[],
  nowUs: number,
): Promise<void> {
  for (const part of inParts(alertIds)) {
    await sql.run(
      `INSERT INTO alert_deliveries (destination, alert, attempts, queued_us, next_us)
       SELECT CAST($2 AS text), number, 0, CAST($1 AS bigint), CAST($1 AS bigint) FROM alerts
       WHERE state <> $3 AND rule IN (${places(rules.length, 1, 3)}) AND id IN (${places(part.length, 1, 3 + rules.length)})`,
      nowUs,
      id,
      sendResolved ? 'none' : 'resolved',
      ...rules,
      ...part,
    );
  }
}

/** Returns the audience whose alerts a destination does not get. `digest`: it gets summaries. */
export function notFor(digest: boolean): Audience {
  return digest ? 'each' : 'digest';
}

/** Deletes the oldest of too many deliveries, and counts them. Returns how many were deleted. */
export async function pushOut(
  sql: AdminSql,
  destinations: readonly DestinationRow[],
  nowUs: number,
): Promise<number> {
  let overflowed = 0;
  for (const { id } of destinations) {
    const deleted = await sql.run(
      `DELETE FROM alert_deliveries WHERE destination = $1 AND alert <= (
         SELECT alert FROM alert_deliveries WHERE destination = $1
         ORDER BY alert DESC LIMIT 1 OFFSET ${MAX_WAITING_PER_DESTINATION})`,
      id,
    );
    if (deleted === 0) continue;
    overflowed += deleted;
    const reason = `more than ${MAX_WAITING_PER_DESTINATION} alerts waited, and the oldest were dropped`;
    await countGivenUp(sql, id, deleted, reason, nowUs);
  }
  return overflowed;
}
