/** Compares two whole stores, table by table. */
import { adminSums } from '../admin/copy_admin.ts';
import type { FindingsReader } from './findings.ts';
import type { OpenedStore } from './opened_store.ts';
import { STORED_TABLES, type StoredTable } from './stored_tables.ts';
import { isSame, type TableSum, TableSums } from './table_sum.ts';

export interface Comparison {
  /** `findings` or `admin`. */
  schema: string;
  one: TableSum;
  other: TableSum;
  isSame: boolean;
}

/** Called after each part. `rows`: those that were read of a table of both stores. */
export type OnCompared = (table: string, rows: number) => void;

export async function compareStores(
  one: OpenedStore,
  other: OpenedStore,
  onCompared: OnCompared = () => {},
): Promise<Comparison[]> {
  const findings = await one.snapshot((oneReader) =>
    other.snapshot(async (otherReader) => {
      const compared: Comparison[] = [];
      for (const table of STORED_TABLES) {
        let rows = 0;
        const onRows = (more: number) => {
          rows += more;
          onCompared(table.name, rows);
        };
        const [a, b] = await Promise.all([
          sumOf(oneReader, table, onRows),
          sumOf(otherReader, table, onRows),
        ]);
        compared.push({ schema: 'findings', one: a, other: b, isSame: isSame(a, b) });
      }
      return compared;
    }),
  );
  const [oneSums, otherSums] = [await one.admin.snapshot(adminSums), await other.admin.snapshot(adminSums)];
  const admin = oneSums.map(({ table, rows, sha256 }, at): Comparison => {
    const there = otherSums[at]!;
    const [a, b] = [
      { table, rows, sum: null, checksum: sha256 },
      { table, rows: there.rows, sum: null, checksum: there.sha256 },
    ];
    return { schema: 'admin', one: a, other: b, isSame: isSame(a, b) };
  });
  return [...findings, ...admin];
}

async function sumOf(
  reader: FindingsReader,
  table: StoredTable,
  onRows: (rows: number) => void,
): Promise<TableSum> {
  const sums = new TableSums(table);
  for await (const { rows } of reader.read(table)) {
    sums.add(rows);
    onRows(rows.length);
  }
  return sums.sum;
}
