/**
 * The sum of the rows of a table, in whatever order they are read: their number, the sum of one column, and a checksum.
 * The checksum adds up the first 16 bytes of the SHA-256 of each row, in four numbers of 32 bits.
 */
import { hash } from 'node:crypto';
import { placesOf, type Row, type StoredTable } from './stored_tables.ts';

export interface TableSum {
  table: string;
  rows: number;
  /** Sum of the column that says most about the table; null where there is none. */
  sum: number | null;
  checksum: string;
}

const PARTS = 4;

export class TableSums {
  readonly #table: StoredTable;
  readonly #summed: number | null;
  readonly #checksum = new Uint32Array(PARTS);
  #rows = 0;
  #sum = 0;

  constructor(table: StoredTable) {
    this.#table = table;
    this.#summed = table.summed === undefined ? null : placesOf(table, [table.summed])[0]!;
  }

  add(rows: readonly Row[]): void {
    for (const row of rows) {
      this.#rows += 1;
      if (this.#summed !== null) this.#sum += Number(row[this.#summed]);
      const digest = hash('sha256', JSON.stringify(row), 'buffer');
      // The elements wrap around.
      for (let part = 0; part < PARTS; part += 1) this.#checksum[part]! += digest.readUInt32LE(part * 4);
    }
  }

  get sum(): TableSum {
    return {
      table: this.#table.name,
      rows: this.#rows,
      sum: this.#summed === null ? null : this.#sum,
      checksum: [...this.#checksum].map((part) => part.toString(16).padStart(8, '0')).join(''),
    };
  }
}

export function isSame(one: TableSum, other: TableSum): boolean {
  return one.rows === other.rows && one.sum === other.sum && one.checksum === other.checksum;
}
