/** The scope of a token or session as a column: JSON, or null for the whole fleet. */
import { type Sight, viewScope } from '../contract/host_scope.ts';
import type { SqlValue } from './admin_sql.ts';

export function scopeColumn(scope: Sight): string | null {
  return scope === null ? null : JSON.stringify(scope);
}

/** Throws for anything but a scope, so that a damaged one opens nothing. */
export function readScope(column: SqlValue | undefined): Sight {
  return column === null || column === undefined ? null : viewScope.parse(JSON.parse(String(column)));
}
