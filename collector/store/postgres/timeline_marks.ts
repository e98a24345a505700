/**
 * Marks that collectors store in the primary. A server that has replayed a mark follows that primary, on its timeline: a
 * standby of another database cannot have it, nor one that went on from what a former primary had and lost.
 * Positions in the write-ahead log alone do not tell this, because each timeline and each database counts them anew.
 */
import { randomUUID } from 'node:crypto';
import { sqlState } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import type { DatabaseSchema } from './schema_steps.ts';

const TABLES = `
  CREATE TABLE timeline_marks (
    mark text COLLATE "C" PRIMARY KEY,
    -- The timeline of the primary when the mark was made.
    timeline bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
  );
`;

export const READER_SCHEMA: DatabaseSchema = {
  name: 'reader',
  steps: [{ release: '0.1.0', summary: 'makes the table by which standbys are recognised', apply: TABLES }],
};

/** Marks are forgotten after this time. Whoever uses one that is forgotten makes another one. */
const KEPT_DAYS = 30;
/** undefined_table. */
const NO_TABLE = '42P01';

/** The number of the timeline is the first part of the name of a WAL file. PostgreSQL 15 documentation, 9.27.3. */
const TIMELINE = `('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint`;
/** A position in the write-ahead log as a number of bytes. Such a number stays below 2^53 for some petabytes. */
export const bytesOf = (position: string) => `(${position} - '0/0'::pg_lsn)::bigint`;

/** The identity of a database. It is the same on its standbys. */
export interface DatabaseIdentity {
  system: string;
  database: number;
}

export const IDENTITY = `(SELECT system_identifier::text FROM pg_control_system()) AS system,
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database`;

/** A mark that is stored in the primary. */
export interface TimelineMark {
  mark: string;
  timeline: number;
  /** Position of the write-ahead log, in bytes, after the mark was stored. */
  position: number;
}

/** The state of a primary at a moment. */
export interface PrimaryPosition extends DatabaseIdentity {
  timeline: number;
  /** Bytes of its write-ahead log. */
  position: number;
  /** Time that a commit may be missing in the log, although others see it: `synchronous_commit` is off. */
  unwrittenMs: number;
}

export async function readPosition(session: Session): Promise<PrimaryPosition> {
  // PostgreSQL 15 documentation, 30.4 "Asynchronous Commit": at most three times wal_writer_delay.
  const [row] = await session.query<PrimaryPosition & Record<string, unknown>>(
    `SELECT ${TIMELINE} AS timeline, ${bytesOf('pg_current_wal_lsn()')} AS position, ${IDENTITY},
       CASE current_setting('synchronous_commit') WHEN 'off' THEN
         (SELECT 3 * setting::integer FROM pg_settings WHERE name = 'wal_writer_delay') ELSE 0 END AS "unwrittenMs"`,
  );
  return row!;
}

/** Stores a mark of its own in the primary. */
export async function makeMark(pool: DatabasePool): Promise<TimelineMark> {
  const mark = randomUUID();
  return pool.session(async (session) => {
    const [made] = await session.query<{ timeline: number }>(
      `WITH old AS (DELETE FROM timeline_marks WHERE made_at < now() - interval '${KEPT_DAYS} days')
       INSERT INTO timeline_marks (mark, timeline) VALUES ($1, ${TIMELINE}) RETURNING timeline`,
      [mark],
    );
    const { position, timeline } = await readPosition(session);
    // Between the two statements the server may have become another one.
    return { mark, timeline: timeline === made!.timeline ? timeline : -1, position };
  });
}

/** Returns the newest mark of a timeline in the primary; null where no collector has made one. */
export async function newestMark(pool: DatabasePool, timeline: number): Promise<TimelineMark | null> {
  return pool.session(async (session) => {
    try {
      const [found] = await session.query<{ mark: string }>(
        'SELECT mark FROM timeline_marks WHERE timeline = $1 ORDER BY made_at DESC LIMIT 1',
        [timeline],
      );
      if (found === undefined) return null;
      return { mark: found.mark, timeline, position: (await readPosition(session)).position };
    } catch (error) {
      if (sqlState(error) === NO_TABLE) return null;
      throw error;
    }
  });
}

/** Tells whether a server has a mark. */
export async function hasMark(session: Session, mark: string): Promise<boolean> {
  try {
    return (await session.query('SELECT 1 FROM timeline_marks WHERE mark = $1', [mark])).length > 0;
  } catch (error) {
    if (sqlState(error) === NO_TABLE) return false;
    throw error;
  }
}
