/**
 * Copies a whole store to another place, of either kind, and proves that both have the same. The source is only read.
 *
 * An interrupted copy goes on where it ended: each part of a table is stored together with the place that was reached. No
 * collector can use the target before the proof.
 */
import { OperatorError } from '../../common/operator_error.ts';
import { adminSums, copyAdmin } from '../admin/copy_admin.ts';
import { type Comparison, compareStores } from './compare_stores.ts';
import type { CopyProgress } from './findings.ts';
import type { CopyTarget, OpenedStore } from './opened_store.ts';
import { finishEarlierRun, openSource, openTarget, type Place } from './places.ts';
import { STORED_TABLES } from './stored_tables.ts';

export interface CopyReport {
  /** `copying` tables one after the other, then `comparing` them. */
  phase: 'copying' | 'comparing';
  table: string;
  /** Rows so far, of both stores while they are compared. */
  rows: number;
  /** Rows of the source; null while tables are compared. */
  total: number | null;
}

export interface CopyOptions {
  onReport: (report: CopyReport) => void;
  /** Ends the copy between two parts. */
  signal: AbortSignal;
}

/**
 * Copies a store, and returns what both have; null where an earlier run had proven the copy, and was killed before it was
 * in place. Throws `OperatorError`.
 */
export async function copyStore(from: Place, to: Place, options: CopyOptions): Promise<Comparison[] | null> {
  if (finishEarlierRun(to)) return null;
  const source = await openSource(from);
  try {
    await source.requireUnused();
    const target = await openTarget(to, source);
    try {
      return await copyAll(source, target, options);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copyAll(
  source: OpenedStore,
  target: CopyTarget,
  { onReport, signal }: CopyOptions,
): Promise<Comparison[]> {
  const numbers = await copyFindings(source, target, { onReport, signal });
  await target.complete(numbers);
  await copyAdminOnce(source, target);
  const compared = await compareStores(source, target, (table, rows) => {
    throwIfStopped(signal);
    onReport({ phase: 'comparing', table, rows, total: null });
  });
  const different = compared.filter(({ isSame }) => !isSame);
  if (different.length > 0) throw notTheSame(target.place, different);
  await source.requireUnused();
  await target.publish();
  return compared;
}

/** Returns the last numbers that were given to rows, by table. */
function copyFindings(
  source: OpenedStore,
  target: CopyTarget,
  { onReport, signal }: CopyOptions,
): Promise<Map<string, number>> {
  const progress: CopyProgress = { ...target.progress };
  return source.snapshot(async (reader) => {
    const numbers = new Map<string, number>();
    for (const table of STORED_TABLES) {
      const { name } = table;
      if (table.isNumbered) numbers.set(name, await reader.lastNumber(table));
      let { rows, after, isDone } = progress[name] ?? { rows: 0, after: null, isDone: false };
      if (isDone) continue;
      const total = await reader.count(table);
      for await (const part of reader.read(table, after)) {
        throwIfStopped(signal);
        rows += part.rows.length;
        after = part.after;
        progress[name] = { rows, after, isDone: false };
        await target.write(table, part.rows, progress);
        onReport({ phase: 'copying', table: name, rows, total });
      }
      progress[name] = { rows, after, isDone: true };
    }
    return numbers;
  });
}

/** The admin data is copied in one transaction, so an earlier run has copied all of it or nothing. */
async function copyAdminOnce(source: OpenedStore, target: CopyTarget): Promise<void> {
  const copied = await target.admin.snapshot(adminSums);
  if (copied.every(({ rows }) => rows === 0)) await copyAdmin(source.admin, target.admin);
}

function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new OperatorError(
    1,
    'The copy was interrupted. Run the same command again: it goes on where it ended. No collector can use the unfinished copy.',
  );
}

function notTheSame(place: string, different: readonly Comparison[]): OperatorError {
  const list = different.map(
    ({ schema, one, other }) => `${schema} ${one.table} (${one.rows} rows, ${other.rows} copied)`,
  );
  return new OperatorError(
    1,
    `The copy in ${place} differs from its source in ${list.join(', ')}, and no collector can use it. Something has changed the source since the copy began. Stop that, make the target empty, and copy again.`,
  );
}
