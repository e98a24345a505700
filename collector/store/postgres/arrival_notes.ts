/** Notes arrivals in PostgreSQL (see `arrivals.ts`): begins and ends the notes, stores and deletes them. */
import {
  ARRIVALS_FOLLOWED_US,
  ARRIVALS_NOTED,
  ARRIVALS_SINCE_US,
  type CallKey,
  notesOf,
} from '../arrivals.ts';
import { WRITERS_LOCK } from './advisory_locks.ts';
import type { DatabasePool, Session } from './database_pool.ts';

const SET_VALUE = 'INSERT INTO sums VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value';

/** Stores the notes of a transaction, in the order of the calls. */
export async function storeArrivals(
  session: Session,
  keys: readonly CallKey[],
  nowUs: number,
): Promise<void> {
  const stored = notesOf(keys).map((note) =>
    session.execute(
      'INSERT INTO arrivals (calls, stored_us, oldest_us, newest_us, keys) VALUES ($1, $2, $3, $4, $5)',
      [note.calls, nowUs, note.oldestUs, note.newestUs, note.keys],
    ),
  );
  await Promise.all(stored);
}

/** Begins notes where there are none. Returns when they were begun. */
export async function noteArrivals(pool: DatabasePool, nowUs: number): Promise<number> {
  return pool.transaction(async (session) => (await begunUs(session)) ?? begin(session, nowUs));
}

export async function followArrivals(pool: DatabasePool, nowUs: number): Promise<number> {
  return pool.transaction(async (session) => {
    // First: it waits for whoever ends the notes just now, and is seen by who does later.
    await session.execute(
      `INSERT INTO sums VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET value = greatest(sums.value, excluded.value)`,
      [ARRIVALS_FOLLOWED_US, nowUs],
    );
    return (await begunUs(session)) ?? begin(session, nowUs);
  });
}

/** Ends the notes unless calls were followed since. */
export async function endArrivals(pool: DatabasePool, unlessFollowedUs: number): Promise<void> {
  const hasEnded = await pool.transaction(async (session) => {
    const [followed] = await session.query<{ value: number }>(
      'SELECT value FROM sums WHERE name = $1 FOR UPDATE',
      [ARRIVALS_FOLLOWED_US],
    );
    if ((followed?.value ?? 0) >= unlessFollowedUs) return false;
    await session.execute(SET_VALUE, [ARRIVALS_NOTED, 0]);
    return true;
  });
  if (hasEnded) await forgetArrivals(pool, Number.MAX_SAFE_INTEGER);
}

export async function forgetArrivals(pool: DatabasePool, upTo: number): Promise<void> {
  await pool.transaction((session) =>
    session.execute('DELETE FROM arrivals WHERE last <= $1 AND last < (SELECT max(last) FROM arrivals)', [
      upTo,
    ]),
  );
}

/** Returns when the notes of now were begun; null where there are none. */
async function begunUs(session: Session): Promise<number | null> {
  if ((await valueIn(session, ARRIVALS_NOTED)) !== 1) return null;
  return valueIn(session, ARRIVALS_SINCE_US);
}

async function begin(session: Session, nowUs: number): Promise<number> {
  // A writer in the middle of a batch has read that nothing is noted.
  await session.query(`SELECT pg_advisory_xact_lock(${WRITERS_LOCK})`);
  const begun = await begunUs(session);
  if (begun !== null) return begun;
  const sinceUs = Math.max(nowUs, ((await valueIn(session, ARRIVALS_SINCE_US)) ?? 0) + 1);
  await session.execute(SET_VALUE, [ARRIVALS_NOTED, 1]);
  await session.execute(SET_VALUE, [ARRIVALS_SINCE_US, sinceUs]);
  return sinceUs;
}

async function valueIn(session: Session, name: string): Promise<number | null> {
  const [row] = await session.query<{ value: number }>('SELECT value FROM sums WHERE name = $1', [name]);
  return row?.value ?? null;
}
