/** Puts many rows into one statement. */

/** Numbers of rows of one statement: a few different statements, so that the database can keep them prepared. */
const SIZES = [256, 16, 1] as const;

/** Divides rows among statements. */
export function* inParts<T>(rows: readonly T[]): Generator<readonly T[]> {
  let at = 0;
  for (const size of SIZES) {
    for (; rows.length - at >= size; at += size) yield rows.slice(at, at + size);
  }
}

/** Returns the places of `rows` times `columns` values, which come after `before` other values. */
export function places(rows: number, columns: number, before: number): string {
  const row = (number: number) =>
    Array.from({ length: columns }, (_, column) => `$${before + number * columns + column + 1}`).join(', ');
  return Array.from({ length: rows }, (_, number) => (columns === 1 ? row(number) : `(${row(number)})`)).join(
    ', ',
  );
}
