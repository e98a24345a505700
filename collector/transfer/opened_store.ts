/** A whole store that is open for a copy or a check: the findings and the admin data. */
import { OperatorError } from '../../common/operator_error.ts';
import type { AdminSql } from '../admin/admin_sql.ts';
import type { CopyProgress, FindingsReader } from './findings.ts';
import type { Row, StoredTable } from './stored_tables.ts';

export interface OpenedStore {
  /** Names the place in messages. It has no password. */
  readonly place: string;
  readonly admin: AdminSql;
  /** Runs `work` on the findings as they are at one moment. */
  snapshot<T>(work: (reader: FindingsReader) => Promise<T>): Promise<T>;
  /** Throws `OperatorError` where a collector uses the store. */
  requireUnused(): Promise<void>;
  close(): Promise<void>;
}

/** A store that a copy writes. No collector can use it before `publish`. */
export interface CopyTarget extends OpenedStore {
  /** The progress of an earlier run of the same copy. */
  readonly progress: CopyProgress;
  /** Stores rows together with the progress: after a crash the store has both, or none. */
  write(table: StoredTable, rows: readonly Row[], progress: CopyProgress): Promise<void>;
  /**
   * Makes what the store needs besides the rows. It may be called again. `numbers`: by table, the last number that was
   * given to a row.
   */
  complete(numbers: ReadonlyMap<string, number>): Promise<void>;
  /** Lets collectors use the store. Nothing else but `close` may follow. */
  publish(): Promise<void>;
}

/** Throws `OperatorError` where an unfinished copy is of another source. `remedy` says how to begin anew. */
export function requireSource(place: string, source: string, earlier: string, remedy: string): void {
  if (source === earlier) return;
  throw new OperatorError(
    1,
    `${place} has an unfinished copy of ${earlier}. Run the same command for that again, which goes on with it; or ${remedy}, and run this one.`,
  );
}

/** Table of a target: `source` is the place that is copied, `progress` is JSON (`CopyProgress`). */
export const COPY_TABLE = 'imdswatch_copy';
