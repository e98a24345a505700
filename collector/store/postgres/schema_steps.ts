/**
 * The schemas of a database, and the steps that make them. The findings and the data of the administration are two
 * schemas of one database.
 *
 * Collectors of two releases run side by side while a fleet is updated. So a step only adds, and the release before
 * goes on with what it knows. A step that the release before cannot live with says `breaks`; then that release refuses
 * to start.
 */
import { OperatorError } from '../../../common/operator_error.ts';
import { sqlState } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';

export interface SchemaStep {
  /** SQL of one or more statements, or a function where SQL is not enough. A step that was released never changes. */
  apply: string | ((session: Session) => Promise<void>);
  /** True where releases without this step cannot use the database any more. */
  breaks?: true;
}

export interface DatabaseSchema {
  /** Such as `findings`. */
  name: string;
  steps: readonly SchemaStep[];
}

/** The numbers of steps: `applied` so far, and those that a release must know (`needed`). */
export interface SchemaState {
  applied: number;
  needed: number;
}

/** Key of the advisory lock under which schemas are changed: the eight bytes of "imdswatc" as a number. */
const LOCK_KEY = '7596838593530786915';
/** SQLSTATE: PostgreSQL 15 documentation, appendix A. */
const INSUFFICIENT_PRIVILEGE = '42501';
/** Time that a collector waits for another one that is changing the schema. */
const LOCK_MS = 60_000;

/**
 * Brings a schema up to date. Of several collectors that start at once, one applies the steps, and the others wait
 * for it. Throws `OperatorError`.
 */
export async function migrate(pool: DatabasePool, schema: DatabaseSchema): Promise<void> {
  try {
    await applySteps(pool, schema);
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new OperatorError(
      3,
      `The user of the database may not create its tables: ${(error as Error).message}. As its owner run: GRANT CREATE, USAGE ON SCHEMA public TO the user; or let the user own the database.`,
      { cause: error },
    );
  }
}

async function applySteps(pool: DatabasePool, { name, steps }: DatabaseSchema): Promise<void> {
  const known = await readState(pool, name);
  // A collector that only starts again takes no lock, and needs no right to create tables.
  if (known !== null && known.applied >= steps.length) {
    checkState(known, name, steps.length);
    return;
  }
  await pool.transaction(async (session) => {
    await session.query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
    // A step over large tables takes as long as it takes.
    await session.query('SET LOCAL statement_timeout = 0');
    await session.query(`SELECT pg_advisory_xact_lock(${LOCK_KEY})`);
    await session.query(
      `CREATE TABLE IF NOT EXISTS imdswatch_schemas (
         name text PRIMARY KEY,
         -- Steps that were applied, and the steps that a release must know to use the database.
         applied integer NOT NULL,
         needed integer NOT NULL
       )`,
    );
    const [row] = await session.query<SchemaState & { name: string }>(
      'SELECT applied, needed FROM imdswatch_schemas WHERE name = $1',
      [name],
    );
    const before = row ?? { applied: 0, needed: 0 };
    checkState(before, name, steps.length);
    if (before.applied >= steps.length) return;
    for (const { apply } of steps.slice(before.applied)) {
      if (typeof apply === 'string') await session.query(apply);
      else await apply(session);
    }
    await session.query(
      `INSERT INTO imdswatch_schemas VALUES ($1, $2, $3)
       ON CONFLICT (name) DO UPDATE SET applied = excluded.applied, needed = excluded.needed`,
      [name, steps.length, neededSteps(steps)],
    );
  });
}

/** Returns the state of a schema; null where the database has none. */
export async function readState(pool: DatabasePool, name: string): Promise<SchemaState | null> {
  const [found] = await pool.query<{ there: boolean }>(
    `SELECT to_regclass('imdswatch_schemas') IS NOT NULL AS there`,
  );
  if (found?.there !== true) return null;
  const [row] = await pool.query<{ applied: number; needed: number }>(
    'SELECT applied, needed FROM imdswatch_schemas WHERE name = $1',
    [name],
  );
  return row ?? null;
}

/** Throws `OperatorError` where a database has not all of what this release asks for. Changes nothing. */
export async function requireSchema(pool: DatabasePool, { name, steps }: DatabaseSchema): Promise<void> {
  const state = await readState(pool, name);
  if (state === null) {
    throw new OperatorError(
      1,
      'The database has no tables of imdswatch. Start "imdswatch collector" once with this store, or name another database.',
    );
  }
  checkState(state, name, steps.length);
  if (state.applied < steps.length) {
    throw new OperatorError(
      1,
      `The database has schema ${name} ${state.applied}, and this imdswatch needs ${steps.length}. Start a collector of this release: it brings the schema up to date.`,
    );
  }
}

/** Throws `OperatorError` where this release does not know a step that it must know. */
function checkState({ needed, applied }: SchemaState, name: string, known: number): void {
  if (needed <= known) return;
  throw new OperatorError(
    1,
    `The database was changed by a newer imdswatch (schema ${name} ${applied}; this one knows ${known}, and ${needed} is needed). Update imdswatch on this machine.`,
  );
}

/** Returns the steps that a release must know: all until the last one that breaks. */
function neededSteps(steps: readonly SchemaStep[]): number {
  return steps.findLastIndex(({ breaks }) => breaks === true) + 1;
}
