/** Changes the states of the alerts about subjects, many at a time: the first evaluation has one for each host. */
import { isDeepStrictEqual } from 'node:util';
import type { AdminSql } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';

/** The state of the alerts about one subject. `kind` is `offender`, `host` or `begun`. `state` is plain data. */
export interface SubjectRow {
  kind: string;
  id: string;
  state: unknown;
}

/** A new state of a subject; null deletes it. `before`: the state from which it was concluded; null: there was none. */
export interface SubjectChange extends SubjectRow {
  before: unknown;
}

/** Somebody else has changed the state of a subject meanwhile. Nothing was stored. */
export class StaleStateError extends Error {
  constructor({ kind, id }: SubjectRow) {
    super(`The state of the alerts about the ${kind} ${id} was changed meanwhile, so nothing was stored.`);
    this.name = 'StaleStateError';
  }
}

/**
 * Replaces states. Each subject stands in `changes` once. Throws `StaleStateError` where a state is not that of before. The
 * transaction's area keeps others from changing a state after it was read.
 */
export async function changeSubjects(sql: AdminSql, changes: readonly SubjectChange[]): Promise<void> {
  for (const [kind, ofKind] of Map.groupBy(changes, (change) => change.kind)) {
    for (const part of inParts(ofKind)) await checkBefore(sql, kind, part);
    for (const part of inParts(ofKind.filter(({ state }) => state === null))) {
      await sql.run(
        `DELETE FROM alert_subjects WHERE kind = $1 AND id IN (${places(part.length, 1, 1)})`,
        kind,
        ...part.map(({ id }) => id),
      );
    }
    for (const part of inParts(ofKind.filter(({ state }) => state !== null))) {
      await sql.run(
        `INSERT INTO alert_subjects (kind, id, state) VALUES ${places(part.length, 3, 0)}
         ON CONFLICT (kind, id) DO UPDATE SET state = excluded.state`,
        ...part.flatMap(({ id, state }) => [kind, id, JSON.stringify(state)]),
      );
    }
  }
}

async function checkBefore(sql: AdminSql, kind: string, changes: readonly SubjectChange[]): Promise<void> {
  const rows = await sql.all(
    `SELECT id, state FROM alert_subjects WHERE kind = $1 AND id IN (${places(changes.length, 1, 1)})`,
    kind,
    ...changes.map(({ id }) => id),
  );
  const stored = new Map(rows.map(({ id, state }) => [id, JSON.parse(String(state)) as unknown]));
  for (const change of changes) {
    // JSON drops fields that are undefined.
    const before: unknown = JSON.parse(JSON.stringify(change.before));
    if (!isDeepStrictEqual(stored.get(change.id) ?? null, before)) throw new StaleStateError(change);
  }
}
