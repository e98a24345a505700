/**
 * The schemas of a database, and the steps that make them. The findings and the data of the administration are two
 * schemas of one database.
 *
 * Collectors of two releases run side by side while a fleet is updated. So a step only adds, and the release before
 * goes on with what it knows. A step that the release before cannot live with says `breaks`; then that release refuses
 * to start, and a collector of it that runs writes nothing more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../../../common/operator_error.ts';
import { VERSION } from '../../../common/version.ts';
import type { OnSchemaChange, SchemaChange } from '../schema_change.ts';
import { SCHEMA_LOCK, WRITERS_LOCK } from './advisory_locks.ts';
import { isConflict, sqlState } from './database_errors.ts';
import type { DatabasePool, Session } from './database_pool.ts';

export interface SchemaStep {
  /** The release that brought the step, such as `0.1.0`. */
  release: string;
  /** Says in a few words what the step does, for plans and for the log. */
  summary: string;
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

/** The record of one schema in its database. */
export interface SchemaState {
  /** Number of steps that were applied. */
  applied: number;
  /** Number of steps that a release must know. */
  needed: number;
  /** The oldest release that knows these. */
  oldestRelease: string;
}

/** SQLSTATE: PostgreSQL 15 documentation, appendix A. */
const INSUFFICIENT_PRIVILEGE = '42501';
/** Time that a collector waits for another one that is changing the schema. */
const OTHERS_MS = 60_000;
/** Time that a step waits for a table. Whoever asks for the table meanwhile waits behind it. */
const TABLE_MS = 5_000;
const MAX_ATTEMPTS = 12;
const PAUSE_MS = 500;

/**
 * Brings a schema up to date. `onChange` is called where there was something to do. Of several collectors that start at once, one applies the steps,
 * and the others wait for it. Throws `OperatorError`.
 */
export async function migrate(
  pool: DatabasePool,
  schema: DatabaseSchema,
  onChange: OnSchemaChange = () => {},
): Promise<void> {
  try {
    const { from, to } = await plannedChange(pool, schema);
    // A collector that only starts again takes no lock, and needs no right to create tables.
    if (from === to) return;
    // A step over large tables takes longer than a collector waits for an answer.
    const unhurried = pool.unhurried();
    try {
      const change = await applyPatiently(unhurried, schema);
      if (change.from < change.to) onChange(change);
    } finally {
      await unhurried.close();
    }
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new OperatorError(
      3,
      `The user of the database may not create its tables: ${(error as Error).message}. As its owner run: GRANT CREATE, USAGE ON SCHEMA public TO the user; or let the user own the database.`,
      { cause: error },
    );
  }
}

/** Returns what `migrate` would do, and changes nothing. Throws `OperatorError` where this release is too old. */
export async function plannedChange(pool: DatabasePool, schema: DatabaseSchema): Promise<SchemaChange> {
  return changeFrom((await requireKnown(pool, schema))?.applied ?? 0, schema);
}

