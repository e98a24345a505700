/** No text of PostgreSQL can hold U+0000, which a caller may send in a path. It becomes U+FFFD. */
import type { PackedBatches } from '../sqlite/packed_batch.ts';

export function withoutNul<T>(value: T): T {
  return typeof value === 'string' && value.includes('\0') ? (value.replaceAll('\0', '\ufffd') as T) : value;
}

/**
 * Replaces U+0000 in texts that callers choose, before anything is counted: texts that are equal afterwards are one row.
 */
export function removeNul({ batches, calls }: PackedBatches): void {
  calls.paths = calls.paths.map(withoutNul);
  calls.queries = calls.queries.map(withoutNul);
  calls.sources = calls.sources.map(withoutNul);
  calls.templates = calls.templates.map(withoutNulIn);
  for (const { rollups } of batches) {
    for (const each of rollups) each.rollup = withoutNulIn(each.rollup);
  }
}

function withoutNulIn<T extends object>(fields: T): T {
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => typeof value === 'string' && value.includes('\0'))) return fields;
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'string' ? withoutNul(value) : value]),
  ) as T;
}
