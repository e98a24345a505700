/** Interfaces of the findings of a store, as a copy and a check need them. */
import type { Cell, Row, StoredTable } from './stored_tables.ts';

/** Rows of a table that are read at once. */
export interface Part {
  rows: Row[];
  /** The place of the last row in the order of the table. */
  after: Cell[];
}

/** The findings as they are at one moment. */
export interface FindingsReader {
  readonly kind: 'sqlite' | 'postgres';
  /** Returns the rows of a table in the order of its key, in parts of bounded size; only those behind the place `after`. */
  read(table: StoredTable, after?: readonly Cell[] | null): AsyncIterable<Part>;
  /** Returns the number of rows that `read` returns, at least nearly. */
  count(table: StoredTable): Promise<number>;
  /** Returns the last number that was given to a row of a numbered table; 0 for none. */
  lastNumber(table: StoredTable): Promise<number>;
  /** Returns the rows of a query, which both databases understand or only this `kind`. There should be few. */
  select(sql: string): Promise<Record<string, Cell>[]>;
}

/** The progress of a copy of one table. */
export interface TableProgress {
  rows: number;
  /** The key of the last row; null before the first one. */
  after: Cell[] | null;
  isDone: boolean;
}

/** The progress of a copy, by the name of the table. */
export type CopyProgress = Record<string, TableProgress>;

/** Bounds on the rows of one part. */
export const MAX_PART_ROWS = 5_000;
export const MAX_PART_CHARACTERS = 4 * 1024 * 1024;

/** Tells whether rows with this many characters are enough for one part. */
export function isPartFull(rows: number, characters: number): boolean {
  return rows >= MAX_PART_ROWS || characters >= MAX_PART_CHARACTERS;
}

/** Returns the characters of the texts of a row. */
export function charactersOf(row: Row): number {
  let characters = 0;
  for (const cell of row) if (typeof cell === 'string') characters += cell.length;
  return characters;
}