/** Tries again where a question held a table too long, or waited for one that a step had changed already. */
async function applyPatiently(pool: DatabasePool, schema: DatabaseSchema): Promise<SchemaChange> {
  for (let left = MAX_ATTEMPTS; ; left -= 1) {
    try {
      return await applySteps(pool, schema);
    } catch (error) {
      if (!isConflict(error) || left <= 1) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

async function applySteps(pool: DatabasePool, schema: DatabaseSchema): Promise<SchemaChange> {
  const { name, steps } = schema;
  return pool.transaction(async (session) => {
    await session.query(`SET LOCAL lock_timeout = ${OTHERS_MS}`);
    await session.query(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
    await session.query(
      `CREATE TABLE IF NOT EXISTS imdswatch_schemas (
         name text PRIMARY KEY,
         -- Steps that were applied, and the steps that a release must know to use the database.
         applied integer NOT NULL,
         needed integer NOT NULL
       );
       ALTER TABLE imdswatch_schemas ADD COLUMN IF NOT EXISTS oldest_release text`,
    );
    const state = await requireKnown(session, schema);
    const change = changeFrom(state?.applied ?? 0, schema);
    const pending = steps.slice(change.from);
    if (pending.length === 0) return change;
    // No writer is in the middle of a batch then, whose locks are in another order than those of the steps.
    await session.query(`SELECT pg_advisory_xact_lock(${WRITERS_LOCK})`);
    await session.query(`SET LOCAL lock_timeout = ${TABLE_MS}`);
    for (const { apply } of pending) {
      if (typeof apply === 'string') await session.query(apply);
      else await apply(session);
    }
    await session.query(
      `INSERT INTO imdswatch_schemas (name, applied, needed, oldest_release) VALUES ($1, $2, $3, $4)
       ON CONFLICT (name) DO UPDATE SET applied = excluded.applied, needed = excluded.needed,
         oldest_release = excluded.oldest_release`,
      [name, steps.length, neededSteps(steps), change.oldestRelease],
    );
    return change;
  });
}

/** Returns the state of a schema; null where the database has none. */
export async function readState(database: Pick<Session, 'query'>, name: string): Promise<SchemaState | null> {
  const [found] = await database.query<{ there: boolean }>(
    `SELECT to_regclass('imdswatch_schemas') IS NOT NULL AS there`,
  );
  if (found?.there !== true) return null;
  const [row] = await database.query<{ applied: number; needed: number; oldest_release: string | null }>(
    'SELECT * FROM imdswatch_schemas WHERE name = $1',
    [name],
  );
  if (row === undefined) return null;
  const { applied, needed, oldest_release: oldestRelease } = row;
  return { applied, needed, oldestRelease: oldestRelease ?? 'a newer one' };
}

/** Throws `OperatorError` where a database has not all of what this release asks for. Changes nothing. */
export async function requireSchema(pool: DatabasePool, schema: DatabaseSchema): Promise<void> {
  const { from, to } = await plannedChange(pool, schema);
  if (from === 0) {
    throw new OperatorError(
      1,
      'The database has no tables of imdswatch. Start "imdswatch collector" once with this store, run "imdswatch store migrate", or name another database.',
    );
  }
  if (from < to) {
    throw new OperatorError(
      1,
      `The database has version ${from} of the schema ${schema.name}, and this imdswatch (${VERSION}) needs version ${to}. Run "imdswatch store migrate", or start a collector of this release: both bring the schema up to date.`,
    );
  }
}

/** Returns the state of a schema. Throws `OperatorError` where this release does not know a step that it must know. */
export async function requireKnown(
  database: Pick<Session, 'query'>,
  { name, steps }: DatabaseSchema,
): Promise<SchemaState | null> {
  await refuseUnfinishedCopy(database);
  const state = await readState(database, name);
  if (state === null || state.needed <= steps.length) return state;
  throw new OperatorError(
    1,
    `The database was changed for a newer imdswatch: its schema ${name} has version ${state.applied}, and may be used by release ${state.oldestRelease} or later. This is release ${VERSION}, which knows version ${steps.length}. Update imdswatch on this machine.`,
  );
}

/** `imdswatch store copy` has the table in the database until the copy is proven. */
async function refuseUnfinishedCopy(database: Pick<Session, 'query'>): Promise<void> {
  const [found] = await database.query<{ there: boolean }>(
    `SELECT to_regclass('imdswatch_copy') IS NOT NULL AS there`,
  );
  if (found?.there !== true) return;
  throw new OperatorError(
    1,
    'A copy of a store into this database has not ended. Run the same "imdswatch store copy" again: it goes on where it ended. Until then no collector may use the database.',
  );
}

function changeFrom(applied: number, { name, steps }: DatabaseSchema): SchemaChange {
  return {
    schema: name,
    from: applied,
    // A newer release may have added steps that this one does not know.
    to: Math.max(applied, steps.length),
    steps: steps.slice(applied).map(({ summary }) => summary),
    oldestRelease: steps[Math.max(neededSteps(steps), 1) - 1]!.release,
  };
}

/** Returns the steps that a release must know: all until the last one that breaks. */
function neededSteps(steps: readonly SchemaStep[]): number {
  return steps.findLastIndex(({ breaks }) => breaks === true) + 1;
}
